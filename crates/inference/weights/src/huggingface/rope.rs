//! How a model's rotary frequencies are stretched for a longer context.

use crate::{WeightsError, config::MAX_HEAD_DIM};
use serde_json::Value;
use std::f64::consts::PI;

/// Divisors of the frequencies, where `config.json` asks for any: Llama 3.1's, as transformers' `_compute_llama3_parameters` has them. Other
/// ways of stretching are refused by name.
pub(super) fn factors(config: &Value, theta: f32, head_dim: usize) -> Result<Option<Vec<f32>>, WeightsError> {
    // One has the setting where the other has it in newer files.
    for key in ["rope_scaling", "rope_parameters"] {
        let Some(settings) = config.get(key).filter(|value| !value.is_null()) else { continue };
        let kind = settings.get("rope_type").or_else(|| settings.get("type")).and_then(Value::as_str);
        match kind {
            Some("default") => {}
            Some("llama3") => return Llama3::read(key, settings)?.factors(theta, head_dim).map(Some),
            Some(other) => return Err(WeightsError::Unsupported(format!("rope scaling {other:?}"))),
            None => return Err(WeightsError::Unsupported("rope scaling without a type".into())),
        }
    }
    Ok(None)
}

/// Short waves stay, long ones are stretched by `factor`, those between are interpolated.
struct Llama3 {
    factor: f64,
    low: f64,
    high: f64,
    original: f64,
}

impl Llama3 {
    fn read(key: &str, settings: &Value) -> Result<Self, WeightsError> {
        let number = |name: &str| {
            let value = settings.get(name).and_then(Value::as_f64);
            value.filter(|value| value.is_finite() && *value > 0.0).ok_or_else(|| {
                WeightsError::Inconsistent(format!("config.json: {key}.{name} is no number above 0"))
            })
        };
        let this = Self {
            factor: number("factor")?,
            low: number("low_freq_factor")?,
            high: number("high_freq_factor")?,
            original: number("original_max_position_embeddings")?,
        };
        if this.high <= this.low {
            let message = format!("config.json: {key}.high_freq_factor is not above low_freq_factor");
            return Err(WeightsError::Inconsistent(message));
        }
        Ok(this)
    }

    fn factors(&self, theta: f32, head_dim: usize) -> Result<Vec<f32>, WeightsError> {
        if head_dim > MAX_HEAD_DIM {
            return Err(WeightsError::Inconsistent(format!("config.json: heads {head_dim} wide")));
        }
        // Not the system's `pow`, which differs from one to the next: the factors are hashed.
        let turns = |i: usize| {
            let wave = 2.0 * PI * libm::pow(f64::from(theta), (2 * i) as f64 / head_dim as f64);
            self.original / wave
        };
        Ok((0..head_dim / 2).map(|i| self.divisor(turns(i)) as f32).collect())
    }

    /// By how often a wave fits the original context.
    fn divisor(&self, turns: f64) -> f64 {
        if turns > self.high {
            1.0
        } else if turns < self.low {
            self.factor
        } else {
            let smooth = (turns - self.low) / (self.high - self.low);
            1.0 / ((1.0 - smooth) / self.factor + smooth)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const KNOWN: [(usize, f64); 3] =
        [(15, 1.651_329_245_763_898_2), (16, 3.292_262_102_940_884_3), (17, 9.666_728_978_753_29)];

    /// Numbers of transformers' formula in Python, for Llama 3.2 1B.
    #[test]
    fn llama_3_frequencies_are_divided_as_transformers_does() {
        let llama3 = json!({
            "rope_type": "llama3", "factor": 32.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
            "original_max_position_embeddings": 8192
        });
        for key in ["rope_scaling", "rope_parameters"] {
            let found = factors(&json!({ key: llama3 }), 500_000.0, 64).unwrap().unwrap();
            assert_eq!(found.len(), 32);
            assert!(found[..15].iter().all(|factor| *factor == 1.0));
            for (i, want) in KNOWN {
                assert!((f64::from(found[i]) / want - 1.0).abs() < 1e-6, "{i}: {} {want}", found[i]);
            }
            assert!(found[18..].iter().all(|factor| *factor == 32.0));
        }
        assert_eq!(factors(&json!({"rope_scaling": null}), 1e4, 64).unwrap(), None);
        assert_eq!(factors(&json!({"rope_scaling": {"type": "default"}}), 1e4, 64).unwrap(), None);
    }

    #[test]
    fn what_is_no_stretching_is_refused_by_name() {
        let refusal = |settings: Value| factors(&json!({"rope_scaling": settings}), 1e4, 64).unwrap_err();
        assert!(refusal(json!({"rope_type": "yarn"})).to_string().contains("yarn"));
        assert!(refusal(json!({})).to_string().contains("type"));
        assert!(
            refusal(json!({"type": "llama3", "factor": 0.0})).to_string().contains("rope_scaling.factor")
        );
        let reversed = json!({
            "type": "llama3", "factor": 8.0, "low_freq_factor": 4.0, "high_freq_factor": 1.0,
            "original_max_position_embeddings": 8192
        });
        assert!(refusal(reversed).to_string().contains("high_freq_factor"));
    }
}
