//! A block that changes 2,000 accounts of 200,000: its root, and writing it. Reads, proofs and the past beside it.

use alloy_consensus::{Header, Sealable};
use alloy_primitives::{Address, B256, U256, keccak256};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::{hint::black_box, sync::Arc};
use tempfile::TempDir;
use tributary_spec::{BlockBody, RecoveredBlock};
use tributary_state::{
    Account, HashedPostState, Layer, MemoryState, PastLayers, StateProvider, StateReader, StateView, resolve,
};
use tributary_store::{BlockNumHash, Identity, Store, StoreOptions};

const ACCOUNTS: u64 = 200_000;
const CHANGED: usize = 2_000;
const CONTRACTS: u64 = 100;
const SLOTS: u64 = 500;
/// Blocks written before the past is asked.
const BLOCKS: u64 = 200;

fn address(index: u64) -> Address {
    Address::left_padding_from(&(index + 1).to_be_bytes())
}

fn genesis() -> HashedPostState {
    let mut genesis = HashedPostState::default();
    for index in 0..ACCOUNTS {
        let account = Account { nonce: 1, balance: U256::from(index), ..Default::default() };
        genesis.set_account(address(index), Some(account));
    }
    for contract in 0..CONTRACTS {
        for slot in 0..SLOTS {
            genesis.set_slot(address(contract), B256::from(U256::from(slot)), U256::from(slot + 1));
        }
    }
    genesis
}

/// `count` accounts change, and every twentieth of them is a contract of which a slot does.
fn changes(random: &mut ChaCha8Rng, count: usize) -> HashedPostState {
    let mut changes = HashedPostState::default();
    for index in 0..count {
        let contract = index % 20 == 0;
        let address = address(random.random_range(0..if contract { CONTRACTS } else { ACCOUNTS }));
        let account = Account { nonce: 2, balance: U256::from(random.random::<u64>()), ..Default::default() };
        changes.set_account(address, Some(account));
        if contract {
            let slot = B256::from(U256::from(random.random_range(0..SLOTS)));
            changes.set_slot(address, slot, U256::from(random.random::<u64>()));
        }
    }
    changes
}

struct Bench {
    store: Store,
    past: Arc<PastLayers>,
    random: ChaCha8Rng,
    head: RecoveredBlock,
    _dir: TempDir,
}

fn block(number: u64, parent_hash: B256, state_root: B256) -> RecoveredBlock {
    let header = Header { number, parent_hash, state_root, ..Default::default() };
    RecoveredBlock::new_unchecked(header.seal_slow(), BlockBody::default(), vec![])
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let identity = Identity { chain_id: 1, genesis_hash: B256::ZERO };
        let store = Store::open(dir.path(), &identity, &StoreOptions::default()).unwrap();
        let genesis = genesis();
        let (root, trie) = MemoryState::default().state_root(&genesis).unwrap();
        let head = block(0, B256::ZERO, root);
        write(&store, &head, &Layer::new(&genesis, &trie));
        let random = ChaCha8Rng::seed_from_u64(1);
        Self { store, past: Arc::default(), random, head, _dir: dir }
    }

    fn view(&self, number: u64) -> StateView {
        StateView::new(self.store.snapshot(), number, vec![], vec![], self.past.clone()).unwrap()
    }

    fn next(&mut self, count: usize) -> (RecoveredBlock, Layer) {
        let changes = changes(&mut self.random, count);
        let (root, trie) = self.view(self.head.number()).state_root(&changes).unwrap();
        (block(self.head.number() + 1, self.head.hash(), root), Layer::new(&changes, &trie))
    }
}

/// One block, one batch, as the chain's writer does it.
fn write(store: &Store, block: &RecoveredBlock, layer: &Layer) {
    let resolved = resolve(&store.snapshot(), layer).unwrap();
    let mut batch = store.batch();
    batch.put_block(block, &[]).unwrap();
    batch.apply(&resolved.forward).unwrap();
    if block.number() > 0 {
        batch.put_reverse(block.number(), &resolved.forward, &resolved.reverse).unwrap();
    }
    batch.set_head(BlockNumHash::new(block.number(), block.hash())).unwrap();
    batch.commit(false).unwrap();
}

fn blocks(criterion: &mut Criterion) {
    let mut bench = Bench::new();
    let mut group = criterion.benchmark_group("block_2000_of_200k");
    group.sample_size(30).throughput(Throughput::Elements(CHANGED as u64));
    let mut random = ChaCha8Rng::seed_from_u64(2);
    group.bench_function("root", |bencher| {
        bencher.iter_batched(
            || changes(&mut random, CHANGED),
            |changes| bench.view(bench.head.number()).state_root(&changes).unwrap(),
            BatchSize::LargeInput,
        );
    });
    group.bench_function("root_and_persist", |bencher| {
        bencher.iter(|| {
            let (head, layer) = bench.next(CHANGED);
            write(&bench.store, &head, &layer);
            bench.head = head;
        });
    });
    group.finish();
    reads(criterion, &mut bench);
}

fn reads(criterion: &mut Criterion, bench: &mut Bench) {
    for _ in 0..BLOCKS {
        let (head, layer) = bench.next(100);
        write(&bench.store, &head, &layer);
        bench.head = head;
    }
    let head = bench.head.number();
    let mut random = ChaCha8Rng::seed_from_u64(3);
    let mut group = criterion.benchmark_group("reads");
    group.sample_size(30);
    for (name, back) in [("at_head", 0), ("in_the_past", BLOCKS)] {
        let view = bench.view(head - back);
        group.bench_function(format!("account_{name}"), |bencher| {
            bencher.iter(|| view.account(address(random.random_range(0..ACCOUNTS))).unwrap());
        });
        let slots = [B256::from(U256::from(7)), B256::from(U256::from(9_999))];
        group.bench_function(format!("proof_with_two_slots_{name}"), |bencher| {
            bencher.iter(|| view.proof(address(random.random_range(0..CONTRACTS)), &slots).unwrap());
        });
    }
    group.bench_function(format!("first_proof_{BLOCKS}_blocks_back"), |bencher| {
        bencher.iter(|| {
            bench.past = Arc::default();
            bench.view(head - BLOCKS).proof(address(5), &[]).unwrap()
        });
    });
    group.bench_function("keccak_of_an_address", |bencher| bencher.iter(|| keccak256(black_box(address(7)))));
    group.finish();
}

criterion_group!(benches, blocks);
criterion_main!(benches);
