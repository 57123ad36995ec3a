//! Canonical weights, and loading them.

use crate::{
    Architecture, ChatTemplate, Config, Matrix, Tokenizer, WeightsError,
    gguf::{GgufFile, TensorInfo},
    hash::Fields,
    huggingface, tokenizer,
};
use alloy_primitives::B256;
use std::{path::Path, sync::Arc};

/// What a base model is known by on chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hashes {
    /// Of configuration and tensors.
    pub weights: B256,
    /// Of the vocabulary.
    pub tokenizer: B256,
}

/// One transformer block.
#[derive(Clone, Debug, PartialEq)]
pub struct Layer {
    /// Scale of the norm before attention.
    pub attention_norm: Vec<f32>,
    /// Query projection.
    pub q: Matrix,
    /// Key projection.
    pub k: Matrix,
    /// Value projection.
    pub v: Matrix,
    /// Biases of q, k and v, where the architecture has them.
    pub qkv_bias: Option<[Vec<f32>; 3]>,
    /// Output projection.
    pub o: Matrix,
    /// Scale of the norm before the feed-forward part.
    pub mlp_norm: Vec<f32>,
    /// Gate projection.
    pub gate: Matrix,
    /// Up projection.
    pub up: Matrix,
    /// Down projection.
    pub down: Matrix,
}

/// Every tensor of a model.
#[derive(Clone, Debug, PartialEq)]
pub struct Weights {
    /// Token embeddings, `[vocab][hidden]`; also the head where `head` is `None`.
    pub embedding: Matrix,
    /// The blocks, first to last.
    pub layers: Vec<Layer>,
    /// Scale of the last norm.
    pub norm: Vec<f32>,
    /// The head, if it is not the embedding.
    pub head: Option<Matrix>,
}

/// A tensor by reference.
#[derive(Clone, Copy, Debug)]
pub enum TensorRef<'a> {
    /// A linear layer or the embedding.
    Matrix(&'a Matrix),
    /// A norm's scale or a bias.
    Vector(&'a [f32]),
}

impl TensorRef<'_> {
    /// As floats, row-major.
    pub fn to_f32(self) -> Vec<f32> {
        match self {
            Self::Matrix(matrix) => matrix.dequantize(),
            Self::Vector(values) => values.to_vec(),
        }
    }

    /// `[rows, columns]`, or `[length]`.
    pub fn shape(self) -> Vec<usize> {
        match self {
            Self::Matrix(matrix) => vec![matrix.rows(), matrix.columns()],
            Self::Vector(values) => vec![values.len()],
        }
    }
}

impl Weights {
    /// Every tensor with its Hugging Face name, in canonical order.
    pub fn tensors(&self) -> Vec<(String, TensorRef<'_>)> {
        let mut tensors = vec![("model.embed_tokens.weight".to_owned(), TensorRef::Matrix(&self.embedding))];
        for (index, layer) in self.layers.iter().enumerate() {
            let mut push =
                |name: &str, tensor| tensors.push((format!("model.layers.{index}.{name}"), tensor));
            push("input_layernorm.weight", TensorRef::Vector(&layer.attention_norm));
            push("self_attn.q_proj.weight", TensorRef::Matrix(&layer.q));
            push("self_attn.k_proj.weight", TensorRef::Matrix(&layer.k));
            push("self_attn.v_proj.weight", TensorRef::Matrix(&layer.v));
            for (bias, name) in layer.qkv_bias.iter().flatten().zip(["q", "k", "v"]) {
                push(&format!("self_attn.{name}_proj.bias"), TensorRef::Vector(bias));
            }
            push("self_attn.o_proj.weight", TensorRef::Matrix(&layer.o));
            push("post_attention_layernorm.weight", TensorRef::Vector(&layer.mlp_norm));
            push("mlp.gate_proj.weight", TensorRef::Matrix(&layer.gate));
            push("mlp.up_proj.weight", TensorRef::Matrix(&layer.up));
            push("mlp.down_proj.weight", TensorRef::Matrix(&layer.down));
        }
        tensors.push(("model.norm.weight".to_owned(), TensorRef::Vector(&self.norm)));
        if let Some(head) = &self.head {
            tensors.push(("lm_head.weight".to_owned(), TensorRef::Matrix(head)));
        }
        tensors
    }

