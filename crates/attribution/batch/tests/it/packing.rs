use crate::world::*;
use alloy_primitives::{B256, Bytes};
use proptest::prelude::*;
use tributary_batch::*;
use tributary_record::*;

fn requests(world: &World, seed: u64, count: u64) -> Vec<Record> {
    let mut numbers = Numbers(seed);
    (0..count).map(|at| world.request(&mut numbers, at % PAYERS, at)).collect()
}

fn claim(packed: &Packed) -> BatchClaim {
    BatchClaim {
        header: packed.header,
        debits: packed.debits.clone(),
        signatures: packed.signatures.clone(),
        totals: packed.totals,
        commit_block: COMMIT_BLOCK,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Batch after batch: each holds, what leaves channels equals what is credited, and the books rebuilt from
    /// the batches alone are the packer's.
    #[test]
    fn batches_in_a_row_hold_to_the_wei(seed: u64, sizes in proptest::collection::vec(1u64..14, 1..4)) {
        let mut world = World::new(seed, 12);
        let mut state = AgentState::new(AGENT);
        let mut rebuilt = AgentState::new(AGENT);
        let mut numbers = Numbers(seed ^ 77);
        let (mut next, mut paid, mut model, mut contributors) = (0, 0u128, 0u128, 0u128);
        for size in sizes {
            let records: Vec<Record> = (next..next + size)
                .map(|at| world.request(&mut numbers, at % PAYERS, at))
                .collect();
            next += size;
            let outcome = pack(&world.view, &state, records, COMMIT_BLOCK, &Limits::default()).unwrap();
            prop_assert!(outcome.refused.is_empty() && outcome.left.is_empty());
            let packed = outcome.packed.unwrap();
            let mut payouts = state.payouts.clone();
            let checked = check_batch(&world.view, &claim(&packed), &packed.bytes, &mut payouts).unwrap();
            prop_assert_eq!(&checked.records, &packed.records);
            prop_assert_eq!(checked.batch_id, packed.batch_id);
            prop_assert_eq!(&payouts, &packed.state.payouts);
            rebuilt.apply(CHAIN, &packed.header, &packed.records).unwrap();
            prop_assert_eq!(&rebuilt, &packed.state);

            let debited: u128 = packed.debits.iter().map(|debit| debit.amount).sum();
            prop_assert_eq!(debited, packed.totals.fees);
            paid += debited - packed.totals.platform - packed.totals.stakers - packed.totals.treasury;
            model += packed.totals.model;
            contributors += packed.totals.contributors;
            world.commit(&packed.debits, &packed.records);
            state = packed.state;
        }
        let owed: u128 = state.payouts.accounts().iter().map(|account| account.1).sum();
        prop_assert_eq!(owed, model + contributors);
        prop_assert_eq!(owed, paid);
        let json = serde_json::to_string(&state).unwrap();
        prop_assert_eq!(serde_json::from_str::<AgentState>(&json).unwrap(), state);
    }
}

#[test]
fn what_does_not_fit_is_left_for_the_next_batch() {
    let mut world = World::new(1, 12);
    let all = requests(&world, 5, 300);
    let mut state = AgentState::new(AGENT);
    let (mut left, mut seen, mut rounds) = (all.clone(), 0, 0);
    while !left.is_empty() {
        let outcome = pack(&world.view, &state, left, COMMIT_BLOCK, &Limits::default()).unwrap();
        assert!(outcome.refused.is_empty());
        let packed = outcome.packed.unwrap();
        assert!(packed.bytes.len() <= MAX_BATCH_BYTES);
        assert!(outcome.left.is_empty() || packed.bytes.len() > MAX_BATCH_BYTES - 4_096);
        world.commit(&packed.debits, &packed.records);
        seen += packed.records.len();
        (state, left) = (packed.state, outcome.left);
        rounds += 1;
    }
    assert_eq!(seen, all.len());
    assert!(rounds > 1);
    assert_eq!(state.last_seq, rounds);
}

#[test]
fn limits_of_channels_and_records_are_kept() {
    let world = World::new(1, 12);
    let state = AgentState::new(AGENT);
    let limits = Limits { channels: 2, ..Limits::default() };
    let outcome = pack(&world.view, &state, requests(&world, 5, 12), COMMIT_BLOCK, &limits).unwrap();
    assert_eq!(outcome.packed.unwrap().debits.len(), 2);
    assert_eq!(outcome.left.len(), 8);
    let limits = Limits { records: 3, ..Limits::default() };
    let outcome = pack(&world.view, &state, requests(&world, 5, 12), COMMIT_BLOCK, &limits).unwrap();
    assert_eq!((outcome.packed.unwrap().records.len(), outcome.left.len()), (3, 9));
}

#[test]
fn records_that_can_never_stand_are_refused_and_the_rest_goes_on() {
    let mut world = World::new(1, 12);
    let good = requests(&world, 5, 4);
    let mut wrong = requests(&world, 9, 9);
    wrong[4].signature = Bytes::from_static(&[1; 65]);
    wrong[5].l2_block = 3;
    sign_request(&mut wrong[5], 5);
    wrong[6].unattributed_ppb ^= 1;
    wrong[7].channel = B256::repeat_byte(3);
    world.view.recorded.insert(wrong[8].key());
    let mut records = good.clone();
    records.push(good[0].clone());
    records.extend_from_slice(&wrong[4..]);
    let outcome =
        pack(&world.view, &AgentState::new(AGENT), records, COMMIT_BLOCK, &Limits::default()).unwrap();
    assert_eq!(outcome.packed.unwrap().records.len(), 4);
    let faults: Vec<Fault> = outcome.refused.into_iter().map(|refused| refused.fault).collect();
    assert_eq!(faults.len(), 6);
    assert_eq!(faults[0], Fault::Order);
    assert!(matches!(faults[1], Fault::Signature(_) | Fault::Signer { .. }));
    assert!(matches!(faults[2], Fault::Age { .. }));
    assert!(matches!(faults[3], Fault::Unattributed { .. }));
    assert!(matches!(faults[4], Fault::Channel(_)));
    assert_eq!(faults[5], Fault::Repeated);
}

#[test]
fn a_channel_is_never_drawn_beyond_voucher_or_deposit() {
    let mut world = World::new(1, 12);
    let records = requests(&world, 5, 7);
    world.view.channels.get_mut(&records[0].channel).unwrap().deposited = 1;
    let state = AgentState::new(AGENT);
    let outcome = pack(&world.view, &state, records, COMMIT_BLOCK, &Limits::default()).unwrap();
    assert_eq!(outcome.refused.len(), 2);
    assert!(
        outcome.refused.iter().all(|refused| matches!(refused.fault, Fault::Uncovered { covered: 1, .. }))
    );
    assert_eq!(outcome.packed.unwrap().records.len(), 5);
}

/// The first request is accepted under a low voucher and posted after a later one: its batch redeems the higher
/// voucher, which the books keep.
#[test]
fn a_late_record_is_settled_under_the_highest_voucher_seen() {
    let mut world = World::new(1, 12);
    let mut numbers = Numbers(3);
    let mut early = world.request(&mut numbers, 0, 0);
    let mut late = world.request(&mut numbers, 0, 1);
    (early.max_fee, early.cumulative) = (1 << 45, 1 << 45);
    (late.max_fee, late.cumulative) = (1 << 45, 1 << 46);
    sign_request(&mut early, 0);
    sign_request(&mut late, 0);
    world.view.channels.get_mut(&early.channel).unwrap().settled = (1 << 45) - 1;
    let state = AgentState::new(AGENT);
    let limits = Limits::default();
    let alone = pack(&world.view, &state, vec![early.clone()], COMMIT_BLOCK, &limits).unwrap();
    assert!(matches!(alone.refused[0].fault, Fault::Uncovered { .. }));
    let first = pack(&world.view, &state, vec![late], COMMIT_BLOCK, &limits).unwrap().packed.unwrap();
    world.commit(&first.debits, &first.records);
    let second = pack(&world.view, &first.state, vec![early], COMMIT_BLOCK, &limits).unwrap().packed.unwrap();
    assert_eq!(second.debits[0].request_hash, first.debits[0].request_hash);
}

#[test]
fn payments_off_make_batches_without_debits() {
    let world = World::new(1, 12);
    let mut records = requests(&world, 5, 3);
    for record in &mut records {
        record.channel = B256::ZERO;
        (record.max_fee, record.cumulative) = (0, 0);
        record.signature = Bytes::new();
    }
    let outcome =
        pack(&world.view, &AgentState::new(AGENT), records, COMMIT_BLOCK, &Limits::default()).unwrap();
    let packed = outcome.packed.unwrap();
    assert_eq!((packed.records.len(), packed.debits.len()), (3, 0));
    assert_eq!(packed.totals, Totals::default());
    let nothing =
        pack(&world.view, &AgentState::new(AGENT), Vec::new(), COMMIT_BLOCK, &Limits::default()).unwrap();
    assert!(nothing.packed.is_none());
}
