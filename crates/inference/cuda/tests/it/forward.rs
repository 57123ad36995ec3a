//! Whole forward passes through the kernels against the definition, bit for bit: every format, mixed batches, every kernel.

use crate::{
    emulator::{Emulator, Trouble, Watch, backend},
    model::{
        Bits, OPTIONS, Random, Sequence, adapter, backend_on, config, dora, expected, part, results, small,
    },
};
use tributary_adapters::{Adapter, Projection};
use tributary_cpu::reference::Lora;
use tributary_cuda::CudaBackend;
use tributary_engine::{Admission, InferenceBackend, LoraPart, SeqId, StepOutput};
use tributary_weights::{Architecture, Config, Format, Weights};

/// Runs one sequence in chunks.
pub(crate) fn alone(backend: &mut CudaBackend, sequence: &Sequence, chunk: usize) -> Bits {
    let mut out = StepOutput::default();
    let mut bits = Bits::new();
    while bits.len() < sequence.tokens.len() {
        let count = chunk.min(sequence.tokens.len() - bits.len());
        backend.step(&[sequence.row(bits.len(), count)], &mut out).unwrap();
        bits.extend(results(&out, 0).unwrap());
    }
    bits
}

fn check(seed: u64, format: Format, config: &Config, ranks: &[u32], length: usize, chunks: &[usize]) {
    let weights = small(seed, format, config);
    let mut random = Random(seed);
    let tokens: Vec<u32> = (0..length).map(|_| random.below(config.vocab) as u32).collect();
    let adapters: Vec<Adapter> =
        ranks.iter().map(|rank| adapter(config, seed + u64::from(*rank), *rank, &Projection::ALL)).collect();
    compare(&weights, format, config, &adapters, &tokens, chunks);
}

fn compare(
    weights: &Weights,
    format: Format,
    config: &Config,
    adapters: &[Adapter],
    tokens: &[u32],
    chunks: &[usize],
) {
    let lora: Vec<_> = adapters.iter().map(|adapter| Lora { adapter, weight: 0.75 }).collect();
    let expected = expected(config, weights, &lora, tokens);
    let mut backend = backend(config, weights);
    for chunk in chunks {
        let lora = adapters.iter().map(|adapter| part(&backend, adapter, 0.75)).collect();
        let sequence =
            Sequence { id: 1, tokens: tokens.to_vec(), pages: (0..9).map(|p| p * 7 % 64).collect(), lora };
        let found = alone(&mut backend, &sequence, *chunk);
        let differs = found.iter().zip(&expected).position(|(found, expected)| found != expected);
        assert_eq!(differs, None, "{format}, chunks of {chunk}");
        assert_eq!(found.len(), expected.len());
    }
}

#[test]
fn every_format_of_blocks_of_32() {
    let llama = config(Architecture::Llama, 160, 288);
    check(1, Format::Q4_1, &llama, &[], 7, &[7]);
    check(2, Format::Q4_0, &llama, &[], 7, &[3]);
    check(4, Format::Q8_0, &llama, &[], 7, &[7]);
    let qwen = config(Architecture::Qwen2, 96, 64);
    check(5, Format::F32, &qwen, &[], 5, &[5]);
    check(6, Format::F16, &qwen, &[], 5, &[2]);
}

#[test]
fn every_k_quant() {
    let llama = config(Architecture::Llama, 256, 256);
    check(7, Format::Q4K, &llama, &[], 4, &[4]);
    check(8, Format::Q6K, &llama, &[], 4, &[4]);
    check(10, Format::Q5K, &config(Architecture::Qwen2, 256, 512), &[], 4, &[2]);
}

/// More segments than a block has warps, and the kernels for 8, 16, 32 and more vectors; positions over several segments.
#[test]
fn every_kernel_of_a_step() {
    let wide = Config { layers: 1, ..config(Architecture::Llama, 64, 2336) };
    check(11, Format::Q4_1, &wide, &[], 70, &[70, 20, 11, 33]);
    let one_head =
        Config { layers: 1, heads: 3, kv_heads: 1, head_dim: 32, ..config(Architecture::Llama, 96, 96) };
    check(12, Format::Q8_0, &one_head, &[], 140, &[1, 140]);
}

