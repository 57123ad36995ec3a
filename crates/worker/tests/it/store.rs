//! An answer is in exactly one place, whatever is done to the store and however often it is opened again.

use std::collections::BTreeMap;

use alloy_primitives::{B256, Bytes, U256, keccak256};
use rand::{Rng, SeedableRng, rngs::StdRng};
use tempfile::TempDir;
use tributary_batch::AgentState;
use tributary_record::{ALGO_ID, Header, Record, Totals};
use tributary_worker::{Answer, BatchEntry, BatchState, Store, StoreError};

const CHAIN: u64 = 161_299;

fn open(folder: &TempDir) -> Store {
    Store::open(folder.path(), CHAIN, B256::ZERO).unwrap()
}

fn word(number: u64) -> B256 {
    U256::from(number).into()
}

fn answer(agent: u64, request: u64, fee: u128) -> Answer {
    let record = Record {
        chain_id: CHAIN,
        agent_id: agent,
        batch_seq: 0,
        channel: word(request % 3),
        request_id: word(request),
        l2_block: 1,
        model_id: 1,
        adapter_id: 0,
        sources: Vec::new(),
        tokenizer_hash: B256::ZERO,
        algo_id: ALGO_ID,
        profile_hash: B256::ZERO,
        privacy: 0,
        body_hash: B256::ZERO,
        n_in: 1,
        max_fee: fee,
        cumulative: fee,
        signature: Bytes::new(),
        exec_hash: B256::ZERO,
        sampling: Bytes::new(),
        logits_root: B256::ZERO,
        output: vec![request as u32],
        fee,
        spans: Vec::new(),
        shares: Vec::new(),
        unattributed_ppb: 0,
        payees: Vec::new(),
        channel_spent: 0,
        totals: Totals::default(),
        payout_root: B256::ZERO,
        n_accounts: 0,
    };
    Answer { record, model: "m".to_owned(), answered_at: request }
}

fn entry(agent: u64, seq: u64, answers: &[Answer]) -> BatchEntry {
    let header = Header {
        agent_id: agent,
        seq,
        prev_batch: B256::ZERO,
        batch_hash: keccak256([agent.to_be_bytes(), seq.to_be_bytes()].concat()),
        n_bytes: 3,
        n_records: answers.len() as u32,
        records_root: B256::ZERO,
        payout_root: B256::ZERO,
        n_accounts: 0,
        algo_id: ALGO_ID,
    };
    BatchEntry {
        id: header.batch_id(CHAIN),
        header,
        debits: Vec::new(),
        signatures: Vec::new(),
        totals: Totals::default(),
        records: answers.iter().map(|answer| answer.record.key()).collect(),
        models: answers.iter().map(|answer| answer.model.clone()).collect(),
        da_commitment: Bytes::new(),
        da: String::new(),
        transaction: None,
        deadline: 0,
        state: BatchState::Packed,
    }
}

/// What the store should hold: requests by where they are.
#[derive(Default)]
struct Model {
    pending: BTreeMap<u64, Answer>,
    batches: BTreeMap<(u64, u64), (BatchEntry, Vec<Answer>)>,
    refused: Vec<u64>,
    spent: BTreeMap<B256, u128>,
}

impl Model {
    fn check(&self, store: &Store) {
        let pending: Vec<B256> = store.pending().unwrap().iter().map(|a| a.record.request_id).collect();
        let mut wanted: Vec<&Answer> = self.pending.values().collect();
        wanted.sort_by_key(|answer| answer.answered_at);
        assert_eq!(pending.len(), wanted.len());
        assert!(wanted.iter().all(|answer| pending.contains(&answer.record.request_id)));
        assert_eq!(store.refused().unwrap().len(), self.refused.len());
        for (channel, spent) in &self.spent {
            assert_eq!(store.spent(*channel).unwrap(), *spent, "what was earned is never forgotten");
        }
        for ((agent, seq), (entry, answers)) in &self.batches {
            let kept = store.batch(*agent, *seq).unwrap().unwrap();
            assert_eq!((kept.state, kept.records.len()), (entry.state, answers.len()));
            for (index, (channel, request)) in (0..).zip(&entry.records) {
                let place = store.place(*channel, *request).unwrap().unwrap();
                assert_eq!((place.agent, place.seq, place.index), (*agent, *seq, index));
                assert!(store.pending_answer(*channel, *request).unwrap().is_none(), "in two places");
                assert!(store.is_answered(*channel, *request).unwrap());
            }
        }
        let open: Vec<(u64, u64)> =
            store.open_batches().unwrap().iter().map(|e| (e.header.agent_id, e.header.seq)).collect();
        let wanted: Vec<(u64, u64)> =
            self.batches.iter().filter(|(_, (entry, _))| entry.is_open()).map(|(key, _)| *key).collect();
        assert_eq!(open, wanted);
    }

