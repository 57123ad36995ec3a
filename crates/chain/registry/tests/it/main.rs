//! Every chain of the registry.

use tributary_registry::{RegistryError, find, list};
use tributary_spec::OpHardfork;

/// Third-party data: the hashes are the registry's, the headers and state roots are computed here.
#[test]
fn every_genesis_has_the_hash_of_the_registry() {
    let (mut checked, mut without) = (0, Vec::new());
    for name in list().unwrap() {
        let chain = find(&name).unwrap().unwrap_or_else(|| panic!("{name}"));
        assert_eq!(chain.full_name(), name);
        match chain.spec() {
            Ok(spec) => {
                assert_eq!((spec.genesis_hash(), spec.chain_id()), (chain.genesis_hash(), chain.chain_id()));
                checked += 1;
            }
            Err(RegistryError::NoAllocation { number, .. }) => {
                assert!(number > 0 && !chain.has_allocation());
                without.push(name.clone());
            }
            Err(error) => panic!("{name}: {error}"),
        }
        assert_eq!(chain.rules().unwrap().chain_id(), chain.chain_id(), "{name}");
    }
    without.sort();
    assert_eq!(without, ["boba-mainnet", "boba-sepolia", "celo-mainnet", "op-mainnet"]);
    assert_eq!(checked, 55);
}

#[test]
fn chains_have_the_names_that_others_give_them() {
    for (name, chain_id) in [
        ("op-mainnet", 10),
        ("optimism", 10),
        ("op-sepolia", 11_155_420),
        ("optimism-sepolia", 11_155_420),
        ("optimism_sepolia", 11_155_420),
        ("base", 8_453),
        ("base-mainnet", 8_453),
        ("base-sepolia", 84_532),
        ("base_sepolia", 84_532),
        ("unichain", 130),
        ("unichain-sepolia", 1_301),
        ("soneium-minato", 1_946),
        ("oplabs-devnet-0", 11_155_421),
        ("radius_testnet", 863),
    ] {
        let chain = find(name).unwrap().unwrap_or_else(|| panic!("{name}"));
        assert_eq!(chain.chain_id(), chain_id, "{name}");
    }
    for name in ["", "op-goerli", "dev", "mainnet", "op-mainnet-mainnet"] {
        assert!(find(name).unwrap().is_none(), "{name}");
    }
}

#[test]
fn forks_since_come_to_those_who_follow_their_superchain() {
    let time = |name: &str, fork| find(name).unwrap().unwrap().rules().unwrap().forks().time(fork);
    assert_eq!(time("op-mainnet", OpHardfork::Jovian), Some(1_764_691_201));
    assert_eq!(time("op-mainnet", OpHardfork::Karst), Some(1_783_526_401));
    assert_eq!(time("op-sepolia", OpHardfork::Isthmus), Some(1_744_905_600));
    assert_eq!(time("op-sepolia", OpHardfork::Karst), Some(1_781_712_001));
    assert_eq!(time("unichain", OpHardfork::Karst), Some(1_783_526_401));
    // Base has left; Fraxtal never was in; a devnet has a superchain of its own.
    assert_eq!(time("base", OpHardfork::Jovian), Some(1_764_691_201));
    assert_eq!(time("base", OpHardfork::Karst), None);
    assert_eq!(find("base").unwrap().unwrap().departed(), Some(1_779_991_200));
    assert_eq!(time("fraxtal", OpHardfork::Jovian), None);
    assert_eq!(time("oplabs-devnet-0", OpHardfork::Jovian), None);
}

#[test]
fn op_mainnet_says_why_it_has_no_genesis() {
    let error = find("op-mainnet").unwrap().unwrap().spec().unwrap_err().to_string();
    assert!(error.starts_with("OP Mainnet begins at block 105235063"), "{error}");
}
