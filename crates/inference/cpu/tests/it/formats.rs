//! Every weight format from a file, against candle: it writes the file, reads it again, and computes in float what the profile computes.

use crate::{
    model::{HASHES, Random, Sequence, alone, paths},
    oracle::Oracle,
};
use candle_core::{
    Device, Tensor,
    quantized::{GgmlDType, QTensor, gguf_file},
};
use std::{collections::BTreeMap, fs::File, path::Path};
use tributary_adapters::Projection;
use tributary_cpu::{CpuBackend, Options};
use tributary_weights::{Architecture, Config, Format, Layer, Matrix, Model, Weights};

const HIDDEN: usize = 256;
const INNER: usize = 512;
const LAYERS: usize = 2;
const HEADS: usize = 4;
const KV_HEADS: usize = 2;
const WIDTH: usize = 64;
const VOCAB: usize = 260;

const FORMATS: [(Format, GgmlDType); 10] = [
    (Format::F32, GgmlDType::F32),
    (Format::F16, GgmlDType::F16),
    (Format::Bf16, GgmlDType::BF16),
    (Format::Q4_0, GgmlDType::Q4_0),
    (Format::Q4_1, GgmlDType::Q4_1),
    (Format::Q5_0, GgmlDType::Q5_0),
    (Format::Q8_0, GgmlDType::Q8_0),
    (Format::Q4K, GgmlDType::Q4K),
    (Format::Q5K, GgmlDType::Q5K),
    (Format::Q6K, GgmlDType::Q6K),
];

/// How far the profile's logits may be from float's, root of the mean square. Eight bits of activations make 2 % of it in these two
/// layers of noise, whatever the weights are; wrong weights make all of it.
const BOUND: f64 = 0.05;

/// Tensors by Hugging Face's names of a block's parts, in its order of rows.
type Tensors = BTreeMap<String, Tensor>;

fn tensor(random: &mut Random, rows: usize, columns: usize) -> Tensor {
    let values = random.floats(rows * columns, 1.7 / (columns as f32).sqrt());
    Tensor::from_vec(values, (rows, columns), &Device::Cpu).unwrap()
}

fn vector(random: &mut Random, len: usize, middle: f32, scale: f32) -> Tensor {
    let values: Vec<f32> = random.floats(len, scale).iter().map(|value| middle + value).collect();
    Tensor::from_vec(values, len, &Device::Cpu).unwrap()
}

const fn shape(projection: Projection) -> (usize, usize) {
    match projection {
        Projection::Q | Projection::O => (HEADS * WIDTH, HIDDEN),
        Projection::K | Projection::V => (KV_HEADS * WIDTH, HIDDEN),
        Projection::Gate | Projection::Up => (INNER, HIDDEN),
        Projection::Down => (HIDDEN, INNER),
    }
}

const fn name(projection: Projection) -> &'static str {
    match projection {
        Projection::Q => "attn_q",
        Projection::K => "attn_k",
        Projection::V => "attn_v",
        Projection::O => "attn_output",
        Projection::Gate => "ffn_gate",
        Projection::Up => "ffn_up",
        Projection::Down => "ffn_down",
    }
}

fn tensors(random: &mut Random, biased: bool, tied: bool) -> Tensors {
    let mut all = Tensors::new();
    all.insert("token_embd.weight".into(), tensor(random, VOCAB, HIDDEN));
    all.insert("output_norm.weight".into(), vector(random, HIDDEN, 1.0, 0.2));
    if !tied {
        all.insert("output.weight".into(), tensor(random, VOCAB, HIDDEN));
    }
    for layer in 0..LAYERS {
        for projection in Projection::ALL {
            let (rows, columns) = shape(projection);
            let name = format!("blk.{layer}.{}", name(projection));
            all.insert(format!("{name}.weight"), tensor(random, rows, columns));
            if biased && matches!(projection, Projection::Q | Projection::K | Projection::V) {
                all.insert(format!("{name}.bias"), vector(random, rows, 0.0, 0.3));
            }
        }
        all.insert(format!("blk.{layer}.attn_norm.weight"), vector(random, HIDDEN, 1.0, 0.2));
        all.insert(format!("blk.{layer}.ffn_norm.weight"), vector(random, HIDDEN, 1.0, 0.2));
    }
    all
}