    fn last(&self, agent: u64) -> Option<&BatchEntry> {
        self.batches.range((agent, 0)..=(agent, u64::MAX)).next_back().map(|(_, (entry, _))| entry)
    }
}

#[test]
fn an_answer_is_in_exactly_one_place() {
    for seed in 0..6 {
        let mut chance = StdRng::seed_from_u64(seed);
        let folder = TempDir::new().unwrap();
        let (mut store, mut model) = (open(&folder), Model::default());
        for request in 1..250 {
            let agent = 1 + chance.random_range(0..2u64) * 6;
            match chance.random_range(0..16) {
                0..=6 => put(&store, &mut model, answer(agent, request, u128::from(request))),
                7..=9 => pack(&store, &mut model, agent),
                10..=13 => advance(&store, &mut model, agent),
                14 => take_apart(&store, &mut model, agent),
                _ => {
                    drop(store);
                    store = open(&folder);
                }
            }
            model.check(&store);
        }
        assert!(model.batches.len() > 3, "seed {seed} did little");
    }
}

fn put(store: &Store, model: &mut Model, answer: Answer) {
    store.put_answer(&answer).unwrap();
    assert!(matches!(store.put_answer(&answer), Err(StoreError::Duplicate { .. })));
    *model.spent.entry(answer.record.channel).or_default() += answer.record.fee;
    model.pending.insert(answer.answered_at, answer);
}

fn pack(store: &Store, model: &mut Model, agent: u64) {
    if model.last(agent).is_some_and(|last| last.state < BatchState::Committed) {
        return;
    }
    let mine: Vec<Answer> =
        model.pending.values().filter(|answer| answer.record.agent_id == agent).cloned().collect();
    if mine.is_empty() {
        return;
    }
    let seq = model.last(agent).map_or(1, |last| last.header.seq + 1);
    let entry = entry(agent, seq, &mine);
    store.pack(&entry, b"abc", &AgentState::new(agent)).unwrap();
    model.pending.retain(|_, answer| answer.record.agent_id != agent);
    model.batches.insert((agent, seq), (entry, mine));
}

/// The oldest open batch comes a step further.
fn advance(store: &Store, model: &mut Model, agent: u64) {
    let mut mine = model.batches.range_mut((agent, 0)..=(agent, u64::MAX));
    let Some((_, (entry, _))) = mine.find(|(_, (entry, _))| entry.is_open()) else {
        return;
    };
    entry.state = match entry.state {
        BatchState::Packed => BatchState::Dispersed,
        BatchState::Dispersed => BatchState::Sent,
        BatchState::Sent => BatchState::Committed,
        _ => BatchState::Final,
    };
    if entry.state == BatchState::Final {
        store.finalized(entry).unwrap();
        assert!(
            store.state(agent, entry.header.seq).unwrap().is_some(),
            "claims go against the last final one"
        );
    } else {
        store.update(entry).unwrap();
    }
}

/// A batch that the chain refused: one of its answers is given up, the rest waits again.
fn take_apart(store: &Store, model: &mut Model, agent: u64) {
    let Some(seq) =
        model.last(agent).filter(|last| last.state < BatchState::Committed).map(|last| last.header.seq)
    else {
        return;
    };
    let (entry, mut answers) = model.batches.remove(&(agent, seq)).unwrap();
    store.unpack(&entry, &answers).unwrap();
    let given_up = answers.remove(0);
    store.refuse(&[(given_up.clone(), "the chain refuses it".to_owned())]).unwrap();
    model.refused.push(given_up.answered_at);
    model.pending.extend(answers.into_iter().map(|answer| (answer.answered_at, answer)));
    let key = given_up.record.key();
    assert!(store.is_answered(key.0, key.1).unwrap(), "a refused answer is not served again");
}

#[test]
fn answers_at_the_same_time_are_all_spent() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    std::thread::scope(|scope| {
        for thread in 0..8u64 {
            let store = &store;
            scope.spawn(move || {
                for turn in 0..20 {
                    // All of one channel, since request ids that are multiples of three are.
                    let request = 3 * (thread * 20 + turn + 1);
                    store.put_answer(&answer(1, request, 7)).unwrap();
                }
            });
        }
    });
    assert_eq!(store.spent(word(0)).unwrap(), 8 * 20 * 7);
}

#[test]
fn the_store_of_another_chain_is_refused() {
    let folder = TempDir::new().unwrap();
    drop(open(&folder));
    for (chain, genesis) in [(CHAIN + 1, B256::ZERO), (CHAIN, word(1))] {
        assert!(matches!(Store::open(folder.path(), chain, genesis), Err(StoreError::Foreign { .. })));
    }
    open(&folder);
}
