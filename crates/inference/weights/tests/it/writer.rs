//! A GGUF writer for tests.

use std::path::PathBuf;
use tempfile::TempDir;
use tributary_weights::Format;

/// A file under construction.
#[derive(Clone, Default)]
pub(crate) struct Writer {
    values: Vec<u8>,
    value_count: u64,
    tensors: Vec<u8>,
    tensor_count: u64,
    data: Vec<u8>,
}

fn string(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as u64).to_le_bytes());
    out.extend(text.as_bytes());
}

impl Writer {
    fn key(&mut self, key: &str, kind: u32) -> &mut Vec<u8> {
        self.value_count += 1;
        string(&mut self.values, key);
        self.values.extend(kind.to_le_bytes());
        &mut self.values
    }

    pub(crate) fn u32(mut self, key: &str, value: u32) -> Self {
        self.key(key, 4).extend(value.to_le_bytes());
        self
    }

    pub(crate) fn f32(mut self, key: &str, value: f32) -> Self {
        self.key(key, 6).extend(value.to_le_bytes());
        self
    }

    pub(crate) fn text(mut self, key: &str, value: &str) -> Self {
        string(self.key(key, 8), value);
        self
    }

    pub(crate) fn strings(mut self, key: &str, values: &[String]) -> Self {
        let out = self.key(key, 9);
        out.extend(8u32.to_le_bytes());
        out.extend((values.len() as u64).to_le_bytes());
        values.iter().for_each(|value| string(out, value));
        self
    }

    /// A metadata value in raw bytes, type included.
    pub(crate) fn raw(mut self, key: &str, bytes: &[u8]) -> Self {
        self.value_count += 1;
        string(&mut self.values, key);
        self.values.extend(bytes);
        self
    }

    pub(crate) fn tensor(mut self, name: &str, shape: &[u64], code: u32, bytes: &[u8]) -> Self {
        self.tensor_count += 1;
        string(&mut self.tensors, name);
        self.tensors.extend((shape.len() as u32).to_le_bytes());
        shape.iter().for_each(|size| self.tensors.extend(size.to_le_bytes()));
        self.tensors.extend(code.to_le_bytes());
        self.tensors.extend((self.data.len() as u64).to_le_bytes());
        self.data.extend(bytes);
        self.data.resize(self.data.len().next_multiple_of(32), 0);
        self
    }

    pub(crate) fn floats(self, name: &str, shape: &[u64], value: impl Fn(usize) -> f32) -> Self {
        let count = shape.iter().product::<u64>() as usize;
        let bytes: Vec<u8> = (0..count).flat_map(|index| value(index).to_le_bytes()).collect();
        self.tensor(name, shape, 0, &bytes)
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut out = b"GGUF\x03\0\0\0".to_vec();
        out.extend(self.tensor_count.to_le_bytes());
        out.extend(self.value_count.to_le_bytes());
        out.extend(&self.values);
        out.extend(&self.tensors);
        out.resize(out.len().next_multiple_of(32), 0);
        out.extend(&self.data);
        out
    }
}

/// A file in a folder that goes away with the test.
pub(crate) fn file(bytes: &[u8]) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    std::fs::write(&path, bytes).unwrap();
    (folder, path)
}

/// The 256 byte tokens, then what merges make.
pub(crate) fn byte_vocabulary() -> Vec<String> {
    let mut spare = 0x100u32..;
    (0..=255u8)
        .map(|byte| match byte {
            0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff => char::from(byte),
            _ => char::from_u32(spare.next().unwrap()).unwrap(),
        })
        .map(String::from)
        .collect()
}

pub(crate) const HIDDEN: u64 = 64;

/// A whole Llama of one block with two heads, whose float weights are their index over a thousand.
pub(crate) fn tiny() -> Writer {
    let small = |index: usize| (index % 997) as f32 / 1000.0;
    let mut tokens = byte_vocabulary();
    tokens.extend(["he".into(), "ll".into(), "<|end|>".into(), "pad".into()]);
    let mut writer = Writer::default()
        .text("general.architecture", "llama")
        .u32("llama.block_count", 1)
        .u32("llama.context_length", 128)
        .u32("llama.embedding_length", HIDDEN as u32)
        .u32("llama.feed_forward_length", 96)
        .u32("llama.attention.head_count", 2)
        .u32("llama.attention.head_count_kv", 1)
        .f32("llama.attention.layer_norm_rms_epsilon", 1e-5)
        .text("tokenizer.ggml.model", "gpt2")
        .text("tokenizer.ggml.pre", "smollm")
        .strings("tokenizer.ggml.tokens", &tokens)
        .strings("tokenizer.ggml.merges", &["h e".into(), "l l".into()])
        .u32("tokenizer.ggml.eos_token_id", 258)
        .floats("token_embd.weight", &[HIDDEN, 260], small)
        .floats("output_norm.weight", &[HIDDEN], |_| 1.0);
    let shapes: [(&str, &[u64]); 9] = [
        ("attn_norm", &[HIDDEN]),
        ("attn_q", &[HIDDEN, 64]),
        ("attn_k", &[HIDDEN, 32]),
        ("attn_v", &[HIDDEN, 32]),
        ("attn_output", &[64, HIDDEN]),
        ("ffn_norm", &[HIDDEN]),
        ("ffn_gate", &[HIDDEN, 96]),
        ("ffn_up", &[HIDDEN, 96]),
        ("ffn_down", &[96, HIDDEN]),
    ];
    for (name, shape) in shapes {
        writer = writer.floats(&format!("blk.0.{name}.weight"), shape, small);
    }
    writer
}

pub(crate) fn code(format: Format) -> u32 {
    (0..64).find(|code| Format::from_ggml(*code) == Some(format)).unwrap()
}
