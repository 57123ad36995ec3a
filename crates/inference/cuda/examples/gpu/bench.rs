//! Steps of Llama shapes on the device, each beside its bound: bytes it must read, over the bandwidth measured in the same run.
//!
//! Weights are random, from a pool that is repeated at random places: what the device computes with decides what power it draws.

use crate::{
    Outcome,
    model::{HASHES, Random, adapter, matrix},
    open,
};
use std::time::{Duration, Instant};
use tributary_adapters::Projection;
use tributary_cuda::{CudaBackend, Device, DeviceError, Options, Tier, plan::Arena};
use tributary_engine::{
    Admission, Choosing, InferenceBackend, LoraPart, PPM, Row, SeqId, StepOutput, Wanted,
};
use tributary_weights::{Architecture, Config, Format, Layer, Matrix, TensorRef, Weights};

/// Positions that each decoding row has behind it.
const BEHIND: u32 = 128;
const STEPS: u32 = 50;
/// Values of the pool that weights are taken from.
const POOL: usize = 1 << 20;
/// Tokens of a prompt.
const PROMPT: usize = 512;

const fn shape(
    layers: usize,
    hidden: usize,
    intermediate: usize,
    heads: usize,
    kv_heads: usize,
    head_dim: usize,
) -> Config {
    Config {
        architecture: Architecture::Llama,
        layers,
        hidden,
        intermediate,
        heads,
        kv_heads,
        head_dim,
        vocab: 128_256,
        context: 8192,
        rope_theta: 500_000.0,
        rope_factors: None,
        norm_eps: 1e-5,
    }
}

const EIGHT: Config = shape(32, 4096, 14_336, 32, 8, 128);
const ONE: Config = shape(16, 2048, 8192, 32, 8, 64);

fn weights(config: &Config, format: Format) -> Result<Weights, tributary_weights::WeightsError> {
    let mut random = Random(3);
    let pool = matrix(&mut random, format, POOL / 256, 256);
    let mut matrix = |rows: usize, columns: usize| {
        let (bytes, block) =
            (rows * columns / format.block_len() * format.block_bytes(), format.block_bytes());
        let mut data = Vec::with_capacity(bytes);
        while data.len() < bytes {
            let first = random.below(pool.data().len() / block / 2) * block;
            let some = (bytes - data.len()).min(pool.data().len() / 2 / block * block);
            data.extend_from_slice(&pool.data()[first..first + some]);
        }
        Matrix::new(format, rows, columns, data)
    };
    let (hidden, wide) = (config.hidden, config.intermediate);
    let mut layer = || -> Result<Layer, tributary_weights::WeightsError> {
        Ok(Layer {
            attention_norm: vec![1.0; hidden],
            q: matrix(config.query(), hidden)?,
            k: matrix(config.key(), hidden)?,
            v: matrix(config.key(), hidden)?,
            qkv_bias: None,
            o: matrix(hidden, config.query())?,
            mlp_norm: vec![1.0; hidden],
            gate: matrix(wide, hidden)?,
            up: matrix(wide, hidden)?,
            down: matrix(hidden, wide)?,
        })
    };
    let layers = (0..config.layers).map(|_| layer()).collect::<Result<_, _>>()?;
    let embedding = matrix(config.vocab, hidden)?;
    Ok(Weights { embedding, layers, norm: vec![1.0; hidden], head: None })
}

/// Bytes a second that a copy within the device reads and writes.
fn bandwidth() -> Result<f64, DeviceError> {
    const BYTES: u64 = 4 << 30;
    let mut device = open(Tier::Deterministic)?;
    let mut arena = Arena::new();
    let (from, to) = (arena.add("from", BYTES as usize), arena.add("to", BYTES as usize));
    let base = device.allocate(&arena)?;
    device.clear(base, arena.bytes())?;
    let mut end = [0u8; 4];
    let mut best = f64::MAX;
    for _ in 0..8 {
        device.read(&mut [(base, &mut end)])?;
        let start = Instant::now();
        device.copy(base + from, base + to, BYTES)?;
        device.read(&mut [(base, &mut end)])?;
        best = best.min(start.elapsed().as_secs_f64());
    }
    Ok(2.0 * BYTES as f64 / best)
}

/// As most rows are served: the token alone travels.
const GREEDY: Choosing =
    Choosing { temperature: 0.0, top_k: 0, top_p: PPM, min_p: 0, seed: 0, choice: 0, position: 0 };

