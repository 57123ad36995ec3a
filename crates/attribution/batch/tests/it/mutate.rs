//! Any change to any single field of a packed batch is refused.

use crate::world::*;
use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use tributary_batch::*;
use tributary_record::*;

struct Case {
    view: MemoryView,
    before: AgentState,
    packed: Packed,
}

/// A second batch, so that there are accounts and a parent before it.
fn case(seed: u64) -> Case {
    let mut world = World::new(seed, 12);
    let mut numbers = Numbers(seed + 1);
    let mut records: Vec<Record> = (0..24).map(|at| world.request(&mut numbers, at % PAYERS, at)).collect();
    let later = records.split_off(12);
    let start = AgentState::new(AGENT);
    let first = pack(&world.view, &start, records, COMMIT_BLOCK, &Limits::default()).unwrap().packed.unwrap();
    world.commit(&first.debits, &first.records);
    let packed =
        pack(&world.view, &first.state, later, COMMIT_BLOCK, &Limits::default()).unwrap().packed.unwrap();
    Case { view: world.view, before: first.state, packed }
}

impl Case {
    fn claim(&self) -> BatchClaim {
        BatchClaim {
            header: self.packed.header,
            debits: self.packed.debits.clone(),
            signatures: self.packed.signatures.clone(),
            totals: self.packed.totals,
            commit_block: COMMIT_BLOCK,
        }
    }

    fn check(&self, claim: &BatchClaim, bytes: &[u8]) -> Result<Checked, CheckError> {
        let mut payouts = self.before.payouts.clone();
        let checked = check_batch(&self.view, claim, bytes, &mut payouts);
        if checked.is_err() {
            assert_eq!(payouts, self.before.payouts, "a refused batch leaves the books alone");
            assert_eq!(payouts.root(), self.before.payouts.root());
        }
        checked
    }

    /// Rewrites the batch around changed records as a dishonest agent would: bytes, hash and records root
    /// are right again, only the records lie.
    fn forge(&self, records: Vec<Record>) -> (BatchClaim, Vec<u8>) {
        let mut claim = self.claim();
        let last = records.last().expect("records");
        claim.header.payout_root = last.payout_root;
        claim.header.n_accounts = last.n_accounts;
        claim.totals = last.totals;
        let bytes = BatchBytes {
            chain_id: CHAIN,
            agent_id: AGENT,
            seq: claim.header.seq,
            prev_batch: claim.header.prev_batch,
            records,
        }
        .encode()
        .expect("within bounds");
        claim.header.batch_hash = keccak256(&bytes);
        claim.header.n_bytes = bytes.len() as u32;
        claim.header.records_root = RecordTree::new(&bytes).expect("a batch").root();
        (claim, bytes)
    }
}

#[test]
fn the_untouched_batch_holds() {
    let case = case(1);
    case.check(&case.claim(), &case.packed.bytes).unwrap();
    let (claim, bytes) = case.forge(case.packed.records.clone());
    assert_eq!(claim, case.claim());
    assert_eq!(bytes, case.packed.bytes);
}

#[test]
fn any_changed_byte_is_refused_even_when_the_frame_is_made_right_again() {
    let case = case(2);
    let tree = RecordTree::new(&case.packed.bytes).unwrap();
    let mut numbers = Numbers(9);
    let target = 5;
    for at in 0..tree.records()[target].len() {
        let mut bytes = tree.records()[target].clone();
        bytes[at] ^= 1 << numbers.below(8);
        let Ok(changed) = Record::decode(&bytes) else { continue };
        if only_execution_differs(&changed, &case.packed.records[target]) {
            continue;
        }
        let mut records = case.packed.records.clone();
        records[target] = changed;
        let (claim, bytes) = case.forge(records);
        let error = case.check(&claim, &bytes).expect_err("a changed byte");
        assert!(error.fault().is_some(), "byte {at}: {error}");
    }
}

/// What nobody can judge without running the model or reading the contributions: it is disputed by
/// re-execution or by a chunk, not by arithmetic.
fn only_execution_differs(changed: &Record, original: &Record) -> bool {
    let mut other = changed.clone();
    other.exec_hash = original.exec_hash;
    other.sampling = original.sampling.clone();
    other.logits_root = original.logits_root;
    other.output = original.output.clone();
    for (span, was) in other.spans.iter_mut().zip(&original.spans) {
        span.offset = was.offset;
    }
    if other.output.len() != changed.output.len() {
        return false;
    }
    other == *original || only_names_differ(&other, original)
}

/// A span said to come from another contribution of the same standing and contributor changes nothing that
/// arithmetic sees; the contribution's tokens do.
fn only_names_differ(changed: &Record, original: &Record) -> bool {
    let mut other = changed.clone();
    other.spans = original.spans.clone();
    other == *original && changed.spans.len() == original.spans.len()
}

