//! Chooses a token from logits: every step an exact function of the bits that went in.
//!
//! ```text
//! logits ─ penalties ─ bias ─ mask ─┬ T = 0 ─► first in order
//!                                   └ /T ─ top-k ─ W = rne(exp(l−max)·2²⁴) ─ top-p ─ min-p ─► draw
//! ```
//! The order of tokens is (logit descending, −0 = +0, id ascending). Weights are integers, so the
//! cumulative sums have no rounding and no order of their own. The vocabulary is never sorted: tokens whose
//! weight is zero cannot be drawn and are dropped before anything is ordered.

use super::{
    exp::exp,
    params::{PPM, SamplingParams},
    philox::draw,
};
use crate::grammar::TokenMask;
use std::{cmp::Ordering, collections::BinaryHeap, collections::HashMap};

/// Tokens a request has seen, kept only when penalties need them.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    counts: HashMap<u32, u32>,
}

impl Seen {
    /// The prompt's tokens count as seen, but zero times in the answer.
    pub(crate) fn new(prompt: &[u32]) -> Self {
        Self { counts: prompt.iter().map(|token| (*token, 0)).collect() }
    }

    pub(crate) fn push(&mut self, token: u32) {
        *self.counts.entry(token).or_default() += 1;
    }
}

/// The logits allow no choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("non_finite: logits allow no choice")]
pub struct NoChoice;

/// Reusable buffers of the engine thread.
#[derive(Debug, Default)]
pub(crate) struct Sampler {
    logits: Vec<f32>,
    candidates: Vec<Candidate>,
}

/// What a choice depends on besides the logits.
pub(crate) struct Choice<'a> {
    pub(crate) params: &'a SamplingParams,
    pub(crate) seen: Option<&'a Seen>,
    /// Tokens that may not be chosen.
    pub(crate) masked: &'a [u32],
    /// The only tokens that may be chosen: a grammar's.
    pub(crate) allowed: Option<&'a TokenMask>,
    /// Tokens already in the answer.
    pub(crate) position: u32,
}

impl Sampler {
    /// The token chosen at an output position.
    pub(crate) fn choose(&mut self, raw: &[f32], choice: &Choice<'_>) -> Result<u32, NoChoice> {
        let params = choice.params;
        let masks = !choice.masked.is_empty() || choice.allowed.is_some();
        let plain = !params.has_penalties() && params.bias.is_empty() && !masks;
        if plain && params.is_greedy() {
            return first(raw).map(|(token, _)| token);
        }
        self.logits.clear();
        self.logits.extend_from_slice(raw);
        if let Some(seen) = choice.seen {
            penalise(&mut self.logits, params, seen);
        }
        for &(token, bias) in &params.bias {
            if let Some(logit) = self.logits.get_mut(token as usize) {
                *logit += bias;
            }
        }
        for &token in choice.masked {
            if let Some(logit) = self.logits.get_mut(token as usize) {
                *logit = f32::NEG_INFINITY;
            }
        }
        if let Some(allowed) = choice.allowed {
            forbid(&mut self.logits, allowed);
        }
        if params.is_greedy() {
            return first(&self.logits).map(|(token, _)| token);
        }
        for logit in &mut self.logits {
            *logit /= params.temperature;
        }
        self.weigh(params.top_k as usize)?;
        pick(std::mem::take(&mut self.candidates), params, choice.position, &mut self.candidates)
    }

    /// Fills in the candidates that have a weight, at most the first `top_k`.
    fn weigh(&mut self, top_k: usize) -> Result<(), NoChoice> {
        let (_, max) = first(&self.logits)?;
        self.candidates.clear();
        for (token, &logit) in self.logits.iter().enumerate() {
            let weight = (exp(logit - max) * 16_777_216.0).round_ties_even() as u32;
            if weight > 0 {
                self.candidates.push(Candidate { logit, token: token as u32, weight });
            }
        }
        if top_k > 0 && top_k < self.candidates.len() {
            self.candidates.select_nth_unstable_by(top_k - 1, |a, b| b.cmp(a));
            self.candidates.truncate(top_k);
        }
        Ok(())
    }
}

/// Rules out what is not in the set. A NaN stays: it fails the request whatever the grammar says.
fn forbid(logits: &mut [f32], allowed: &TokenMask) {
    for (token, logit) in logits.iter_mut().enumerate() {
        if !allowed.contains(token as u32) && !logit.is_nan() {
            *logit = f32::NEG_INFINITY;
        }
    }
}

