//! What a request says about choosing tokens, in the exact form that is hashed and recorded.

use alloy_primitives::{B256, keccak256};

/// One part in a million, the unit of `top_p` and `min_p`.
pub const PPM: u32 = 1_000_000;

/// Temperatures below this are greedy: a quotient by them would overflow.
const COLDEST: f32 = 1e-3;

/// How tokens are chosen.
#[derive(Clone, Debug, PartialEq)]
pub struct SamplingParams {
    /// 0 chooses the first token in order.
    pub temperature: f32,
    /// Candidates kept, 0 for all.
    pub top_k: u32,
    /// Probability mass kept, in millionths.
    pub top_p: u32,
    /// Least probability kept relative to the first, in millionths.
    pub min_p: u32,
    /// Divides or multiplies logits of tokens seen in prompt or answer; 1 for none.
    pub repetition: f32,
    /// Subtracted from logits of tokens seen in the answer.
    pub presence: f32,
    /// Subtracted for every time a token is in the answer.
    pub frequency: f32,
    /// Added to logits, ascending by token.
    pub bias: Vec<(u32, f32)>,
    /// Key of the random draws.
    pub seed: u64,
    /// Which of the request's choices this is; a word of the draws' counter.
    pub choice: u32,
}

impl Default for SamplingParams {
    fn default() -> Self {
        Self {
            temperature: 1.0,
            top_k: 0,
            top_p: PPM,
            min_p: 0,
            repetition: 1.0,
            presence: 0.0,
            frequency: 0.0,
            bias: Vec::new(),
            seed: 0,
            choice: 0,
        }
    }
}

/// A sampling field out of its range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{field}` must be {range}")]
pub struct SamplingError {
    /// The field as the API names it.
    pub field: &'static str,
    /// What it may be.
    pub range: &'static str,
}

impl SamplingParams {
    /// Greedy choice, nothing else.
    pub fn greedy() -> Self {
        Self { temperature: 0.0, ..Self::default() }
    }

    /// Whether the first token in order is chosen.
    pub fn is_greedy(&self) -> bool {
        self.temperature == 0.0
    }

    /// Whether tokens already seen change the logits.
    pub fn has_penalties(&self) -> bool {
        self.repetition != 1.0 || self.presence != 0.0 || self.frequency != 0.0
    }

    /// Checks ranges and brings the fields into the one form that means what they say.
    pub fn normalise(mut self) -> Result<Self, SamplingError> {
        let check = |ok: bool, field, range| if ok { Ok(()) } else { Err(SamplingError { field, range }) };
        check((0.0..=100.0).contains(&self.temperature), "temperature", "between 0 and 100")?;
        check(self.top_p <= PPM, "top_p", "above 0, at most 1")?;
        check(self.min_p <= PPM, "min_p", "between 0 and 1")?;
        check(
            self.repetition > 0.0 && self.repetition <= 100.0,
            "repetition_penalty",
            "above 0, at most 100",
        )?;
        check((-2.0..=2.0).contains(&self.presence), "presence_penalty", "between -2 and 2")?;
        check((-2.0..=2.0).contains(&self.frequency), "frequency_penalty", "between -2 and 2")?;
        check(
            self.bias.iter().all(|(_, bias)| (-100.0..=100.0).contains(bias)),
            "logit_bias",
            "between -100 and 100 for every token",
        )?;
        if self.temperature < COLDEST {
            self.temperature = 0.0;
        }
        self.bias.sort_unstable_by_key(|(token, _)| *token);
        self.bias.dedup_by_key(|(token, _)| *token);
        Ok(self)
    }

    /// The record's sampling bytes, big-endian: version u8 = 1 · temperature f32 · top_k u32 · top_p u32 ·
    /// min_p u32 · repetition f32 · presence f32 · frequency f32 · seed u64 · choice u32 · bias b32
    /// (keccak of (token u32 ‖ bias f32)*, 0 without).
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(73);
        out.push(1);
        out.extend(self.temperature.to_bits().to_be_bytes());
        out.extend(self.top_k.to_be_bytes());
        out.extend(self.top_p.to_be_bytes());
        out.extend(self.min_p.to_be_bytes());
        out.extend(self.repetition.to_bits().to_be_bytes());
        out.extend(self.presence.to_bits().to_be_bytes());
        out.extend(self.frequency.to_bits().to_be_bytes());
        out.extend(self.seed.to_be_bytes());
        out.extend(self.choice.to_be_bytes());
        out.extend(self.bias_hash());
        out
    }

    /// The seed in a record's sampling bytes.
    pub fn seed_in(bytes: &[u8]) -> Option<u64> {
        let seed = bytes.get(29..37)?.try_into().ok()?;
        (bytes.len() == 73 && bytes[0] == 1).then(|| u64::from_be_bytes(seed))
    }

    fn bias_hash(&self) -> B256 {
        if self.bias.is_empty() {
            return B256::ZERO;
        }
        let mut bytes = Vec::with_capacity(8 * self.bias.len());
        for (token, bias) in &self.bias {
            bytes.extend(token.to_be_bytes());
            bytes.extend(bias.to_bits().to_be_bytes());
        }
        keccak256(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encoding_is_fixed() {
        let params = SamplingParams { temperature: 0.5, seed: 7, choice: 2, ..SamplingParams::default() };
        let bytes = params.encode();
        assert_eq!(bytes.len(), 73);
        assert_eq!(bytes[..5], [1, 0x3f, 0, 0, 0]);
        assert_eq!(bytes[29..37], 7u64.to_be_bytes());
        assert_eq!(SamplingParams::seed_in(&bytes), Some(7));
        assert_eq!(SamplingParams::seed_in(&bytes[..72]), None);
        assert_eq!(bytes[37..41], [0, 0, 0, 2]);
        assert_eq!(bytes[41..], [0; 32]);
    }

    #[test]
    fn ranges_are_checked() {
        let bad = |change: fn(&mut SamplingParams)| {
            let mut params = SamplingParams::default();
            change(&mut params);
            params.normalise().unwrap_err().field
        };
        assert_eq!(bad(|p| p.temperature = -1.0), "temperature");
        assert_eq!(bad(|p| p.temperature = f32::NAN), "temperature");
        assert_eq!(bad(|p| p.top_p = PPM + 1), "top_p");
        assert_eq!(bad(|p| p.repetition = 0.0), "repetition_penalty");
        assert_eq!(bad(|p| p.presence = f32::INFINITY), "presence_penalty");
        assert_eq!(bad(|p| p.bias = vec![(1, 101.0)]), "logit_bias");
    }

    #[test]
    fn almost_cold_is_greedy() {
        let params = SamplingParams { temperature: 1e-9, ..SamplingParams::default() };
        assert!(params.normalise().unwrap().is_greedy());
    }
}
