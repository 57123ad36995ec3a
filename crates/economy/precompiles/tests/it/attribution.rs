//! Committing batches and making them final.

use crate::fixture::{Payment, agent_call, batch, open, service, totals};
use crate::world::{GOVERNOR, OPEN, Refused, TREASURY, Wallet, World};
use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use alloy_sol_types::SolEvent;
use tributary_abi::IAttribution::*;
use tributary_abi::address::{AGENTS, SETTLEMENT};
use tributary_abi::{IAgents, IParams, ISettlement};
use tributary_precompiles::key_of;

#[test]
fn a_batch_from_commit_to_final() {
    let mut w = World::new();
    let s = service(&mut w);
    let call = batch(&mut w, s.agent, &mut [s.pay(10 * OPEN, 9 * OPEN)], B256::repeat_byte(7));
    let header = call.header.clone();
    assert_eq!(w.attribution(s.payer.address, 0, batchIdOfCall { header: header.clone() }).unwrap(), {
        w.attribution(s.operator.address, 0, call.clone()).unwrap()
    });
    let event = BatchCommitted::decode_log_data(&w.last_logs[0].data).unwrap();
    assert_eq!(event.daCommitment, call.daCommitment);
    assert_eq!(event.debits, vec![ChannelAmount { channel: s.channel, amount: 9 * OPEN }]);
    let id = event.batchId;
    let got = w.attribution(GOVERNOR, 0, getBatchCall { batchId: id }).unwrap();
    assert_eq!((got.status, got.header, got.totals), (1, header, call.totals.clone()));
    assert_eq!((got.deadline, got.commitBlock), (w.now + 5, w.block));
    assert_eq!(got.daHash, keccak256(&call.daCommitment));
    let channel = w.settlement(GOVERNOR, 0, ISettlement::getChannelCall { channel: s.channel }).unwrap();
    assert_eq!(channel.settled, 9 * OPEN);

    let finalize = finalizeCall { batchId: id };
    w.attribution(GOVERNOR, 0, finalize.clone()).refused(TooEarly { from: got.deadline });
    w.pass(5);
    let (owner, treasury) = (w.balance(s.owner.address), w.balance(TREASURY));
    let (agents, escrow) = (w.balance(AGENTS), w.balance(SETTLEMENT));
    w.attribution(GOVERNOR, 0, finalize.clone()).unwrap();
    assert_eq!(w.balance(s.owner.address) - owner, call.totals.platform);
    assert_eq!(w.balance(TREASURY) - treasury, call.totals.treasury);
    assert_eq!(w.balance(AGENTS) - agents, call.totals.stakers);
    let credited = w.settlement(GOVERNOR, 0, ISettlement::creditedOfCall { agentId: s.agent }).unwrap();
    assert_eq!(credited.credited, call.totals.model + call.totals.contributors);
    assert_eq!(escrow - w.balance(SETTLEMENT), call.totals.fees - credited.credited);
    assert_eq!(w.attribution(GOVERNOR, 0, getBatchCall { batchId: id }).unwrap().status, 2);
    w.attribution(GOVERNOR, 0, finalize).refused(AlreadyFinal { batchId: id });
    let chain = w.attribution(GOVERNOR, 0, chainOfCall { agentId: s.agent }).unwrap();
    assert_eq!((chain.lastSeq, chain.lastBatch, chain.finalSeq, chain.voidFrom), (1, id, 1, u64::MAX));
    assert_eq!(w.attribution(GOVERNOR, 0, batchOfCall { agentId: s.agent, seq: 1 }).unwrap(), id);
}

