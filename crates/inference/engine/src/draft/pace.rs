//! How much a sequence may guess: a purse that hits fill and misses empty.

/// Draft tokens a sequence may lose before any was right.
const START: u32 = 4;
/// Draft tokens it can save up.
const CAP: u32 = 48;
/// Tokens of answer that earn one more to lose. A draft token in a light step costs about a quarter of a decoding step, so that what
/// misses cost is below 1/4 · 1/16 of the answer's time, and the start.
const EARN: u32 = 16;

/// Never more is lost than [`START`] and one token for every [`EARN`] of the answer and for every one that was right.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// In parts of a token, [`EARN`] to one.
    purse: u32,
    /// Tokens of the next draft.
    reach: u32,
}

impl Default for Pace {
    fn default() -> Self {
        Self { purse: START * EARN, reach: START }
    }
}

impl Pace {
    /// Tokens the next draft may have.
    pub(crate) fn most(&self) -> usize {
        self.reach.min(self.purse / EARN) as usize
    }

    /// A token was chosen.
    pub(crate) fn earn(&mut self) {
        self.purse = (self.purse + 1).min(CAP * EARN);
    }

    /// Of `drafted` tokens the first `right` were chosen.
    pub(crate) fn learn(&mut self, drafted: usize, right: usize) {
        let wrong = drafted.saturating_sub(right) as u32;
        self.purse = (self.purse + right as u32 * EARN).saturating_sub(wrong * EARN).min(CAP * EARN);
        self.reach = if wrong == 0 { (self.reach * 2).min(CAP) } else { (right as u32 + 1).max(2) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn it_reaches_far_while_it_is_right() {
        let mut pace = Pace::default();
        let mut drafted = Vec::new();
        for _ in 0..5 {
            drafted.push(pace.most());
            pace.learn(pace.most(), pace.most());
        }
        assert_eq!(drafted, [4, 8, 16, 32, 48]);
        pace.learn(10, 3);
        assert_eq!(pace.most(), 4);
    }

    proptest! {
        /// Whatever is guessed and chosen, losses stay within the bound.
        #[test]
        fn losses_are_bounded(hits in prop::collection::vec(0usize..20, 0..300)) {
            let mut pace = Pace::default();
            let (mut lost, mut tokens, mut right) = (0, 0, 0);
            for hit in hits {
                let drafted = pace.most();
                let hit = hit.min(drafted);
                pace.learn(drafted, hit);
                (0..=hit).for_each(|_| pace.earn());
                (lost, tokens, right) = (lost + drafted - hit, tokens + hit + 1, right + hit);
                prop_assert!(lost <= START as usize + right + tokens / EARN as usize);
            }
        }
    }
}
