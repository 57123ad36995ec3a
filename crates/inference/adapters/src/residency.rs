//! What is in memory: a budget, least recently used out first, things in use or pinned never.
//!
//! ```text
//! lease(key) ── resident ─────────────────────────────► Lease (counts as a user)
//!     │  └──── being loaded ─► wait for that load ────► Lease
//!     └ absent ─► task: slot ─► load ─► room ─► insert ─► Lease
//!                       (bounded)      (evicts unused; waits for a user to leave)
//! ```
//! What is always in use would never be evicted. So a load that has waited for its turn retires the values that were in memory longest:
//! they serve those who hold them and nobody else, and whoever asks for one of them loads it again, behind the load that waited.
//!
//! A [`Memory`] may bound it too, together with what else is in memory: then idle values also go where others need room, and a load asks
//! for the memory of what idles elsewhere.
//!
//! Loads run as tasks of their own: a caller that goes away neither stops a load others wait for nor
//! holds anything up, and rows that run keep running.

use crate::{
    error::AdapterError,
    memory::{Due, IdleAdapters, Memory},
};
use parking_lot::Mutex;
use std::{
    collections::HashMap,
    fmt,
    future::Future,
    hash::Hash,
    ops::Deref,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::{Notify, Semaphore, watch};

/// Memory and patience of a [`Residency`].
#[derive(Clone, Copy, Debug)]
pub struct ResidencyConfig {
    /// Bytes of values kept.
    pub budget: usize,
    /// Loads at the same time; each holds its transient memory beyond the budget.
    pub loads: usize,
    /// How long a load waits for memory that is in use.
    pub patience: Duration,
    /// How long it waits before values in use are retired for it.
    pub turn: Duration,
    /// How long a failure is remembered, so that a broken artifact is not fetched for every request.
    pub failure_ttl: Duration,
}

impl Default for ResidencyConfig {
    fn default() -> Self {
        Self {
            budget: 1 << 30,
            loads: 2,
            patience: Duration::from_secs(30),
            turn: Duration::from_millis(250),
            failure_ttl: Duration::from_secs(1),
        }
    }
}

/// Figures for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ResidencyStats {
    /// Values in memory.
    pub resident: usize,
    /// Bytes they hold.
    pub bytes: usize,
    /// Loads that ended well.
    pub loads: u64,
    /// Loads that failed.
    pub failures: u64,
    /// Values dropped for room.
    pub evictions: u64,
    /// Values in use that had to make room.
    pub retired: u64,
    /// Leases served from memory.
    pub hits: u64,
}

/// Values in memory by key, within a budget.
pub struct Residency<K, V> {
    shared: Arc<Shared<K, V>>,
}

struct Shared<K, V> {
    config: ResidencyConfig,
    state: Mutex<State<K, V>>,
    /// Told whenever a value stops being used.
    freed: Notify,
    loads: Semaphore,
    /// One load at a time takes room, first come first served: a large value is not starved by small ones.
    room: tokio::sync::Mutex<()>,
}

struct State<K, V> {
    slots: HashMap<K, Slot<V>>,
    clock: u64,
    stats: ResidencyStats,
    memory: Option<Memory>,
}

enum Slot<V> {
    Loading(Arc<watch::Sender<Outcome>>),
    Resident(Resident<V>),
    Failed(AdapterError, Instant),
}

type Outcome = Option<Result<(), AdapterError>>;

struct Resident<V> {
    value: Arc<V>,
    bytes: usize,
    users: usize,
    pinned: bool,
    used: u64,
    /// When it came, by the same clock.
    since: u64,
    /// Goes as soon as nobody uses it, and is given to nobody any more.
    retired: bool,
}

/// A value in use: it stays in memory until every lease on it is dropped.
pub struct Lease<K: Eq + Hash + Clone, V> {
    key: K,
    value: Arc<V>,
    shared: Arc<Shared<K, V>>,
}

impl<K, V> Clone for Residency<K, V> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<K, V> fmt::Debug for Residency<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Residency").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

