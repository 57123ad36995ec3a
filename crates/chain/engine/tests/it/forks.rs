//! One chain through every fork, as a rollup node drives it: each fork has its versions, and refuses those of the others.

use std::sync::Arc;

use alloy_primitives::{B64, B256};
use serde_json::{Value, json};
use tributary_spec::{ChainSpec, DEV_GENESIS, FORKS, Genesis, OpHardfork, predeploys::SEQUENCER_FEE_VAULT};

use crate::node::{Node, deposit, hash_of, raw, state};

/// Fork `n` of the list begins `2 · n` seconds after genesis, so with every block.
fn through_all_forks() -> Arc<ChainSpec> {
    let mut genesis: Genesis = serde_json::from_str(DEV_GENESIS).unwrap();
    for fork in FORKS.into_iter().skip(1) {
        let time = genesis.timestamp + 2 * fork.idx() as u64;
        let key = format!("{}Time", fork.name().to_lowercase());
        genesis.config.extra_fields.insert(key, time.into());
    }
    let config = &mut genesis.config;
    for time in
        [&mut config.shanghai_time, &mut config.cancun_time, &mut config.prague_time, &mut config.osaka_time]
    {
        *time = None;
    }
    genesis.extra_data = Default::default();
    Arc::new(ChainSpec::from_genesis(genesis).unwrap())
}

/// Whether a fork is active in the next block.
fn active(node: &Node, fork: OpHardfork) -> bool {
    node.spec.forks().active(fork, node.chain.head().timestamp + 2)
}

/// What the next block's fork asks for.
fn attributes(node: &Node) -> Value {
    let head = node.chain.head();
    let mut attributes = json!({
        "timestamp": format!("{:#x}", head.timestamp + 2),
        "prevRandao": B256::repeat_byte(3),
        "suggestedFeeRecipient": SEQUENCER_FEE_VAULT,
        "transactions": [raw(&deposit(1))],
        "noTxPool": true,
        "gasLimit": format!("{:#x}", head.gas_limit),
    });
    for (fork, field, value) in [
        (OpHardfork::Canyon, "withdrawals", json!([])),
        (OpHardfork::Ecotone, "parentBeaconBlockRoot", json!(B256::ZERO)),
        (OpHardfork::Holocene, "eip1559Params", json!(B64::ZERO)),
        (OpHardfork::Jovian, "minBaseFee", json!(0)),
    ] {
        if active(node, fork) {
            attributes[field] = value;
        }
    }
    attributes
}

/// Versions of forkchoiceUpdated with attributes, getPayload and newPayload that a rollup node uses for the next block.
fn versions(node: &Node) -> [u8; 3] {
    let since =
        [(OpHardfork::Karst, [3, 5, 4]), (OpHardfork::Isthmus, [3, 4, 4]), (OpHardfork::Ecotone, [3, 3, 3])];
    since.into_iter().find(|(fork, _)| active(node, *fork)).map_or([2, 2, 2], |(_, versions)| versions)
}

/// The parameters of a version of newPayload.
fn payload_params(version: u8, envelope: &Value) -> Value {
    let (payload, root) = (&envelope["executionPayload"], &envelope["parentBeaconBlockRoot"]);
    match version {
        1 | 2 => json!([payload]),
        3 => json!([payload, [], root]),
        _ => json!([payload, [], root, []]),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_fork_takes_its_versions_and_refuses_the_others() {
    let node = Node::with(through_all_forks()).await;
    for fork in FORKS.into_iter().skip(1) {
        assert!(active(&node, fork), "{fork:?}");
        let [update, get, new] = versions(&node);
        let v1_too = !active(&node, OpHardfork::Canyon);
        let head = state(node.chain.head().hash(), B256::ZERO, B256::ZERO);
        for other in (1..=3).filter(|other| *other != update && !(v1_too && *other == 1)) {
            let method = format!("engine_forkchoiceUpdatedV{other}");
            let code = node.call(&method, json!([head, attributes(&node)])).await.unwrap_err().0;
            assert!([-38003, -38005].contains(&code), "{fork:?} {method}: {code}");
        }
        let method = format!("engine_forkchoiceUpdatedV{update}");
        let begun = node.ask(&method, json!([head, attributes(&node)])).await;
        let id = &begun["payloadId"];
        for other in (1..=5).filter(|other| *other != get && !(v1_too && *other == 1)) {
            let method = format!("engine_getPayloadV{other}");
            assert_eq!(node.call(&method, json!([id])).await.unwrap_err().0, -38005, "{fork:?} {method}");
        }
        let envelope = node.ask(&format!("engine_getPayloadV{get}"), json!([id])).await;
        for other in (1..=4).filter(|other| *other != new && !(v1_too && *other == 1)) {
            let method = format!("engine_newPayloadV{other}");
            let code = node.call(&method, payload_params(other, &envelope)).await.unwrap_err().0;
            assert!([-38005, -32602].contains(&code), "{fork:?} {method}: {code}");
        }
        let method = format!("engine_newPayloadV{new}");
        assert_eq!(node.ask(&method, payload_params(new, &envelope)).await["status"], "VALID", "{fork:?}");
        assert_eq!(node.choose(hash_of(&envelope)).await["status"], "VALID", "{fork:?}");
    }
}

/// A field of a later fork, or one that is missing since an earlier one, is a fault of the attributes at every fork.
#[tokio::test(flavor = "multi_thread")]
async fn every_fork_refuses_the_attributes_of_the_others() {
    let node = Node::with(through_all_forks()).await;
    for fork in FORKS.into_iter().skip(1) {
        let [update, get, new] = versions(&node);
        let method = format!("engine_forkchoiceUpdatedV{update}");
        let head = state(node.chain.head().hash(), B256::ZERO, B256::ZERO);
        for (field, value) in [
            ("withdrawals", json!([])),
            ("parentBeaconBlockRoot", json!(B256::ZERO)),
            ("eip1559Params", json!(B64::ZERO)),
            ("minBaseFee", json!(0)),
        ] {
            let mut other = attributes(&node);
            match other.get(field) {
                Some(_) => drop(other.as_object_mut().unwrap().remove(field)),
                None => other[field] = value,
            }
            let code = node.call(&method, json!([head, other])).await.unwrap_err().0;
            assert_eq!(code, -38003, "{fork:?} {other}");
        }
        let id = node.ask(&method, json!([head, attributes(&node)])).await["payloadId"].take();
        let envelope = node.ask(&format!("engine_getPayloadV{get}"), json!([id])).await;
        let method = format!("engine_newPayloadV{new}");
        assert_eq!(node.ask(&method, payload_params(new, &envelope)).await["status"], "VALID", "{fork:?}");
        node.choose(hash_of(&envelope)).await;
    }
}
