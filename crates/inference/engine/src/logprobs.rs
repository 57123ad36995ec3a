//! Log-probabilities for display: of the raw logits, in f64, no part of any commitment.

use crate::request::TokenLogprob;
use std::cmp::Ordering;

/// The chosen token's log-probability and the `count` most probable tokens in order.
pub(crate) fn logprobs(logits: &[f32], chosen: u32, count: usize) -> (f64, Vec<TokenLogprob>) {
    let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = logits.iter().map(|logit| f64::from(logit - max).exp()).sum();
    let of = |token: u32| f64::from(logits[token as usize] - max) - sum.ln();
    let mut order: Vec<u32> = (0..logits.len() as u32).collect();
    let by_order = |a: &u32, b: &u32| {
        let by_logit = logits[*b as usize].partial_cmp(&logits[*a as usize]).unwrap_or(Ordering::Equal);
        by_logit.then(a.cmp(b))
    };
    if count < order.len() {
        order.select_nth_unstable_by(count, by_order);
        order.truncate(count);
    }
    order.sort_unstable_by(by_order);
    (of(chosen), order.into_iter().map(|token| TokenLogprob { token, logprob: of(token) }).collect())
}

/// The place of a token among all, the most probable being 1.
pub(crate) fn rank(logits: &[f32], token: u32) -> u32 {
    let own = logits[token as usize];
    let before = logits
        .iter()
        .enumerate()
        .filter(|(other, logit)| **logit > own || **logit == own && (*other as u32) < token);
    before.count() as u32 + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probabilities_add_up_and_are_in_order() {
        let logits = [1.0, 3.0, 2.0, 3.0];
        let (chosen, top) = logprobs(&logits, 2, 4);
        let sum: f64 = top.iter().map(|entry| entry.logprob.exp()).sum();
        assert!((sum - 1.0).abs() < 1e-9);
        assert_eq!(top.iter().map(|entry| entry.token).collect::<Vec<_>>(), [1, 3, 2, 0]);
        assert_eq!(chosen, top[2].logprob);
        assert_eq!(logprobs(&logits, 0, 2).1.len(), 2);
        assert!(logprobs(&logits, 0, 0).1.is_empty());
        assert_eq!([0, 1, 2, 3].map(|token| rank(&logits, token)), [4, 1, 3, 2]);
    }
}