impl<K, V> Residency<K, V> {
    /// Nothing resident yet.
    pub fn new(config: ResidencyConfig) -> Self {
        Self::bounded(config, None)
    }

    fn bounded(config: ResidencyConfig, memory: Option<Memory>) -> Self {
        let state = State { slots: HashMap::new(), clock: 0, stats: ResidencyStats::default(), memory };
        Self {
            shared: Arc::new(Shared {
                config,
                state: Mutex::new(state),
                freed: Notify::new(),
                loads: Semaphore::new(config.loads.max(1)),
                room: tokio::sync::Mutex::new(()),
            }),
        }
    }

    /// Figures for metrics.
    pub fn stats(&self) -> ResidencyStats {
        self.shared.state.lock().stats
    }
}

impl<K, V> Residency<K, V>
where
    K: Eq + Hash + Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    /// Nothing resident yet; what will be counts in `memory` too.
    pub fn within(config: ResidencyConfig, memory: Memory) -> Self {
        let residency = Self::bounded(config, Some(memory.clone()));
        let shared: Arc<dyn IdleAdapters> = Arc::clone(&residency.shared) as _;
        memory.lend_adapters(Arc::downgrade(&shared));
        residency
    }

    /// The value if it is in memory now.
    pub fn get(&self, key: &K) -> Option<Lease<K, V>> {
        let mut state = self.shared.state.lock();
        let lease = state.lease(key, &self.shared, false)?;
        state.stats.hits += 1;
        Some(lease)
    }

    /// Keys in memory, with their sizes and whether they are pinned.
    pub fn resident(&self) -> Vec<(K, usize, bool)> {
        let state = self.shared.state.lock();
        let of = |(key, slot): (&K, &Slot<V>)| match slot {
            Slot::Resident(resident) => Some((key.clone(), resident.bytes, resident.pinned)),
            _ => None,
        };
        state.slots.iter().filter_map(of).collect()
    }

    /// Keeps a resident value from eviction, or lets it go again. False when it is not resident.
    pub fn pin(&self, key: &K, pinned: bool) -> bool {
        let mut state = self.shared.state.lock();
        let found = match state.slots.get_mut(key) {
            Some(Slot::Resident(resident)) => {
                resident.pinned = pinned;
                resident.retired &= !pinned;
                true
            }
            _ => false,
        };
        drop(state);
        self.shared.freed.notify_waiters();
        found
    }

    /// Drops a value that nobody uses. False when it is absent or in use.
    pub fn remove(&self, key: &K) -> bool {
        let mut state = self.shared.state.lock();
        let idle = matches!(state.slots.get(key), Some(Slot::Resident(resident)) if resident.users == 0);
        if idle {
            state.drop_resident(key);
        }
        drop(state);
        self.shared.freed.notify_waiters();
        idle
    }

    /// The value, loaded if it is absent. `load` yields the value and the bytes it holds; for any key at
    /// most one load runs, and it goes on when its callers leave.
    pub async fn lease<F, Fut>(&self, key: K, load: F) -> Result<Lease<K, V>, AdapterError>
    where
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<(V, usize), AdapterError>> + Send + 'static,
    {
        let mut done = match self.begin_or_wait(&key).await? {
            Begin::Resident(lease) => return Ok(lease),
            Begin::Wait(receiver) => receiver,
            Begin::Load(sender) => {
                let receiver = sender.subscribe();
                tokio::spawn(run(Arc::clone(&self.shared), key.clone(), load(), sender));
                receiver
            }
        };
        let outcome = done.wait_for(Option::is_some).await;
        match outcome.as_deref() {
            Ok(Some(Err(error))) => return Err(error.clone()),
            Ok(_) => {}
            Err(_) => return Err(AdapterError::Internal("the load was abandoned".into())),
        }
        drop(outcome);
        // The loading task keeps its own lease until every receiver is gone, so the value is still here.
        let lease = self.shared.state.lock().lease(&key, &self.shared, true);
        lease.ok_or_else(|| AdapterError::Internal("the value left before it was used".into()))
    }

    /// Begins once the value is not on its way out.
    async fn begin_or_wait(&self, key: &K) -> Result<Begin<K, V>, AdapterError> {
        let patience = tokio::time::sleep(self.shared.config.patience);
        tokio::pin!(patience);
        loop {
            // Registered before looking, so that a user who leaves in between is not missed.
            let freed = self.shared.freed.notified();
            tokio::pin!(freed);
            freed.as_mut().enable();
            if let Some(begin) = self.begin(key)? {
                return Ok(begin);
            }
            tokio::select! {
                () = freed => {}
                () = &mut patience => return Err(AdapterError::Busy(self.shared.config.patience)),
            }
        }
    }

    /// None while the value is retired and still in use.
    fn begin(&self, key: &K) -> Result<Option<Begin<K, V>>, AdapterError> {
        let mut state = self.shared.state.lock();
        if let Some(lease) = state.lease(key, &self.shared, false) {
            state.stats.hits += 1;
            return Ok(Some(Begin::Resident(lease)));
        }
        match state.slots.get(key) {
            Some(Slot::Loading(sender)) => return Ok(Some(Begin::Wait(sender.subscribe()))),
            Some(Slot::Failed(error, until)) if Instant::now() < *until => return Err(error.clone()),
            Some(Slot::Resident(_)) => return Ok(None),
            Some(Slot::Failed(..)) | None => {}
        }
        let now = Instant::now();
        state.slots.retain(|_, slot| !matches!(slot, Slot::Failed(_, until) if *until <= now));
        let sender = Arc::new(watch::Sender::new(None));
        state.slots.insert(key.clone(), Slot::Loading(Arc::clone(&sender)));
        Ok(Some(Begin::Load(sender)))
    }
}

