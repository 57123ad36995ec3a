//! How often a peer may ask: a bucket of requests for each.

use std::{collections::HashMap, time::Instant};

use libp2p::PeerId;

/// The buckets of those who asked. A peer that leaves is forgotten, so there are no more than connections.
#[derive(Debug)]
pub(crate) struct Limiter {
    /// Requests a second; twice as many may come at once.
    rate: f64,
    buckets: HashMap<PeerId, (f64, Instant)>,
}

impl Limiter {
    pub(crate) fn new(rate: u32) -> Self {
        Self { rate: f64::from(rate), buckets: HashMap::new() }
    }

    pub(crate) fn admit(&mut self, peer: PeerId, now: Instant) -> bool {
        let burst = 2.0 * self.rate;
        let (tokens, last) = self.buckets.entry(peer).or_insert((burst, now));
        *tokens = (*tokens + now.saturating_duration_since(*last).as_secs_f64() * self.rate).min(burst);
        *last = now;
        let admitted = *tokens >= 1.0;
        if admitted {
            *tokens -= 1.0;
        }
        admitted
    }

    pub(crate) fn forget(&mut self, peer: &PeerId) {
        self.buckets.remove(peer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_burst_then_a_rate() {
        let (mut limiter, peer, start) = (Limiter::new(32), PeerId::random(), Instant::now());
        let at_once = (0..1_000).filter(|_| limiter.admit(peer, start)).count();
        assert_eq!(at_once, 64);
        let later = start + Duration::from_secs(1);
        let in_a_second = (0..1_000).filter(|_| limiter.admit(peer, later)).count();
        assert_eq!(in_a_second, 32);
        assert!(limiter.admit(PeerId::random(), later), "others are not concerned");
    }
}
