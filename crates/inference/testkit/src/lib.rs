#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod adapter;
mod bert;
mod model;
mod noise;
mod peft;

pub use adapter::{AdapterSpec, TensorEdit, artifact, artifact_with};
pub use bert::{BERT_HEADS, BERT_HIDDEN, BERT_LAYERS, BERT_WORDS, TinyBert};
pub use model::{EOS, GEOMETRY, VOCAB, model_folder, write_model};
pub use noise::Noise;
pub use peft::{PeftCase, peft_cases};