enum Begin<K: Eq + Hash + Clone, V> {
    Resident(Lease<K, V>),
    Wait(watch::Receiver<Outcome>),
    Load(Arc<watch::Sender<Outcome>>),
}

/// One load from start to published outcome.
async fn run<K, V, Fut>(shared: Arc<Shared<K, V>>, key: K, load: Fut, done: Arc<watch::Sender<Outcome>>)
where
    K: Eq + Hash + Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
    Fut: Future<Output = Result<(V, usize), AdapterError>> + Send + 'static,
{
    let loaded = {
        let _permit = shared.loads.acquire().await;
        // A task of its own, so that a panic in the loader is an error and not a lost slot.
        match tokio::spawn(load).await {
            Ok(result) => result,
            Err(error) => Err(AdapterError::Internal(error.to_string())),
        }
    };
    match admit(&shared, &key, loaded).await {
        Ok(lease) => {
            done.send_replace(Some(Ok(())));
            done.closed().await;
            drop(lease);
        }
        Err(error) => {
            let mut state = shared.state.lock();
            state.stats.failures += 1;
            let until = Instant::now() + shared.config.failure_ttl;
            state.slots.insert(key, Slot::Failed(error.clone(), until));
            drop(state);
            done.send_replace(Some(Err(error)));
        }
    }
}

/// Makes room and inserts.
async fn admit<K, V>(
    shared: &Arc<Shared<K, V>>,
    key: &K,
    loaded: Result<(V, usize), AdapterError>,
) -> Result<Lease<K, V>, AdapterError>
where
    K: Eq + Hash + Clone,
{
    let (value, bytes) = loaded?;
    let memory = shared.state.lock().memory.clone();
    let budget = memory.as_ref().map_or(usize::MAX, Memory::most_adapters).min(shared.config.budget);
    if bytes > budget {
        return Err(AdapterError::Memory { needed: bytes, budget });
    }
    let _turn = shared.room.lock().await;
    let patience = tokio::time::sleep(shared.config.patience);
    let turn = tokio::time::sleep(shared.config.turn);
    tokio::pin!(patience, turn);
    let value = Arc::new(value);
    let mut retires = false;
    let asking = memory.as_ref().map(Asking);
    let elsewhere = Notify::new();
    let elsewhere = memory.as_ref().map_or(&elsewhere, Memory::freed);
    loop {
        // Registered before looking, so that a user who leaves in between is not missed.
        let (freed, given) = (shared.freed.notified(), elsewhere.notified());
        tokio::pin!(freed, given);
        freed.as_mut().enable();
        given.as_mut().enable();
        {
            let mut state = shared.state.lock();
            if state.make_room(bytes, budget) && state.claim(bytes, retires) {
                drop(asking);
                return Ok(state.insert(key, Arc::clone(&value), bytes, shared));
            }
            if retires {
                state.retire(bytes, budget);
            }
        }
        tokio::select! {
            () = freed => {}
            () = given => {}
            () = &mut turn, if !retires => retires = true,
            () = &mut patience => return Err(AdapterError::Busy(shared.config.patience)),
        }
    }
}