#[test]
fn every_field_of_the_claim_is_checked() {
    let case = case(3);
    let changes: &[&dyn Fn(&mut BatchClaim)] = &[
        &|claim| claim.header.agent_id += 1,
        &|claim| claim.header.seq += 1,
        &|claim| claim.header.prev_batch = B256::repeat_byte(1),
        &|claim| claim.header.batch_hash = B256::repeat_byte(1),
        &|claim| claim.header.n_bytes += 1,
        &|claim| claim.header.n_records += 1,
        &|claim| claim.header.records_root = B256::repeat_byte(1),
        &|claim| claim.header.payout_root = B256::repeat_byte(1),
        &|claim| claim.header.n_accounts += 1,
        &|claim| claim.header.algo_id = B256::repeat_byte(1),
        &|claim| claim.totals.fees += 1,
        &|claim| claim.totals.platform += 1,
        &|claim| claim.totals.model += 1,
        &|claim| claim.totals.stakers += 1,
        &|claim| claim.totals.contributors += 1,
        &|claim| claim.totals.treasury += 1,
        &|claim| claim.debits[1].channel = B256::repeat_byte(1),
        &|claim| claim.debits[1].cumulative += U256::ONE,
        &|claim| claim.debits[1].request_hash = B256::repeat_byte(1),
        &|claim| claim.debits[1].amount += 1,
        &|claim| claim.debits.swap(0, 1),
        &|claim| {
            claim.debits.pop();
        },
        &|claim| {
            claim.signatures.pop();
        },
        &|claim| claim.signatures.swap(0, 1),
        &|claim| claim.signatures[0] = Bytes::new(),
        &|claim| claim.commit_block = 400,
        &|claim| claim.commit_block = 5_000,
    ];
    for (at, change) in changes.iter().enumerate() {
        let mut claim = case.claim();
        change(&mut claim);
        let error = case.check(&claim, &case.packed.bytes).expect_err("a changed claim");
        assert!(error.fault().is_some(), "change {at}: {error}");
    }
}

#[test]
fn records_cannot_be_swapped_dropped_doubled_or_moved() {
    let case = case(4);
    let records = &case.packed.records;
    let mut swapped = records.clone();
    swapped.swap(2, 3);
    let mut dropped = records.clone();
    dropped.remove(4);
    let mut doubled = records.clone();
    doubled.insert(4, records[4].clone());
    for records in [swapped, dropped, doubled] {
        let (claim, bytes) = case.forge(records);
        let error = case.check(&claim, &bytes).expect_err("other records");
        assert!(error.fault().is_some(), "{error}");
    }
    let empty = BatchBytes {
        chain_id: CHAIN,
        agent_id: AGENT,
        seq: case.packed.header.seq,
        prev_batch: case.packed.header.prev_batch,
        records: Vec::new(),
    };
    let bytes = empty.encode().unwrap();
    let mut claim = case.claim();
    claim.header.batch_hash = keccak256(&bytes);
    assert_eq!(case.check(&claim, &bytes).unwrap_err().fault(), Some(&Fault::Empty));
}

/// A dishonest step that is consistent from the changed record on: fields shift money, and every later running
/// sum and root is computed after it. The changed record itself must be refused.
#[test]
fn consistent_lies_are_found_where_they_begin() {
    let case = case(5);
    let thief = Address::repeat_byte(0x66);
    let lies: &[&dyn Fn(&mut Record)] = &[
        &|record| record.fee += 1,
        &|record| {
            if let Some(payee) = record.payees.first_mut() {
                payee.account = thief;
            }
        },
        &|record| {
            if let Some(payee) = record.payees.last_mut() {
                payee.amount += 7;
            }
        },
        &|record| record.payees.push(Payee { index: record.n_accounts, account: thief, amount: 1 }),
        &|record| record.shares.clear(),
        &|record| record.spans.clear(),
        &|record| record.totals.treasury -= 1,
        &|record| record.channel_spent -= 1,
    ];
    for (at, lie) in lies.iter().enumerate() {
        let target = (0..case.packed.records.len())
            .find(|index| !case.packed.records[*index].spans.is_empty())
            .expect("a traced record");
        let mut records = case.packed.records.clone();
        lie(&mut records[target]);
        let mut payouts = case.before.payouts.clone();
        for record in &mut records {
            let credits: Vec<Credit> = record
                .payees
                .iter()
                .map(|payee| Credit { account: payee.account, amount: payee.amount })
                .collect();
            payouts.credit(&credits, &[]).expect("credits");
            record.payout_root = payouts.root();
            record.n_accounts = payouts.n_accounts();
        }
        let (claim, bytes) = case.forge(records);
        match case.check(&claim, &bytes).expect_err("a lie") {
            CheckError::Record { index, error } => {
                assert_eq!(index, target, "lie {at}");
                assert!(error.fault().is_some());
            }
            other => panic!("lie {at}: {other}"),
        }
    }
}
