//! Waiting sequences: by priority, shared out between tenants by the tokens each has been served.
//!
//! The virtual token counter of Sheng et al., "Fairness in Serving Large Language Models" (OSDI '24): the
//! tenant served least goes next; one that returns from idleness starts at the least counter among the
//! active, so that idleness is no credit.
//!
//! Neither counters nor priorities starve anybody, for one turn in [`AGE_TURN`] is that of whoever has waited longest. Within a tenant's
//! turn a sequence whose adapters run already may pass others, and each of them only [`PASSES`] times: a step reads every adapter
//! in it once, so those of the same adapter are best served together.

use std::collections::{BTreeMap, HashMap};

/// Every so many turns, the oldest item goes.
const AGE_TURN: u64 = 8;
/// How often an item may be passed by later ones of its tenant.
const PASSES: u8 = 4;
/// How far down a tenant's line one that may pass is looked for.
const LOOK: usize = 16;

#[derive(Debug)]
pub(crate) struct FairQueue<T> {
    tenants: HashMap<u64, Tenant<T>>,
    waiting: usize,
    /// Where a tenant starts when nobody else is active.
    floor: u64,
    /// The place of the last item that was put back before all others.
    first: i64,
    turns: u64,
}

#[derive(Debug)]
struct Tenant<T> {
    served: u64,
    queue: BTreeMap<Place, Entry<T>>,
    running: usize,
}

/// Least first: priority, then arrival.
type Place = (i32, i64);

#[derive(Debug)]
struct Entry<T> {
    item: T,
    passed: u8,
}

/// An item whose turn it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Turn {
    tenant: u64,
    place: Place,
}

impl<T> FairQueue<T> {
    pub(crate) fn new() -> Self {
        Self { tenants: HashMap::new(), waiting: 0, floor: 0, first: 0, turns: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.waiting
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting == 0
    }

    fn least(&self) -> u64 {
        self.tenants.values().map(|tenant| tenant.served).min().unwrap_or(self.floor)
    }

    /// An item goes behind its tenant's others of its priority that came before it: those of a lower number. No two items may have the
    /// same.
    pub(crate) fn push(&mut self, tenant: u64, priority: i32, number: u64, item: T) {
        let place = (priority, i64::try_from(number).unwrap_or(i64::MAX));
        self.entry(tenant).queue.insert(place, Entry { item, passed: 0 });
        self.waiting += 1;
    }

    /// An item that was running goes before all others of its priority.
    pub(crate) fn put_back(&mut self, tenant: u64, priority: i32, item: T) {
        self.first -= 1;
        let place = (priority, self.first);
        let entry = self.entry(tenant);
        entry.running = entry.running.saturating_sub(1);
        entry.queue.insert(place, Entry { item, passed: PASSES });
        self.waiting += 1;
    }

    fn entry(&mut self, tenant: u64) -> &mut Tenant<T> {
        let served = self.least();
        self.tenants.entry(tenant).or_insert_with(|| Tenant { served, queue: BTreeMap::new(), running: 0 })
    }

    /// Whose turn it is. The same until it is taken, an item comes, or another is at hand.
    pub(crate) fn next(&self, at_hand: impl Fn(&T) -> bool) -> Option<Turn> {
        if (self.turns + 1).is_multiple_of(AGE_TURN) {
            return self.oldest();
        }
        let heads = self.tenants.iter().filter_map(|(id, tenant)| {
            let (place, entry) = tenant.queue.first_key_value()?;
            Some((place.0, tenant.served, place.1, *id, entry))
        });
        let (priority, _, order, tenant, head) =
            heads.min_by_key(|(priority, served, order, ..)| (*priority, *served, *order))?;
        let place = (priority, order);
        if head.passed >= PASSES || at_hand(&head.item) {
            return Some(Turn { tenant, place });
        }
        let line = self.tenants.get(&tenant)?.queue.iter().take(LOOK);
        let near = line.take_while(|(place, _)| place.0 == priority).find(|(_, entry)| at_hand(&entry.item));
        Some(Turn { tenant, place: near.map_or(place, |(place, _)| *place) })
    }

    fn oldest(&self) -> Option<Turn> {
        let all = self.tenants.iter().flat_map(|(id, tenant)| tenant.queue.keys().map(|place| (*id, *place)));
        let (tenant, place) = all.min_by_key(|(_, place)| place.1)?;
        Some(Turn { tenant, place })
    }

    /// The item whose turn it is.
    pub(crate) fn get_mut(&mut self, turn: &Turn) -> Option<&mut T> {
        Some(&mut self.tenants.get_mut(&turn.tenant)?.queue.get_mut(&turn.place)?.item)
    }

    /// Takes an item; its tenant has one more running, and those before it were passed.
    pub(crate) fn take(&mut self, turn: &Turn) -> Option<T> {
        let tenant = self.tenants.get_mut(&turn.tenant)?;
        let entry = tenant.queue.remove(&turn.place)?;
        for (_, passed) in tenant.queue.range_mut((turn.place.0, i64::MIN)..turn.place) {
            passed.passed = passed.passed.saturating_add(1);
        }
        tenant.running += 1;
        self.waiting -= 1;
        self.turns += 1;
        Some(entry.item)
    }

    /// Counts tokens served.
    pub(crate) fn charge(&mut self, tenant: u64, tokens: u64) {
        if let Some(tenant) = self.tenants.get_mut(&tenant) {
            tenant.served += tokens;
        }
    }

    /// A running item ended.
    pub(crate) fn finished(&mut self, tenant: u64) {
        if let Some(entry) = self.tenants.get_mut(&tenant) {
            entry.running = entry.running.saturating_sub(1);
        }
        self.forget_idle(tenant);
    }

    /// Waiting items, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.tenants.values().flat_map(|tenant| tenant.queue.values()).map(|entry| &entry.item)
    }

    /// Removes waiting items that match.
    pub(crate) fn take_if(&mut self, gone: impl Fn(&T) -> bool) -> Vec<T> {
        let mut taken = Vec::new();
        for tenant in self.tenants.values_mut() {
            taken.extend(
                tenant.queue.extract_if(.., |_, entry| gone(&entry.item)).map(|(_, entry)| entry.item),
            );
        }
        self.waiting -= taken.len();
        let idle: Vec<u64> = self.tenants.keys().copied().collect();
        idle.into_iter().for_each(|tenant| self.forget_idle(tenant));
        taken
    }

    /// An idle tenant leaves no trace, so strangers' keys do not pile up.
    fn forget_idle(&mut self, tenant: u64) {
        let idle = |entry: &Tenant<T>| entry.queue.is_empty() && entry.running == 0;
        if self.tenants.get(&tenant).is_some_and(idle) {
            self.floor = self.floor.max(self.least());
            self.tenants.remove(&tenant);
        }
    }
}

#[cfg(test)]
#[path = "queue_tests.rs"]
mod tests;
