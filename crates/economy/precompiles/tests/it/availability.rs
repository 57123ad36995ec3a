//! Availability challenges, lost batches, and the proofs that views check.

use crate::fixture::{Service, payouts, records, service};
use crate::world::{GOVERNOR, OPEN, Refused, World};
use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use alloy_sol_types::SolEvent;
use tributary_abi::IAttribution::*;
use tributary_abi::address::{AGENTS, ATTRIBUTION};
use tributary_abi::{IAgents, ISettlement};
use tributary_record::{BatchBytes, merkle};

/// base + bytes · per byte, of the three records of a fixture batch.
fn bond() -> u128 {
    let bytes = records(3).0.iter().map(|record| record.len() + 4).sum::<usize>() + BatchBytes::PREFIX_BYTES;
    OPEN / 1_000 + bytes as u128 * 1_000_000_000
}

fn challenge(w: &mut World, who: Address, id: B256) -> Result<challengeAvailabilityReturn, Bytes> {
    w.attribution(who, bond(), challengeAvailabilityCall { batchId: id })
}

fn publish_call(id: B256, first: u32, count: usize) -> publishCall {
    let (records, tree) = records(3);
    let range = first as usize..first as usize + count;
    let proofs = range.clone().flat_map(|index| tree.proof(index as u64).unwrap()).collect();
    publishCall { batchId: id, firstIndex: first, records: records[range].to_vec(), proofs }
}

/// Makes `first` final, and `second`, committed before that, lost for want of an answer.
pub(crate) fn lose(w: &mut World, s: &Service, first: B256, second: B256) {
    let challenger = w.wallet("challenger").address;
    challenge(w, challenger, second).unwrap();
    w.pass(5);
    w.attribution(challenger, 0, finalizeCall { batchId: first }).unwrap();
    w.attribution(challenger, 0, timeoutCall { batchId: second }).unwrap();
    assert_eq!(w.agents(s.owner.address, 0, IAgents::getCall { id: s.agent }).unwrap().assets, 0);
}

#[test]
fn a_challenge_answered_in_pieces() {
    let mut w = World::new();
    let s = service(&mut w);
    let challenger = w.wallet("challenger").address;
    let id = s.commit(&mut w, OPEN, OPEN, B256::ZERO);
    let operator = s.operator.address;
    w.attribution(operator, 0, publish_call(id, 0, 1)).refused(NotChallenged { batchId: id });
    w.attribution(operator, 0, timeoutCall { batchId: id }).refused(NotChallenged { batchId: id });
    for value in [0, bond() - 1, bond() + 1] {
        let expected = WrongValue { expected: U256::from(bond()), got: U256::from(value) };
        w.attribution(challenger, value, challengeAvailabilityCall { batchId: id }).refused(expected);
    }
    w.pass(3);
    challenge(&mut w, challenger, id).unwrap();
    let respond_by = w.now + 5;
    assert_eq!(w.balance(ATTRIBUTION), bond());
    challenge(&mut w, challenger, id).refused(AlreadyChallenged { batchId: id });
    w.pass(3);
    // Past its deadline, but not before the answer.
    w.attribution(operator, 0, finalizeCall { batchId: id }).refused(ChallengeOpen { respondBy: respond_by });
    w.attribution(challenger, 0, timeoutCall { batchId: id }).refused(TooEarly { from: respond_by });
    w.attribution(challenger, 0, publish_call(id, 0, 1))
        .refused(NotOperator { caller: challenger, operator });
    w.attribution(operator, 0, publish_call(id, 1, 1)).refused(WrongIndex { expected: 0 });
    w.attribution(operator, 0, publish_call(id, 0, 1)).unwrap();
    w.attribution(operator, 0, publish_call(id, 0, 1)).refused(WrongIndex { expected: 1 });
    let before = w.balance(operator);
    w.attribution(operator, 0, publish_call(id, 1, 2)).unwrap();
    let event = AvailabilityAnswered::decode_log_data(&w.last_logs[1].data).unwrap();
    assert_eq!((event.operator, event.bond, event.deadline), (operator, bond(), w.now + 5));
    assert_eq!(w.balance(operator) - before, bond());
    // Time is left to dispute what was published late, and there is no second challenge.
    w.attribution(operator, 0, finalizeCall { batchId: id }).refused(TooEarly { from: w.now + 5 });
    challenge(&mut w, challenger, id).refused(AlreadyChallenged { batchId: id });
    w.pass(5);
    w.attribution(operator, 0, finalizeCall { batchId: id }).unwrap();
    challenge(&mut w, challenger, id).refused(AlreadyFinal { batchId: id });
}

