//! What a wallet knows of a channel without believing anybody: what it signed, and what was proved to be used.
//!
//! ```text
//! base ── settled on chain when the channel was first used here, what the user accepted, old requests without receipt
//!   + receipts ── fees that the agent signed for
//!   + open ────── caps of requests without a receipt: in flight, or lost on the way
//!   = bound ───── all that the agent may say was spent; the next voucher is a cap of at most this and its own request
//! ```

use alloy_primitives::B256;
use serde::{Deserialize, Serialize};

/// After this many seconds no agent works on a request any more.
const OLD: u64 = 3600;
/// Requests without a receipt that are kept.
const MAX_OPEN: usize = 1024;

/// The books of one channel.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Books {
    #[serde(with = "wei")]
    base: u128,
    /// Fees of verified receipts.
    #[serde(with = "wei")]
    receipts: u128,
    /// All that open caps ever held and did not need. Only grows.
    #[serde(with = "wei")]
    released: u128,
    /// The highest cap ever signed: what the agent can take from the channel at the very most.
    #[serde(with = "wei")]
    highest: u128,
    open: Vec<Open>,
    /// How the agent was caught.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    fault: Option<String>,
}

/// A request under a voucher that has no receipt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Open {
    request: B256,
    #[serde(with = "wei")]
    max_fee: u128,
    /// When it was signed, Unix seconds.
    signed: u64,
    /// Nobody waits for its answer any more.
    lost: bool,
}

/// How the books stood at a moment: an answer that the agent gave later is judged by what has moved since.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark {
    used: u128,
    released: u128,
}

impl Mark {
    /// Without an open cap, which is about to be released.
    pub(super) const fn without(&mut self, max_fee: u128) {
        self.released = self.released.saturating_add(max_fee);
    }
}

/// What an agent says of a channel, and how the books stood when it was asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Claim {
    /// Settled, spent, and reserved for requests in flight.
    pub(super) taken: u128,
    pub(super) since: Mark,
}

/// A channel as the chain has it.
#[derive(Clone, Copy, Debug)]
pub(super) struct OnChain {
    pub(super) deposited: u128,
    pub(super) settled: u128,
}

/// Why no voucher is signed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refused {
    /// The agent says that more was spent than can be. `others`: requests in flight might be counted twice for a moment.
    #[error("the agent says that {claimed} wei were spent, of which {known} are accounted for")]
    Excess { claimed: u128, known: u128, others: bool },
    /// The deposit does not hold it.
    #[error("{needed} wei are needed in all")]
    Deposit { needed: u128 },
    /// The agent was caught before.
    #[error("{0}")]
    Fault(String),
    /// Too many answers came without a receipt.
    #[error("{MAX_OPEN} requests of this channel have no receipt yet")]
    Crowded,
}

impl Books {
    /// The books of a channel that is used here for the first time.
    pub(super) fn new(settled: u128) -> Self {
        Self { base: settled, highest: settled, ..Self::default() }
    }

    /// Proved to be used.
    pub(super) const fn used(&self) -> u128 {
        self.base.saturating_add(self.receipts)
    }

    /// The highest cap ever signed.
    pub(super) const fn highest(&self) -> u128 {
        self.highest
    }

    /// Caps of requests without a receipt.
    pub(super) fn outstanding(&self) -> u128 {
        self.open.iter().fold(0, |sum: u128, open| sum.saturating_add(open.max_fee))
    }

    fn in_flight(&self, now: u64) -> u128 {
        let waited_for = |open: &&Open| !open.lost && now.saturating_sub(open.signed) <= OLD;
        self.open.iter().filter(waited_for).fold(0, |sum: u128, open| sum.saturating_add(open.max_fee))
    }

    fn bound(&self) -> u128 {
        self.used().saturating_add(self.outstanding())
    }

    pub(super) const fn mark(&self) -> Mark {
        Mark { used: self.used(), released: self.released }
    }

    /// The most that an honest agent can have counted at any moment since the mark.
    fn plausible(&self, since: Mark) -> u128 {
        self.bound().saturating_add(self.released.saturating_sub(since.released))
    }

