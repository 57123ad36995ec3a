//! Calls, estimates and replays.

use alloy_primitives::{Address, Bytes, TxKind, U256, address, bytes};
use alloy_rpc_types_eth::{
    BlockOverrides,
    state::{AccountOverride, StateOverride},
};
use op_revm::OpTransaction;
use revm::{context::TxEnv, context_interface::result::ExecutionResult, inspector::NoOpInspector};
use tributary_evm::{CallError, EstimateError, OpTx, Sandbox, tx_env};

use crate::{
    chain::TestChain,
    txs::{COUNTER, REVERTER, eip1559, wallet},
};

const PARAMS: Address = address!("0000000000000000000000000000000000000A06");

/// A chain on which wallet 0 has a counter and a contract that reverts.
fn chain() -> (TestChain, Address, Address) {
    let mut chain = TestChain::dev();
    let sender = wallet(0);
    chain.extend([
        eip1559(&sender, 0, TxKind::Create, 0, COUNTER),
        eip1559(&sender, 1, TxKind::Create, 0, REVERTER),
    ]);
    (chain, sender.address().create(0), sender.address().create(1))
}

fn sandbox(chain: &TestChain) -> Sandbox {
    chain.executor.sandbox(chain.state(), chain.executor.evm_env(&chain.head))
}

fn call(from: Address, to: Address, data: Bytes) -> OpTx {
    let base = TxEnv {
        caller: from,
        kind: TxKind::Call(to),
        data,
        gas_limit: 30_000_000,
        chain_id: None,
        ..TxEnv::default()
    };
    OpTx(OpTransaction { base, ..OpTransaction::default() })
}

#[test]
fn a_call_costs_nothing_and_keeps_nothing() {
    let (chain, counter, _) = chain();
    let mut sandbox = sandbox(&chain);
    let nobody = Address::repeat_byte(1);
    let first = sandbox.transact(call(nobody, counter, Bytes::new())).unwrap();
    assert!(first.result.is_success());
    assert!(first.state.get(&nobody).is_none_or(|account| account.info.balance.is_zero()));
    let second = sandbox.transact(call(nobody, counter, Bytes::new())).unwrap();
    assert_eq!(first.result, second.result);
    sandbox.commit(second);
    let third = sandbox.transact(call(nobody, counter, Bytes::new())).unwrap();
    let slot = third.state[&counter].storage[&U256::ZERO].present_value;
    assert_eq!(slot, U256::from(2));
}

#[test]
fn contracts_may_call_and_calls_may_use_more_than_a_transaction() {
    let (chain, counter, reverter) = chain();
    let mut sandbox = sandbox(&chain);
    assert!(!sandbox.transact(call(counter, reverter, Bytes::new())).unwrap().result.is_success());
    let mut greedy = call(counter, counter, Bytes::new());
    greedy.0.base.gas_limit = 100_000_000;
    assert!(sandbox.transact(greedy).unwrap().result.is_success());
}

#[test]
fn overrides_of_state_and_block_are_seen() {
    let (chain, _, _) = chain();
    let mut sandbox = sandbox(&chain);
    let target = Address::repeat_byte(2);
    // NUMBER, SELFBALANCE and slot 1, returned as three words.
    let code = bytes!("435f5247602052600154604052" "60605ff3");
    let account = AccountOverride::default()
        .with_code(code)
        .with_balance(U256::from(77))
        .with_state_diff([(U256::from(1).into(), U256::from(99).into())]);
    sandbox.override_state(StateOverride::from_iter([(target, account)])).unwrap();
    sandbox.override_block(BlockOverrides { number: Some(U256::from(1234)), ..BlockOverrides::default() });
    let result = sandbox.transact(call(Address::ZERO, target, Bytes::new())).unwrap().result;
    let words: Vec<U256> = result.output().unwrap().chunks(32).map(U256::from_be_slice).collect();
    assert_eq!(words, [U256::from(1234), U256::from(77), U256::from(99)]);
}

#[test]
fn contradicting_overrides_are_refused() {
    let (chain, _, _) = chain();
    let account = AccountOverride::default().with_state_diff([]).with_state([]);
    let overrides = StateOverride::from_iter([(Address::ZERO, account)]);
    assert!(matches!(sandbox(&chain).override_state(overrides), Err(CallError::Override(_))));
}

#[test]
fn a_value_nobody_has_is_refused() {
    let (chain, counter, _) = chain();
    let mut tx = call(Address::repeat_byte(1), counter, Bytes::new());
    tx.0.base.value = U256::from(1);
    assert!(matches!(sandbox(&chain).transact(tx), Err(CallError::Invalid(_))));
}