#[test]
fn what_publish_refuses() {
    let mut w = World::new();
    let s = service(&mut w);
    let challenger = w.wallet("challenger").address;
    let id = s.commit(&mut w, OPEN, OPEN, B256::ZERO);
    challenge(&mut w, challenger, id).unwrap();
    let operator = s.operator.address;
    let bad = |w: &mut World, change: &dyn Fn(&mut publishCall)| {
        let mut call = publish_call(id, 0, 2);
        change(&mut call);
        w.attribution(operator, 0, call)
    };
    let mismatch =
        |left: u64, right: u64| LengthMismatch { left: U256::from(left), right: U256::from(right) };
    bad(&mut w, &|call| call.records.clear()).refused(mismatch(0, 32));
    bad(&mut w, &|call| call.proofs.truncate(31)).refused(mismatch(32, 31));
    bad(&mut w, &|call| {
        call.records = vec![Bytes::new(); 4];
        call.proofs = vec![B256::ZERO; 64];
    })
    .refused(mismatch(3, 4));
    bad(&mut w, &|call| call.records[1] = vec![9; 41].into()).refused(BadProof { index: 1 });
    bad(&mut w, &|call| call.proofs[3] = B256::repeat_byte(1)).refused(BadProof { index: 0 });
    bad(&mut w, &|call| call.records[0] = vec![9; 65_537].into())
        .refused(TooLong { length: U256::from(65_537), max: U256::from(65_536) });
    w.pass(5);
    w.attribution(operator, 0, publish_call(id, 0, 3)).refused(TooLate { deadline: w.now });
}

#[test]
fn records_must_fill_the_batch() {
    for (n_bytes, got) in [(100_u32, 0_u32), (5_000, 0)] {
        let mut w = World::new();
        let s = service(&mut w);
        let challenger = w.wallet("challenger").address;
        let mut call = crate::fixture::batch(&mut w, s.agent, &mut [s.pay(OPEN, OPEN)], B256::ZERO);
        let whole = call.header.nBytes + got;
        call.header.nBytes = n_bytes;
        let id = w.attribution(s.operator.address, 0, call).unwrap();
        let bond = OPEN / 1_000 + u128::from(n_bytes) * 1_000_000_000;
        w.attribution(challenger, bond, challengeAvailabilityCall { batchId: id }).unwrap();
        let expected = SizeMismatch { expected: U256::from(n_bytes), got: U256::from(whole) };
        w.attribution(s.operator.address, 0, publish_call(id, 0, 3)).refused(expected);
    }
}

#[test]
fn a_challenge_that_is_too_late() {
    let mut w = World::new();
    let s = service(&mut w);
    let id = s.commit(&mut w, OPEN, OPEN, B256::ZERO);
    w.pass(5);
    challenge(&mut w, s.payer.address, id).refused(TooLate { deadline: w.now });
}

#[test]
fn a_lost_batch_takes_the_later_ones_with_it() {
    let mut w = World::new();
    let s = service(&mut w);
    let (challenger, delegator) = (w.wallet("challenger").address, w.wallet("delegator").address);
    let agent = s.agent;
    w.agents(delegator, 3 * OPEN, IAgents::stakeCall { id: agent }).unwrap();
    let ids: Vec<B256> = (1..=3).map(|n| s.commit(&mut w, n * OPEN, OPEN, B256::ZERO)).collect();
    let later = w.wallet("later").address;
    challenge(&mut w, challenger, ids[1]).unwrap();
    challenge(&mut w, later, ids[2]).unwrap();
    w.pass(5);
    let burned = Address::from_word(B256::from(U256::from(0xdead)));
    w.attribution(challenger, 0, timeoutCall { batchId: ids[1] }).unwrap();
    // The whole pool: half of the owner's own is the reward, the rest burns.
    assert_eq!(w.balance(burned), 4 * OPEN - OPEN / 2);
    assert_eq!(w.balance(AGENTS), OPEN / 2);
    let reward = w.agents(challenger, 0, IAgents::rewardOfCall { id: agent }).unwrap();
    assert_eq!((reward.challenger, reward.seq, reward.amount), (challenger, 2, OPEN / 2));
    let chain = w.attribution(challenger, 0, chainOfCall { agentId: agent }).unwrap();
    assert_eq!((chain.voidFrom, chain.finalSeq), (2, 0));
    // The later challenger gets the bond back; a void batch can be neither final nor challenged nor answered.
    let before = w.balance(later);
    w.attribution(later, 0, timeoutCall { batchId: ids[2] }).unwrap();
    assert_eq!(w.balance(later) - before, bond());
    assert_eq!(w.balance(ATTRIBUTION), 0);
    for id in &ids[1..] {
        let void = BatchVoid { batchId: *id };
        w.attribution(later, 0, finalizeCall { batchId: *id }).refused(void.clone());
        challenge(&mut w, later, *id).refused(void.clone());
        w.attribution(s.operator.address, 0, publish_call(*id, 0, 3)).refused(void);
        assert_eq!(w.attribution(later, 0, getBatchCall { batchId: *id }).unwrap().status, 3);
    }
    // Earlier batches go on; with the last of them the reward is paid. No new ones come.
    let before = w.balance(challenger);
    w.attribution(GOVERNOR, 0, finalizeCall { batchId: ids[0] }).unwrap();
    assert_eq!(w.balance(challenger) - before, OPEN / 2);
    let paid = IAgents::RewardPaid::decode_log_data(&w.last_logs.last().unwrap().data).unwrap();
    assert_eq!((paid.challenger, paid.amount), (challenger, OPEN / 2));
    let call = crate::fixture::batch(&mut w, agent, &mut [s.pay(9 * OPEN, OPEN)], B256::ZERO);
    w.attribution(s.operator.address, 0, call).refused(AgentRetired { id: agent });
    // Shares in a slashed pool are worth nothing.
    let shares = w.agents(delegator, 0, IAgents::positionCall { id: agent, account: delegator }).unwrap();
    assert_eq!(shares.value, 0);
    w.agents(delegator, 0, IAgents::requestUnstakeCall { id: agent, shares: shares.shares }).unwrap();
    w.pass(20);
    assert_eq!(w.agents(delegator, 0, IAgents::withdrawCall { id: agent }).unwrap(), 0);
}

