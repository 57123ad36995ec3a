//! What answers depend on besides the request: section 13.

use crate::{backend::Options, rope::RopeTable};
use alloy_primitives::{B256, hex, keccak256};
use serde_json::json;
use tributary_engine::GRAMMAR_ENGINE;
use tributary_weights::{Config, TensorRef, Weights};

/// The profile's name.
pub const PROFILE: &str = "f32-q8-1";
/// Version of the text that defines it; any change to a bit of any result raises it.
const VERSION: u32 = 1;

/// The hash of the profile as a backend of default options runs this model in it.
pub fn profile_hash(config: &Config, weights: &Weights) -> B256 {
    let context = Options::default().context.clamp(1, config.context);
    hash(config, weights, &RopeTable::new(config, context))
}

/// The hash with a table that was made already: keccak-256 of the canonical JSON, keys sorted, no spaces, floats as bits in hex.
pub fn hash(config: &Config, weights: &Weights, table: &RopeTable) -> B256 {
    let formats: Vec<&str> = weights
        .tensors()
        .iter()
        .filter_map(|(_, tensor)| match tensor {
            TensorRef::Matrix(matrix) => Some(matrix.format().name()),
            TensorRef::Vector(_) => None,
        })
        .collect();
    let mut value = json!({
        "config": config.canonical(),
        "formats": formats,
        "grammar": GRAMMAR_ENGINE,
        "profile": PROFILE,
        "ropeSha256": hex::encode(table.hash()),
        "version": VERSION,
    });
    value.sort_all_objects();
    keccak256(value.to_string())
}
