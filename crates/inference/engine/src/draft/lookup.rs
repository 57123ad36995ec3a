//! Where the last few tokens of a sequence stood before, in the sequence itself.

use std::collections::HashMap;

/// Tokens that have to agree for a place to count.
const LEAST: usize = 3;
/// Agreement beyond this makes no place better.
const MOST: usize = 32;
/// Places that are compared, the latest first.
const PLACES: usize = 16;

/// The n-grams of a sequence: for each the last place, and from each place the one before it.
#[derive(Debug, Default)]
pub(crate) struct Lookup {
    last: HashMap<[u32; LEAST], u32>,
    /// By place, an end of an n-gram: the place before with the same n-gram, plus one.
    before: Vec<u32>,
}

impl Lookup {
    /// Takes in tokens that it has not seen. `tokens` only ever grow at their end.
    fn update(&mut self, tokens: &[u32]) {
        while self.before.len() < tokens.len() {
            let end = self.before.len();
            let gram =
                (end + 1).checked_sub(LEAST).and_then(|start| tokens[start..=end].first_chunk::<LEAST>());
            let before =
                gram.and_then(|gram| self.last.insert(*gram, end as u32)).map_or(0, |place| place + 1);
            self.before.push(before);
        }
    }

    /// Appends what followed the longest earlier agreement with the end of `tokens`, at most `most` tokens. How many tokens agree,
    /// 0 when none is appended.
    pub(crate) fn draft(&mut self, tokens: &[u32], most: usize, draft: &mut Vec<u32>) -> usize {
        self.update(tokens);
        let mut best: Option<(usize, usize)> = None;
        let mut place = self.before.last().copied().unwrap_or(0);
        for _ in 0..PLACES {
            let Some(end) = (place as usize).checked_sub(1) else { break };
            let same = agreement(&tokens[..=end], tokens);
            if best.is_none_or(|(longest, _)| same > longest) {
                best = Some((same, end));
            }
            if same >= MOST {
                break;
            }
            place = self.before[end];
        }
        let Some((same, end)) = best else { return 0 };
        let start = draft.len();
        for index in 0..most {
            // What repeats itself goes on repeating: past the end the draft is read from the draft.
            let at = end + 1 + index;
            let token = tokens.get(at).or_else(|| draft.get(start + at - tokens.len())).copied();
            draft.extend(token);
        }
        same
    }
}

/// How many tokens at the ends agree.
fn agreement(a: &[u32], b: &[u32]) -> usize {
    a.iter().rev().zip(b.iter().rev()).take(MOST).take_while(|(a, b)| a == b).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn draft(tokens: &[u32], most: usize) -> Vec<u32> {
        let mut draft = Vec::new();
        Lookup::default().draft(tokens, most, &mut draft);
        draft
    }

    #[test]
    fn what_followed_before_follows_again() {
        assert_eq!(draft(&[1, 2, 3, 4, 5, 6, 1, 2, 3], 2), [4, 5]);
        assert!(draft(&[1, 2, 3, 4, 9, 2, 3], 4).is_empty());
        assert!(draft(&[1, 2], 4).is_empty());
        // Of two places the one that agrees longer, of equals the later one.
        assert_eq!(draft(&[7, 1, 2, 3, 40, 8, 1, 2, 3, 50, 7, 1, 2, 3], 1), [40]);
        assert_eq!(draft(&[7, 1, 2, 3, 40, 7, 1, 2, 3, 50, 7, 1, 2, 3], 1), [50]);
        // Repetition goes on.
        assert_eq!(draft(&[1, 2, 1, 2, 1, 2], 5), [1, 2, 1, 2, 1]);
    }

    proptest! {
        /// Token by token or at once, it finds what a search through everything finds.
        #[test]
        fn equals_a_search(tokens in prop::collection::vec(0u32..4, 0..14), most in 0usize..6) {
            let mut grown = Lookup::default();
            let mut found = Vec::new();
            for len in 0..=tokens.len() {
                found.clear();
                grown.draft(&tokens[..len], most, &mut found);
            }
            prop_assert_eq!(&found, &draft(&tokens, most));
            let len = tokens.len();
            let places = (LEAST..len).rev().map(|end| (agreement(&tokens[..end], &tokens), end));
            let best = places.filter(|(same, _)| *same >= LEAST).reduce(|a, b| if b.0 > a.0 { b } else { a });
            match best {
                None => prop_assert!(found.is_empty()),
                Some((_, end)) => {
                    let period = len - end;
                    let expected: Vec<u32> = (0..most).map(|i| tokens[end + i % period]).collect();
                    prop_assert_eq!(found, expected);
                }
            }
        }
    }
}
