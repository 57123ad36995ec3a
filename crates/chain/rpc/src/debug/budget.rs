//! What one request for traces may hold and how long it may run: a caller chooses both the code and what is recorded of it.

use super::duration::parse_duration;
use crate::RpcError;
use std::time::{Duration, Instant};

/// How long a transaction may be traced when the request does not say, as in geth.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);
/// The longest a request may ask for, and the longest that all transactions of a block may take together.
const MAX_TIMEOUT: Duration = Duration::from_secs(60);
/// Steps between two looks at the clock.
const CLOCK_STEPS: u32 = 256;
/// Call trees are put together by inserting each call before its later siblings; this many moves take some seconds.
const MAX_MOVES: u64 = 1 << 27;

/// What was too much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Excess {
    Bytes,
    Calls,
    Time,
}

/// Bytes and time of one request.
#[derive(Debug)]
pub(crate) struct Budget {
    limit: usize,
    used: usize,
    moves: u64,
    timeout: Duration,
    deadline: Instant,
    /// Nothing of the request runs after this.
    end: Instant,
    unclocked: u32,
    excess: Option<Excess>,
}

impl Budget {
    /// `timeout` is geth's option: a Go duration.
    pub(crate) fn new(limit: usize, timeout: Option<&str>) -> Result<Self, RpcError> {
        let timeout = match timeout {
            Some(text) => parse_duration(text)
                .ok_or_else(|| RpcError::InvalidParams(format!("timeout: invalid duration {text:?}")))?,
            None => DEFAULT_TIMEOUT,
        };
        let timeout = timeout.min(MAX_TIMEOUT);
        let now = Instant::now();
        let (deadline, end) = (now + timeout, now + MAX_TIMEOUT);
        Ok(Self { limit, used: 0, moves: 0, timeout, deadline, end, unclocked: 0, excess: None })
    }

    /// The next transaction begins: it has its own time, but not its own bytes.
    pub(crate) fn begin(&mut self) {
        self.deadline = (Instant::now() + self.timeout).min(self.end);
        self.unclocked = 0;
    }

    /// Whether the request is over.
    pub(crate) const fn is_over(&self) -> bool {
        self.excess.is_some()
    }

    /// Counts bytes that are about to be held.
    pub(crate) const fn charge(&mut self, bytes: usize) {
        self.used = self.used.saturating_add(bytes);
        if self.used > self.limit && self.excess.is_none() {
            self.excess = Some(Excess::Bytes);
        }
    }

    /// Counts a call that has `siblings` before it.
    pub(crate) fn charge_call(&mut self, siblings: u64) {
        self.moves = self.moves.saturating_add(siblings);
        if self.moves > MAX_MOVES && self.excess.is_none() {
            self.excess = Some(Excess::Calls);
        }
    }

    /// Looks at the clock now and then.
    pub(crate) fn tick(&mut self) {
        self.unclocked += 1;
        if self.unclocked >= CLOCK_STEPS {
            self.look_at_clock();
        }
    }

    /// Looks at the clock.
    pub(crate) fn look_at_clock(&mut self) {
        self.unclocked = 0;
        if self.excess.is_none() && Instant::now() >= self.deadline {
            self.excess = Some(Excess::Time);
        }
    }

    /// Why there is no trace, if there is none.
    pub(crate) fn check(&self) -> Result<(), RpcError> {
        match self.excess {
            None => Ok(()),
            Some(Excess::Time) => Err(RpcError::TraceTimeout),
            Some(Excess::Bytes) => Err(RpcError::LimitExceeded(format!(
                "trace exceeds {} MiB; record less (limit, disableStack, disableStorage, no enableMemory), or use a call tracer",
                self.limit >> 20
            ))),
            Some(Excess::Calls) => {
                Err(RpcError::LimitExceeded("trace has too many calls side by side".to_owned()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_shared_by_all_transactions() {
        let mut budget = Budget::new(3 << 20, None).unwrap();
        budget.charge(2 << 20);
        budget.begin();
        assert!(budget.check().is_ok());
        budget.charge(2 << 20);
        let error = budget.check().unwrap_err().to_string();
        assert!(budget.is_over() && error.starts_with("trace exceeds 3 MiB;"), "{error}");
    }

    #[test]
    fn time_is_what_was_asked_for_and_never_more_than_a_minute() {
        let mut budget = Budget::new(0, Some("0s")).unwrap();
        budget.look_at_clock();
        assert_eq!(budget.check().unwrap_err().to_string(), "execution timeout");
        assert_eq!(Budget::new(0, Some("1h")).unwrap().timeout, MAX_TIMEOUT);
        assert_eq!(Budget::new(0, None).unwrap().timeout, DEFAULT_TIMEOUT);
        assert!(matches!(Budget::new(0, Some("soon")), Err(RpcError::InvalidParams(_))));
    }

    #[test]
    fn a_tree_too_wide_to_be_put_together_is_refused() {
        let mut budget = Budget::new(usize::MAX, None).unwrap();
        (0..=(1 << 14)).for_each(|sibling| budget.charge_call(sibling));
        assert!(budget.is_over());
    }
}
