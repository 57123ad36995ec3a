//! What `forge` makes of the interfaces, and what this crate makes of them.

use alloy_json_abi::JsonAbi;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use tributary_abi::{IAgents, IAttribution, IDatanets, IModels, IParams, ISettlement, address};

fn contracts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../contracts")
}

/// Runs the build script; its compiler comes with `make setup`.
fn forge_abi(name: &str) -> JsonAbi {
    let built = Command::new(contracts().join("build.sh")).arg("build").output().unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    let artefact = std::fs::read(contracts().join(format!("out/{name}.sol/{name}.json"))).unwrap();
    let artefact: serde_json::Value = serde_json::from_slice(&artefact).unwrap();
    serde_json::from_value(artefact["abi"].clone()).unwrap()
}

/// Every function, event and error: kind, signature, selector or topic, and what mutates or is indexed.
fn table(abi: &JsonAbi) -> BTreeSet<String> {
    let functions = abi.functions().map(|function| {
        let names: Vec<_> = function.inputs.iter().map(|input| input.name.clone()).collect();
        format!(
            "function {} returns {:?} {} {:?} {names:?}",
            function.signature(),
            function.outputs.iter().map(|output| output.selector_type().into_owned()).collect::<Vec<_>>(),
            function.selector(),
            function.state_mutability,
        )
    });
    let events = abi.events().map(|event| {
        let indexed: Vec<_> = event.inputs.iter().map(|input| (input.name.clone(), input.indexed)).collect();
        format!("event {} {} {indexed:?}", event.signature(), event.selector())
    });
    let errors = abi.errors().map(|error| format!("error {} {}", error.signature(), error.selector()));
    functions.chain(events).chain(errors).collect()
}

#[test]
fn the_same_interfaces_in_solidity_and_in_rust() {
    for (name, ours) in interfaces() {
        let (forge, ours) = (table(&forge_abi(name)), table(&ours));
        assert!(!ours.is_empty());
        let differ: Vec<_> = forge.symmetric_difference(&ours).collect();
        assert!(differ.is_empty(), "{name}: {differ:#?}");
    }
}

fn interfaces() -> [(&'static str, JsonAbi); 6] {
    [
        ("IDatanets", IDatanets::abi::contract()),
        ("IModels", IModels::abi::contract()),
        ("IAgents", IAgents::abi::contract()),
        ("ISettlement", ISettlement::abi::contract()),
        ("IAttribution", IAttribution::abi::contract()),
        ("IParams", IParams::abi::contract()),
    ]
}

#[test]
fn an_error_means_the_same_everywhere() {
    let mut signatures = BTreeMap::new();
    for (_, abi) in interfaces() {
        for error in abi.errors() {
            let known = signatures.entry(error.selector()).or_insert_with(|| error.signature());
            assert_eq!(*known, error.signature());
        }
    }
}

#[test]
fn six_addresses_in_a_row() {
    for (address, last) in address::ALL.iter().zip(0x01..) {
        assert_eq!(address.as_slice()[..18], [0; 18]);
        assert_eq!(address.as_slice()[18..], [0x0a, last]);
    }
}
