//! Genesis files: what is read, and what is refused.

use alloy_primitives::b256;
use serde_json::{Value, json};
use tributary_spec::{ChainSpec, EthereumHardforks, FORKS, OpHardfork, OpHardforks, SpecError};

/// A chain with every fork through Karst at genesis.
fn genesis() -> Value {
    let mut config = json!({
        "chainId": 7,
        "optimism": { "eip1559Elasticity": 6, "eip1559Denominator": 50, "eip1559DenominatorCanyon": 250 },
        "bedrockBlock": 0,
    });
    for fork in FORKS.into_iter().skip(1) {
        config[key(fork)] = json!(0);
    }
    json!({
        "config": config,
        "timestamp": "0x10",
        "gasLimit": "0x1c9c380",
        "difficulty": "0x0",
        "extraData": "0x01000000fa000000060000000000000000",
        "alloc": { "0x4200000000000000000000000000000000000016": { "balance": "0x0", "nonce": "0x1", "storage": {
            "0x0000000000000000000000000000000000000000000000000000000000000001":
                "0x0000000000000000000000000000000000000000000000000000000000000002",
            "0x0000000000000000000000000000000000000000000000000000000000000003":
                "0x0000000000000000000000000000000000000000000000000000000000000000",
        }}},
    })
}

fn key(fork: OpHardfork) -> String {
    format!("{}Time", fork.name().to_lowercase())
}

fn read(genesis: &Value) -> Result<ChainSpec, SpecError> {
    ChainSpec::from_json(genesis.to_string().as_bytes())
}

fn refused(change: impl FnOnce(&mut Value)) -> SpecError {
    let mut genesis = genesis();
    change(&mut genesis);
    read(&genesis).expect_err("must be refused")
}

#[test]
fn osaka_comes_with_karst_and_nothing_after() {
    let mut genesis = genesis();
    genesis["config"]["karstTime"] = json!(100);
    let spec = read(&genesis).unwrap();
    assert!(!spec.is_osaka_active_at_timestamp(99) && spec.is_osaka_active_at_timestamp(100));
    assert!(spec.is_jovian_active_at_timestamp(16) && !spec.is_karst_active_at_timestamp(16));
    assert!(
        !spec.is_interop_active_at_timestamp(u64::MAX) && !spec.is_amsterdam_active_at_timestamp(u64::MAX)
    );
    assert_eq!(spec.forks().to_string().matches('@').count(), FORKS.len());
}