/// llama.cpp's order of the rows of queries and keys of a Llama: the two halves of each head interleaved.
fn permuted(tensor: &Tensor) -> Tensor {
    let (rows, columns) = tensor.dims2().unwrap();
    let split = tensor.reshape((rows / WIDTH, 2, WIDTH / 2, columns)).unwrap();
    split.transpose(1, 2).unwrap().contiguous().unwrap().reshape((rows, columns)).unwrap()
}

fn write(path: &Path, all: &Tensors, dtype: GgmlDType, architecture: &str) {
    use gguf_file::Value;
    let mut spare = 0x100u32..;
    let mut tokens: Vec<Value> = (0..=255u8)
        .map(|byte| match byte {
            0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff => char::from(byte),
            _ => char::from_u32(spare.next().unwrap()).unwrap(),
        })
        .map(|letter| Value::String(letter.into()))
        .collect();
    tokens.extend(["aa", "bb", "<|end|>", "cc"].map(|token| Value::String(token.into())));
    let number = |value: usize| Value::U32(value as u32);
    let own = |key: &str| format!("{architecture}.{key}");
    let values: Vec<(String, Value)> = vec![
        ("general.architecture".into(), Value::String(architecture.into())),
        (own("block_count"), number(LAYERS)),
        (own("context_length"), number(256)),
        (own("embedding_length"), number(HIDDEN)),
        (own("feed_forward_length"), number(INNER)),
        (own("attention.head_count"), number(HEADS)),
        (own("attention.head_count_kv"), number(KV_HEADS)),
        (own("attention.layer_norm_rms_epsilon"), Value::F32(1e-5)),
        (own("rope.freq_base"), Value::F32(10_000.0)),
        ("tokenizer.ggml.model".into(), Value::String("gpt2".into())),
        ("tokenizer.ggml.pre".into(), Value::String("smollm".into())),
        ("tokenizer.ggml.tokens".into(), Value::Array(tokens)),
        (
            "tokenizer.ggml.merges".into(),
            Value::Array(vec![Value::String("a a".into()), Value::String("b b".into())]),
        ),
        ("tokenizer.ggml.eos_token_id".into(), number(258)),
    ];
    let quantized: Vec<(&str, QTensor)> = all
        .iter()
        .map(|(name, tensor)| {
            let turns = architecture == "llama" && (name.contains("attn_q") || name.contains("attn_k"));
            let tensor = if turns && tensor.rank() == 2 { permuted(tensor) } else { tensor.clone() };
            let dtype = if tensor.rank() == 1 { GgmlDType::F32 } else { dtype };
            (name.as_str(), QTensor::quantize(&tensor, dtype).unwrap())
        })
        .collect();
    let values: Vec<(&str, &Value)> = values.iter().map(|(key, value)| (key.as_str(), value)).collect();
    let tensors: Vec<(&str, &QTensor)> = quantized.iter().map(|(name, tensor)| (*name, tensor)).collect();
    gguf_file::write(&mut File::create(path).unwrap(), &values, &tensors).unwrap();
}

/// The same by candle's own eyes: what it finds in the file, rows of queries and keys as they were before.
fn read(path: &Path, all: &Tensors, dtype: GgmlDType) -> Tensors {
    let mut file = File::open(path).unwrap();
    let content = gguf_file::Content::read(&mut file).unwrap();
    assert_eq!(content.tensor_infos.len(), all.len());
    all.iter()
        .map(|(name, tensor)| {
            let turned = tensor.rank() == 2 && (name.contains("attn_q") || name.contains("attn_k"));
            // A row is quantised by itself, so their order changes nothing.
            let found = match turned {
                true => QTensor::quantize(tensor, dtype).unwrap(),
                false => content.tensor(&mut file, name, &Device::Cpu).unwrap(),
            };
            (name.clone(), found.dequantize(&Device::Cpu).unwrap())
        })
        .collect()
}

