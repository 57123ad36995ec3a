//! Storage is where Solidity would put it.

use crate::forge::artefact;
use serde_json::Value;
use std::collections::BTreeSet;
use tributary_precompiles::{LAYOUT, LayoutEntry};

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| value.as_str().unwrap().parse().unwrap())
}

type Line = (String, String, u64, u64, u64);

/// The fields of a contract and of every struct it stores.
fn forge_layout(contract: &str) -> BTreeSet<Line> {
    let layout = &artefact(contract)["storageLayout"];
    let types = layout["types"].as_object().unwrap();
    let line = |owner: String, member: &Value| {
        let bytes = number(&types[member["type"].as_str().unwrap()]["numberOfBytes"]);
        let label = member["label"].as_str().unwrap().to_owned();
        (owner, label, number(&member["slot"]), number(&member["offset"]), bytes)
    };
    let mut lines: BTreeSet<_> =
        layout["storage"].as_array().unwrap().iter().map(|v| line(contract.to_owned(), v)).collect();
    for kind in types.values() {
        let Some(members) = kind["members"].as_array() else { continue };
        let name = kind["label"].as_str().unwrap().rsplit('.').next().unwrap();
        lines.extend(members.iter().map(|member| line(format!("{contract}.{name}"), member)));
    }
    lines
}

fn our_line(entry: &LayoutEntry) -> Line {
    let LayoutEntry { owner, label, slot, offset, bytes } = *entry;
    (owner.to_owned(), label.to_owned(), slot, offset as u64, bytes as u64)
}

#[test]
fn storage_is_laid_out_as_solidity_does() {
    // Items of versioned lists: one slot, whose first eight bytes are the block; the rest is the value.
    let versioned = ["ParamAt", "RatesAt", "OwnerAt", "OperatorAt"];
    for contract in ["Datanets", "Models", "Agents", "Settlement", "Attribution", "Params"] {
        let (items, theirs): (BTreeSet<_>, BTreeSet<_>) = forge_layout(contract)
            .into_iter()
            .partition(|line| versioned.iter().any(|v| line.0.ends_with(v)));
        for (owner, label, slot, offset, bytes) in items {
            assert_eq!(slot, 0, "{owner}.{label}");
            let place = if label == "fromBlock" { (0, 8) } else { (offset, bytes) };
            assert_eq!((offset, bytes), place);
            assert!(label == "fromBlock" || label == "outRate" || offset == 8, "{owner}.{label} at {offset}");
            assert!(label != "outRate" || (offset, bytes) == (20, 12));
        }
        let ours: BTreeSet<_> = LAYOUT
            .iter()
            .filter(|entry| entry.owner.split('.').next() == Some(contract))
            .map(our_line)
            .collect();
        let differ: Vec<_> = theirs.symmetric_difference(&ours).collect();
        assert!(differ.is_empty(), "{contract}: {differ:#?}");
    }
}