    /// `weightsHash`, as the README defines it.
    pub fn hash(&self, config: &Config) -> B256 {
        let mut fields = Fields::new("tributary-weights-v1");
        fields.push(config.canonical().to_string().as_bytes());
        for (name, tensor) in self.tensors() {
            fields.push(name.as_bytes());
            match tensor {
                TensorRef::Matrix(matrix) => {
                    fields.push(matrix.rows().to_string().as_bytes());
                    fields.push(matrix.columns().to_string().as_bytes());
                    fields.push(matrix.format().name().as_bytes());
                    fields.push(matrix.data());
                }
                TensorRef::Vector(values) => {
                    fields.push(b"1");
                    fields.push(values.len().to_string().as_bytes());
                    fields.push(b"F32");
                    fields.push(&values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<_>>());
                }
            }
        }
        fields.finish()
    }
}

/// A model, ready for a backend. The parts are public so that a backend can take the weights apart while the
/// tokenizer lives on.
#[derive(Debug)]
pub struct Model {
    /// A name for people: the file's own, or the file name.
    pub name: String,
    /// Sizes and constants.
    pub config: Config,
    /// Tensors.
    pub weights: Weights,
    /// Text to tokens and back.
    pub tokenizer: Arc<Tokenizer>,
    /// How conversations become prompts; base models have none.
    pub chat: Option<Arc<ChatTemplate>>,
    /// Identity.
    pub hashes: Hashes,
}

impl Model {
    /// Loads a GGUF file, or a Hugging Face folder.
    pub fn open(path: &Path) -> Result<Self, WeightsError> {
        if path.is_dir() { huggingface::open(path) } else { Self::from_gguf(path) }
    }

    fn from_gguf(path: &Path) -> Result<Self, WeightsError> {
        let file = GgufFile::open(path)?;
        let config = Config::from_gguf(&file)?;
        let tokenizer = tokenizer::from_gguf(&file, config.vocab)?;
        let chat = chat_template(&file, &tokenizer)?;
        let weights = gguf_weights(&file, &config)?;
        let name = file.value("general.name").and_then(|value| value.as_str()).map(str::to_owned);
        let stem = || path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Self::assemble(name.unwrap_or_else(stem), config, weights, tokenizer, chat))
    }

    pub(crate) fn assemble(
        name: String,
        config: Config,
        weights: Weights,
        tokenizer: Tokenizer,
        chat: Option<ChatTemplate>,
    ) -> Self {
        let hashes = Hashes { weights: weights.hash(&config), tokenizer: tokenizer.hash() };
        Self { name, config, weights, tokenizer: Arc::new(tokenizer), chat: chat.map(Arc::new), hashes }
    }
}

/// Opens the tokenizer and the chat template alone, which is quick: for programs that read no weights.
impl Tokenizer {
    /// From a GGUF file or a Hugging Face folder.
    pub fn open(path: &Path) -> Result<Self, WeightsError> {
        if path.is_dir() {
            return huggingface::tokenizer(path);
        }
        let file = GgufFile::open(path)?;
        let config = Config::from_gguf(&file)?;
        tokenizer::from_gguf(&file, config.vocab)
    }
}

fn chat_template(file: &GgufFile, tokenizer: &Tokenizer) -> Result<Option<ChatTemplate>, WeightsError> {
    file.value("tokenizer.chat_template")
        .and_then(|value| value.as_str())
        .map(|source| ChatTemplate::new(source, tokenizer.bos_text(), tokenizer.eos_text()))
        .transpose()
}

fn gguf_weights(file: &GgufFile, config: &Config) -> Result<Weights, WeightsError> {
    let embedding = matrix(file, "token_embd.weight", config.vocab, config.hidden)?;
    let layers = (0..config.layers).map(|index| layer(file, config, index)).collect::<Result<_, _>>()?;
    let norm = named_vector(file, "output_norm.weight", config.hidden)?;
    let head = match file.tensors().contains_key("output.weight") {
        true => Some(matrix(file, "output.weight", config.vocab, config.hidden)?),
        false => None,
    };
    Ok(Weights { embedding, layers, norm, head })
}

