use super::*;
use proptest::prelude::*;
use std::collections::HashSet;

/// Numbers items as they come.
fn push<T>(queue: &mut FairQueue<T>, tenant: u64, priority: i32, item: T) {
    let places = queue.tenants.values().flat_map(|tenant| tenant.queue.keys());
    let last = places.map(|place| place.1).max().unwrap_or(0).max(0);
    queue.push(tenant, priority, last as u64 + 1, item);
}

fn pop<T>(queue: &mut FairQueue<T>) -> Option<T> {
    let turn = queue.next(|_| true)?;
    queue.take(&turn)
}

#[test]
fn one_tenant_is_first_come_first_served() {
    let mut queue = FairQueue::new();
    (0..20).for_each(|item| push(&mut queue, 1, 0, item));
    let order: Vec<_> = std::iter::from_fn(|| pop(&mut queue)).collect();
    assert!(order.is_sorted() && order.len() == 20);
    assert!(queue.is_empty());
}

#[test]
fn a_flood_does_not_delay_a_neighbour() {
    let mut queue = FairQueue::new();
    (0..100).for_each(|item| push(&mut queue, 1, 0, item));
    let first = pop(&mut queue).unwrap();
    assert_eq!(first, 0);
    queue.charge(1, 50);
    push(&mut queue, 2, 0, 1000);
    push(&mut queue, 2, 0, 1001);
    // The newcomer starts level with the flood, then they alternate by what they are served.
    let mut order = Vec::new();
    for _ in 0..4 {
        let item = pop(&mut queue).unwrap();
        queue.charge(if item >= 1000 { 2 } else { 1 }, 50);
        order.push(item);
    }
    assert_eq!(order.iter().filter(|item| **item >= 1000).count(), 2);
    assert_eq!(order.iter().position(|item| *item == 1000), Some(1));
}

#[test]
fn priorities_go_first_and_starve_nobody() {
    let mut queue = FairQueue::new();
    push(&mut queue, 1, 5, 0);
    (1..100).for_each(|item| push(&mut queue, 2, -1, item));
    let order: Vec<_> = std::iter::from_fn(|| pop(&mut queue)).collect();
    let at = order.iter().position(|item| *item == 0).unwrap() as u64;
    assert_eq!(at, AGE_TURN - 1);
    assert_eq!(order[..7], [1, 2, 3, 4, 5, 6, 7]);
}

/// A stream of new tenants, each level with the least served, would keep one that was served more from its turn for ever.
#[test]
fn newcomers_do_not_starve_a_tenant() {
    let mut queue = FairQueue::new();
    push(&mut queue, 1, 0, 1);
    pop(&mut queue);
    queue.charge(1, 1000);
    push(&mut queue, 7, 0, 7);
    push(&mut queue, 1, 0, 1);
    let mut turns = 0;
    for tenant in 100..200 {
        push(&mut queue, tenant, 0, tenant);
        turns += 1;
        if pop(&mut queue) == Some(1) {
            break;
        }
    }
    assert!(turns <= 2 * AGE_TURN, "{turns}");
}

#[test]
fn those_at_hand_pass_a_few_times() {
    let mut queue = FairQueue::new();
    push(&mut queue, 1, 0, 0);
    (1..20).for_each(|item| push(&mut queue, 1, 0, item));
    let mut order = Vec::new();
    while let Some(turn) = queue.next(|item| *item >= 10) {
        order.push(queue.take(&turn).unwrap());
    }
    let at = order.iter().position(|item| *item == 0).unwrap();
    assert_eq!((at, &order[..4]), (usize::from(PASSES), &[10, 11, 12, 13][..]));
    assert_eq!(order.iter().collect::<HashSet<_>>().len(), 20);
}

#[test]
fn idle_tenants_are_forgotten_but_win_no_credit() {
    let mut queue = FairQueue::new();
    push(&mut queue, 1, 0, "a");
    push(&mut queue, 2, 0, "b");
    pop(&mut queue);
    queue.charge(1, 100);
    pop(&mut queue);
    queue.charge(2, 40);
    queue.finished(2);
    assert_eq!(queue.tenants.len(), 1);
    push(&mut queue, 2, 0, "c");
    assert_eq!(queue.tenants[&2].served, 100);
}

/// What is given on by another queue was asked for before what came here since: it is first, and the turn of age is its own.
#[test]
fn one_that_moves_keeps_its_place() {
    let mut queue = FairQueue::new();
    (10..40).for_each(|number| queue.push(1, 0, number, number));
    queue.push(1, 0, 5, 5);
    assert_eq!(pop(&mut queue), Some(5));
    queue.push(1, 7, 6, 6);
    let order: Vec<_> = std::iter::from_fn(|| pop(&mut queue)).take(AGE_TURN as usize).collect();
    assert!(order.contains(&6), "{order:?}");
}

#[test]
fn put_back_and_take() {
    let mut queue = FairQueue::new();
    push(&mut queue, 1, 0, 1);
    push(&mut queue, 1, 0, 2);
    let item = pop(&mut queue).unwrap();
    queue.put_back(1, 0, item);
    let turn = queue.next(|_| false).unwrap();
    assert_eq!(queue.get_mut(&turn), Some(&mut 1));
    assert_eq!(queue.take_if(|item| *item == 2), [2]);
    assert_eq!((queue.len(), pop(&mut queue)), (1, Some(1)));
}

proptest! {
    /// Whatever comes and goes, every item is taken once, and none is overtaken for ever.
    #[test]
    fn every_item_gets_its_turn(
        items in prop::collection::vec((0u64..4, -2i32..3, any::<bool>(), 0u64..100), 1..80),
        extra in 0usize..3,
    ) {
        let mut queue = FairQueue::new();
        let mut out = Vec::new();
        let mut arrived = Vec::new();
        let mut serve = |queue: &mut FairQueue<usize>| {
            if let Some(turn) = queue.next(|item| items[*item].2) {
                let item = queue.take(&turn).unwrap();
                queue.charge(items[item].0, items[item].3);
                queue.finished(items[item].0);
                out.push(item);
            }
        };
        for (item, (tenant, priority, ..)) in items.iter().enumerate() {
            push(&mut queue, *tenant, *priority, item);
            arrived.push(item);
            (0..extra).for_each(|_| serve(&mut queue));
        }
        while !queue.is_empty() {
            serve(&mut queue);
        }
        prop_assert_eq!(queue.tenants.len(), 0);
        for item in arrived {
            let at = out.iter().position(|other| *other == item).unwrap();
            // With n before it, its turn by age comes within n + 1 of those turns.
            prop_assert!(at <= (item + 1) * AGE_TURN as usize + items.len() * usize::from(extra == 0));
        }
        out.sort_unstable();
        prop_assert!(out.iter().copied().eq(0..items.len()));
    }
}
