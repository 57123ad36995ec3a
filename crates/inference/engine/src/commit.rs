//! What fixes an answer in its record: the hash of everything that went in, and a chain over every token.

use crate::{
    backend::{Identity, LoraPart},
    request::StopRules,
    sampling::SamplingParams,
};
use alloy_primitives::{B256, Keccak256};

/// The inputs of an answer.
///
/// `keccak(profile b32 ‖ weights b32 ‖ n u16 ‖ (artifact b32 ‖ weight f32)* ‖ n u32 ‖ prompt u32* ‖ n u16 ‖
/// sampling bytes ‖ grammar b32 (0 without) ‖ max u32 ‖ min u32 ‖ n u16 ‖ stop token u32* ‖ n u16 ‖ (n u16 ‖ stop
/// string)*)`, big-endian, floats by their bits.
pub fn exec_hash(
    identity: &Identity,
    parts: &[LoraPart],
    prompt: &[u32],
    sampling: &SamplingParams,
    stop: &StopRules,
    grammar: Option<B256>,
) -> B256 {
    let mut hash = Keccak256::new();
    hash.update(identity.profile);
    hash.update(identity.weights);
    hash.update((parts.len() as u16).to_be_bytes());
    for part in parts {
        hash.update(part.hash);
        hash.update(part.weight.to_bits().to_be_bytes());
    }
    hash.update((prompt.len() as u32).to_be_bytes());
    for token in prompt {
        hash.update(token.to_be_bytes());
    }
    let sampling = sampling.encode();
    hash.update((sampling.len() as u16).to_be_bytes());
    hash.update(&sampling);
    hash.update(grammar.unwrap_or_default());
    stop.hash_into(&mut hash);
    hash.finalize()
}

/// `h₀ = execHash`, `hₜ = keccak(hₜ₋₁ ‖ Q8 bytes and scales of the final normed vector ‖ token u32)` over the
/// answer's tokens; the last one is the record's `logitsRoot`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HashChain(B256);

impl HashChain {
    /// The chain of an empty answer.
    pub fn new(exec_hash: B256) -> Self {
        Self(exec_hash)
    }

    /// Adds a token and the vector its logits were made from.
    pub fn push(&mut self, normed: &[u8], token: u32) {
        let mut hash = Keccak256::new();
        hash.update(self.0);
        hash.update(normed);
        hash.update(token.to_be_bytes());
        self.0 = hash.finalize();
    }

    /// The chain's head.
    pub fn head(&self) -> B256 {
        self.0
    }
}
