//! Tokens that are set aside before they are computed, and given back where they were not.

use super::KeyUse;
use std::{sync::Arc, time::Duration};

/// Why a key has not so many tokens for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shortage {
    /// Not now: they are used up, or set aside for requests under way.
    Now(Duration),
    /// Never: a minute has no more than this.
    Ever(u32),
}

/// Tokens that a key sets aside for a request or an answer of it, and how many of them were used. However it ends, the others are given
/// back then; also those of an answer that nobody waited for count as used.
#[derive(Debug)]
pub(crate) struct Tally {
    key: Option<Arc<KeyUse>>,
    reserved: u64,
    used: u64,
}

impl Tally {
    /// Sets tokens aside; nothing without a key.
    pub(crate) fn reserve(key: Option<&Arc<KeyUse>>, tokens: u64) -> Result<Self, Shortage> {
        if let Some(key) = key {
            key.take_tokens(tokens)?;
        }
        Ok(Self { key: key.cloned(), reserved: tokens, used: 0 })
    }

    /// A part of them for an answer of its own.
    pub(crate) fn part(&mut self, tokens: u64) -> Self {
        let reserved = tokens.min(self.reserved);
        self.reserved -= reserved;
        Self { key: self.key.clone(), reserved, used: 0 }
    }

    /// So many were computed.
    pub(crate) const fn count(&mut self, tokens: u64) {
        self.used += tokens;
    }
}

impl Drop for Tally {
    fn drop(&mut self) {
        if let Some(key) = &self.key {
            key.put_back_tokens(self.reserved as f64 - self.used as f64);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::{ApiKey, KeyRing};

    fn key(line: &str) -> Arc<KeyUse> {
        KeyRing::new(&ApiKey::parse_file(line).unwrap()).find("a").unwrap()
    }

    /// Once a request was let in as long as anything was left of the minute, and counted when it was over.
    #[test]
    fn what_is_in_flight_is_bounded_too() {
        let key = key("a tpm=100");
        let mut first = Tally::reserve(Some(&key), 60).unwrap();
        let Err(Shortage::Now(wait)) = Tally::reserve(Some(&key), 60) else { panic!("there are 40 left") };
        assert!(wait > Duration::from_secs(5) && wait <= Duration::from_secs(12), "{wait:?}");
        first.count(20);
        drop(first);
        assert!(Tally::reserve(Some(&key), 95).is_err());
        drop(Tally::reserve(Some(&key), 80).unwrap());
        assert_eq!(Tally::reserve(Some(&key), 101).unwrap_err(), Shortage::Ever(100));
    }

    #[test]
    fn answers_have_parts_of_what_is_reserved() {
        let key = key("a tpm=100");
        let mut whole = Tally::reserve(Some(&key), 90).unwrap();
        let (mut one, other) = (whole.part(40), whole.part(40));
        one.count(40);
        drop((whole, other));
        drop(Tally::reserve(Some(&key), 60).unwrap());
        drop(one);
        drop(Tally::reserve(Some(&key), 60).unwrap());
        assert!(Tally::reserve(Some(&key), 80).is_err());
    }

    #[test]
    fn a_panic_gives_back_as_well() {
        let key = key("a tpm=100");
        let theirs = Arc::clone(&key);
        let panicked = std::thread::spawn(move || {
            let _held = Tally::reserve(Some(&theirs), 100).unwrap();
            std::panic::resume_unwind(Box::new("on purpose"));
        });
        assert!(panicked.join().is_err());
        drop(Tally::reserve(Some(&key), 100).unwrap());
    }

    #[test]
    fn without_a_limit_nothing_is_set_aside() {
        drop(Tally::reserve(None, u64::MAX).unwrap());
        let free = key("a rpm=5");
        let _held = Tally::reserve(Some(&free), u64::MAX).unwrap();
        drop(Tally::reserve(Some(&free), u64::MAX).unwrap());
    }
}
