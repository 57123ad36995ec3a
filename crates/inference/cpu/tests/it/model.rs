//! Models, adapters and a way to run them.

use alloy_primitives::B256;
use tributary_adapters::{Adapter, LoraModule, Projection};
use tributary_cpu::{CpuBackend, Options, Path};
use tributary_engine::{InferenceBackend, LoraPart, PageId, Row, RowError, SeqId, StepOutput, Wanted};
use tributary_weights::{Architecture, Config, Format, Hashes, Layer, Matrix, Weights};

/// A stream of random numbers.
#[derive(Clone, Debug)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        (self.word() % end as u64) as usize
    }

    pub(crate) fn float(&mut self) -> f32 {
        ((self.word() >> 40) as i32 - (1 << 23)) as f32 / (1 << 23) as f32
    }

    pub(crate) fn floats(&mut self, len: usize, scale: f32) -> Vec<f32> {
        (0..len).map(|_| self.float() * scale).collect()
    }
}

/// A random matrix in a format, by quantising nothing: random codes, scales of a trained layer's size.
fn matrix(random: &mut Random, format: Format, rows: usize, columns: usize) -> Matrix {
    let half = |value: f32| half::f16::from_f32(value).to_le_bytes();
    let mut data: Vec<u8> = Vec::new();
    for _ in 0..rows * columns / format.block_len() {
        let mut block: Vec<u8> = (0..format.block_bytes()).map(|_| random.word() as u8).collect();
        let scale = (random.float() + 1.5) / 40.0;
        match format {
            Format::F32 => block.copy_from_slice(&(random.float() / 6.0).to_le_bytes()),
            Format::F16 => block.copy_from_slice(&half(random.float() / 6.0)),
            Format::Q4_0 => block[..2].copy_from_slice(&half(scale)),
            Format::Q8_0 => block[..2].copy_from_slice(&half(scale / 20.0)),
            Format::Q4_1 => {
                block[..2].copy_from_slice(&half(scale));
                block[2..4].copy_from_slice(&half(scale * -7.5));
            }
            Format::Q6K => block[208..].copy_from_slice(&half(scale / 900.0)),
            _ => {
                block[..2].copy_from_slice(&half(scale / 30.0));
                block[2..4].copy_from_slice(&half(scale / 4.0));
            }
        }
        data.extend(block);
    }
    Matrix::new(format, rows, columns, data).unwrap()
}

/// A small model with random weights.
pub(crate) fn small(seed: u64, format: Format, architecture: Architecture) -> (Config, Weights) {
    let mut random = Random(seed);
    let (hidden, intermediate) = (256, 512);
    let config = Config {
        architecture,
        layers: 2,
        hidden,
        intermediate,
        heads: 4,
        kv_heads: 2,
        head_dim: 64,
        vocab: 100,
        context: 256,
        rope_theta: 10_000.0,
        rope_factors: None,
        norm_eps: 1e-5,
    };
    let scale = |random: &mut Random| random.floats(hidden, 0.3).iter().map(|v| v + 1.0).collect::<Vec<_>>();
    let layers = (0..config.layers)
        .map(|_| Layer {
            attention_norm: scale(&mut random),
            q: matrix(&mut random, format, 256, hidden),
            k: matrix(&mut random, format, 128, hidden),
            v: matrix(&mut random, format, 128, hidden),
            qkv_bias: (architecture == Architecture::Qwen2)
                .then(|| [random.floats(256, 0.1), random.floats(128, 0.1), random.floats(128, 0.1)]),
            o: matrix(&mut random, format, hidden, 256),
            mlp_norm: scale(&mut random),
            gate: matrix(&mut random, format, intermediate, hidden),
            up: matrix(&mut random, format, intermediate, hidden),
            down: matrix(&mut random, format, hidden, intermediate),
        })
        .collect();
    let embedding = matrix(&mut random, Format::Q8_0, config.vocab, hidden);
    let head = (seed % 2 == 1).then(|| matrix(&mut random, format, config.vocab, hidden));
    let norm = scale(&mut random);
    (config, Weights { embedding, layers, norm, head })
}

