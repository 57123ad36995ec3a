//! Which engine a request goes to: where its beginning or its adapters are, else where there is least to do.

use alloy_primitives::B256;
use std::collections::HashMap;

/// Places remembered; then those not asked for since as many others came are forgotten.
const MOST: usize = 1 << 16;

/// Why a request goes where it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// The longest part of its prompt that anybody computed was computed there.
    Prefix,
    /// Its adapters were there last.
    Adapters,
    /// There is least to do.
    Load,
}

impl Why {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Prefix => "prefix",
            Self::Adapters => "adapters",
            Self::Load => "load",
        }
    }
}

/// Where pages of prompts, and adapters, were sent last. A guess: they may be gone from there.
#[derive(Debug, Default)]
pub(super) struct Homes {
    young: HashMap<B256, usize>,
    old: HashMap<B256, usize>,
}

impl Homes {
    fn get(&self, key: &B256) -> Option<usize> {
        self.young.get(key).or_else(|| self.old.get(key)).copied()
    }

    fn note(&mut self, key: B256, home: usize) {
        self.young.insert(key, home);
        if self.young.len() > MOST {
            self.old = std::mem::take(&mut self.young);
        }
    }

    /// Chooses for a request with these pages, by what they are known by, and adapters. `loads` are requests by engine, none where an
    /// engine takes none; what is at hand counts where there are at most `slack` more of them than with the least. None if none takes any.
    pub(super) fn place(
        &mut self,
        pages: &[B256],
        adapters: &[B256],
        loads: &[Option<usize>],
        slack: usize,
    ) -> Option<(usize, Why)> {
        let least = loads.iter().copied().flatten().min()?;
        let near = |home: &usize| {
            loads.get(*home).copied().flatten().is_some_and(|load| load <= least.saturating_add(slack))
        };
        let by_prefix = pages.iter().rev().find_map(|page| self.get(page)).filter(near);
        let by_adapters = || adapters.iter().find_map(|adapter| self.get(adapter).filter(near));
        let by_load = || loads.iter().position(|load| *load == Some(least));
        let placed = by_prefix.map(|home| (home, Why::Prefix));
        let placed = placed.or_else(|| by_adapters().map(|home| (home, Why::Adapters)));
        let (home, why) = placed.or_else(|| by_load().map(|home| (home, Why::Load)))?;
        for key in pages.iter().chain(adapters) {
            self.note(*key, home);
        }
        Some((home, why))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(numbers: &[u8]) -> Vec<B256> {
        numbers.iter().map(|number| B256::repeat_byte(*number)).collect()
    }

    #[test]
    fn beginnings_then_adapters_then_load() {
        let mut homes = Homes::default();
        let mut place = |pages: &[u8], adapters: &[u8], loads: [Option<usize>; 3]| {
            homes.place(&keys(pages), &keys(adapters), &loads, 2)
        };
        assert_eq!(place(&[1, 2], &[100], [Some(3), Some(0), Some(1)]), Some((1, Why::Load)));
        assert_eq!(place(&[1, 2, 3], &[], [Some(0), Some(2), Some(0)]), Some((1, Why::Prefix)));
        assert_eq!(place(&[9], &[101, 100], [Some(0), Some(2), Some(0)]), Some((1, Why::Adapters)));
        // Too much to do there: the least loaded, where the beginning is from now on.
        assert_eq!(place(&[1, 2, 3], &[100], [Some(1), Some(3), Some(0)]), Some((2, Why::Load)));
        assert_eq!(place(&[1, 2, 3, 4], &[], [Some(0), Some(0), Some(0)]), Some((2, Why::Prefix)));
        // Gone: somebody else.
        assert_eq!(place(&[1, 2, 3], &[], [Some(5), Some(4), None]), Some((1, Why::Load)));
        assert_eq!(place(&[1], &[], [None; 3]), None);
    }

    #[test]
    fn what_nobody_asks_for_is_forgotten() {
        let mut homes = Homes::default();
        let key = |number: usize| B256::left_padding_from(&number.to_be_bytes());
        for number in 0..5 * MOST {
            homes.place(&[key(number)], &[], &[Some(0)], 0);
            assert!(homes.young.len() + homes.old.len() <= 2 * MOST + 1);
        }
        assert_eq!((homes.get(&key(0)), homes.get(&key(5 * MOST - 1))), (None, Some(0)));
    }
}