#[test]
fn adapters_of_every_rank() {
    let llama = config(Architecture::Llama, 128, 160);
    check(13, Format::Q4_1, &llama, &[1], 5, &[5]);
    check(14, Format::Q4_1, &llama, &[16, 17], 12, &[12, 5]);
    check(15, Format::Q8_0, &llama, &[40, 8, 300], 40, &[40]);
}

/// Gains before biases, in every kernel that adds one; biases of layers that the adapter leaves alone stay where they were.
#[test]
fn dora_before_the_bias() {
    let qwen = config(Architecture::Qwen2, 96, 64);
    let (llama, wide) = (config(Architecture::Llama, 64, 96), config(Architecture::Qwen2, 256, 256));
    let cases: [(u64, Format, &Config, Adapter, &[usize]); 4] = [
        (51, Format::Q4_1, &qwen, dora(&qwen, 51, 16, &Projection::ALL), &[40, 20, 11, 3]),
        (52, Format::F32, &qwen, dora(&qwen, 52, 33, &[Projection::K, Projection::Down]), &[40, 5]),
        (53, Format::Q8_0, &llama, dora(&llama, 53, 300, &Projection::ALL), &[12]),
        (54, Format::Q6K, &wide, dora(&wide, 54, 1, &Projection::ALL), &[4]),
    ];
    for (seed, format, config, adapter, chunks) in cases {
        let weights = small(seed, format, config);
        let tokens: Vec<u32> = (0..chunks[0] as u32).map(|token| token * 7 % 100).collect();
        compare(&weights, format, config, &[adapter], &tokens, chunks);
    }
}

/// Prompts, decodes and drafts of sequences with other compositions in one step, in random chunks; and with blocks, warps and
/// lanes run the other way round.
fn mixed(watch: Watch, backwards: bool, seeds: std::ops::Range<u64>) {
    let config = config(Architecture::Qwen2, 128, 192);
    let weights = small(21, Format::Q4_1, &config);
    let all = [
        adapter(&config, 1, 16, &Projection::ALL),
        adapter(&config, 2, 8, &[Projection::Q, Projection::V]),
        adapter(&config, 3, 33, &[Projection::O, Projection::Down]),
        dora(&config, 4, 12, &Projection::ALL),
        dora(&config, 5, 20, &[Projection::Q, Projection::Gate]),
    ];
    let trouble = Trouble { copy_polls: 2, ..Trouble::default() };
    let mut backend = backend_on(Emulator::with(watch, trouble, backwards), &config, &weights);
    let compositions: [&[(usize, f32)]; 8] = [
        &[],
        &[(0, 1.0)],
        &[(1, 1.0)],
        &[(0, 0.5), (2, 0.5)],
        &[(2, 0.5), (0, 0.5)],
        &[(3, 1.0)],
        &[(3, 0.5)],
        &[(4, 1.0)],
    ];
    for seed in seeds {
        let mut random = Random(seed);
        // One of each kind but one.
        let first = random.below(8);
        let chosen: Vec<usize> = (0..7).map(|index| (first + index) % 8).collect();
        let sequences: Vec<Sequence> = (0..7)
            .map(|id| Sequence {
                id: seed * 100 + id,
                tokens: (0..3 + random.below(30)).map(|_| random.below(config.vocab) as u32).collect(),
                pages: (0..3).map(|page| (id as u32 * 3 + page) * 5 % 64).collect(),
                lora: compositions[chosen[id as usize]]
                    .iter()
                    .map(|(which, weight)| part(&backend, &all[*which], *weight))
                    .collect(),
            })
            .collect();
        let found = together(&mut backend, &sequences, &mut random);
        for ((sequence, found), which) in sequences.iter().zip(&found).zip(&chosen) {
            let lora: Vec<_> = compositions[*which]
                .iter()
                .map(|(which, weight)| Lora { adapter: &all[*which], weight: *weight })
                .collect();
            let expected = expected(&config, &weights, &lora, &sequence.tokens);
            let differs = found.iter().zip(&expected).position(|(found, expected)| found != expected);
            let what = compositions[*which];
            assert_eq!(differs, None, "seed {seed}, sequence {}, adapters {what:?}", sequence.id);
        }
    }
}