#[test]
fn batches_become_final_in_order() {
    let mut w = World::new();
    let s = service(&mut w);
    let first = s.commit(&mut w, OPEN, OPEN, B256::ZERO);
    let second = s.commit(&mut w, 2 * OPEN, OPEN, B256::ZERO);
    w.pass(5);
    w.attribution(GOVERNOR, 0, finalizeCall { batchId: second }).refused(OutOfOrder { nextSeq: 1 });
    w.attribution(GOVERNOR, 0, finalizeCall { batchId: first }).unwrap();
    w.attribution(GOVERNOR, 0, finalizeCall { batchId: second }).unwrap();
    let unknown = B256::repeat_byte(1);
    w.attribution(GOVERNOR, 0, finalizeCall { batchId: unknown }).refused(UnknownBatch { batchId: unknown });
}

#[test]
fn deadlines_are_those_of_the_commit() {
    let mut w = World::new();
    let s = service(&mut w);
    let id = s.commit(&mut w, OPEN, OPEN, B256::ZERO);
    let deadline = w.now + 5;
    let keys = ["challengeWindow", "unstakeCooldown", "closeDelay"].map(key_of).to_vec();
    let values = [500, 1_000, 2_000].map(U256::from).to_vec();
    w.params(GOVERNOR, IParams::setManyCall { keys, values }).unwrap();
    w.pass(5);
    assert_eq!(w.attribution(GOVERNOR, 0, getBatchCall { batchId: id }).unwrap().deadline, deadline);
    w.attribution(GOVERNOR, 0, finalizeCall { batchId: id }).unwrap();
}

/// A batch of 2 OPEN with one thing wrong.
fn wrong(
    w: &mut World,
    s: &crate::fixture::Service,
    change: impl FnOnce(&mut commitBatchCall),
) -> Result<B256, Bytes> {
    let mut call = batch(w, s.agent, &mut [s.pay(2 * OPEN, 2 * OPEN)], B256::ZERO);
    change(&mut call);
    w.attribution(s.operator.address, 0, call)
}

#[test]
fn what_commit_refuses_of_a_header() {
    let mut w = World::new();
    let s = service(&mut w);
    let (id, operator) = (s.agent, s.operator.address);
    wrong(&mut w, &s, |call| call.header.agentId = 9).refused(UnknownAgent { id: 9 });
    let parent = WrongParent { seq: 1, prevBatch: B256::ZERO };
    for seq in [0, 2, u64::MAX] {
        wrong(&mut w, &s, |call| call.header.seq = seq).refused(parent.clone());
    }
    wrong(&mut w, &s, |call| call.header.prevBatch = B256::repeat_byte(1)).refused(parent);
    let algo = keccak256("tributary.trace.2");
    wrong(&mut w, &s, |call| call.header.algoId = algo).refused(UnknownAlgo { algoId: algo });
    for records in [0, 65_537] {
        wrong(&mut w, &s, |call| call.header.nRecords = records)
            .refused(BadRecordCount { nRecords: records });
    }
    wrong(&mut w, &s, |call| call.header.nBytes = 122_881)
        .refused(BatchTooLarge { nBytes: U256::from(122_881), max: U256::from(122_880) });
    wrong(&mut w, &s, |call| call.daCommitment = vec![0; 8_193].into())
        .refused(TooLong { length: U256::from(8_193), max: U256::from(8_192) });
    let call = batch(&mut w, id, &mut [s.pay(OPEN, OPEN)], B256::ZERO);
    w.attribution(s.owner.address, 0, call).refused(NotOperator { caller: s.owner.address, operator });
    let validator = w.agents(operator, OPEN, agent_call(1, operator)).unwrap();
    wrong(&mut w, &s, |call| call.header.agentId = validator).refused(WrongKind { id: validator, kind: 1 });
    w.params(GOVERNOR, IParams::setCall { key: key_of("minStake"), value: U256::from(2 * OPEN) }).unwrap();
    w.next_block();
    wrong(&mut w, &s, |_| {}).refused(StakeTooLow { required: U256::from(2 * OPEN), got: U256::from(OPEN) });
    w.agents(s.owner.address, OPEN, IAgents::stakeCall { id }).unwrap();
    wrong(&mut w, &s, |_| {}).unwrap();
    w.agents(s.owner.address, 0, IAgents::retireCall { id }).unwrap();
    w.next_block();
    let mut late = batch(&mut w, id, &mut [s.pay(4 * OPEN, OPEN)], B256::ZERO);
    late.daCommitment = Bytes::new();
    w.attribution(operator, 0, late).refused(AgentRetired { id });
}