impl<K, V> Drop for State<K, V> {
    fn drop(&mut self) {
        if let Some(memory) = &self.memory {
            memory.release_adapter(self.stats.bytes);
        }
    }
}

/// A load that may have asked for pages; it does so no longer when this goes.
struct Asking<'a>(&'a Memory);

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        self.0.want(None);
    }
}

impl<K, V> IdleAdapters for Shared<K, V>
where
    K: Eq + Hash + Clone + Send + Sync,
    V: Send + Sync,
{
    fn oldest(&self) -> Option<u64> {
        self.state.lock().oldest_idle().map(|(used, _)| used)
    }

    fn bytes(&self) -> usize {
        self.state.lock().idle().map(|(_, resident)| resident.bytes).sum()
    }

    fn drop_oldest(&self) -> bool {
        self.state.lock().drop_oldest()
    }
}

impl<K: Eq + Hash + Clone, V> State<K, V> {
    /// The next instant, by the clock that others go by where there is one.
    fn tick(&mut self) -> u64 {
        self.clock = self.memory.as_ref().map_or(self.clock + 1, Memory::tick);
        self.clock
    }

    /// What nobody uses.
    fn idle(&self) -> impl Iterator<Item = (&K, &Resident<V>)> {
        self.slots.iter().filter_map(|(key, slot)| match slot {
            Slot::Resident(resident) if resident.users == 0 && !resident.pinned => Some((key, resident)),
            _ => None,
        })
    }

    fn oldest_idle(&self) -> Option<(u64, K)> {
        self.idle()
            .min_by_key(|(_, resident)| resident.used)
            .map(|(key, resident)| (resident.used, key.clone()))
    }

    fn drop_oldest(&mut self) -> bool {
        let Some((_, key)) = self.oldest_idle() else { return false };
        self.drop_resident(&key);
        self.stats.evictions += 1;
        true
    }

    /// Takes `bytes` of the common memory: what is free, or what was idle longest, here or elsewhere. False when that has to be waited for,
    /// and was asked for.
    fn claim(&mut self, bytes: usize, presses: bool) -> bool {
        let Some(memory) = self.memory.clone() else { return true };
        loop {
            let Err(missing) = memory.claim_adapter(bytes) else { return true };
            let own = self.oldest_idle().map(|(used, _)| used);
            let elsewhere = memory.idle_pages();
            if own.is_some_and(|own| presses || elsewhere.is_none_or(|other| own < other)) {
                self.drop_oldest();
                continue;
            }
            let older = own.unwrap_or(u64::MAX);
            memory.want(Some((Due { bytes: missing, older, presses }, bytes)));
            return false;
        }
    }

    /// A lease on what is in memory; on what is retired only for the one it was loaded for.
    fn lease(&mut self, key: &K, shared: &Arc<Shared<K, V>>, retired: bool) -> Option<Lease<K, V>> {
        let now = self.tick();
        let Some(Slot::Resident(resident)) = self.slots.get_mut(key) else { return None };
        if resident.retired && !retired {
            return None;
        }
        resident.users += 1;
        resident.used = now;
        let value = Arc::clone(&resident.value);
        Some(Lease { key: key.clone(), value, shared: Arc::clone(shared) })
    }