fn penalise(logits: &mut [f32], params: &SamplingParams, seen: &Seen) {
    for (&token, &count) in &seen.counts {
        let Some(logit) = logits.get_mut(token as usize) else { continue };
        if params.repetition != 1.0 {
            *logit = if *logit > 0.0 { *logit / params.repetition } else { *logit * params.repetition };
        }
        if count > 0 {
            *logit -= params.presence;
            *logit -= params.frequency * count as f32;
        }
    }
}

/// The first token in order and its logit.
fn first(logits: &[f32]) -> Result<(u32, f32), NoChoice> {
    let mut best = 0;
    let mut max = f32::NEG_INFINITY;
    for (token, &logit) in logits.iter().enumerate() {
        if logit.is_nan() {
            return Err(NoChoice);
        }
        if logit > max {
            (best, max) = (token, logit);
        }
    }
    if max.is_finite() { Ok((best as u32, max)) } else { Err(NoChoice) }
}

#[derive(Clone, Copy, Debug)]
struct Candidate {
    logit: f32,
    token: u32,
    weight: u32,
}

impl Ord for Candidate {
    /// Greater means earlier. Logits are never NaN here; `partial_cmp` has −0 = +0.
    fn cmp(&self, other: &Self) -> Ordering {
        let logits = self.logit.partial_cmp(&other.logit).unwrap_or(Ordering::Equal);
        logits.then(other.token.cmp(&self.token))
    }
}