/// The mean time of a step of so many rows, each with its adapter.
fn step(backend: &mut CudaBackend, lora: &[Vec<LoraPart>]) -> Result<Duration, Box<dyn std::error::Error>> {
    let rows = lora.len();
    let each = BEHIND as usize / 16 + 1;
    let pages: Vec<Vec<u32>> =
        (0..rows).map(|row| (0..each).map(|page| (row * each + page) as u32).collect()).collect();
    for (row, lora) in lora.iter().enumerate() {
        while backend.admit(SeqId(row as u64), lora)? == Admission::Loading {
            std::thread::yield_now();
        }
    }
    let batch: Vec<Row<'_>> = (0..rows)
        .map(|row| Row {
            seq: SeqId(row as u64),
            pos: BEHIND,
            tokens: &[1],
            pages: &pages[row],
            lora: &lora[row],
            logits: Wanted::Last,
            choose: Some(GREEDY),
        })
        .collect();
    let mut out = StepOutput::default();
    (0..5).try_for_each(|_| backend.step(&batch, &mut out))?;
    let start = Instant::now();
    (0..STEPS).try_for_each(|_| backend.step(&batch, &mut out))?;
    let time = start.elapsed() / STEPS;
    (0..rows).for_each(|row| backend.release(SeqId(row as u64)));
    Ok(time)
}

/// Bytes of the weights that a step reads.
fn streamed(weights: &Weights, tier: Tier) -> f64 {
    let tensors = weights.tensors();
    let bytes = tensors.iter().map(|(name, tensor)| match tensor {
        TensorRef::Matrix(matrix) => {
            let values = (matrix.rows() * matrix.columns()) as f64;
            match tier {
                Tier::Deterministic => matrix.data().len() as f64,
                Tier::FastFp8 if name != "model.embed_tokens.weight" => values,
                Tier::Fast | Tier::FastFp8 => values * 2.0,
            }
        }
        TensorRef::Vector(values) => values.len() as f64 * 4.0,
    });
    bytes.sum()
}

fn report(what: &str, rows: usize, time: Duration, bytes: f64, bandwidth: f64) {
    let (bound, time) = (bytes / bandwidth, time.as_secs_f64());
    println!(
        "{what}: {:.3} ms a step, {:.0} tok/s, {:.0} % of the byte bound ({:.2} GB, {:.3} ms)",
        time * 1e3,
        rows as f64 / time,
        bound / time * 100.0,
        bytes / 1e9,
        bound * 1e3
    );
}

/// What is measured: the deterministic tier on its formats, the fast ones on the same shapes.
const CASES: [(&str, &Config, Format, Tier); 7] = [
    ("1B Q8_0 deterministic", &ONE, Format::Q8_0, Tier::Deterministic),
    ("1B bf16 fast", &ONE, Format::F16, Tier::Fast),
    ("1B e4m3 fast-fp8", &ONE, Format::F16, Tier::FastFp8),
    ("8B Q4_1 deterministic", &EIGHT, Format::Q4_1, Tier::Deterministic),
    ("8B Q8_0 deterministic", &EIGHT, Format::Q8_0, Tier::Deterministic),
    ("8B bf16 fast", &EIGHT, Format::F16, Tier::Fast),
    ("8B e4m3 fast-fp8", &EIGHT, Format::F16, Tier::FastFp8),
];

pub(crate) fn run() -> Outcome {
    let bandwidth = bandwidth()?;
    println!("bandwidth of a copy within the device: {:.0} GB/s", bandwidth / 1e9);
    let capability = open(Tier::Deterministic)?.capability();
    for (name, config, format, tier) in CASES {
        if let Err(refused) = tier.check(capability) {
            println!("{name}: not measured, {refused}");
            continue;
        }
        let weights = weights(config, format)?;
        let bytes = streamed(&weights, tier);
        let options = Options { cache_tokens: 1 << 16, adapter_bytes: 8 << 30, tier, ..Options::default() };
        let mut backend = CudaBackend::new(Box::new(open(tier)?), config, weights, &HASHES, &options)?;
        for rows in [1, 16, 64] {
            let time = step(&mut backend, &vec![Vec::new(); rows])?;
            report(&format!("{name}, {rows} streams"), rows, time, bytes, bandwidth);
        }
        prompt(name, &mut backend)?;
        adapters(name, &mut backend, config, bytes, bandwidth)?;
    }
    Ok(())
}