    fn insert(&mut self, key: &K, value: Arc<V>, bytes: usize, shared: &Arc<Shared<K, V>>) -> Lease<K, V> {
        let now = self.tick();
        let resident = Resident {
            value: Arc::clone(&value),
            bytes,
            users: 1,
            pinned: false,
            used: now,
            since: now,
            retired: false,
        };
        self.slots.insert(key.clone(), Slot::Resident(resident));
        self.stats.resident += 1;
        self.stats.bytes += bytes;
        self.stats.loads += 1;
        Lease { key: key.clone(), value, shared: Arc::clone(shared) }
    }

    /// Evicts the least recently used idle values until `bytes` more fit. Evicts nothing when that cannot
    /// be had.
    fn make_room(&mut self, bytes: usize, budget: usize) -> bool {
        let mut idle: Vec<(u64, K, usize)> = Vec::new();
        for (key, slot) in &self.slots {
            if let Slot::Resident(resident) = slot
                && resident.users == 0
                && !resident.pinned
            {
                idle.push((resident.used, key.clone(), resident.bytes));
            }
        }
        let free = budget.saturating_sub(self.stats.bytes);
        if free + idle.iter().map(|(_, _, size)| size).sum::<usize>() < bytes {
            return false;
        }
        idle.sort_unstable_by_key(|(used, ..)| *used);
        for (_, key, _) in idle {
            if self.stats.bytes + bytes <= budget {
                break;
            }
            self.drop_resident(&key);
            self.stats.evictions += 1;
        }
        true
    }

    /// Retires values in use, those that came first, until `bytes` more fit once they are gone. None when that cannot be had.
    fn retire(&mut self, bytes: usize, budget: usize) {
        let mut going = budget.saturating_sub(self.stats.bytes);
        let mut held: Vec<(u64, K, usize)> = Vec::new();
        for (key, slot) in &self.slots {
            let Slot::Resident(resident) = slot else { continue };
            if resident.retired || (resident.users == 0 && !resident.pinned) {
                going += resident.bytes;
            } else if !resident.pinned {
                held.push((resident.since, key.clone(), resident.bytes));
            }
        }
        if going + held.iter().map(|(_, _, size)| size).sum::<usize>() < bytes {
            return;
        }
        held.sort_unstable_by_key(|(since, ..)| *since);
        for (_, key, size) in held {
            if going >= bytes {
                break;
            }
            if let Some(Slot::Resident(resident)) = self.slots.get_mut(&key) {
                resident.retired = true;
                self.stats.retired += 1;
                going += size;
            }
        }
    }

    fn drop_resident(&mut self, key: &K) {
        if let Some(Slot::Resident(resident)) = self.slots.remove(key) {
            self.stats.resident -= 1;
            self.stats.bytes -= resident.bytes;
            if let Some(memory) = &self.memory {
                memory.release_adapter(resident.bytes);
            }
        }
    }
}

impl<K: Eq + Hash + Clone, V> Lease<K, V> {
    /// The shared value. Memory is accounted by leases: keep the lease as long as this.
    pub fn value(&self) -> &Arc<V> {
        &self.value
    }

    /// What it was leased as.
    pub fn key(&self) -> &K {
        &self.key
    }
}

impl<K: Eq + Hash + Clone, V> Deref for Lease<K, V> {
    type Target = V;
    fn deref(&self) -> &V {
        &self.value
    }
}

impl<K: Eq + Hash + Clone + fmt::Debug, V> fmt::Debug for Lease<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Lease").field(&self.key).finish()
    }
}

impl<K: Eq + Hash + Clone, V> Drop for Lease<K, V> {
    fn drop(&mut self) {
        let mut state = self.shared.state.lock();
        if let Some(Slot::Resident(resident)) = state.slots.get_mut(&self.key) {
            resident.users -= 1;
            if resident.users == 0 && resident.retired {
                state.drop_resident(&self.key);
                state.stats.evictions += 1;
            }
        }
        drop(state);
        self.shared.freed.notify_waiters();
    }
}
