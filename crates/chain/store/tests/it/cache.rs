//! What is kept in memory never differs from what a snapshot would read from the database.

use crate::util::IDENTITY;
use alloy_primitives::{B256, U256, keccak256};
use alloy_trie::{BranchNodeCompact, Nibbles, TrieMask};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};
use tributary_store::{AccountLeaf, BlockNumHash, Snapshot, StateDiff, StorageDiff, Store, StoreOptions};

/// A whole state, small enough to be copied.
#[derive(Clone, Default)]
struct Model {
    accounts: BTreeMap<B256, AccountLeaf>,
    slots: BTreeMap<(B256, B256), U256>,
    nodes: BTreeMap<Nibbles, BranchNodeCompact>,
    storage_nodes: BTreeMap<(B256, Nibbles), BranchNodeCompact>,
}

fn key(n: u8) -> B256 {
    keccak256([n])
}

fn path(random: &mut ChaCha8Rng) -> Nibbles {
    let length = random.random_range(0..3);
    Nibbles::unpack(key(random.random())).slice(..length)
}

fn node(random: &mut ChaCha8Rng) -> BranchNodeCompact {
    let masks = TrieMask::new(3);
    let hashes = vec![key(random.random()), key(random.random())];
    BranchNodeCompact::new(masks, TrieMask::new(0), masks, hashes, None)
}

impl Model {
    /// Changes at random what is there, and says how.
    fn change(&mut self, random: &mut ChaCha8Rng) -> StateDiff {
        let mut accounts = BTreeMap::new();
        let mut nodes = BTreeMap::new();
        let mut storages = BTreeMap::<B256, (BTreeMap<_, _>, BTreeMap<_, _>)>::new();
        for _ in 0..random.random_range(1..12) {
            let leaf = AccountLeaf { nonce: random.random(), ..AccountLeaf::default() };
            accounts.insert(key(random.random_range(0..60)), random.random_bool(0.7).then_some(leaf));
            nodes.insert(path(random), random.random_bool(0.7).then(|| node(random)));
            let (slots, below) = storages.entry(key(random.random_range(0..3))).or_default();
            slots.insert(key(random.random_range(0..60)), U256::from(random.random_range(0..4)));
            below.insert(path(random), random.random_bool(0.7).then(|| node(random)));
        }
        for (key, leaf) in &accounts {
            put(&mut self.accounts, *key, *leaf);
        }
        for (path, node) in &nodes {
            put(&mut self.nodes, *path, node.clone());
        }
        for (owner, (slots, below)) in &storages {
            for (slot, value) in slots {
                put(&mut self.slots, (*owner, *slot), Some(*value).filter(|value| !value.is_zero()));
            }
            for (path, node) in below {
                put(&mut self.storage_nodes, (*owner, *path), node.clone());
            }
        }
        let storages = storages.into_iter().map(|(owner, (slots, nodes))| {
            let (slots, nodes) = (slots.into_iter().collect(), nodes.into_iter().collect());
            (owner, StorageDiff { wiped: false, slots, nodes })
        });
        StateDiff {
            accounts: accounts.into_iter().collect(),
            account_nodes: nodes.into_iter().collect(),
            storages: storages.collect(),
        }
    }

    /// The way from `self` to `other`.
    fn towards(&self, other: &Self) -> StateDiff {
        let mut storages = BTreeMap::<B256, StorageDiff>::new();
        for ((owner, slot), value) in differences(&self.slots, &other.slots) {
            storages.entry(owner).or_default().slots.push((slot, value.unwrap_or_default()));
        }
        for ((owner, path), node) in differences(&self.storage_nodes, &other.storage_nodes) {
            storages.entry(owner).or_default().nodes.push((path, node));
        }
        StateDiff {
            accounts: differences(&self.accounts, &other.accounts),
            account_nodes: differences(&self.nodes, &other.nodes),
            storages: storages.into_iter().collect(),
        }
    }

    /// One cursor, forwards and backwards.
    fn check_cursor(&self, snapshot: &Snapshot, random: &mut ChaCha8Rng) {
        let mut cursor = snapshot.accounts().unwrap();
        for _ in 0..8 {
            let from = key(random.random_range(0..60));
            let mut expected = self.accounts.range(from..).map(|(key, leaf)| (*key, *leaf));
            assert_eq!(cursor.seek(&from).unwrap(), expected.next());
            for _ in 0..random.random_range(0..4) {
                assert_eq!(cursor.next().unwrap(), expected.next());
            }
        }
    }

