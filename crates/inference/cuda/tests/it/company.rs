//! A fast tier on any device: random models near to the pass in f64, each cut and each company the same bits.
//!
//! What hardware adds up otherwise than the emulator puts more values over an edge, so four times the emulator's bound is let pass; a model
//! may be such that rounding to bf16 itself moves its logits far, so the distance to the pass without rounding is told, not bounded.

use crate::{
    floats::{Floats, Rounding, bounds, distance},
    model::{Bits, HASHES, OPTIONS, Random, Sequence, adapter, config, dora, part, results, small},
};
use tributary_adapters::{Adapter, Projection};
use tributary_cpu::reference::Lora;
use tributary_cuda::{CudaBackend, Device, Options, Tier};
use tributary_engine::{Admission, InferenceBackend, SeqId, StepOutput};
use tributary_weights::{Architecture, Config, Format, Weights};

/// An error says what differs.
type Outcome = Result<(), Box<dyn std::error::Error>>;

/// A random model and adapters: two cuts, then all sequences in one step.
pub(crate) fn one(device: Box<dyn Device>, tier: Tier, seed: u64, worst: &mut [f64; 2]) -> Outcome {
    let mut random = Random(seed ^ 0xfa57);
    let formats = [Format::F16, Format::Q4_0, Format::Q4_1, Format::Q8_0, Format::Q4K, Format::Q6K];
    let format = formats[seed as usize % formats.len()];
    // K-quants come in blocks of 256.
    let size = |random: &mut Random, most: usize| {
        if format.block_len() > 32 { 256 } else { 32 * (1 + random.below(most)) }
    };
    let architecture = if seed.is_multiple_of(3) { Architecture::Qwen2 } else { Architecture::Llama };
    let config = config(architecture, size(&mut random, 8), size(&mut random, 20));
    let weights = small(seed, format, &config);
    let rank = |random: &mut Random| 1 + random.below(70) as u32;
    let adapters = [
        adapter(&config, seed, rank(&mut random), &Projection::ALL),
        adapter(&config, seed + 1, rank(&mut random), &[Projection::Q, Projection::V]),
        dora(&config, seed + 2, rank(&mut random), &Projection::ALL),
    ];
    let compositions: [&[usize]; 5] = [&[], &[0], &[1], &[0, 1], &[2]];
    let mut backend =
        CudaBackend::new(device, &config, weights.clone(), &HASHES, &Options { tier, ..OPTIONS })?;
    let sequences: Vec<Sequence> = compositions
        .iter()
        .enumerate()
        .map(|(index, chosen)| Sequence {
            id: index as u64,
            tokens: (0..4 + random.below(60)).map(|_| random.below(config.vocab) as u32).collect(),
            pages: (0..12).map(|page| (index * 12 + page) as u32).collect(),
            lora: chosen.iter().map(|which| part(&backend, &adapters[*which], 0.5)).collect(),
        })
        .collect();
    for sequence in &sequences {
        while backend.admit(SeqId(sequence.id), &sequence.lora)? == Admission::Loading {
            std::thread::yield_now();
        }
    }
    let mut alone = Vec::new();
    for (sequence, chosen) in sequences.iter().zip(compositions) {
        let whole = cut(&mut backend, sequence, &mut || usize::MAX)?;
        let cut = cut(&mut backend, sequence, &mut || 1 + random.below(40))?;
        if whole != cut {
            return Err(
                format!("{tier}, seed {seed}, sequence {}: another cut, other bits", sequence.id).into()
            );
        }
        near(tier, &config, &weights, &adapters, chosen, sequence, &whole, worst)?;
        alone.push(whole);
    }
    let mut together: Vec<Bits> = vec![Vec::new(); sequences.len()];
    let mut out = StepOutput::default();
    while together.iter().zip(&sequences).any(|(bits, sequence)| bits.len() < sequence.tokens.len()) {
        let mut chosen = Vec::new();
        for (index, sequence) in sequences.iter().enumerate() {
            let left = sequence.tokens.len() - together[index].len();
            if left > 0 && random.below(4) > 0 {
                chosen.push((index, 1 + random.below(left.min(40))));
            }
        }
        let rows: Vec<_> = chosen
            .iter()
            .map(|(index, count)| sequences[*index].row(together[*index].len(), *count))
            .collect();
        backend.step(&rows, &mut out)?;
        for (row, (index, _)) in chosen.iter().enumerate() {
            together[*index].extend(results(&out, row)?);
        }
    }
    if together != alone {
        return Err(format!("{tier}, seed {seed}: a mixed step, other bits").into());
    }
    Ok(())
}

fn cut(
    backend: &mut CudaBackend,
    sequence: &Sequence,
    next: &mut dyn FnMut() -> usize,
) -> Result<Bits, Box<dyn std::error::Error>> {
    let (mut bits, mut out) = (Bits::new(), StepOutput::default());
    while bits.len() < sequence.tokens.len() {
        let count = next().min(sequence.tokens.len() - bits.len());
        backend.step(&[sequence.row(bits.len(), count)], &mut out)?;
        bits.extend(results(&out, 0)?);
    }
    Ok(bits)
}

#[expect(clippy::too_many_arguments, reason = "all that an answer comes from")]
fn near(
    tier: Tier,
    config: &Config,
    weights: &Weights,
    adapters: &[Adapter],
    chosen: &[usize],
    sequence: &Sequence,
    found: &Bits,
    worst: &mut [f64; 2],
) -> Outcome {
    let lora: Vec<_> = chosen.iter().map(|which| Lora { adapter: &adapters[*which], weight: 0.5 }).collect();
    for (rounding, worst) in [Rounding::As(tier), Rounding::None].into_iter().zip(worst) {
        let mut floats = Floats::new(config, weights, &lora, rounding);
        let wanted: Vec<Vec<f64>> = sequence.tokens.iter().map(|token| floats.push(*token)).collect();
        let distance = distance(found, &wanted);
        if distance.is_nan() || rounding != Rounding::None && distance > 4.0 * bounds(tier).0 {
            let (id, bound) = (sequence.id, 4.0 * bounds(tier).0);
            return Err(format!("{tier}, sequence {id}: off by {distance}, more than {bound}").into());
        }
        *worst = worst.max(distance);
    }
    Ok(())
}
