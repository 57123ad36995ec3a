//! What is left of a minute's worth.

use std::time::{Duration, Instant};

/// Fills up steadily to a minute's worth.
#[derive(Debug)]
pub(super) struct Bucket {
    limit: f64,
    level: f64,
    at: Instant,
}

impl Bucket {
    pub(super) fn new(limit: u32, now: Instant) -> Self {
        Self { limit: f64::from(limit), level: f64::from(limit), at: now }
    }

    fn fill(&mut self, now: Instant) {
        let gained = now.saturating_duration_since(self.at).as_secs_f64() * self.limit / 60.0;
        self.level = (self.level + gained).min(self.limit);
        self.at = now;
    }

    /// Takes so much; when there will be as much where there is not.
    pub(super) fn take(&mut self, amount: f64, now: Instant) -> Result<(), Duration> {
        self.fill(now);
        let missing = amount - self.level;
        if missing > 0.0 {
            return Err(Duration::from_secs_f64(missing * 60.0 / self.limit));
        }
        self.level -= amount;
        Ok(())
    }

    /// What there is.
    pub(super) fn level(&mut self, now: Instant) -> f64 {
        self.fill(now);
        self.level
    }

    /// Puts back what was taken and not used; a negative amount takes what was used beyond it.
    pub(super) fn put_back(&mut self, amount: f64, now: Instant) {
        self.fill(now);
        self.level = (self.level + amount).min(self.limit);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_fills_steadily() {
        let start = Instant::now();
        let later = |seconds| start + Duration::from_secs(seconds);
        let mut bucket = Bucket::new(2, start);
        assert_eq!((bucket.take(1.0, start), bucket.take(1.0, start)), (Ok(()), Ok(())));
        assert_eq!(bucket.take(1.0, start), Err(Duration::from_secs(30)));
        assert_eq!(bucket.take(1.0, later(15)), Err(Duration::from_secs(15)));
        assert_eq!(bucket.take(1.0, later(30)), Ok(()));
        // An hour later it holds no more than a minute's worth.
        bucket.put_back(-4.0, later(3600));
        assert_eq!(bucket.take(1.0, later(3600)), Err(Duration::from_secs(90)));
        bucket.put_back(100.0, later(3600));
        assert_eq!(bucket.take(3.0, later(3600)), Err(Duration::from_secs(30)));
    }
}