#[test]
fn the_reward_goes_to_the_lowest_lost_batch() {
    let mut w = World::new();
    let s = service(&mut w);
    let (high, low) = (w.wallet("high").address, w.wallet("low").address);
    let ids: Vec<B256> = (1..=2).map(|n| s.commit(&mut w, n * OPEN, OPEN, B256::ZERO)).collect();
    challenge(&mut w, high, ids[1]).unwrap();
    challenge(&mut w, low, ids[0]).unwrap();
    w.pass(5);
    w.attribution(high, 0, timeoutCall { batchId: ids[1] }).unwrap();
    let before = w.balance(low);
    w.attribution(low, 0, timeoutCall { batchId: ids[0] }).unwrap();
    assert_eq!(w.balance(low) - before, bond() + OPEN / 2);
    assert_eq!(w.balance(AGENTS), 0);
    let refund = |id, amount| ISettlement::refundCall {
        batchId: id,
        debits: vec![ISettlement::ChannelAmount { channel: s.channel, amount }],
    };
    for id in ids {
        w.settlement(low, 0, refund(id, OPEN)).unwrap();
    }
    let channel = w.settlement(low, 0, ISettlement::getChannelCall { channel: s.channel }).unwrap();
    assert_eq!(channel.settled, 0);
}

#[test]
fn views_check_proofs() {
    let mut w = World::new();
    let s = service(&mut w);
    let alice = Address::repeat_byte(0xa1);
    let tree = payouts(&[(alice, OPEN)]);
    let id = s.commit(&mut w, OPEN, OPEN, tree.root());
    let (records, record_tree) = records(3);
    let proof = record_tree.proof(1).unwrap();
    let verify = |w: &mut World, index, record: &Bytes| {
        let call = verifyRecordCall { batchId: id, index, record: record.clone(), proof: proof.clone() };
        w.attribution(alice, 0, call).unwrap()
    };
    assert!(verify(&mut w, 1, &records[1]));
    assert!(!verify(&mut w, 0, &records[1]) && !verify(&mut w, 1, &records[0]));
    let payout = |w: &mut World, amount| {
        let call = verifyPayoutCall {
            batchId: id,
            index: 0,
            account: alice,
            cumulative: U256::from(amount),
            proof: tree.proof(0).unwrap(),
        };
        w.attribution(alice, 0, call).unwrap()
    };
    assert!(payout(&mut w, OPEN) && !payout(&mut w, OPEN + 1));
    // These records are no records.
    let share = |index, proof: &[B256]| verifyShareCall {
        batchId: id,
        index,
        record: records[1].clone(),
        proof: proof.to_vec(),
        contributionId: 1 << 32,
    };
    w.attribution(alice, 0, share(1, &proof)).refused(BadRecord { index: 1 });
    w.attribution(alice, 0, share(0, &proof)).refused(BadProof { index: 0 });
    assert_eq!(
        record_tree.root(),
        merkle::root_from_proof(1, merkle::record_leaf(1, keccak256(&records[1])), &proof).unwrap()
    );
}

pub(crate) fn provoke_all() {
    a_challenge_answered_in_pieces();
    what_publish_refuses();
    records_must_fill_the_batch();
    a_challenge_that_is_too_late();
    a_lost_batch_takes_the_later_ones_with_it();
    views_check_proofs();
}
