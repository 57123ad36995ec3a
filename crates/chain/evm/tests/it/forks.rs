//! One chain through every fork.

use alloy_primitives::{B256, Bytes, TxKind, keccak256};
use op_alloy_consensus::OpReceipt;
use tributary_spec::{FORKS, OpHardfork, predeploys::CREATE2_DEPLOYER};

use crate::{
    chain::TestChain,
    txs::{COUNTER, eip1559, legacy, wallet},
};

#[test]
fn blocks_of_every_fork_are_built_and_imported_alike() {
    let mut chain = TestChain::through_all_forks();
    let sender = wallet(0);
    let mut nonce = 0;
    for number in 1..=2 * FORKS.len() as u64 {
        let timestamp = chain.head.timestamp + 2;
        let deposits_only = chain.spec().deposits_only(chain.head.timestamp, timestamp);
        let txs = (!deposits_only).then(|| {
            let create = legacy(&sender, nonce, TxKind::Create, 0, COUNTER);
            let send = eip1559(&sender, nonce + 1, TxKind::Call(wallet(1).address()), 1, Bytes::new());
            nonce += 2;
            [create, send]
        });
        let executed = chain.extend(txs.into_iter().flatten());
        let header = executed.block.header();
        assert_eq!(header.number, number);
        assert!(executed.receipts.iter().all(|r| r.as_receipt().status.coerce_status()), "block {number}");
        check_fields(&chain, number);
        check_deposit_receipt(&chain, &executed.receipts[0]);
    }
    assert_eq!(chain.spec().forks().latest(chain.head.timestamp), OpHardfork::Karst);
}

fn check_fields(chain: &TestChain, number: u64) {
    let header = &chain.head;
    let active = |fork| chain.spec().forks().active(fork, header.timestamp);
    assert_eq!(header.withdrawals_root.is_some(), active(OpHardfork::Canyon), "block {number}");
    assert_eq!(header.blob_gas_used.is_some(), active(OpHardfork::Ecotone), "block {number}");
    assert_eq!(header.excess_blob_gas.is_some(), active(OpHardfork::Ecotone), "block {number}");
    assert_eq!(header.parent_beacon_block_root.is_some(), active(OpHardfork::Ecotone), "block {number}");
    assert_eq!(header.requests_hash.is_some(), active(OpHardfork::Isthmus), "block {number}");
    let extra = match (active(OpHardfork::Holocene), active(OpHardfork::Jovian)) {
        (false, _) => 0,
        (true, false) => 9,
        (true, true) => 17,
    };
    assert_eq!(header.extra_data.len(), extra, "block {number}");
    let deployer = chain.state().account(CREATE2_DEPLOYER).unwrap();
    assert_eq!(deployer.is_some(), active(OpHardfork::Canyon), "block {number}");
}

fn check_deposit_receipt(chain: &TestChain, receipt: &tributary_spec::Receipt) {
    let OpReceipt::Deposit(deposit) = receipt else { panic!("the first transaction is the deposit") };
    let active = |fork| chain.spec().forks().active(fork, chain.head.timestamp);
    assert_eq!(deposit.deposit_nonce.is_some(), active(OpHardfork::Regolith));
    assert_eq!(deposit.deposit_receipt_version.is_some(), active(OpHardfork::Canyon));
}

#[test]
fn create2deployer_has_the_right_code() {
    let mut chain = TestChain::through_all_forks();
    while chain.head.number < 4 {
        chain.extend([]);
    }
    let code = chain.state().account_code(CREATE2_DEPLOYER).unwrap();
    let expected =
        alloy_primitives::b256!("b0550b5b431e30d38000efb7107aaa0ade03d48a7198a140edda9d27134468b2");
    assert_eq!(keccak256(&code), expected);
    assert_ne!(chain.head.state_root, B256::ZERO);
}