    /// Promises a request its cap, and says the cap to sign for all. `accept`: what the user takes as spent on the agent's word.
    pub(super) fn promise(
        &mut self,
        request: B256,
        max_fee: u128,
        claim: Option<Claim>,
        chain: OnChain,
        accept: &mut Option<u128>,
        now: u64,
    ) -> Result<u128, Refused> {
        if let Some(fault) = &self.fault {
            if accept.is_none() {
                return Err(Refused::Fault(fault.clone()));
            }
            self.fault = None;
        }
        // Someone else pays from the channel too: what is settled, the chain vouches for.
        self.base = self.base.saturating_add(chain.settled.saturating_sub(self.bound()));
        if let Some(claim) = claim {
            self.hear(claim, accept)?;
            self.forget_old(claim, now);
        }
        let known = self.used().saturating_add(self.in_flight(now)).max(chain.settled);
        let asked = claim.map_or(known, |claim| claim.taken.clamp(known, self.bound().max(known)));
        let cap = asked.saturating_add(max_fee);
        if cap > chain.deposited {
            return Err(Refused::Deposit { needed: cap });
        }
        if self.open.len() >= MAX_OPEN {
            return Err(Refused::Crowded);
        }
        self.open.push(Open { request, max_fee, signed: now, lost: false });
        self.highest = self.highest.max(cap);
        Ok(cap)
    }

    fn hear(&mut self, claim: Claim, accept: &mut Option<u128>) -> Result<(), Refused> {
        let known = self.plausible(claim.since);
        if claim.taken <= known {
            return Ok(());
        }
        if accept.take_if(|accepted| *accepted >= claim.taken).is_some() {
            self.base = self.base.saturating_add(claim.taken - known);
            return Ok(());
        }
        Err(Refused::Excess { claimed: claim.taken, known, others: self.open.iter().any(|open| !open.lost) })
    }

    /// Requests that nobody works on any more cost no more than what the agent counts beyond what was used when it was asked.
    fn forget_old(&mut self, claim: Claim, now: u64) {
        let is_old = |open: &Open| now.saturating_sub(open.signed) > OLD;
        let caps = self
            .open
            .iter()
            .filter(|open| is_old(open))
            .fold(0, |sum: u128, open| sum.saturating_add(open.max_fee));
        let spent = claim.taken.saturating_sub(claim.since.used).min(caps);
        self.open.retain(|open| !is_old(open));
        self.base = self.base.saturating_add(spent);
        self.released = self.released.saturating_add(caps - spent);
    }

    /// A verified receipt of a request. One that was already counted changes nothing.
    pub(super) fn receipt(&mut self, request: B256, fee: u128) {
        if let Some(open) = self.take(request) {
            self.receipts = self.receipts.saturating_add(fee);
            self.released = self.released.saturating_add(open.max_fee.saturating_sub(fee));
        }
    }

    /// The agent refused a request.
    pub(super) fn release(&mut self, request: B256) {
        if let Some(open) = self.take(request) {
            self.released = self.released.saturating_add(open.max_fee);
        }
    }

    /// A request's answer was lost on the way: it may cost its cap.
    pub(super) fn lose(&mut self, request: B256) {
        if let Some(open) = self.open.iter_mut().find(|open| open.request == request) {
            open.lost = true;
        }
    }

    /// The agent was caught: nothing more is signed for it.
    pub(super) fn catch(&mut self, request: B256, fault: String) {
        self.lose(request);
        self.fault.get_or_insert(fault);
    }

    fn take(&mut self, request: B256) -> Option<Open> {
        let at = self.open.iter().position(|open| open.request == request)?;
        Some(self.open.swap_remove(at))
    }
}

