//! A row's bits do not depend on its neighbours, its chunks, its pages or the number of threads.

use crate::model::{Bits, Random, Sequence, adapter, alone, backend, dora, part, paths, results, small};
use tributary_adapters::Projection;
use tributary_cpu::CpuBackend;
use tributary_engine::{InferenceBackend, LoraPart, Row, RowError, SeqId, StepOutput, Wanted};
use tributary_weights::{Architecture, Format};

/// Runs all sequences together: each step takes a random number of tokens of a random choice of them.
fn together(backend: &mut CpuBackend, sequences: &[Sequence], random: &mut Random) -> Vec<Bits> {
    let mut bits: Vec<Bits> = vec![Vec::new(); sequences.len()];
    let mut out = StepOutput::default();
    loop {
        let mut chosen = Vec::new();
        for (index, sequence) in sequences.iter().enumerate() {
            let left = sequence.tokens.len() - bits[index].len();
            if left > 0 && random.below(3) > 0 {
                chosen.push((index, 1 + random.below(left.min(12))));
            }
        }
        let rows: Vec<Row<'_>> = chosen
            .iter()
            .map(|(index, count)| {
                let (sequence, at) = (&sequences[*index], bits[*index].len());
                Row {
                    seq: SeqId(sequence.id),
                    pos: at as u32,
                    tokens: &sequence.tokens[at..at + count],
                    pages: &sequence.pages,
                    lora: &sequence.lora,
                    logits: Wanted::All,
                    choose: None,
                }
            })
            .collect();
        backend.step(&rows, &mut out).unwrap();
        for (row, (index, _)) in chosen.iter().enumerate() {
            bits[*index].extend(results(&out, row).unwrap());
        }
        if sequences.iter().zip(&bits).all(|(sequence, bits)| bits.len() == sequence.tokens.len()) {
            return bits;
        }
    }
}

#[test]
fn mixed_batches_equal_each_row_alone() {
    mixed(21, Architecture::Llama);
    mixed(25, Architecture::Qwen2);
}

fn mixed(seed: u64, architecture: Architecture) {
    let (config, weights) = small(seed, Format::Q4_1, architecture);
    let all = [
        adapter(&config, 1, 16, &Projection::ALL),
        adapter(&config, 2, 8, &[Projection::Q, Projection::V]),
        adapter(&config, 3, 33, &[Projection::Down, Projection::O]),
        dora(&config, 4, 16, &Projection::ALL),
        dora(&config, 5, 3, &[Projection::V, Projection::Up]),
    ];
    for path in paths() {
        let mut backend = backend(&config, &weights, path, 2);
        let parts: Vec<LoraPart> = all.iter().map(|adapter| part(&backend, adapter, 1.0)).collect();
        let half: Vec<LoraPart> = all.iter().map(|adapter| part(&backend, adapter, 0.5)).collect();
        let compositions: [Vec<LoraPart>; 8] = [
            vec![],
            vec![parts[0].clone()],
            vec![parts[1].clone()],
            vec![half[0].clone(), half[2].clone()],
            vec![half[2].clone(), half[0].clone()],
            vec![parts[0].clone()],
            vec![parts[3].clone()],
            vec![half[4].clone()],
        ];
        for seed in 0..6 {
            let mut random = Random(seed);
            let sequences: Vec<Sequence> = (0..9)
                .map(|id| Sequence {
                    id,
                    tokens: (0..20 + random.below(50)).map(|_| random.below(config.vocab) as u32).collect(),
                    pages: (0..5).map(|page| (id as u32 * 5 + page) * 7 % 251).collect(),
                    lora: compositions[random.below(8)].clone(),
                })
                .collect();
            let mixed = together(&mut backend, &sequences, &mut random);
            for (sequence, mixed) in sequences.iter().zip(&mixed) {
                let chunk = 1 + random.below(30);
                assert_eq!(
                    &alone(&mut backend, sequence, chunk),
                    mixed,
                    "{path}, seed {seed}, row {}",
                    sequence.id
                );
            }
        }
    }
}

#[test]
fn dora_beside_others_fails_its_row_only() {
    let (config, weights) = small(26, Format::Q4_1, Architecture::Llama);
    let mut backend = backend(&config, &weights, paths()[0], 1);
    let scaled = part(&backend, &dora(&config, 1, 4, &[Projection::Q]), 1.0);
    let plain = part(&backend, &adapter(&config, 2, 4, &[Projection::Q]), 1.0);
    let row = |seq, pages, lora| Row {
        seq: SeqId(seq),
        pos: 0,
        tokens: &[1, 2],
        pages,
        lora,
        logits: Wanted::Last,
        choose: None,
    };
    let (both, twice) = ([plain.clone(), scaled.clone()], [scaled.clone(), scaled.clone()]);
    let rows =
        [row(1, &[0], &both), row(2, &[1], &twice), row(3, &[2], &both[1..]), row(4, &[3], &both[..1])];
    let mut out = StepOutput::default();
    backend.step(&rows, &mut out).unwrap();
    assert_eq!(out.error(0), Some(RowError::Composition));
    assert_eq!(out.error(1), Some(RowError::Composition));
    assert_eq!((out.error(2), out.error(3)), (None, None));
}

#[test]
fn order_of_a_composition_is_the_requests() {
    let (config, weights) = small(22, Format::Q4_1, Architecture::Llama);
    let mut backend = backend(&config, &weights, paths()[0], 1);
    let a = part(&backend, &adapter(&config, 1, 16, &Projection::ALL), 0.7);
    let b = part(&backend, &adapter(&config, 2, 16, &Projection::ALL), 0.3);
    let mut run = |lora: Vec<LoraPart>| {
        let sequence = Sequence { id: 1, tokens: (0..40).collect(), pages: vec![0, 1, 2], lora };
        alone(&mut backend, &sequence, 40)
    };
    let base = run(vec![]);
    let (ab, ba) = (run(vec![a.clone(), b.clone()]), run(vec![b, a]));
    assert_ne!(base, ab);
    assert_ne!(ab, ba, "addition in f32 is not associative, so the order is part of the request");
}

#[test]
fn an_overflow_fails_its_row_only() {
    // Of values, and of their squares alone.
    for size in [1e38, 1e24] {
        overflows(size);
    }
}

fn overflows(size: f32) {
    let (config, weights) = small(24, Format::Q4_1, Architecture::Llama);
    let mut backend = backend(&config, &weights, paths()[0], 2);
    let mut hostile = adapter(&config, 9, 4, &[Projection::Down]);
    hostile.modules.iter_mut().for_each(|module| module.b.iter_mut().for_each(|value| *value = size));
    hostile.modules.iter_mut().for_each(|module| module.scale = 1.0);
    let lora = [1.0; 3].map(|weight| part(&backend, &hostile, weight));
    let good = Sequence { id: 1, tokens: (0..30).collect(), pages: vec![0, 1], lora: vec![] };
    let expected = alone(&mut backend, &good, 30);
    let mut out = StepOutput::default();
    let row = |seq, pages, lora| Row {
        seq: SeqId(seq),
        pos: 0,
        tokens: &good.tokens,
        pages,
        lora,
        logits: Wanted::All,
        choose: None,
    };
    let rows = [row(1, &[0, 1], &[]), row(2, &[2, 3], &lora[..]), row(3, &[4, 5], &[])];
    backend.step(&rows, &mut out).unwrap();
    assert_eq!(results(&out, 1), Err(RowError::NonFinite));
    assert_eq!(results(&out, 0).unwrap(), expected);
    assert_eq!(results(&out, 2).unwrap(), expected);
}
