//! The canonical vocabulary.

use crate::{WeightsError, gguf::GgufFile, hash::Fields, tokenizer::Tokenizer};
use alloy_primitives::B256;

/// How text is cut into words before merging.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PreTokenizer {
    /// GPT-2's pattern.
    Gpt2,
    /// Each digit alone, then GPT-2's pattern.
    SmolLm,
    /// Llama 3's pattern; whole words are looked up before merging.
    Llama3,
    /// Qwen2's pattern over NFC text.
    Qwen2,
}

impl PreTokenizer {
    /// Its name in GGUF files and hashes.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gpt2 => "gpt-2",
            Self::SmolLm => "smollm",
            Self::Llama3 => "llama-bpe",
            Self::Qwen2 => "qwen2",
        }
    }

    /// The regular expression, where it is not GPT-2's own.
    pub(crate) const fn pattern(self) -> Option<&'static str> {
        match self {
            Self::Gpt2 | Self::SmolLm => None,
            Self::Llama3 => Some(
                r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
            ),
            Self::Qwen2 => Some(
                r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
            ),
        }
    }

    fn from_gguf(name: &str) -> Result<Self, WeightsError> {
        match name {
            "gpt-2" | "gpt2" | "default" => Ok(Self::Gpt2),
            "smollm" => Ok(Self::SmolLm),
            "llama-bpe" | "llama3" | "llama-v3" => Ok(Self::Llama3),
            "qwen2" => Ok(Self::Qwen2),
            other => Err(WeightsError::Unsupported(format!("pre-tokenizer {other:?}"))),
        }
    }
}

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Made by merging.
    Normal,
    /// Structure, never part of plain text: `<|im_start|>`.
    Control,
    /// Matched in text before merging.
    UserDefined,
}

impl Kind {
    const fn name(self) -> &'static [u8] {
        match self {
            Self::Normal => b"normal",
            Self::Control => b"control",
            Self::UserDefined => b"user",
        }
    }
}

/// Everything that decides how text is encoded.
#[derive(Debug)]
pub(crate) struct Vocabulary {
    pub(crate) pre: PreTokenizer,
    pub(crate) tokens: Vec<(String, Kind)>,
    pub(crate) merges: Vec<(String, String)>,
    pub(crate) bos: Option<u32>,
    pub(crate) eos: Vec<u32>,
    pub(crate) adds_bos: bool,
}

impl Vocabulary {
    /// `tokenizerHash`, as the README defines it.
    pub(crate) fn hash(&self) -> B256 {
        let mut fields = Fields::new("tributary-tokenizer-v1");
        fields.push(self.pre.name().as_bytes());
        for (token, kind) in &self.tokens {
            fields.push(kind.name());
            fields.push(token.as_bytes());
        }
        for (left, right) in &self.merges {
            fields.push(left.as_bytes());
            fields.push(right.as_bytes());
        }
        fields.finish()
    }
}

/// From GGUF metadata; `size` is the number of embedding rows.
pub(crate) fn from_gguf(file: &GgufFile, size: usize) -> Result<Tokenizer, WeightsError> {
    let bad = |reason: &str| WeightsError::Tokenizer(reason.to_owned());
    let text = |key: &str| file.value(key).and_then(|value| value.as_str());
    let strings = |key: &str| {
        file.value(key).and_then(|value| value.as_strings()).ok_or_else(|| bad(&format!("{key} is missing")))
    };
    match text("tokenizer.ggml.model") {
        Some("gpt2") => {}
        other => return Err(WeightsError::Unsupported(format!("tokenizer model {other:?}"))),
    }
    let pre = PreTokenizer::from_gguf(text("tokenizer.ggml.pre").unwrap_or("default"))?;
    let names = strings("tokenizer.ggml.tokens")?;
    if names.len() != size {
        return Err(bad(&format!("{} tokens for {size} embeddings", names.len())));
    }
    let kinds = file.value("tokenizer.ggml.token_type").and_then(|value| value.as_scalars()).unwrap_or(&[]);
    let kind = |index: usize| match kinds.get(index).and_then(|value| value.as_u64()) {
        Some(2 | 3 | 5) => Kind::Control,
        Some(4) => Kind::UserDefined,
        _ => Kind::Normal,
    };
    let tokens = names.iter().enumerate().map(|(index, name)| (name.clone(), kind(index))).collect();
    let merges = strings("tokenizer.ggml.merges")?
        .iter()
        .map(|merge| merge.split_once(' ').map(|(l, r)| (l.to_owned(), r.to_owned())))
        .collect::<Option<_>>()
        .ok_or_else(|| bad("a merge is not two tokens"))?;
    let id = |key: &str| match file.value(key).map(|value| value.as_u64()) {
        None => Ok(None),
        Some(Some(id)) if id < size as u64 => Ok(Some(id as u32)),
        Some(_) => Err(bad(&format!("{key} is not a token"))),
    };
    let mut eos = Vec::new();
    for key in ["tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id"] {
        eos.extend(id(key)?);
    }
    Tokenizer::new(Vocabulary {
        pre,
        tokens,
        merges,
        bos: id("tokenizer.ggml.bos_token_id")?,
        eos,
        adds_bos: file
            .value("tokenizer.ggml.add_bos_token")
            .and_then(|value| value.as_bool())
            .unwrap_or(false),
    })
}
