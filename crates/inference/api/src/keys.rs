//! API keys: who is let in, and how much each may ask.

mod bucket;
mod tally;

pub(crate) use tally::{Shortage, Tally};

use alloy_primitives::{B256, keccak256};
use bucket::Bucket;
use parking_lot::Mutex;
use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

/// What a line may say of a key.
const FIELDS: &str = "after the key come name=, rpm=, tpm= and priority=";

/// A key that is let in. Only its hash is kept.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey {
    hash: B256,
    /// What logs and metrics call it.
    pub name: Option<String>,
    /// Requests a minute.
    pub requests_per_minute: Option<u32>,
    /// Tokens a minute, of prompts and answers.
    pub tokens_per_minute: Option<u32>,
    /// Who goes first, the least; 0 for most.
    pub priority: i32,
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiKey").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Why a line of a key file is none. Nothing of the line is repeated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct KeyError {
    /// Counted from 1.
    pub line: usize,
    /// What is wrong.
    pub reason: &'static str,
}

impl ApiKey {
    /// A key without limits.
    pub fn new(key: &str) -> Self {
        Self {
            hash: keccak256(key),
            name: None,
            requests_per_minute: None,
            tokens_per_minute: None,
            priority: 0,
        }
    }

    /// Whether it is this one. Hashes are compared, so time tells nothing of the key.
    pub fn is(&self, key: &str) -> bool {
        self.hash == keccak256(key)
    }

    /// A key file: `KEY [name=NAME] [rpm=N] [tpm=N] [priority=N]` a line, `#` before remarks.
    pub fn parse_file(text: &str) -> Result<Vec<Self>, KeyError> {
        let mut keys: Vec<Self> = Vec::new();
        for (line, content) in text.lines().enumerate() {
            let content = content.trim();
            if content.is_empty() || content.starts_with('#') {
                continue;
            }
            let key = Self::parse(content).map_err(|reason| KeyError { line: line + 1, reason })?;
            if keys.iter().any(|known| known.hash == key.hash) {
                return Err(KeyError { line: line + 1, reason: "this key was named before" });
            }
            keys.push(key);
        }
        Ok(keys)
    }

    fn parse(line: &str) -> Result<Self, &'static str> {
        let mut words = line.split_whitespace();
        let mut key = Self::new(words.next().ok_or("no key")?);
        for word in words {
            let (field, value) = word.split_once('=').ok_or(FIELDS)?;
            let number = || value.parse().ok().filter(|n| *n > 0).ok_or("a limit is a number above 0");
            match field {
                "name" => key.name = Some(value.to_owned()),
                "rpm" => key.requests_per_minute = Some(number()?),
                "tpm" => key.tokens_per_minute = Some(number()?),
                "priority" => key.priority = value.parse().map_err(|_| "a priority is a whole number")?,
                _ => return Err(FIELDS),
            }
        }
        Ok(key)
    }
}

impl From<&str> for ApiKey {
    fn from(key: &str) -> Self {
        Self::new(key)
    }
}

/// Every key, with what is left of its minute.
#[derive(Debug)]
pub(crate) struct KeyRing(Vec<Arc<KeyUse>>);

/// A key in use.
#[derive(Debug)]
pub(crate) struct KeyUse {
    key: ApiKey,
    requests: Option<Mutex<Bucket>>,
    tokens: Option<Mutex<Bucket>>,
}

impl KeyRing {
    pub(crate) fn new(keys: &[ApiKey]) -> Self {
        let now = Instant::now();
        let bucket = |limit: Option<u32>| limit.map(|limit| Mutex::new(Bucket::new(limit, now)));
        let used = |key: &ApiKey| {
            let (requests, tokens) = (bucket(key.requests_per_minute), bucket(key.tokens_per_minute));
            Arc::new(KeyUse { key: key.clone(), requests, tokens })
        };
        Self(keys.iter().map(used).collect())
    }

    /// Whether anybody is let in.
    pub(crate) const fn is_open(&self) -> bool {
        self.0.is_empty()
    }

    /// The key of this text. All are looked at, so time tells nothing of which it is.
    pub(crate) fn find(&self, text: &str) -> Option<Arc<KeyUse>> {
        self.0.iter().fold(None, |found, one| if one.key.is(text) { Some(Arc::clone(one)) } else { found })
    }
}

impl KeyUse {
    /// Takes a request; when to come back where there is none left.
    pub(crate) fn request(&self) -> Result<(), Duration> {
        match &self.requests {
            Some(requests) => requests.lock().take(1.0, Instant::now()),
            None => Ok(()),
        }
    }

    pub(crate) const fn priority(&self) -> i32 {
        self.key.priority
    }

    /// Tokens of answer for a request that does not say how many it wants: half of what is left beside its prompts, so that others find
    /// something, too, but no less than an eighth of a minute's, for which it waits. None without a limit.
    pub(crate) fn share(&self, prompts: u64) -> Option<u64> {
        let limit = u64::from(self.key.tokens_per_minute?);
        let left = self.tokens.as_ref()?.lock().level(Instant::now()) as u64;
        let least = limit / 8;
        Some((left.saturating_sub(prompts) / 2).max(least).min(limit.saturating_sub(prompts)))
    }

    fn take_tokens(&self, count: u64) -> Result<(), Shortage> {
        let (Some(tokens), Some(limit)) = (&self.tokens, self.key.tokens_per_minute) else { return Ok(()) };
        if count > u64::from(limit) {
            return Err(Shortage::Ever(limit));
        }
        tokens.lock().take(count as f64, Instant::now()).map_err(Shortage::Now)
    }

    fn put_back_tokens(&self, count: f64) {
        if let Some(tokens) = &self.tokens {
            tokens.lock().put_back(count, Instant::now());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_file_says_who_and_how_much() {
        let text = "# remark\n\nfirst\nsecond name=ann rpm=60 tpm=1000 priority=-3\n third rpm=1 ";
        let keys = ApiKey::parse_file(text).unwrap();
        assert_eq!(keys.len(), 3);
        assert!(keys[0].is("first") && !keys[0].is("first ") && keys[0].requests_per_minute.is_none());
        assert_eq!((keys[1].name.as_deref(), keys[1].priority), (Some("ann"), -3));
        assert_eq!((keys[1].requests_per_minute, keys[1].tokens_per_minute), (Some(60), Some(1000)));
        for (bad, line) in
            [("a\na", 2), ("a rpm", 1), ("a rpm=0", 1), ("a tpm=x", 1), ("a priority=x", 1), ("\na rps=1", 2)]
        {
            let error = ApiKey::parse_file(bad).unwrap_err();
            assert_eq!(error.line, line, "{bad}");
        }
        assert!(!format!("{:?}", keys[1]).contains("second"));
    }

    #[test]
    fn a_key_ring_finds_its_keys() {
        let ring = KeyRing::new(&ApiKey::parse_file("a rpm=1\nb").unwrap());
        assert!(!ring.is_open() && ring.find("c").is_none() && ring.find("b").is_some());
        let key = ring.find("a").unwrap();
        key.request().unwrap();
        assert!(key.request().unwrap_err() > Duration::from_secs(50));
    }
}
