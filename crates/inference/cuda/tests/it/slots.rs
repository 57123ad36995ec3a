//! The arena of adapters: nothing overlaps, nothing in use goes, everything that can fit does.

use proptest::prelude::*;
use std::collections::HashMap;
use tributary_cuda::plan::{Placement, Slots};

fn check(slots: &Slots, users: &HashMap<u64, usize>) {
    let mut held = slots.contents();
    held.sort_unstable_by_key(|(_, offset, ..)| *offset);
    let mut end = 0;
    for (id, offset, bytes, count) in &held {
        assert!(*offset >= end, "adapter {id} overlaps");
        end = offset + bytes;
        assert_eq!(*count, users.get(id).copied().unwrap_or(0), "users of {id}");
    }
    assert!(end <= slots.capacity());
    let missing = users.iter().find(|(id, count)| **count > 0 && slots.offset(**id).is_none());
    assert_eq!(missing, None, "somebody uses what is gone");
}

proptest! {
    #[test]
    fn any_order_of_use(
        capacity in 0u64..20_000,
        operations in prop::collection::vec((any::<bool>(), 0u64..12, 1u64..6_000), 1..200),
    ) {
        let mut slots = Slots::new(capacity);
        let mut users: HashMap<u64, usize> = HashMap::new();
        let mut sizes: HashMap<u64, u64> = HashMap::new();
        for (acquire, id, bytes) in operations {
            if acquire {
                // An adapter keeps its size.
                let bytes = *sizes.entry(id).or_insert(bytes);
                let was = slots.offset(id);
                match slots.acquire(id, bytes) {
                    Placement::Resident(offset) => {
                        prop_assert_eq!(Some(offset), was);
                        *users.entry(id).or_default() += 1;
                    }
                    Placement::Placed { offset, evicted } => {
                        prop_assert!(was.is_none());
                        prop_assert!(offset.is_multiple_of(256) && offset + bytes <= slots.capacity());
                        prop_assert!(evicted.iter().all(|gone| users.get(gone).copied().unwrap_or(0) == 0));
                        prop_assert!(evicted.iter().all(|gone| slots.offset(*gone).is_none()));
                        *users.entry(id).or_default() += 1;
                    }
                    Placement::Full => {
                        // Those in use really leave no gap of that size.
                        let mut used: Vec<_> = slots.contents().into_iter().filter(|held| held.3 > 0).collect();
                        used.sort_unstable_by_key(|held| held.1);
                        let mut start = 0;
                        let ends = used.iter().map(|held| (held.1, held.1 + held.2)).chain([(slots.capacity(), 0)]);
                        for (next, end) in ends {
                            prop_assert!(next - start < bytes.next_multiple_of(256));
                            start = end;
                        }
                    }
                }
            } else if users.get(&id).copied().unwrap_or(0) > 0 {
                slots.release(id);
                *users.entry(id).or_default() -= 1;
            }
            check(&slots, &users);
        }
        // When all are released, everything there is can be had in one piece.
        for (id, count) in users {
            (0..count).for_each(|_| slots.release(id));
        }
        if slots.capacity() > 0 {
            let capacity = slots.capacity();
            let placed = matches!(slots.acquire(1_000, capacity), Placement::Placed { offset: 0, .. });
            prop_assert!(placed);
            prop_assert_eq!(slots.len(), 1);
        }
    }
}