#[test]
fn what_commit_refuses_of_debits() {
    let mut w = World::new();
    let s = service(&mut w);
    let channel = s.channel;
    wrong(&mut w, &s, |call| call.totals.platform += 1)
        .refused(TotalsMismatch { expected: U256::from(2 * OPEN + 1), got: U256::from(2 * OPEN) });
    wrong(&mut w, &s, |call| call.totals = totals(OPEN))
        .refused(TotalsMismatch { expected: U256::from(2 * OPEN), got: U256::from(OPEN) });
    wrong(&mut w, &s, |call| call.totals.model = u128::MAX).refused(Overflow {});
    wrong(&mut w, &s, |call| call.signatures.clear())
        .refused(LengthMismatch { left: U256::ONE, right: U256::ZERO });
    wrong(&mut w, &s, |call| {
        call.debits.push(call.debits[0].clone());
        call.signatures.push(call.signatures[0].clone());
        call.totals = totals(4 * OPEN);
    })
    .refused(NotAscending { index: U256::ONE });
    let unknown = B256::repeat_byte(3);
    wrong(&mut w, &s, |call| call.debits[0].channel = unknown).refused(UnknownChannel { channel: unknown });
    let (elsewhere, payer) = (w.wallet("elsewhere").address, s.payer.clone());
    let other = w.agents(elsewhere, OPEN, agent_call(0, elsewhere)).unwrap();
    let foreign = open(&mut w, &payer, other, OPEN);
    wrong(&mut w, &s, |call| call.debits[0].channel = foreign)
        .refused(WrongAgent { channel: foreign, agentId: other });
    wrong(&mut w, &s, |call| {
        let many = vec![call.debits[0].clone(); 257];
        call.signatures = vec![call.signatures[0].clone(); 257];
        call.totals = totals(257 * 2 * OPEN);
        call.debits = many;
    })
    .refused(TooManyChannels { channels: U256::from(257), max: U256::from(256) });
    let closed = open(&mut w, &payer, s.agent, OPEN);
    w.settlement(payer.address, 0, ISettlement::requestCloseCall { channel: closed }).unwrap();
    w.pass(610);
    w.settlement(payer.address, 0, ISettlement::closeCall { channel: closed }).unwrap();
    wrong(&mut w, &s, |call| call.debits[0].channel = closed).refused(ChannelIsClosed { channel: closed });
    assert_ne!(channel, closed);
}

#[test]
fn a_voucher_is_a_cap() {
    let mut w = World::new();
    let s = service(&mut w);
    let channel = s.channel;
    let redeem = |w: &mut World, payment: Payment| {
        let call = batch(w, s.agent, &mut [payment], B256::ZERO);
        w.attribution(s.operator.address, 0, call)
    };
    let exceeded = |settled, amount, cap| CapExceeded { channel, settled, amount, cap };
    redeem(&mut w, s.pay(OPEN, OPEN + 1)).refused(exceeded(0, OPEN + 1, OPEN));
    redeem(&mut w, s.pay(500 * OPEN, 101 * OPEN)).refused(exceeded(0, 101 * OPEN, 100 * OPEN));
    redeem(&mut w, s.pay(10 * OPEN, 6 * OPEN)).unwrap();
    // The same voucher covers what is left of it and no more.
    redeem(&mut w, s.pay(10 * OPEN, 5 * OPEN)).refused(exceeded(6 * OPEN, 5 * OPEN, 10 * OPEN));
    redeem(&mut w, s.pay(10 * OPEN, 4 * OPEN)).unwrap();
    redeem(&mut w, s.pay(u128::MAX, u128::MAX)).refused(exceeded(10 * OPEN, u128::MAX, 100 * OPEN));
    // A debit of nothing needs a voucher all the same.
    redeem(&mut w, s.pay(10 * OPEN, 0)).unwrap();
}