/// Weights of floats.
fn floats(all: &Tensors, biased: bool) -> Weights {
    let vector = |name: &str| all[name].to_vec1::<f32>().unwrap();
    let matrix = |name: &str| {
        let (rows, columns) = all[name].dims2().unwrap();
        let values = all[name].flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        Matrix::new(Format::F32, rows, columns, bytes).unwrap()
    };
    let layer = |layer: usize| {
        let of = |part: &str| format!("blk.{layer}.{part}");
        let matrix = |part: &str| matrix(&of(&format!("{part}.weight")));
        Layer {
            attention_norm: vector(&of("attn_norm.weight")),
            q: matrix("attn_q"),
            k: matrix("attn_k"),
            v: matrix("attn_v"),
            qkv_bias: biased
                .then(|| ["attn_q.bias", "attn_k.bias", "attn_v.bias"].map(|part| vector(&of(part)))),
            o: matrix("attn_output"),
            mlp_norm: vector(&of("ffn_norm.weight")),
            gate: matrix("ffn_gate"),
            up: matrix("ffn_up"),
            down: matrix("ffn_down"),
        }
    };
    Weights {
        embedding: matrix("token_embd.weight"),
        layers: (0..LAYERS).map(layer).collect(),
        norm: vector("output_norm.weight"),
        head: all.contains_key("output.weight").then(|| matrix("output.weight")),
    }
}

fn config(architecture: Architecture) -> Config {
    Config {
        architecture,
        layers: LAYERS,
        hidden: HIDDEN,
        intermediate: INNER,
        heads: HEADS,
        kv_heads: KV_HEADS,
        head_dim: WIDTH,
        vocab: VOCAB,
        context: 256,
        rope_theta: 10_000.0,
        rope_factors: None,
        norm_eps: 1e-5,
    }
}

fn check(format: Format, dtype: GgmlDType, biased: bool) {
    let (architecture, named) =
        if biased { (Architecture::Qwen2, "qwen2") } else { (Architecture::Llama, "llama") };
    let place = format!("{named}, {format}");
    let mut random = Random(format.block_bytes() as u64 + u64::from(biased));
    let all = tensors(&mut random, biased, !biased);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    write(&path, &all, dtype, named);
    let model = Model::open(&path).unwrap();
    assert_eq!(model.config, config(architecture), "{place}");
    let expected = floats(&read(&path, &all, dtype), biased);
    for ((name, mine), (_, theirs)) in model.weights.tensors().iter().zip(expected.tensors()) {
        let (mine, theirs) = (mine.to_f32(), theirs.to_f32());
        let largest = theirs.iter().fold(0f32, |most, value| most.max(value.abs()));
        let apart = mine.iter().zip(&theirs).fold(0f32, |most, (a, b)| most.max((a - b).abs()));
        assert!(apart <= largest * 1e-6, "{place}: {name} differs by {apart} of {largest}");
    }
    let tokens: Vec<u32> = (0..40).map(|_| random.below(VOCAB) as u32).collect();
    let float = Oracle::new(&model.config, &expected, &[]).logits(&tokens);
    let options = Options { threads: 1, path: Some(paths()[0]), cache_tokens: 64, ..Options::default() };
    let mut backend = CpuBackend::new(model.config, model.weights, &HASHES, &options).unwrap();
    let sequence = Sequence { id: 1, tokens, pages: vec![2, 0, 1], lora: vec![] };
    let (mut apart, mut size) = (0.0, 0.0);
    for (found, float) in alone(&mut backend, &sequence, 40).iter().zip(&float) {
        for (found, float) in found.0.iter().zip(float) {
            apart += f64::from(f32::from_bits(*found) - float).powi(2);
            size += f64::from(*float).powi(2);
        }
    }
    let distance = (apart / size).sqrt();
    println!("{place}: {distance:.4}");
    assert!(distance < BOUND, "{place}: logits are {distance} from float");
}

#[test]
fn a_llama_of_every_format_answers_as_in_float() {
    FORMATS.into_iter().for_each(|(format, dtype)| check(format, dtype, false));
}

#[test]
fn a_qwen2_of_every_format_answers_as_in_float() {
    FORMATS.into_iter().for_each(|(format, dtype)| check(format, dtype, true));
}
