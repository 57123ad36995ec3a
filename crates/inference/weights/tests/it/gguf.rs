//! The container: what is refused, and how.

use crate::writer::{HIDDEN, Writer, file, tiny};
use proptest::prelude::*;
use tributary_weights::{Model, Severity, WeightsError, gguf::GgufFile};

fn refusal(bytes: &[u8]) -> String {
    let (_folder, path) = file(bytes);
    let error = Model::open(&path).expect_err("a bad file loads");
    assert_eq!(error.severity(), Severity::Reject);
    error.to_string()
}

#[test]
fn a_missing_file_is_an_io_error() {
    let error = Model::open("/nonexistent/model.gguf".as_ref()).unwrap_err();
    assert!(matches!(error, WeightsError::Io { .. }));
}

#[test]
fn other_files_and_versions_are_refused() {
    assert!(refusal(b"PK\x03\x04 certainly a zip").contains("magic"));
    assert!(refusal(b"").contains("truncated"));
    assert!(refusal(b"GGUF\x01\0\0\0aaaaaaaaaaaaaaaaaaaaaaa").contains("version 1"));
}

#[test]
fn every_truncation_is_refused() {
    let bytes = tiny().bytes();
    for length in (0..bytes.len() - 64).step_by(211) {
        refusal(&bytes[..length]);
    }
}

#[test]
fn absurd_lengths_do_not_allocate() {
    let header = |tensors: u64, values: u64| {
        [b"GGUF\x03\0\0\0".as_slice(), &tensors.to_le_bytes(), &values.to_le_bytes()].concat()
    };
    assert!(refusal(&header(u64::MAX, 0)).contains("tensors"));
    assert!(refusal(&header(0, u64::MAX)).contains("metadata"));
    let long_key = [header(0, 1), (u64::MAX - 3).to_le_bytes().to_vec()].concat();
    assert!(refusal(&long_key).contains("string of"));
    let mut list = 9u32.to_le_bytes().to_vec();
    list.extend(6u32.to_le_bytes());
    list.extend((1u64 << 61).to_le_bytes());
    assert!(refusal(&Writer::default().raw("list", &list).bytes()).contains("array of"));
    let nested = [9u32.to_le_bytes(), 9u32.to_le_bytes()].concat();
    assert!(refusal(&Writer::default().raw("nested", &nested).bytes()).contains("type 9"));
    let huge = Writer::default().tensor("t", &[1 << 40, 1 << 40], 0, &[]);
    assert!(refusal(&huge.bytes()).contains("shape"));
    let past = Writer::default().tensor("t", &[1 << 20], 0, &[0; 64]);
    assert!(refusal(&past.bytes()).contains("past the end"));
}

#[test]
fn unknown_formats_and_repeated_names_are_refused() {
    assert!(refusal(&Writer::default().tensor("t", &[32], 99, &[]).bytes()).contains("99"));
    assert!(refusal(&Writer::default().tensor("t", &[33], 8, &[]).bytes()).contains("33"));
    assert!(refusal(&Writer::default().u32("a", 1).u32("a", 2).bytes()).contains("twice"));
    let twice = Writer::default().floats("t", &[1], |_| 0.0).floats("t", &[1], |_| 0.0);
    assert!(refusal(&twice.bytes()).contains("twice"));
}

#[test]
fn inconsistent_models_are_refused_by_name() {
    let wide = tiny().raw("llama.attention.key_length", &[4u32.to_le_bytes(), 48u32.to_le_bytes()].concat());
    assert!(refusal(&wide.bytes()).contains("not 96 × 64"));
    let none = Writer::default().text("general.architecture", "llama");
    assert!(refusal(&none.bytes()).contains("llama."));
    assert!(refusal(&Writer::default().text("general.architecture", "rwkv").bytes()).contains("rwkv"));
    let bias = tiny().floats("blk.0.attn_q.bias", &[64], |_| 0.0);
    assert!(refusal(&bias.bytes()).contains("attn_q.bias"));
    let empty = Writer::default()
        .text("general.architecture", "llama")
        .u32("llama.embedding_length", 1)
        .u32("llama.attention.head_count", 2)
        .floats("token_embd.weight", &[1, 4], |_| 0.0)
        .floats("rope_freqs.weight", &[0], |_| 0.0);
    assert!(refusal(&empty.bytes()).contains("rope_freqs"));
    let scaled = tiny().text("llama.rope.scaling.type", "yarn");
    assert!(refusal(&scaled.bytes()).contains("yarn"));
}

#[test]
fn weights_that_are_not_finite_are_refused() {
    let bad =
        tiny().floats("output.weight", &[HIDDEN, 260], |index| if index == 777 { f32::NAN } else { 0.5 });
    assert!(refusal(&bad.bytes()).contains("finite"));
}

#[test]
fn the_tiny_model_loads() {
    let (_folder, path) = file(&tiny().bytes());
    let model = Model::open(&path).unwrap();
    assert_eq!((model.config.heads, model.config.kv_heads, model.config.head_dim), (2, 1, 32));
    assert_eq!(model.tokenizer.encode("hell").unwrap(), [256, 257]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Bytes changed anywhere never panic, and never make the reader set memory aside that the file cannot fill.
    #[test]
    fn damaged_files_never_panic(edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
        let mut bytes = tiny().bytes();
        let header = 9_000.min(bytes.len());
        for (at, value) in edits {
            bytes[at.index(header)] = value;
        }
        let (_folder, path) = file(&bytes);
        let _ = GgufFile::open(&path);
        let _ = Model::open(&path);
    }
}