/// One prompt in one step.
fn prompt(name: &str, backend: &mut CudaBackend) -> Outcome {
    let tokens: Vec<u32> = (0..PROMPT as u32).collect();
    let pages: Vec<u32> = (0..PROMPT as u32 / 16).collect();
    let row = Row {
        seq: SeqId(1),
        pos: 0,
        tokens: &tokens,
        pages: &pages,
        lora: &[],
        logits: Wanted::Last,
        choose: None,
    };
    let mut out = StepOutput::default();
    (0..3).try_for_each(|_| backend.step(&[row], &mut out))?;
    let start = Instant::now();
    (0..10).try_for_each(|_| backend.step(&[row], &mut out))?;
    let time = start.elapsed().as_secs_f64() / 10.0;
    println!("{name}, a prompt of {PROMPT}: {:.2} ms, {:.0} tok/s", time * 1e3, PROMPT as f64 / time);
    Ok(())
}

/// Sixty-four rows with adapters of their own; the time of an upload; a thousand adapters in turn.
fn adapters(name: &str, backend: &mut CudaBackend, config: &Config, base: f64, bandwidth: f64) -> Outcome {
    let kinds: [(&str, &[Projection]); 2] =
        [("q, v", &[Projection::Q, Projection::V]), ("all-linear", &Projection::ALL)];
    for (kind, projections) in kinds {
        let all = adapter(config, 1, 16, projections);
        let part = |backend: &CudaBackend| -> Result<LoraPart, tributary_engine::PrepareError> {
            Ok(LoraPart { hash: all.hash, weight: 1.0, prepared: backend.preparer().prepare(&all, 1.0)? })
        };
        // Each is prepared by itself, so each has bytes of its own.
        let distinct: Vec<LoraPart> = (0..64).map(|_| part(backend)).collect::<Result<_, _>>()?;
        let bytes = distinct[0].prepared.bytes() as f64;
        let start = Instant::now();
        while backend.admit(SeqId(1 << 40), &distinct[..1])? == Admission::Loading {}
        println!(
            "{name}, upload of r16 {kind}, {:.1} MB: {:.2} ms",
            bytes / 1e6,
            start.elapsed().as_secs_f64() * 1e3
        );
        backend.release(SeqId(1 << 40));
        let lora: Vec<Vec<LoraPart>> = distinct.iter().map(|part| vec![part.clone()]).collect();
        let time = step(backend, &lora)?;
        report(
            &format!("{name}, 64 streams, 64 adapters r16 {kind}"),
            64,
            time,
            base + 64.0 * bytes,
            bandwidth,
        );
    }
    many(name, backend, config)
}

/// Steps of 64 rows whose adapters are drawn by Zipf from 1,000, and from 8.
fn many(name: &str, backend: &mut CudaBackend, config: &Config) -> Outcome {
    let one = adapter(config, 2, 8, &[Projection::Q, Projection::V]);
    let prepare = |backend: &CudaBackend| -> Result<LoraPart, tributary_engine::PrepareError> {
        Ok(LoraPart { hash: one.hash, weight: 1.0, prepared: backend.preparer().prepare(&one, 1.0)? })
    };
    for count in [8, 1000] {
        let all: Vec<LoraPart> = (0..count).map(|_| prepare(backend)).collect::<Result<_, _>>()?;
        let mut random = Random(7);
        let mut draw = || {
            // Ranks r with weight 1/r, by inversion of the harmonic sum.
            let mut left = random.below(1 << 20) as f64 / f64::from(1 << 20)
                * (1..=count).map(|r| 1.0 / r as f64).sum::<f64>();
            (1..=count)
                .find(|r| {
                    left -= 1.0 / *r as f64;
                    left <= 0.0
                })
                .unwrap_or(1)
                - 1
        };
        let mut total = Duration::ZERO;
        for _ in 0..8 {
            let lora: Vec<Vec<LoraPart>> = (0..64).map(|_| vec![all[draw()].clone()]).collect();
            total += step(backend, &lora)?;
        }
        println!(
            "{name}, 64 streams, Zipf over {count} adapters: {:.3} ms a step",
            total.as_secs_f64() * 1e3 / 8.0
        );
    }
    Ok(())
}