#[test]
fn vouchers_that_are_not_the_signer_s() {
    let mut w = World::new();
    let s = service(&mut w);
    let refused = |w: &mut World, change: &dyn Fn(&mut commitBatchCall)| {
        wrong(w, &s, |call| change(call)).refused(BadVoucher { channel: s.channel });
    };
    let thief = Wallet::new("thief");
    let forged = Payment::new(s.channel, &thief, 2 * OPEN, 2 * OPEN).debit().1;
    refused(&mut w, &|call| call.signatures[0] = forged.clone());
    refused(&mut w, &|call| call.signatures[0] = Bytes::new());
    refused(&mut w, &|call| call.signatures[0] = vec![0; 65].into());
    refused(&mut w, &|call| call.signatures[0] = call.signatures[0].slice(..64));
    refused(&mut w, &|call| call.debits[0].cumulative = U256::from(3 * OPEN));
    refused(&mut w, &|call| call.debits[0].requestHash = B256::ZERO);
    refused(&mut w, &|call| call.debits[0].cumulative = U256::from(1u64) << 128);
    // v as 0 and 1, and the other form of the same signature.
    refused(&mut w, &|call| {
        let mut bytes = call.signatures[0].to_vec();
        bytes[64] -= 27;
        call.signatures[0] = bytes.into();
    });
    refused(&mut w, &|call| {
        let order = U256::from_be_bytes(hex_order());
        let mut bytes = call.signatures[0].to_vec();
        let s = order - U256::from_be_slice(&bytes[32..64]);
        bytes[32..64].copy_from_slice(&s.to_be_bytes::<32>());
        bytes[64] = 55 - bytes[64];
        call.signatures[0] = bytes.into();
    });
    let other = open(&mut w, &s.payer, s.agent, OPEN * 5);
    let for_another = Payment::new(other, &s.payer, 2 * OPEN, 2 * OPEN).debit().1;
    refused(&mut w, &|call| call.signatures[0] = for_another.clone());
}

fn hex_order() -> [u8; 32] {
    let order = "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141";
    U256::from_str_radix(order, 16).unwrap().to_be_bytes()
}

#[test]
fn a_batch_without_payments() {
    let mut w = World::new();
    let s = service(&mut w);
    let mut call = batch(&mut w, s.agent, &mut [], B256::ZERO);
    call.daCommitment = Bytes::new();
    let id = w.attribution(s.operator.address, 0, call).unwrap();
    w.pass(5);
    w.attribution(s.operator.address, 0, finalizeCall { batchId: id }).unwrap();
}

#[test]
fn the_operator_changes_in_the_next_block() {
    let mut w = World::new();
    let s = service(&mut w);
    let next = w.wallet("next").address;
    w.agents(s.owner.address, 0, IAgents::setOperatorCall { id: s.agent, operator: next }).unwrap();
    s.commit(&mut w, OPEN, OPEN, B256::ZERO);
    w.next_block();
    let call = batch(&mut w, s.agent, &mut [s.pay(2 * OPEN, OPEN)], B256::ZERO);
    w.attribution(s.operator.address, 0, call.clone())
        .refused(NotOperator { caller: s.operator.address, operator: next });
    w.attribution(next, 0, call).unwrap();
    assert_ne!(next, Address::ZERO);
}

pub(crate) fn provoke_all() {
    a_batch_from_commit_to_final();
    batches_become_final_in_order();
    what_commit_refuses_of_a_header();
    what_commit_refuses_of_debits();
    a_voucher_is_a_cap();
    vouchers_that_are_not_the_signer_s();
}
