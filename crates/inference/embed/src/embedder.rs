//! From a text to its place among others.

use crate::{EmbedError, bert::Bert, config::Config};
use candle_core::{DType, Device, safetensors};
use candle_nn::VarBuilder;
use std::{fs, path::Path};
use tokenizers::Tokenizer;

/// Tokens that sentence-transformers' models of this make look at, [CLS] and [SEP] among them.
const MAX_TOKENS: usize = 256;
/// Largest file that is read.
const MAX_FILE: u64 = 4 << 30;

/// An embedding model in memory; shared by threads.
pub struct Embedder {
    tokenizer: Tokenizer,
    bert: Bert,
    vocab: usize,
    dimensions: usize,
    limit: usize,
}

impl std::fmt::Debug for Embedder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Embedder").field("dimensions", &self.dimensions).finish_non_exhaustive()
    }
}

impl Embedder {
    /// Loads a model folder.
    pub fn open(folder: &Path) -> Result<Self, EmbedError> {
        let config = Config::parse(&read(&folder.join("config.json"))?)?;
        let model = |error: &dyn std::fmt::Display| EmbedError::Model(error.to_string());
        let mut tokenizer =
            Tokenizer::from_bytes(read(&folder.join("tokenizer.json"))?).map_err(|error| model(&error))?;
        // The file's own settings cut silently, and fill up.
        tokenizer.with_truncation(None).map_err(|error| model(&error))?.with_padding(None);
        let weights = read(&folder.join("model.safetensors"))?;
        let tensors = safetensors::load_buffer(&weights, &Device::Cpu).map_err(|error| model(&error))?;
        let vars = VarBuilder::from_tensors(tensors, DType::F32, &Device::Cpu);
        let vars = if vars.contains_tensor("bert.embeddings.word_embeddings.weight") {
            vars.pp("bert")
        } else {
            vars
        };
        let bert = Bert::load(&config, vars).map_err(|error| model(&error))?;
        if tokenizer.get_vocab_size(true) > config.vocab_size {
            return Err(EmbedError::Model("the tokenizer has more tokens than the model".into()));
        }
        Ok(Self {
            tokenizer,
            bert,
            vocab: config.vocab_size,
            dimensions: config.hidden_size,
            limit: MAX_TOKENS.min(config.max_position_embeddings),
        })
    }

    /// Numbers of an embedding.
    pub const fn dimensions(&self) -> usize {
        self.dimensions
    }

    /// Tokens of a text at most.
    pub const fn limit(&self) -> usize {
        self.limit
    }

    /// A text's tokens, with those that open and close it. `cut`: keep this many at most instead of refusing a longer one; the last
    /// stays the closing one.
    pub fn tokens(&self, text: &str, cut: Option<usize>) -> Result<Vec<u32>, EmbedError> {
        let encoding =
            self.tokenizer.encode(text, true).map_err(|error| EmbedError::Compute(error.to_string()))?;
        let mut tokens = encoding.get_ids().to_vec();
        if let (Some(cut), Some(last)) = (cut.map(|cut| cut.min(self.limit)), tokens.last().copied())
            && tokens.len() > cut
        {
            tokens.truncate(cut);
            if let Some(end) = tokens.last_mut() {
                *end = last;
            }
        }
        self.check(&tokens)?;
        Ok(tokens)
    }

    fn check(&self, tokens: &[u32]) -> Result<(), EmbedError> {
        if tokens.is_empty() {
            return Err(EmbedError::Empty);
        }
        if tokens.len() > self.limit {
            return Err(EmbedError::TooLong { tokens: tokens.len(), limit: self.limit });
        }
        match tokens.iter().find(|token| **token as usize >= self.vocab) {
            Some(token) => Err(EmbedError::BadToken(*token)),
            None => Ok(()),
        }
    }

    /// The embedding of a text's tokens, of unit length.
    pub fn embed(&self, tokens: &[u32]) -> Result<Vec<f32>, EmbedError> {
        self.check(tokens)?;
        let mean: Vec<f32> = self.bert.forward(tokens)?.mean(0)?.to_vec1()?;
        let length = mean.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt();
        if !length.is_finite() || length == 0.0 {
            return Err(EmbedError::Compute("it has no direction".into()));
        }
        Ok(mean.into_iter().map(|value| (f64::from(value) / length) as f32).collect())
    }
}

fn read(path: &Path) -> Result<Vec<u8>, EmbedError> {
    let io = |source| EmbedError::Io { path: path.to_owned(), source };
    let length = fs::metadata(path).map_err(io)?.len();
    if length > MAX_FILE {
        return Err(EmbedError::Model(format!("{} is too large", path.display())));
    }
    fs::read(path).map_err(io)
}