impl PartialOrd for Candidate {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Candidate {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Candidate {}

fn total(candidates: impl Iterator<Item = Candidate>) -> u64 {
    candidates.map(|candidate| u64::from(candidate.weight)).sum()
}

/// Top-p, min-p and the draw. `buffer` gets the allocation back.
fn pick(
    candidates: Vec<Candidate>,
    params: &SamplingParams,
    position: u32,
    buffer: &mut Vec<Candidate>,
) -> Result<u32, NoChoice> {
    let x = u128::from(draw(params.seed, params.choice, position));
    let target = |total: u64| ((x * u128::from(total)) >> 64) as u64;
    let heaviest = candidates.iter().map(|candidate| candidate.weight).max().ok_or(NoChoice)?;
    let heavy = |candidate: &Candidate| {
        u64::from(candidate.weight) * u64::from(PPM) >= u64::from(params.min_p) * u64::from(heaviest)
    };
    if params.top_p < PPM {
        let mut kept = prefix(BinaryHeap::from(candidates), params.top_p);
        kept.retain(heavy);
        let target = target(total(kept.iter().copied()));
        let chosen = walk(kept.iter().copied(), target);
        *buffer = kept;
        return chosen;
    }
    let mut kept = candidates;
    if params.min_p > 0 {
        kept.retain(heavy);
    }
    let target = target(total(kept.iter().copied()));
    let mut heap = BinaryHeap::from(kept);
    let chosen = walk(std::iter::from_fn(|| heap.pop()), target);
    *buffer = heap.into_vec();
    chosen
}

/// The shortest prefix in order, of one token at least, that holds `ppm` of the total weight.
fn prefix(mut heap: BinaryHeap<Candidate>, ppm: u32) -> Vec<Candidate> {
    let needed = u128::from(ppm) * u128::from(total(heap.iter().copied()));
    let mut kept = Vec::new();
    let mut sum = 0u128;
    while let Some(candidate) = heap.pop() {
        kept.push(candidate);
        sum += u128::from(candidate.weight);
        if sum * u128::from(PPM) >= needed {
            break;
        }
    }
    kept
}

/// The first token whose cumulative weight exceeds the target.
fn walk(ordered: impl Iterator<Item = Candidate>, target: u64) -> Result<u32, NoChoice> {
    let mut sum = 0u64;
    for candidate in ordered {
        sum += u64::from(candidate.weight);
        if sum > target {
            return Ok(candidate.token);
        }
    }
    Err(NoChoice)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn choose(logits: &[f32], params: &SamplingParams, position: u32) -> u32 {
        let choice = Choice { params, seen: None, masked: &[], allowed: None, position };
        Sampler::default().choose(logits, &choice).unwrap()
    }

    /// The definition read aloud: sort everything, cut, add up.
    fn oracle(logits: &[f32], params: &SamplingParams, position: u32) -> u32 {
        let scaled: Vec<f32> = logits.iter().map(|l| l / params.temperature).collect();
        let mut order: Vec<u32> = (0..scaled.len() as u32).collect();
        order.sort_by(|a, b| scaled[*b as usize].partial_cmp(&scaled[*a as usize]).unwrap().then(a.cmp(b)));
        if params.top_k > 0 {
            order.truncate(params.top_k as usize);
        }
        let max = scaled[order[0] as usize];
        let weight =
            |t: &u32| (exp(scaled[*t as usize] - max) * 16_777_216.0).round_ties_even() as u32 as u128;
        let all: u128 = order.iter().map(weight).sum();
        let mut cut = 0;
        let mut sum = 0;
        while cut == 0 || 1_000_000 * sum < u128::from(params.top_p) * all {
            sum += weight(&order[cut]);
            cut += 1;
        }
        order.truncate(cut);
        let w0 = weight(&order[0]);
        order.retain(|t| weight(t) * 1_000_000 >= u128::from(params.min_p) * w0);
        let all: u128 = order.iter().map(weight).sum();
        let target = (u128::from(draw(params.seed, params.choice, position)) * all) >> 64;
        let mut sum = 0;
        for token in &order {
            sum += weight(token);
            if sum > target {
                return *token;
            }
        }
        unreachable!()
    }

    #[test]
    fn greedy_takes_the_lowest_id_among_equals() {
        let greedy = SamplingParams::greedy();
        assert_eq!(choose(&[1.0, 3.0, 3.0, 2.0], &greedy, 0), 1);
        assert_eq!(choose(&[-0.0, 0.0], &greedy, 0), 0);
        assert_eq!(choose(&[0.0, -0.0], &greedy, 0), 0);
    }

    #[test]
    fn logits_that_allow_no_choice() {
        let choice = |params: &SamplingParams, logits: &[f32]| {
            Sampler::default()
                .choose(logits, &Choice { params, seen: None, masked: &[], allowed: None, position: 0 })
        };
        for params in [SamplingParams::greedy(), SamplingParams::default()] {
            assert_eq!(choice(&params, &[f32::NAN, 1.0]), Err(NoChoice));
            assert_eq!(choice(&params, &[f32::INFINITY, 1.0]), Err(NoChoice));
            assert_eq!(choice(&params, &[f32::NEG_INFINITY; 2]), Err(NoChoice));
            assert_eq!(choice(&params, &[]), Err(NoChoice));
        }
    }

    #[test]
    fn penalties_bias_and_mask() {
        let seen = {
            let mut seen = Seen::new(&[0, 1]);
            seen.push(1);
            seen.push(1);
            seen
        };
        let params = SamplingParams {
            repetition: 2.0,
            presence: 0.5,
            frequency: 0.25,
            bias: vec![(3, 10.0)],
            ..SamplingParams::greedy()
        };
        let mut logits = vec![4.0, -1.0, 1.5, -9.0];
        penalise(&mut logits, &params, &seen);
        assert_eq!(logits, [2.0, -3.0, 1.5, -9.0]);
        let mut sampler = Sampler::default();
        let raw = [4.0, -1.0, 1.5, -9.0];
        let choice = Choice { params: &params, seen: Some(&seen), masked: &[0], allowed: None, position: 0 };
        assert_eq!(sampler.choose(&raw, &choice), Ok(2));
        let mut allowed = TokenMask::default();
        allowed.reset(4);
        [0, 1, 3].into_iter().for_each(|token| allowed.allow(token));
        let choice = Choice { allowed: Some(&allowed), ..choice };
        assert_eq!(sampler.choose(&raw, &choice), Ok(3));
        let mut nothing = TokenMask::default();
        nothing.reset(4);
        let choice = Choice { allowed: Some(&nothing), ..choice };
        assert_eq!(sampler.choose(&raw, &choice), Err(NoChoice));
    }

    #[test]
    fn frequencies_follow_the_distribution() {
        let params = SamplingParams { seed: 11, ..SamplingParams::default() };
        let logits = [1f32.ln(), 2f32.ln(), 5f32.ln()];
        let mut counts = [0u32; 3];
        for position in 0..8000 {
            counts[choose(&logits, &params, position) as usize] += 1;
        }
        for (count, expected) in counts.iter().zip([1000.0, 2000.0, 5000.0]) {
            assert!((f64::from(*count) - expected).abs() < 150.0, "{counts:?}");
        }
    }

    proptest! {
        #[test]
        fn equals_the_definition(
            logits in prop::collection::vec(-30f32..30.0, 1..300),
            temperature in 0.05f32..3.0,
            top_k in 0u32..40,
            top_p in prop_oneof![Just(PPM), 0u32..PPM],
            min_p in prop_oneof![Just(0), 0u32..PPM],
            seed: u64,
            position in 0u32..1000,
        ) {
            let params = SamplingParams { temperature, top_k, top_p, min_p, seed, ..SamplingParams::default() };
            prop_assert_eq!(choose(&logits, &params, position), oracle(&logits, &params, position));
        }
    }
}