fn layer(file: &GgufFile, config: &Config, index: usize) -> Result<Layer, WeightsError> {
    let name = |part: &str| format!("blk.{index}.{part}");
    let linear = |part: &str, rows, columns| matrix(file, &name(part), rows, columns);
    let (hidden, wide) = (config.hidden, config.intermediate);
    let (mut q, mut k) =
        (linear("attn_q.weight", config.query(), hidden)?, linear("attn_k.weight", config.key(), hidden)?);
    if config.architecture == Architecture::Llama {
        (q, k) = (q.unpermuted(config.heads), k.unpermuted(config.kv_heads));
    }
    let qkv_bias = match config.architecture {
        Architecture::Llama => None,
        Architecture::Qwen2 => Some([
            named_vector(file, &name("attn_q.bias"), config.query())?,
            named_vector(file, &name("attn_k.bias"), config.key())?,
            named_vector(file, &name("attn_v.bias"), config.key())?,
        ]),
    };
    refuse_biases(file, config, index)?;
    Ok(Layer {
        attention_norm: named_vector(file, &name("attn_norm.weight"), hidden)?,
        q,
        k,
        v: linear("attn_v.weight", config.key(), hidden)?,
        qkv_bias,
        o: linear("attn_output.weight", hidden, config.query())?,
        mlp_norm: named_vector(file, &name("ffn_norm.weight"), hidden)?,
        gate: linear("ffn_gate.weight", wide, hidden)?,
        up: linear("ffn_up.weight", wide, hidden)?,
        down: linear("ffn_down.weight", hidden, wide)?,
    })
}

/// A tensor that changes the answer is never ignored.
fn refuse_biases(file: &GgufFile, config: &Config, index: usize) -> Result<(), WeightsError> {
    let prefix = format!("blk.{index}.");
    let known = |part: &str| {
        part.ends_with(".weight") && !part.contains("_exps") && !part.contains("_norm.")
            || matches!(part, "attn_norm.weight" | "ffn_norm.weight")
            || config.architecture == Architecture::Qwen2
                && matches!(part, "attn_q.bias" | "attn_k.bias" | "attn_v.bias")
    };
    let mut parts = file.tensors().keys().filter_map(|name| name.strip_prefix(&prefix));
    match parts.find(|part| !known(part)) {
        None => Ok(()),
        Some(part) => Err(WeightsError::Unsupported(format!("tensor {prefix}{part}"))),
    }
}

fn find<'a>(file: &'a GgufFile, name: &str) -> Result<&'a TensorInfo, WeightsError> {
    file.tensors().get(name).ok_or_else(|| WeightsError::Inconsistent(format!("tensor {name} is missing")))
}

fn matrix(file: &GgufFile, name: &str, rows: usize, columns: usize) -> Result<Matrix, WeightsError> {
    let info = find(file, name)?;
    check_shape(info, name, rows, columns)?;
    Matrix::new(info.format, rows, columns, file.read(info)?)
        .map_err(|error| WeightsError::Inconsistent(format!("{name}: {error}")))
}

fn named_vector(file: &GgufFile, name: &str, length: usize) -> Result<Vec<f32>, WeightsError> {
    vector(file, find(file, name)?, name, length)
}

/// Reads a vector of floats.
pub(crate) fn vector(
    file: &GgufFile,
    info: &TensorInfo,
    name: &str,
    length: usize,
) -> Result<Vec<f32>, WeightsError> {
    check_shape(info, name, 1, length)?;
    if length == 0 {
        return Err(WeightsError::Inconsistent(format!("{name} is empty")));
    }
    if !info.format.is_float() {
        return Err(WeightsError::Unsupported(format!("{name} in {}", info.format)));
    }
    Ok(Matrix::new(info.format, 1, length, file.read(info)?)?.dequantize())
}

fn check_shape(info: &TensorInfo, name: &str, rows: usize, columns: usize) -> Result<(), WeightsError> {
    if (info.rows, info.columns) == (rows, columns) {
        return Ok(());
    }
    let reason = format!("{name} is {} × {}, not {rows} × {columns}", info.rows, info.columns);
    Err(WeightsError::Inconsistent(reason))
}
