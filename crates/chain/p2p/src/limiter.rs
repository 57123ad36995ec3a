//! How often a peer may ask: a bucket of requests for each.

use std::{collections::HashMap, time::Instant};

use libp2p::PeerId;

/// Requests that may come at once.
const BURST: f64 = 64.0;
/// Requests a second after that.
const RATE: f64 = 32.0;

/// The buckets of those who asked. A peer that leaves is forgotten, so there are no more than connections.
#[derive(Debug, Default)]
pub(crate) struct Limiter(HashMap<PeerId, (f64, Instant)>);

impl Limiter {
    pub(crate) fn admit(&mut self, peer: PeerId, now: Instant) -> bool {
        let (tokens, last) = self.0.entry(peer).or_insert((BURST, now));
        *tokens = (*tokens + now.saturating_duration_since(*last).as_secs_f64() * RATE).min(BURST);
        *last = now;
        let admitted = *tokens >= 1.0;
        if admitted {
            *tokens -= 1.0;
        }
        admitted
    }

    pub(crate) fn forget(&mut self, peer: &PeerId) {
        self.0.remove(peer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_burst_then_a_rate() {
        let (mut limiter, peer, start) = (Limiter::default(), PeerId::random(), Instant::now());
        let at_once = (0..1_000).filter(|_| limiter.admit(peer, start)).count();
        assert_eq!(at_once, BURST as usize);
        let later = start + Duration::from_secs(1);
        let in_a_second = (0..1_000).filter(|_| limiter.admit(peer, later)).count();
        assert_eq!(in_a_second, RATE as usize);
        assert!(limiter.admit(PeerId::random(), later), "others are not concerned");
    }
}