/// A random adapter for any model shape.
pub(crate) fn adapter(config: &Config, seed: u64, rank: u32, projections: &[Projection]) -> Adapter {
    let mut random = Random(seed ^ 0xada9);
    let shape = |projection| match projection {
        Projection::Q => (config.hidden, config.query()),
        Projection::K | Projection::V => (config.hidden, config.key()),
        Projection::O => (config.query(), config.hidden),
        Projection::Gate | Projection::Up => (config.hidden, config.intermediate),
        Projection::Down => (config.intermediate, config.hidden),
    };
    let modules = (0..config.layers as u32)
        .flat_map(|layer| projections.iter().map(move |projection| (layer, *projection)))
        .map(|(layer, projection)| {
            let (inputs, outputs) = shape(projection);
            let size = 1.0 / (inputs as f32).sqrt();
            LoraModule {
                layer,
                projection,
                rank,
                inputs: inputs as u32,
                outputs: outputs as u32,
                scale: 2.0,
                a: random.floats(rank as usize * inputs, size),
                b: random.floats(rank as usize * outputs, 0.05),
                magnitude: None,
            }
        })
        .collect();
    Adapter { hash: B256::repeat_byte(seed as u8), modules }
}

/// The same as DoRA: magnitudes about as large as the rows of a small model.
pub(crate) fn dora(config: &Config, seed: u64, rank: u32, projections: &[Projection]) -> Adapter {
    let mut random = Random(seed ^ 0xd04a);
    let mut adapter = adapter(config, seed, rank, projections);
    for module in &mut adapter.modules {
        let magnitude = random.floats(module.outputs as usize, 0.5).iter().map(|v| v + 1.5).collect();
        module.magnitude = Some(magnitude);
    }
    adapter
}

pub(crate) const HASHES: Hashes = Hashes { weights: B256::ZERO, tokenizer: B256::ZERO };

pub(crate) fn backend(config: &Config, weights: &Weights, path: Path, threads: usize) -> CpuBackend {
    let options = Options {
        threads,
        path: Some(path),
        cache_tokens: 4096,
        context: 256,
        step_tokens: 256,
        rows: 32,
        ..Options::default()
    };
    CpuBackend::new(config.clone(), weights.clone(), &HASHES, &options).unwrap()
}

pub(crate) fn paths() -> Vec<Path> {
    Path::ALL.into_iter().filter(|path| path.is_available()).collect()
}

pub(crate) fn part(backend: &CpuBackend, adapter: &Adapter, weight: f32) -> LoraPart {
    let prepared = backend.preparer().prepare(adapter, weight).unwrap();
    LoraPart { hash: adapter.hash, weight, prepared }
}

/// A sequence with pages of its own.
#[derive(Clone, Debug)]
pub(crate) struct Sequence {
    pub(crate) id: u64,
    pub(crate) tokens: Vec<u32>,
    pub(crate) pages: Vec<PageId>,
    pub(crate) lora: Vec<LoraPart>,
}

/// Logits and final vector of each position: what must not depend on anything else.
pub(crate) type Bits = Vec<(Vec<u32>, Vec<u8>)>;

/// Reads a row's results.
pub(crate) fn results(out: &StepOutput, row: usize) -> Result<Bits, RowError> {
    match out.error(row) {
        Some(error) => Err(error),
        None => Ok((0..out.count(row))
            .map(|i| (out.logits(row, i).iter().map(|v| v.to_bits()).collect(), out.normed(row, i).to_vec()))
            .collect()),
    }
}

/// Runs one sequence alone, in chunks, and gives every position's results.
pub(crate) fn alone(backend: &mut CpuBackend, sequence: &Sequence, chunk: usize) -> Bits {
    let mut out = StepOutput::default();
    let mut bits = Vec::new();
    let mut pos = 0;
    for tokens in sequence.tokens.chunks(chunk) {
        let row = Row {
            seq: SeqId(sequence.id),
            pos,
            tokens,
            pages: &sequence.pages,
            lora: &sequence.lora,
            logits: Wanted::All,
            choose: None,
        };
        backend.step(&[row], &mut out).unwrap();
        bits.extend(results(&out, 0).unwrap());
        pos += tokens.len() as u32;
    }
    bits
}