/// Amounts as decimal text: JSON's numbers do not hold them.
mod wei {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(wei: &u128, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(wei)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u128, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|_| D::Error::custom("not an amount of wei"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHAIN: OnChain = OnChain { deposited: 1000, settled: 0 };

    fn id(n: u8) -> B256 {
        B256::repeat_byte(n)
    }

    fn promise(books: &mut Books, n: u8, max_fee: u128, claim: Option<Claim>) -> Result<u128, Refused> {
        books.promise(id(n), max_fee, claim, CHAIN, &mut None, 100)
    }

    #[test]
    fn a_cap_covers_what_was_used_and_is_in_flight_and_no_more() {
        let mut books = Books::new(0);
        assert_eq!(promise(&mut books, 1, 10, None), Ok(10));
        assert_eq!(promise(&mut books, 2, 10, None), Ok(20));
        books.receipt(id(1), 4);
        assert_eq!(promise(&mut books, 3, 10, None), Ok(24));
        books.release(id(2));
        books.release(id(3));
        assert_eq!(promise(&mut books, 4, 10, None), Ok(14));
        assert_eq!((books.used(), books.highest(), books.outstanding()), (4, 24, 10));
        assert_eq!(promise(&mut books, 5, 987, None), Err(Refused::Deposit { needed: 1001 }));
    }

    #[test]
    fn a_claim_beyond_the_books_is_refused_and_signs_nothing() {
        let mut books = Books::new(50);
        let claim = |books: &Books, taken| Some(Claim { taken, since: books.mark() });
        let honest = claim(&books, 50);
        assert_eq!(promise(&mut books, 1, 10, honest), Ok(60));
        books.receipt(id(1), 7);
        let before = books.clone();
        let lie = claim(&books, 58);
        let refused = promise(&mut books, 2, 10, lie);
        assert_eq!(refused, Err(Refused::Excess { claimed: 58, known: 57, others: false }));
        assert_eq!(books, before);
        let mut accept = Some(57);
        assert!(books.promise(id(2), 10, lie, CHAIN, &mut accept, 100).is_err(), "less than what is claimed");
        let mut accept = Some(60);
        assert_eq!(books.promise(id(2), 10, lie, CHAIN, &mut accept, 100), Ok(68));
        assert_eq!(accept, None, "once");
        books.receipt(id(2), 10);
        let more = claim(&books, 69);
        assert!(books.promise(id(3), 10, more, CHAIN, &mut accept, 100).is_err());
    }

    /// The agent answered before a receipt came: what it had reserved then is not a lie now.
    #[test]
    fn a_claim_is_judged_by_what_moved_since_the_question() {
        let mut books = Books::new(0);
        promise(&mut books, 1, 10, None).unwrap();
        let since = books.mark();
        promise(&mut books, 2, 10, None).unwrap();
        books.receipt(id(1), 3);
        books.receipt(id(2), 3);
        let told = |taken| Some(Claim { taken, since });
        assert!(promise(&mut books.clone(), 3, 10, told(21)).is_err());
        assert_eq!(promise(&mut books, 3, 10, told(20)), Ok(16), "no more than was used is promised for it");
    }

    #[test]
    fn a_lost_answer_is_paid_for_when_the_agent_counts_it_and_then_no_more() {
        let mut books = Books::new(0);
        promise(&mut books, 1, 10, None).unwrap();
        books.lose(id(1));
        let claim = Claim { taken: 6, since: books.mark() };
        assert_eq!(promise(&mut books, 2, 10, None), Ok(10), "not promised before it is asked for");
        books.release(id(2));
        assert_eq!(promise(&mut books, 2, 10, Some(claim)), Ok(16));
        books.receipt(id(2), 5);
        // An hour later the agent counts 11: the lost one cost 6, and can cost nothing more.
        let claim = Claim { taken: 11, since: books.mark() };
        assert_eq!(books.promise(id(3), 10, Some(claim), CHAIN, &mut None, 100 + OLD + 1), Ok(21));
        books.release(id(3));
        assert_eq!((books.used(), books.outstanding()), (11, 0));
        let lie = Claim { taken: 12, since: books.mark() };
        assert!(books.promise(id(4), 10, Some(lie), CHAIN, &mut None, 100 + OLD + 2).is_err());
    }

    #[test]
    fn what_the_chain_settled_needs_no_word_of_the_agent() {
        let mut books = Books::new(0);
        let chain = OnChain { deposited: 1000, settled: 300 };
        let claim = Claim { taken: 300, since: books.mark() };
        assert_eq!(books.promise(id(1), 10, Some(claim), chain, &mut None, 1), Ok(310));
        let claim = Claim { taken: 311, since: books.mark() };
        assert!(books.promise(id(2), 10, Some(claim), chain, &mut None, 1).is_err());
    }

    #[test]
    fn who_was_caught_gets_nothing_until_the_user_says_so() {
        let mut books = Books::new(0);
        promise(&mut books, 1, 10, None).unwrap();
        books.catch(id(1), "a forged receipt".into());
        assert_eq!(promise(&mut books, 2, 10, None), Err(Refused::Fault("a forged receipt".into())));
        assert_eq!(books.promise(id(2), 10, None, CHAIN, &mut Some(10), 100), Ok(10));
        assert!(promise(&mut books, 3, 10, None).is_ok());
    }

    #[test]
    fn a_receipt_counts_once() {
        let mut books = Books::new(0);
        promise(&mut books, 1, 10, None).unwrap();
        books.receipt(id(1), 4);
        books.receipt(id(1), 4);
        books.receipt(id(9), 4);
        assert_eq!((books.used(), books.outstanding()), (4, 0));
    }

    #[test]
    fn amounts_survive_the_file() {
        let mut books = Books::new(u128::MAX / 3);
        books.open.push(Open { request: id(7), max_fee: 1 << 100, signed: 5, lost: true });
        let text = serde_json::to_string(&books).unwrap();
        assert_eq!(serde_json::from_str::<Books>(&text).unwrap(), books);
        assert!(text.contains(&format!("\"{}\"", u128::MAX / 3)));
    }

    #[test]
    fn requests_without_receipt_are_bounded() {
        let mut books = Books::new(0);
        for n in 0..MAX_OPEN {
            books.promise(B256::from(alloy_primitives::U256::from(n)), 0, None, CHAIN, &mut None, 1).unwrap();
        }
        assert_eq!(promise(&mut books, 255, 0, None), Err(Refused::Crowded));
    }
}
