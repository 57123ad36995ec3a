//! Waiting sequences, shared out between tenants by the tokens each has been served.
//!
//! The virtual token counter of Sheng et al., "Fairness in Serving Large Language Models" (OSDI '24): the
//! tenant served least goes next; one that returns from idleness starts at the least counter among the
//! active, so that idleness is no credit.

use std::collections::{HashMap, VecDeque};

#[derive(Debug)]
pub(crate) struct FairQueue<T> {
    tenants: HashMap<u64, Tenant<T>>,
    waiting: usize,
    /// Where a tenant starts when nobody else is active.
    floor: u64,
}

#[derive(Debug)]
struct Tenant<T> {
    served: u64,
    queue: VecDeque<T>,
    running: usize,
}

impl<T> FairQueue<T> {
    pub(crate) fn new() -> Self {
        Self { tenants: HashMap::new(), waiting: 0, floor: 0 }
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

    /// A new item goes behind its tenant's others.
    pub(crate) fn push(&mut self, tenant: u64, item: T) {
        self.entry(tenant).queue.push_back(item);
        self.waiting += 1;
    }

    /// An item that was running goes before its tenant's others.
    pub(crate) fn put_back(&mut self, tenant: u64, item: T) {
        let entry = self.entry(tenant);
        entry.running = entry.running.saturating_sub(1);
        entry.queue.push_front(item);
        self.waiting += 1;
    }

    fn entry(&mut self, tenant: u64) -> &mut Tenant<T> {
        let served = self.least();
        self.tenants.entry(tenant).or_insert_with(|| Tenant { served, queue: VecDeque::new(), running: 0 })
    }

    /// Whose turn it is.
    fn next(&self) -> Option<u64> {
        self.tenants
            .iter()
            .filter(|(_, tenant)| !tenant.queue.is_empty())
            .min_by_key(|(id, tenant)| (tenant.served, **id))
            .map(|(id, _)| *id)
    }

    /// The item whose turn it is.
    pub(crate) fn peek(&self) -> Option<&T> {
        self.tenants.get(&self.next()?)?.queue.front()
    }

    /// Takes the item whose turn it is; its tenant has one more running.
    pub(crate) fn pop(&mut self) -> Option<T> {
        let tenant = self.tenants.get_mut(&self.next()?)?;
        let item = tenant.queue.pop_front()?;
        tenant.running += 1;
        self.waiting -= 1;
        Some(item)
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

    /// Removes waiting items that match.
    pub(crate) fn take_if(&mut self, mut gone: impl FnMut(&T) -> bool) -> Vec<T> {
        let mut taken = Vec::new();
        for tenant in self.tenants.values_mut() {
            let mut index = 0;
            while index < tenant.queue.len() {
                if gone(&tenant.queue[index]) {
                    taken.extend(tenant.queue.remove(index));
                } else {
                    index += 1;
                }
            }
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
mod tests {
    use super::*;

    #[test]
    fn one_tenant_is_first_come_first_served() {
        let mut queue = FairQueue::new();
        (0..5).for_each(|item| queue.push(1, item));
        let order: Vec<_> = std::iter::from_fn(|| queue.pop()).collect();
        assert_eq!(order, [0, 1, 2, 3, 4]);
        assert!(queue.is_empty());
    }

    #[test]
    fn a_flood_does_not_delay_a_neighbour() {
        let mut queue = FairQueue::new();
        (0..100).for_each(|item| queue.push(1, item));
        let first = queue.pop().unwrap();
        assert_eq!(first, 0);
        queue.charge(1, 50);
        queue.push(2, 1000);
        queue.push(2, 1001);
        // The newcomer starts level with the flood, then they alternate by what they are served.
        let mut order = Vec::new();
        for _ in 0..4 {
            let item = queue.pop().unwrap();
            queue.charge(if item >= 1000 { 2 } else { 1 }, 50);
            order.push(item);
        }
        assert_eq!(order.iter().filter(|item| **item >= 1000).count(), 2);
        assert_eq!(order.iter().position(|item| *item == 1000), Some(1));
    }

    #[test]
    fn idle_tenants_are_forgotten_but_win_no_credit() {
        let mut queue = FairQueue::new();
        queue.push(1, "a");
        queue.push(2, "b");
        queue.pop();
        queue.charge(1, 100);
        queue.pop();
        queue.charge(2, 40);
        queue.finished(2);
        assert_eq!(queue.tenants.len(), 1);
        queue.push(2, "c");
        assert_eq!(queue.tenants[&2].served, 100);
    }

    #[test]
    fn put_back_and_take() {
        let mut queue = FairQueue::new();
        queue.push(1, 1);
        queue.push(1, 2);
        let item = queue.pop().unwrap();
        queue.put_back(1, item);
        assert_eq!(queue.peek(), Some(&1));
        assert_eq!(queue.take_if(|item| *item == 2), [2]);
        assert_eq!((queue.len(), queue.pop()), (1, Some(1)));
    }
}
