//! Whole forward passes of every path against the definition, for every weight format.

use crate::model::{Bits, HASHES, Random, Sequence, adapter, alone, backend, dora, part, paths, small};
use tributary_adapters::{Adapter, Projection};
use tributary_cpu::{
    CpuBackend, Options,
    reference::{Lora, Reference},
};
use tributary_weights::{Architecture, Config, Format, Hashes, Weights};

fn check(seed: u64, format: Format, architecture: Architecture, ranks: &[u32]) {
    let (config, weights) = small(seed, format, architecture);
    let adapters: Vec<_> =
        ranks.iter().map(|rank| adapter(&config, seed + u64::from(*rank), *rank, &Projection::ALL)).collect();
    check_adapters(seed, &config, &weights, &adapters);
}

fn check_adapters(seed: u64, config: &Config, weights: &Weights, adapters: &[Adapter]) {
    let mut random = Random(seed);
    let tokens: Vec<u32> = (0..37).map(|_| random.below(config.vocab) as u32).collect();
    let lora: Vec<_> = adapters.iter().map(|adapter| Lora { adapter, weight: 0.75 }).collect();
    let mut reference = Reference::new(config, weights, &lora);
    let expected: Bits = tokens
        .iter()
        .map(|token| reference.push(*token).unwrap())
        .map(|(logits, normed)| (logits.iter().map(|v| v.to_bits()).collect(), normed))
        .collect();
    for path in paths() {
        for (threads, chunk) in [(1, 37), (2, 1), (3, 10)] {
            let mut backend = backend(config, weights, path, threads);
            let lora = adapters.iter().map(|adapter| part(&backend, adapter, 0.75)).collect();
            let sequence = Sequence { id: 1, tokens: tokens.clone(), pages: vec![9, 3, 200], lora };
            let found = alone(&mut backend, &sequence, chunk);
            let differs = found.iter().zip(&expected).position(|(found, expected)| found != expected);
            assert_eq!(differs, None, "{path}, {threads} threads, chunks of {chunk}, seed {seed}");
            assert_eq!(found.len(), expected.len());
        }
    }
}

#[test]
fn q4_1() {
    check(1, Format::Q4_1, Architecture::Llama, &[]);
    check(2, Format::Q4_1, Architecture::Llama, &[16]);
    check(3, Format::Q4_1, Architecture::Qwen2, &[8, 40]);
}

#[test]
fn q4_0_and_q8_0() {
    check(4, Format::Q4_0, Architecture::Llama, &[1]);
    check(5, Format::Q8_0, Architecture::Llama, &[16]);
}

#[test]
fn k_quants() {
    check(6, Format::Q4K, Architecture::Llama, &[]);
    check(7, Format::Q6K, Architecture::Qwen2, &[5]);
    check(8, Format::Q5K, Architecture::Llama, &[]);
}

#[test]
fn floats() {
    check(9, Format::F32, Architecture::Llama, &[]);
    check(10, Format::F16, Architecture::Qwen2, &[4]);
}

#[test]
fn dora_before_the_bias() {
    for (seed, format, architecture, rank) in [
        (11, Format::Q4_1, Architecture::Llama, 16),
        (12, Format::Q8_0, Architecture::Qwen2, 5),
        (13, Format::F32, Architecture::Qwen2, 33),
        (14, Format::Q6K, Architecture::Llama, 1),
    ] {
        let (config, weights) = small(seed, format, architecture);
        check_adapters(seed, &config, &weights, &[dora(&config, seed, rank, &Projection::ALL)]);
    }
    // Biases of layers that the adapter leaves alone stay where they were.
    let (config, weights) = small(15, Format::Q4_1, Architecture::Qwen2);
    check_adapters(15, &config, &weights, &[dora(&config, 15, 8, &[Projection::K, Projection::Down])]);
}

#[test]
fn weights_from_disk_are_the_same() {
    let folder = tempfile::tempdir().unwrap();
    for (seed, format) in [(16, Format::Q4_1), (17, Format::Q6K)] {
        let (config, weights) = small(seed, format, Architecture::Llama);
        let hashes = Hashes { weights: weights.hash(&config), ..HASHES };
        let options = Options { threads: 1, cache_tokens: 64, ..Options::default() };
        let start =
            || CpuBackend::cached(config.clone(), weights.clone(), &hashes, &options, folder.path()).unwrap();
        let sequence = Sequence { id: 1, tokens: (0..40).collect(), pages: vec![0, 1, 2], lora: vec![] };
        let packed = alone(&mut start(), &sequence, 40);
        assert_eq!(alone(&mut start(), &sequence, 40), packed);
        assert_eq!(alone(&mut backend(&config, &weights, paths()[0], 1), &sequence, 40), packed);
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
}