#[test]
fn the_genesis_header_has_the_fields_of_its_forks() {
    let spec = read(&genesis()).unwrap();
    let header = spec.genesis_header();
    let sha256_of_nothing = b256!("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    assert_eq!(header.requests_hash, Some(sha256_of_nothing));
    assert_eq!((header.blob_gas_used, header.excess_blob_gas), (Some(0), Some(0)));
    let empty_trie = b256!("56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421");
    let withdrawals_root = header.withdrawals_root.unwrap();
    assert_ne!(withdrawals_root, empty_trie, "the message passer has storage");

    let mut canyon = genesis();
    canyon["extraData"] = json!("0x");
    for fork in FORKS.into_iter().skip(3) {
        canyon["config"][key(fork)] = json!(1000);
    }
    let spec = read(&canyon).unwrap();
    let header = spec.genesis_header();
    assert_eq!(header.withdrawals_root, Some(empty_trie));
    assert_eq!(
        (header.blob_gas_used, header.requests_hash, header.parent_beacon_block_root),
        (None, None, None)
    );
}

#[test]
fn lagoon_is_refused_under_both_names() {
    for key in ["lagoonTime", "interopTime"] {
        let error = refused(|genesis| genesis["config"][key] = json!(99));
        assert!(matches!(&error, SpecError::UnsupportedFork { key: named } if named == key), "{error}");
    }
    let mut genesis = genesis();
    genesis["config"]["interopTime"] = Value::Null;
    read(&genesis).unwrap();
}

#[test]
fn unknown_forks_are_refused_and_known_strangers_let_pass() {
    for key in [
        "atlantisTime",
        "atlantisBlock",
        "karsttime",
        "karst_time",
        "karstTimestamp",
        "KarstTime",
        "lagoontime",
    ] {
        let error = refused(|genesis| genesis["config"][key] = json!(1));
        assert!(matches!(&error, SpecError::UnknownFork(named) if named == key), "{error}");
    }
    let mut genesis = genesis();
    genesis["config"]["atlantisTime"] = Value::Null;
    genesis["config"]["pectraBlobScheduleTime"] = json!(5);
    genesis["config"]["deltaTime"] = json!(5);
    genesis["config"]["terminalTotalDifficultyPassed"] = json!(true);
    genesis["config"]["blobSchedule"] = json!({});
    read(&genesis).unwrap();
}

#[test]
fn a_genesis_says_which_chain_it_is_and_is_its_first_block() {
    for id in [None, Some(Value::Null)] {
        let error = refused(|genesis| match &id {
            None => drop(genesis["config"].as_object_mut().unwrap().remove("chainId")),
            Some(id) => genesis["config"]["chainId"] = id.clone(),
        });
        assert!(matches!(error, SpecError::NoChainId), "{error}");
    }
    let error = refused(|genesis| genesis["number"] = json!("0x5"));
    assert!(matches!(error, SpecError::GenesisNumber(5)), "{error}");
}

#[test]
fn l1_keys_may_repeat_what_is_derived_and_not_contradict_it() {
    let mut genesis = genesis();
    genesis["config"]["osakaTime"] = json!(0);
    read(&genesis).unwrap();
    for key in
        ["shanghaiTime", "cancunTime", "pragueTime", "osakaTime", "bpo1Time", "amsterdamTime", "londonBlock"]
    {
        let error = refused(|genesis| genesis["config"][key] = json!(3));
        assert!(
            matches!(&error, SpecError::L1Mismatch { key: named, found: 3, .. } if *named == key),
            "{error}"
        );
    }
}

#[test]
fn forks_come_in_order_and_without_gaps() {
    let gap = refused(|genesis| genesis["config"]["holoceneTime"] = Value::Null);
    assert!(matches!(gap, SpecError::ForkOrder { earlier: "Holocene", later: "Isthmus", .. }), "{gap}");
    let order = refused(|genesis| genesis["config"]["graniteTime"] = json!(1));
    assert!(matches!(order, SpecError::ForkOrder { earlier: "Granite", later: "Holocene", .. }), "{order}");
}

#[test]
fn values_that_make_no_sense_are_refused() {
    let not_op = refused(|genesis| {
        genesis["config"].as_object_mut().unwrap().remove("optimism");
    });
    assert!(matches!(not_op, SpecError::NotOptimism));
    let zero = refused(|genesis| genesis["config"]["optimism"]["eip1559Elasticity"] = json!(0));
    assert!(matches!(zero, SpecError::BadValue { .. }), "{zero}");
    let no_canyon = refused(|genesis| {
        genesis["config"]["optimism"].as_object_mut().unwrap().remove("eip1559DenominatorCanyon");
    });
    assert!(matches!(no_canyon, SpecError::BadValue { .. }), "{no_canyon}");
    let text = refused(|genesis| genesis["config"]["jovianTime"] = json!("soon"));
    assert!(matches!(&text, SpecError::BadValue { key, .. } if key == "jovianTime"), "{text}");
    let old = refused(|genesis| genesis["config"]["bedrockBlock"] = json!(105_235_063));
    assert!(matches!(old, SpecError::PreBedrock(105_235_063)), "{old}");
    let extra = refused(|genesis| genesis["extraData"] = json!("0x00000000fa00000006"));
    assert!(matches!(extra, SpecError::GenesisExtraData(_)), "{extra}");
    assert!(matches!(ChainSpec::from_json(b"{"), Err(SpecError::Json(_))));
}

#[test]
fn the_economy_needs_a_governor() {
    let bad = |change: fn(&mut Value)| {
        let error = refused(|genesis| change(&mut genesis["config"]));
        let SpecError::BadValue { key, .. } = error else { panic!("{error}") };
        key
    };
    assert_eq!(bad(|config| config["economyTime"] = json!(1)), "tributary");
    assert_eq!(bad(|config| config["disputesTime"] = json!(1)), "disputesTime");
    assert_eq!(
        bad(|config| {
            config["economyTime"] = json!(5);
            config["disputesTime"] = json!(4);
            config["tributary"] = json!({ "governor": "0x0000000000000000000000000000000000000001" });
        }),
        "disputesTime"
    );
    assert_eq!(
        bad(|config| {
            config["economyTime"] = json!(5);
            config["tributary"] = json!({ "governor": "0x0000000000000000000000000000000000000000" });
        }),
        "tributary.governor"
    );
    assert_eq!(bad(|config| config["tributary"] = json!({ "govenor": "0x01" })), "tributary");

    let mut genesis = genesis();
    genesis["config"]["economyTime"] = json!(20);
    genesis["config"]["tributary"] =
        json!({ "governor": "0x0000000000000000000000000000000000000001", "dev": true });
    let spec = read(&genesis).unwrap();
    assert!(!spec.economy.active_at(19) && spec.economy.active_at(20) && spec.economy.dev);
}

#[test]
fn a_plain_op_chain_has_no_economy() {
    let spec = read(&genesis()).unwrap();
    assert!(!spec.economy.active_at(u64::MAX) && !spec.economy.dev);
}