#[test]
fn a_refused_transaction_leaves_nothing_behind_under_an_inspector() {
    let (chain, counter, _) = chain();
    let mut sandbox = sandbox(&chain);
    let mut broke = call(Address::repeat_byte(1), counter, Bytes::new());
    broke.0.base.value = U256::from(1);
    assert!(sandbox.inspect(broke, NoOpInspector).is_err());
    let result = sandbox.inspect(call(Address::ZERO, counter, Bytes::new()), NoOpInspector).unwrap();
    assert!(!result.state.contains_key(&Address::repeat_byte(1)));
}

#[test]
fn estimates_are_enough_and_barely_so() {
    let (chain, counter, reverter) = chain();
    let from = wallet(1).address();
    let estimate = |to, data: Bytes| sandbox(&chain).estimate_gas(&call(from, to, data));
    assert_eq!(estimate(Address::repeat_byte(9), Bytes::new()).unwrap(), 21_000);
    let gas = estimate(counter, Bytes::new()).unwrap();
    let used = sandbox(&chain).transact(call(from, counter, Bytes::new())).unwrap().result.tx_gas_used();
    assert!(gas >= used && gas <= used + used / 10, "{gas} for {used}");
    assert!(matches!(estimate(reverter, Bytes::new()), Err(EstimateError::Revert(_))));
}

#[test]
fn estimates_stop_at_what_the_sender_can_pay() {
    let (chain, counter, _) = chain();
    let mut tx = call(Address::repeat_byte(1), counter, Bytes::new());
    tx.0.base.gas_price = 10_000_000_000;
    assert!(matches!(sandbox(&chain).estimate_gas(&tx), Err(EstimateError::Allowance(0))));
}

#[test]
fn the_economy_answers() {
    let (chain, _, _) = chain();
    // all()
    let data = Bytes::from(alloy_primitives::keccak256("all()")[..4].to_vec());
    let result = sandbox(&chain).transact(call(Address::ZERO, PARAMS, data)).unwrap().result;
    assert!(
        matches!(&result, ExecutionResult::Success { output, .. } if output.data().len() > 64),
        "{result:?}"
    );
}

#[test]
fn without_economy_time_the_addresses_are_ordinary() {
    let chain = TestChain::dev_with(|genesis| {
        genesis.config.extra_fields.remove("economyTime");
        genesis.alloc.remove(&PARAMS);
    });
    let result = sandbox(&chain).transact(call(Address::ZERO, PARAMS, bytes!("01020304"))).unwrap().result;
    assert!(
        matches!(&result, ExecutionResult::Success { output, .. } if output.data().is_empty()),
        "{result:?}"
    );
}

#[test]
fn a_replay_uses_the_gas_of_the_receipts() {
    let mut chain = TestChain::dev();
    let parent_state = chain.state();
    let sender = wallet(0);
    let executed = chain.extend([
        eip1559(&sender, 0, TxKind::Create, 0, COUNTER),
        eip1559(&sender, 1, TxKind::Call(sender.address().create(0)), 0, Bytes::new()),
    ]);
    let mut replay = chain.executor.replay(&executed.block, parent_state).unwrap();
    let mut cumulative = 0;
    for (tx, receipt) in executed.block.recovered().zip(&executed.receipts) {
        let result = replay.inspect(tx_env(tx), NoOpInspector).unwrap();
        cumulative += result.result.tx_gas_used();
        assert_eq!(cumulative, receipt.as_receipt().cumulative_gas_used);
        assert_eq!(result.result.logs(), receipt.as_receipt().logs);
        replay.commit(result);
    }
}

#[test]
fn bn256_pairing_is_capped_at_karst() {
    let pairing = address!("0000000000000000000000000000000000000008");
    let calls = |chain: &TestChain, len: usize| {
        let tx = call(Address::ZERO, pairing, vec![0; len].into());
        let mut sandbox = sandbox(chain);
        let mut tx = tx;
        tx.0.base.gas_limit = 200_000_000;
        sandbox.transact(tx).unwrap().result.is_success()
    };
    let karst = TestChain::dev();
    assert!(calls(&karst, 57_600));
    assert!(!calls(&karst, 57_600 + 192));
    let jovian = TestChain::dev_with(|genesis| {
        genesis.config.extra_fields.remove("karstTime");
        genesis.config.osaka_time = None;
    });
    assert!(calls(&jovian, 57_600 + 192));
    assert!(!calls(&jovian, 81_984 + 192));
}
