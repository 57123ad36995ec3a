//! Decoding and prefill, tokens a second, with a read pass over the same weights beside each run.
//!
//! `cargo bench -p tributary-cpu --bench throughput`

use std::time::Instant;
use tributary_cpu::{CpuBackend, Options};
use tributary_engine::{InferenceBackend, Row, SeqId, StepOutput, Wanted};
use tributary_weights::{DEFAULT_MODEL, Model, cache_dir, pull};

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
    let row = Row { seq: SeqId(0), pos: 0, tokens, pages: &pages, lora: &[], logits: Wanted::Last };
    backend.step(&[row], out).expect("prefill");
    start.elapsed().as_secs_f64()
}

/// Decodes 64 tokens in each of `streams` sequences after 64 of prompt; seconds.
fn decode(backend: &mut CpuBackend, tokens: &[u32], streams: usize, out: &mut StepOutput) -> f64 {
    let tables: Vec<Vec<u32>> = (0..streams).map(pages).collect();
    let mut run = |pos: u32, tokens: &[u32]| {
        let row = |(seq, pages)| Row { seq: SeqId(seq), pos, tokens, pages, lora: &[], logits: Wanted::Last };
        let rows: Vec<Row<'_>> = (0..).zip(tables.iter().map(Vec::as_slice)).map(row).collect();
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
    let model = Model::open(&pull(&DEFAULT_MODEL, &cache).expect("the default model")).expect("a valid model");
    let text = include_str!("../README.md").repeat(8);
    let tokens = model.tokenizer.encode(&text).expect("tokens");
    let start = Instant::now();
    let mut backend =
        CpuBackend::new(model.config, model.weights, &model.hashes, &Options::default()).expect("a backend");
    println!("{} ready in {:.0} ms", backend.name(), start.elapsed().as_secs_f64() * 1e3);
    let mut out = StepOutput::default();
    let bytes = backend.weight_bytes() as f64;

    let (mut decoded, mut read) = (Vec::new(), Vec::new());
    for _ in 0..RUNS {
        decoded.push(64.0 / decode(&mut backend, &tokens, 1, &mut out));
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
        let runs = (0..RUNS).map(|_| count as f64 / prefill(&mut backend, &tokens[..count], &mut out)).collect();
        println!("prefill, {count:3} tokens:  {:7.1} tok/s", median(runs));
    }
    for streams in [4, 16] {
        let total = (streams * 64) as f64;
        let runs = (0..RUNS).map(|_| total / decode(&mut backend, &tokens, streams, &mut out)).collect();
        println!("decode, {streams:2} streams:   {:7.1} tok/s", median(runs));
    }
}
