//! Decoding and prefill, tokens a second, with a read pass over the same weights beside each run.
//!
//! `cargo bench -p tributary-cpu --bench throughput [-- THREADS]`

use std::time::Instant;
use tributary_adapters::{Adapter, LoraModule, Projection};
use tributary_cpu::{CpuBackend, Options};
use tributary_engine::{InferenceBackend, LoraPart, Row, SeqId, StepOutput, Wanted};
use tributary_weights::{Config, DEFAULT_MODEL, Model, cache_dir, pull};

const RUNS: usize = 7;

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn pages(sequence: usize) -> Vec<u32> {
    (sequence as u32 * 40..(sequence as u32 + 1) * 40).collect()
}

/// Prefills `tokens` tokens; seconds.
fn prefill(backend: &mut CpuBackend, tokens: &[u32], out: &mut StepOutput) -> f64 {
    let pages = pages(0);
    let start = Instant::now();
    let row =
        Row { seq: SeqId(0), pos: 0, tokens, pages: &pages, lora: &[], logits: Wanted::Last, choose: None };
    backend.step(&[row], out).expect("prefill");
    start.elapsed().as_secs_f64()
}

/// An adapter of every linear layer whose values are small and all different.
fn adapter(config: &Config, rank: usize, seed: usize) -> Adapter {
    let values = |len: usize, scale: f32| -> Vec<f32> {
        (0..len)
            .map(|i| ((i * 2_654_435_761 + seed * 977) % 2001) as f32 / 1000.0 - 1.0)
            .map(|v| v * scale)
            .collect()
    };
    let layers = 0..config.layers as u32;
    let modules = layers.flat_map(|layer| Projection::ALL.map(|projection| (layer, projection)));
    let module = |(layer, projection)| {
        let (inputs, outputs) = match projection {
            Projection::Q => (config.hidden, config.query()),
            Projection::K | Projection::V => (config.hidden, config.key()),
            Projection::O => (config.query(), config.hidden),
            Projection::Gate | Projection::Up => (config.hidden, config.intermediate),
            Projection::Down => (config.intermediate, config.hidden),
        };
        LoraModule {
            layer,
            projection,
            rank: rank as u32,
            inputs: inputs as u32,
            outputs: outputs as u32,
            scale: 1.0,
            a: values(rank * inputs, 0.02),
            b: values(rank * outputs, 0.02),
            magnitude: None,
        }
    };
    Adapter { hash: Default::default(), modules: modules.map(module).collect() }
}

/// Decodes 64 tokens in each of some sequences, by their adapters, after 64 of prompt; seconds.
fn decode(backend: &mut CpuBackend, tokens: &[u32], streams: &[Vec<LoraPart>], out: &mut StepOutput) -> f64 {
    let tables: Vec<Vec<u32>> = (0..streams.len()).map(pages).collect();
    let mut run = |pos: u32, tokens: &[u32]| {
        let row = |((seq, pages), lora)| Row {
            seq: SeqId(seq),
            pos,
            tokens,
            pages,
            lora,
            logits: Wanted::Last,
            choose: None,
        };
        let tables = (0..).zip(tables.iter().map(Vec::as_slice));
        let rows: Vec<Row<'_>> = tables.zip(streams.iter().map(Vec::as_slice)).map(row).collect();
        backend.step(&rows, out).expect("decode");
    };
    for (start, chunk) in (0..).step_by(16).zip(tokens[..64].chunks(16)) {
        run(start, chunk);
    }
    let start = Instant::now();
    for pos in 64..128 {
        run(pos, &tokens[pos as usize..][..1]);
    }
    start.elapsed().as_secs_f64()
}

fn main() {
    // `cargo test --benches` runs this with `--test`: compiling it is the test.
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    let cache = cache_dir().expect("a cache folder");
    let model =
        Model::open(&pull(&DEFAULT_MODEL, &cache).expect("the default model")).expect("a valid model");
    let text = include_str!("../README.md").repeat(8);
    let tokens = model.tokenizer.encode(&text).expect("tokens");
    let start = Instant::now();
    let config = model.config.clone();
    let threads = std::env::args().find_map(|argument| argument.parse().ok());
    let options = Options { threads: threads.unwrap_or(Options::default().threads), ..Options::default() };
    let mut backend =
        CpuBackend::new(model.config, model.weights, &model.hashes, &options).expect("a backend");
    println!("{} ready in {:.0} ms", backend.name(), start.elapsed().as_secs_f64() * 1e3);
    let mut out = StepOutput::default();
    let bytes = backend.weight_bytes() as f64;

    let (mut decoded, mut read) = (Vec::new(), Vec::new());
    for _ in 0..RUNS {
        decoded.push(64.0 / decode(&mut backend, &tokens, &[vec![]], &mut out));
        let start = Instant::now();
        for _ in 0..16 {
            std::hint::black_box(backend.read_pass().expect("a read pass"));
        }
        read.push(16.0 / start.elapsed().as_secs_f64());
    }
    let (decoded, bound) = (median(decoded), median(read));
    println!(
        "decode, 1 stream:     {decoded:7.1} tok/s  = {:.0} % of the read pass ({bound:.1}/s, {:.1} GB/s, {:.1} MB a token)",
        100.0 * decoded / bound,
        bound * bytes / 1e9,
        bytes / 1e6,
    );
    for count in [64, 512] {
        let runs =
            (0..RUNS).map(|_| count as f64 / prefill(&mut backend, &tokens[..count], &mut out)).collect();
        println!("prefill, {count:3} tokens:  {:7.1} tok/s", median(runs));
    }
    let base = |streams: usize| vec![Vec::new(); streams];
    let mut step = 0.0;
    for streams in [4, 16] {
        let found = rate(&mut backend, &tokens, &base(streams), &mut out);
        step = streams as f64 / found;
        println!("decode, {streams:2} streams:   {found:7.1} tok/s = {:.2} ms a step", step * 1e3);
    }
    let preparer = backend.preparer();
    let distinct: Vec<Vec<LoraPart>> = (0..16)
        .map(|seed| {
            let prepared = preparer.prepare(&adapter(&config, 16, seed), 1.0).expect("an adapter");
            vec![LoraPart { hash: Default::default(), weight: 1.0, prepared }]
        })
        .collect();
    let adapters: usize = distinct.iter().map(|parts| parts[0].prepared.bytes()).sum();
    let found = rate(&mut backend, &tokens, &distinct, &mut out);
    println!(
        "decode, 16 streams, 16 adapters of rank 16: {found:7.1} tok/s = {:.2} ms a step; base {:.2} ms + {:.1} MB of adapters at the read pass {:.2} ms",
        16e3 / found,
        step * 1e3,
        adapters as f64 / 1e6,
        adapters as f64 / (bound * bytes) * 1e3,
    );
    let one = rate(&mut backend, &tokens, &distinct[..1], &mut out);
    println!("decode, 1 stream, 1 adapter of rank 16:     {one:7.1} tok/s");
}

/// Median tokens a second over all streams.
fn rate(backend: &mut CpuBackend, tokens: &[u32], streams: &[Vec<LoraPart>], out: &mut StepOutput) -> f64 {
    let total = (streams.len() * 64) as f64;
    median((0..RUNS).map(|_| total / decode(backend, tokens, streams, out)).collect())
}
