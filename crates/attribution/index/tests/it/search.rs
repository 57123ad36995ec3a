use crate::support::{pin, spec};
use proptest::prelude::*;
use tributary_index::Store;

/// The definition: look everywhere.
fn naive(epochs: &[Vec<(u64, u64, Vec<u32>)>], window: &[u32]) -> Option<(u64, u64, u32)> {
    epochs
        .iter()
        .flatten()
        .filter_map(|(contribution, block, tokens)| {
            let offset = tokens.windows(window.len()).position(|found| found == window)?;
            Some((*block, *contribution, offset as u32))
        })
        .min()
}

fn epochs() -> impl Strategy<Value = Vec<Vec<(u64, u64, Vec<u32>)>>> {
    let tokens = proptest::collection::vec(prop_oneof![0u32..4, Just(u32::MAX), Just(49_151)], 1..60);
    let epoch = proptest::collection::vec((0u64..6, tokens), 0..6);
    proptest::collection::vec(epoch, 0..5).prop_map(|epochs| {
        let mut id = 0;
        epochs
            .into_iter()
            .map(|epoch| {
                epoch
                    .into_iter()
                    .map(|(block, tokens)| {
                        id += 1;
                        (id, block, tokens)
                    })
                    .collect()
            })
            .collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn the_place_that_counts_is_found(
        epochs in epochs(),
        windows in proptest::collection::vec(proptest::collection::vec(0u32..5, 1..9), 1..10),
        cuts in proptest::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), 1usize..12), 1..20),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let (spec, texts) = spec(&epochs);
        let pinned = pin(&Store::open(folder.path()).unwrap(), &spec, &texts);
        let all: Vec<&Vec<u32>> = epochs.iter().flatten().map(|document| &document.2).collect();
        let cut = cuts.iter().filter(|_| !all.is_empty()).map(|(document, start, len)| {
            let tokens = all[document.index(all.len())];
            let start = start.index(tokens.len());
            tokens[start..(start + len).min(tokens.len())].to_vec()
        });
        for window in windows.iter().cloned().chain(cut) {
            let got = pinned.find(&window).map(|hit| (hit.found.commit_block, hit.found.contribution, hit.found.offset));
            prop_assert_eq!(got, naive(&epochs, &window), "{:?}", window);
            let count: usize = pinned.segments().iter().map(|segment| segment.count(&window)).sum();
            let want: usize = all.iter().map(|tokens| tokens.windows(window.len()).filter(|found| *found == window).count()).sum();
            prop_assert_eq!(count, want);
        }
    }
}

/// The longest of the ends that stand somewhere, and what stands behind one of its places.
#[test]
fn what_follows_is_what_stands_there() {
    let folder = tempfile::tempdir().unwrap();
    let long: Vec<u32> = (100..140).collect();
    let other = [&long[20..24], &[7, 8, 9]].concat();
    let (spec, texts) = spec(&[vec![(1, 1, long.clone())], vec![(2, 2, other)]]);
    let pinned = pin(&Store::open(folder.path()).unwrap(), &spec, &texts);
    let follow = |context: &[u32], most| {
        let mut next = vec![1];
        let same = pinned.follow(context, most, &mut next);
        (same, next[1..].to_vec())
    };
    assert_eq!(follow(&[&[5, 6], &long[..20]].concat(), 3), (16, vec![120, 121, 122]));
    assert_eq!(follow(&[&[5, 6], &long[10..20]].concat(), 100), (8, long[20..].to_vec()));
    assert_eq!(follow(&[&[5], &long[21..24], &[7]].concat(), 100), (4, vec![8, 9]));
    assert_eq!(follow(&[8, 9], 9), (0, vec![]));
    assert_eq!(follow(&[], 9), (0, vec![]));
    assert_eq!(follow(&[1, 2, 3, 4, 5], 9), (0, vec![]));
    assert_eq!(follow(&long, 9), (16, vec![]));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn what_follows_is_in_a_contribution(epochs in epochs(), context in proptest::collection::vec(0u32..3, 0..20), most in 0usize..9) {
        let folder = tempfile::tempdir().unwrap();
        let (spec, texts) = spec(&epochs);
        let pinned = pin(&Store::open(folder.path()).unwrap(), &spec, &texts);
        let mut next = Vec::new();
        let same = pinned.follow(&context, most, &mut next);
        let stands = |window: &[u32]| window.is_empty() || naive(&epochs, window).is_some();
        prop_assert!(next.len() <= most && (same > 0 || next.is_empty()));
        let tail = &context[context.len() - same..];
        prop_assert!(stands(&[tail, &next].concat()));
        let longest = [4, 8, 16].into_iter().filter(|n| *n <= context.len() && stands(&context[context.len() - n..])).max();
        prop_assert_eq!(same, longest.unwrap_or(0));
    }
}

#[test]
fn no_window_reaches_over_the_end_of_a_contribution() {
    let folder = tempfile::tempdir().unwrap();
    let (spec, texts) = spec(&[vec![(1, 1, vec![1, 2, 3]), (2, 2, vec![4, 5, 6])]]);
    let pinned = pin(&Store::open(folder.path()).unwrap(), &spec, &texts);
    assert!(pinned.find(&[3, 4]).is_none());
    assert!(pinned.find(&[1, 2, 3, 4]).is_none());
    assert!(pinned.find(&[]).is_none());
    assert_eq!(pinned.find(&[4, 5, 6]).unwrap().found.contribution, 2);
}

#[test]
fn a_removed_contribution_is_found_and_marked() {
    let folder = tempfile::tempdir().unwrap();
    let (mut spec, texts) = spec(&[vec![(1, 1, vec![1, 2, 3])], vec![(2, 2, vec![1, 2, 3])]]);
    spec.removed.insert(1);
    let hit = pin(&Store::open(folder.path()).unwrap(), &spec, &texts).find(&[1, 2]).unwrap();
    assert_eq!((hit.found.contribution, hit.removed), (1, true));
}

/// A window that stands in every place must not cost more than a rare one: the search is the same, and the
/// earliest place comes from a table.
#[test]
fn the_commonest_window_is_found_at_its_first_place() {
    let folder = tempfile::tempdir().unwrap();
    let (spec, texts) = spec(&[vec![(1, 5, vec![7; 100_000]), (2, 4, vec![7; 100_000])]]);
    let pinned = pin(&Store::open(folder.path()).unwrap(), &spec, &texts);
    for _ in 0..2_000 {
        let hit = pinned.find(&[7; 64]).unwrap();
        assert_eq!((hit.found.contribution, hit.found.offset), (2, 0));
    }
    assert_eq!(pinned.segments()[0].count(&[7; 64]), 2 * (100_000 - 63));
}