fn admit(backend: &mut CudaBackend, sequence: &Sequence) {
    for asked in 0.. {
        match backend.admit(SeqId(sequence.id), &sequence.lora).unwrap() {
            Admission::Ready => return,
            Admission::Loading => assert!(asked < 10, "a copy does not end"),
        }
    }
}

pub(crate) fn together(backend: &mut CudaBackend, sequences: &[Sequence], random: &mut Random) -> Vec<Bits> {
    let mut bits: Vec<Bits> = vec![Vec::new(); sequences.len()];
    let mut out = StepOutput::default();
    sequences.iter().for_each(|sequence| admit(backend, sequence));
    while sequences.iter().zip(&bits).any(|(sequence, bits)| bits.len() < sequence.tokens.len()) {
        let mut chosen = Vec::new();
        for (index, sequence) in sequences.iter().enumerate() {
            let left = sequence.tokens.len() - bits[index].len();
            if left > 0 && random.below(4) > 0 {
                chosen.push((index, 1 + random.below(left.min(14))));
            }
        }
        let rows: Vec<_> =
            chosen.iter().map(|(index, count)| sequences[*index].row(bits[*index].len(), *count)).collect();
        backend.step(&rows, &mut out).unwrap();
        for (row, (index, _)) in chosen.iter().enumerate() {
            bits[*index].extend(results(&out, row).unwrap());
        }
    }
    sequences.iter().for_each(|sequence| backend.release(SeqId(sequence.id)));
    bits
}

#[test]
fn mixed_batches_equal_the_definition() {
    mixed(Watch::Shadow, false, 0..2);
    mixed(Watch::Shadow, true, 2..3);
}

/// Run by [`sanitized`](crate::sanitized) in a process of its own.
#[test]
fn under_sanitizers() {
    if std::env::var_os(crate::sanitized::INSIDE).is_some() {
        mixed(Watch::Sanitizers, false, 5..6);
    }
}

/// More adapters than the device has room for: some take turns, some are read from where the host keeps them.
#[test]
fn adapters_take_turns() {
    let config = Config { layers: 1, ..config(Architecture::Llama, 64, 64) };
    let weights: Weights = small(31, Format::Q8_0, &config);
    let all: Vec<Adapter> = (0..5).map(|seed| adapter(&config, seed, 16, &Projection::ALL)).collect();
    let device = Emulator::new(Watch::Shadow);
    let staged = std::sync::Arc::clone(&device.staged);
    let probe = backend(&config, &weights);
    let each = part(&probe, &all[0], 1.0).prepared.bytes() as u64;
    let options = tributary_cuda::Options { adapter_bytes: 2 * each + 512, ..OPTIONS };
    let mut backend =
        CudaBackend::new(Box::new(device), &config, weights.clone(), &crate::model::HASHES, &options)
            .unwrap();
    let parts: Vec<LoraPart> = all.iter().map(|adapter| part(&backend, adapter, 1.0)).collect();
    let sequences: Vec<Sequence> = (0..5)
        .map(|id| Sequence {
            id,
            tokens: vec![id as u32 + 1, 7, 9],
            pages: vec![id as u32],
            lora: vec![parts[id as usize].clone()],
        })
        .collect();
    let wanted: Vec<Bits> = all
        .iter()
        .zip(&sequences)
        .map(|(adapter, sequence)| {
            expected(&config, &weights, &[Lora { adapter, weight: 1.0 }], &sequence.tokens)
        })
        .collect();
    // All at once: two have room, three are read in place.
    assert!(together(&mut backend, &sequences, &mut Random(1)) == wanted);
    assert_eq!(*staged.lock().unwrap(), 2);
    // One after the other: each finds room, the last two stay.
    for (sequence, wanted) in sequences.iter().zip(&wanted) {
        let found = together(&mut backend, std::slice::from_ref(sequence), &mut Random(2));
        assert!(&found[0] == wanted);
    }
    let before = *staged.lock().unwrap();
    let found = together(&mut backend, &sequences[3..], &mut Random(3));
    assert!(found == wanted[3..]);
    assert_eq!(*staged.lock().unwrap(), before);
}