    /// Some reads of a snapshot of this state.
    fn check(&self, snapshot: &Snapshot, random: &mut ChaCha8Rng) {
        self.check_cursor(snapshot, random);
        for _ in 0..20 {
            let (owner, at) = (key(random.random_range(0..3)), key(random.random_range(0..60)));
            assert_eq!(snapshot.account(at).unwrap(), self.accounts.get(&at).copied());
            let slot = self.slots.get(&(owner, at)).copied().unwrap_or_default();
            assert_eq!(snapshot.slot(owner, at).unwrap(), slot);
            let path = path(random);
            assert_eq!(snapshot.account_node(&path).unwrap(), self.nodes.get(&path).cloned());
            let node = self.storage_nodes.get(&(owner, path)).cloned();
            assert_eq!(snapshot.storage_node(owner, &path).unwrap(), node);

            let inside = |key: &B256| Nibbles::unpack(key).starts_with(&path);
            let expected: Vec<_> = self
                .accounts
                .iter()
                .filter(|(key, _)| inside(key))
                .map(|(key, leaf)| (*key, *leaf))
                .collect();
            match snapshot.accounts().unwrap().under(&path).unwrap() {
                Some(found) => assert_eq!(found.to_vec(), expected),
                None => assert!(expected.len() > 32),
            }
            let expected: Vec<_> = self
                .slots
                .range((owner, B256::ZERO)..=(owner, B256::repeat_byte(0xff)))
                .filter(|((_, slot), _)| inside(slot))
                .map(|((_, slot), value)| (*slot, *value))
                .collect();
            match snapshot.slots(owner).unwrap().under(&path).unwrap() {
                Some(found) => assert_eq!(found.to_vec(), expected),
                None => assert!(expected.len() > 32),
            }
        }
    }
}

fn put<K: Ord, V>(map: &mut BTreeMap<K, V>, key: K, value: Option<V>) {
    match value {
        Some(value) => drop(map.insert(key, value)),
        None => drop(map.remove(&key)),
    }
}

fn differences<K: Ord + Copy, V: Clone + PartialEq>(
    from: &BTreeMap<K, V>,
    to: &BTreeMap<K, V>,
) -> Vec<(K, Option<V>)> {
    let mut all: Vec<K> = from.keys().chain(to.keys()).copied().collect();
    all.sort_unstable();
    all.dedup();
    all.into_iter()
        .filter(|key| from.get(key) != to.get(key))
        .map(|key| (key, to.get(&key).cloned()))
        .collect()
}

type Models = Arc<Mutex<HashMap<B256, Arc<Model>>>>;

/// Reads whatever is the newest state, over and over.
fn read_along(store: &Store, models: &Models, stop: &AtomicBool, seed: u64) {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    while !stop.load(Ordering::Relaxed) {
        let snapshot = store.snapshot();
        let Some(head) = snapshot.head().unwrap() else { continue };
        let model = Arc::clone(&models.lock().unwrap()[&head.hash]);
        model.check(&snapshot, &mut random);
    }
}

fn run(seed: u64, cached_leaves: usize) {
    let dir = tempfile::tempdir().unwrap();
    let options = StoreOptions { cached_leaves, cache_bytes: 8 << 20, ..Default::default() };
    let store = Store::open(dir.path(), &IDENTITY, &options).unwrap();
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let (models, stop) = (Models::default(), Arc::new(AtomicBool::new(false)));
    let readers: Vec<_> = (0..2)
        .map(|n| {
            let (store, models, stop) = (store.clone(), models.clone(), stop.clone());
            thread::spawn(move || read_along(&store, &models, &stop, n))
        })
        .collect();
    // The chain of states, and snapshots of some that may be on it no more.
    let mut chain: Vec<(BlockNumHash, Arc<Model>)> = Vec::new();
    let mut old: Vec<(Snapshot, Arc<Model>)> = Vec::new();
    for step in 0..400 {
        let mut batch = store.batch();
        if chain.len() > 3 && random.random_bool(0.2) {
            let (_, from) = chain.pop().unwrap();
            let (head, to) = chain.last().unwrap();
            batch.apply(&from.towards(to)).unwrap();
            batch.set_head(*head).unwrap();
        } else {
            let mut model = chain.last().map_or_else(Model::default, |(_, model)| (**model).clone());
            batch.apply(&model.change(&mut random)).unwrap();
            let head =
                BlockNumHash::new(chain.len() as u64, keccak256([seed as u8, (step >> 8) as u8, step as u8]));
            batch.set_head(head).unwrap();
            let model = Arc::new(model);
            models.lock().unwrap().insert(head.hash, Arc::clone(&model));
            chain.push((head, model));
        }
        batch.commit(false).unwrap();
        let (_, model) = chain.last().unwrap();
        model.check(&store.snapshot(), &mut random);
        if random.random_bool(0.3) {
            old.push((store.snapshot(), Arc::clone(model)));
        }
        if old.len() > 6 {
            let at = random.random_range(0..old.len());
            old.swap_remove(at);
        }
        old.iter().for_each(|(snapshot, model)| model.check(snapshot, &mut random));
    }
    stop.store(true, Ordering::Relaxed);
    readers.into_iter().for_each(|reader| reader.join().unwrap());
    // What the next process reads is what memory said.
    drop((old, store));
    let store = Store::open(dir.path(), &IDENTITY, &options).unwrap();
    chain.last().unwrap().1.check(&store.snapshot(), &mut random);
}

#[test]
fn snapshots_old_and_new_read_what_they_should() {
    run(1, 1 << 14);
}

#[test]
fn a_cache_that_is_too_small_forgets_and_never_errs() {
    run(2, 64);
}
