//! The part of sampling that needs nothing but a position's logits, so that it may be done where they are.

use super::{
    params::SamplingParams,
    philox::draw,
    sampler::{Choice, NoChoice, Sampler},
};

/// How the tokens behind a row's wanted positions are chosen: section 12 of the profile without penalties, bias and masks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Choosing {
    /// 0 chooses the first token in order.
    pub temperature: f32,
    /// Candidates kept, 0 for all.
    pub top_k: u32,
    /// Probability mass kept, in millionths.
    pub top_p: u32,
    /// Least probability kept relative to the first, in millionths.
    pub min_p: u32,
    /// Key of the random draws.
    pub seed: u64,
    /// Which of the request's choices this is.
    pub choice: u32,
    /// Output position of the first wanted one; each that follows has the next.
    pub position: u32,
}

impl Choosing {
    /// As these parameters have it, if they ask for no more than this.
    pub fn of(params: &SamplingParams, position: u32) -> Option<Self> {
        if params.has_penalties() || !params.bias.is_empty() {
            return None;
        }
        let SamplingParams { temperature, top_k, top_p, min_p, seed, choice, .. } = *params;
        Some(Self { temperature, top_k, top_p, min_p, seed, choice, position })
    }

    /// Whether the first token in order is chosen.
    pub fn is_greedy(&self) -> bool {
        self.temperature == 0.0
    }

    /// The random bits of the `index`-th wanted position.
    pub fn draw(&self, index: u32) -> u64 {
        draw(self.seed, self.choice, self.position.wrapping_add(index))
    }

    /// The token that the engine chooses at the `index`-th wanted position: what a backend has to give.
    pub fn token(&self, index: u32, logits: &[f32]) -> Result<u32, NoChoice> {
        let Self { temperature, top_k, top_p, min_p, seed, choice, position } = *self;
        let params =
            SamplingParams { temperature, top_k, top_p, min_p, seed, choice, ..SamplingParams::default() };
        let position = position.wrapping_add(index);
        let choice = Choice { params: &params, seen: None, masked: &[], allowed: None, position };
        Sampler::default().choose(logits, &choice)
    }
}
