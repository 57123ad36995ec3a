//! The device against the definition over formats, shapes and chunks; a thousand answers against the CPU's; memory.

use crate::{
    Outcome,
    model::{Random, Sequence, adapter, backend_on, config, dora, expected, part, results, small},
    open,
};
use std::path::Path;
use tributary_adapters::Projection;
use tributary_cpu::{CpuBackend, reference::Lora};
use tributary_cuda::{CudaBackend, Options, Tier};
use tributary_engine::{Choosing, Found, InferenceBackend, LoraPart, Row, StepOutput, Wanted};
use tributary_weights::{Architecture, DEFAULT_MODEL, Format, Model, cache_dir};

/// Answers of the default model that are compared, and tokens of each.
const ANSWERS: usize = 1000;
const TOKENS: usize = 24;

pub(crate) fn run() -> Outcome {
    let formats = [
        Format::F32,
        Format::F16,
        Format::Q4_0,
        Format::Q4_1,
        Format::Q8_0,
        Format::Q4K,
        Format::Q5K,
        Format::Q6K,
    ];
    for (seed, format) in (0u64..).zip(formats.iter().cycle().take(24)) {
        forward(seed, *format)?;
    }
    println!("24 models of {} formats: every bit is the definition's", formats.len());
    let cache = cache_dir().ok_or("neither XDG_CACHE_HOME nor HOME is set")?;
    answers(&DEFAULT_MODEL.path(&cache))
}

/// One random model with random adapters, in random chunks.
fn forward(seed: u64, format: Format) -> Outcome {
    let mut random = Random(seed);
    let sizes = [256, 512, 768];
    let architecture = if seed.is_multiple_of(3) { Architecture::Qwen2 } else { Architecture::Llama };
    let config = config(architecture, sizes[random.below(3)], sizes[random.below(3)] * 4);
    let weights = small(seed, format, &config);
    let ranks: Vec<u32> = (0..random.below(3)).map(|_| 1 + random.below(70) as u32).collect();
    let mut adapters: Vec<_> =
        ranks.iter().map(|rank| adapter(&config, seed, *rank, &Projection::ALL)).collect();
    if seed % 4 == 3 {
        adapters = vec![dora(&config, seed, 1 + random.below(70) as u32, &Projection::ALL)];
    }
    let lora: Vec<_> = adapters.iter().map(|adapter| Lora { adapter, weight: 0.5 }).collect();
    let tokens: Vec<u32> = (0..30 + random.below(120)).map(|_| random.below(config.vocab) as u32).collect();
    let wanted = expected(&config, &weights, &lora, &tokens);
    let mut backend = backend_on(open(Tier::Deterministic)?, &config, &weights);
    let lora = adapters.iter().map(|adapter| part(&backend, adapter, 0.5)).collect();
    let sequence = Sequence { id: 1, tokens, pages: (0..16).map(|page| page * 7 % 64).collect(), lora };
    let (mut out, mut at) = (StepOutput::default(), 0);
    while at < sequence.tokens.len() {
        let count = (1 + random.below(80)).min(sequence.tokens.len() - at);
        backend.step(&[sequence.row(at, count)], &mut out)?;
        if results(&out, 0)? != wanted[at..at + count] {
            return Err(
                format!("seed {seed}, {format}, ranks {ranks:?}: positions {at} and on differ").into()
            );
        }
        at += count;
    }
    Ok(())
}

/// Answers to random prompts, half of them greedy, the others drawn, with adapters that come and go; sixteen at a time here, one at a time on the CPU.
fn answers(path: &Path) -> Outcome {
    let model = Model::open(path)?;
    let options =
        Options { cache_tokens: 16_384, adapter_bytes: 64 << 20, context: 512, ..Options::default() };
    let mut gpu = CudaBackend::new(
        Box::new(open(Tier::Deterministic)?),
        &model.config,
        model.weights.clone(),
        &model.hashes,
        &options,
    )?;
    let (config, hashes) = (model.config.clone(), model.hashes);
    let mut cpu = CpuBackend::new(model.config, model.weights, &hashes, &tributary_cpu::Options::default())?;
    let adapters: Vec<_> = (0..12)
        .map(|seed| {
            let make = if seed < 9 { adapter } else { dora };
            make(&config, seed, 4 + seed as u32 * 3, &Projection::ALL)
        })
        .collect();
    let mut random = Random(1);
    let mut free = Vec::new();
    for first in (0..ANSWERS).step_by(16) {
        let chosen: Vec<Option<usize>> =
            (0..16).map(|_| (random.below(4) > 0).then(|| random.below(12))).collect();
        let prompts: Vec<Vec<u32>> = chosen
            .iter()
            .map(|_| (0..1 + random.below(40)).map(|_| random.below(config.vocab) as u32).collect())
            .collect();
        let lora = |backend: &dyn InferenceBackend, which: &Option<usize>| -> Result<Vec<LoraPart>, _> {
            let prepare = |index: &usize| {
                let prepared = backend.preparer().prepare(&adapters[*index], 1.0)?;
                Ok::<_, tributary_engine::PrepareError>(LoraPart {
                    hash: adapters[*index].hash,
                    weight: 1.0,
                    prepared,
                })
            };
            which.iter().map(prepare).collect()
        };
        let sequences =
            |backend: &dyn InferenceBackend| -> Result<Vec<Sequence>, tributary_engine::PrepareError> {
                let one = |(index, (prompt, which)): (usize, (&Vec<u32>, &Option<usize>))| {
                    let pages = (0..5).map(|page| (index * 5 + page) as u32).collect();
                    let id = (first + index) as u64;
                    Ok(Sequence { id, tokens: prompt.clone(), pages, lora: lora(backend, which)? })
                };
                prompts.iter().zip(&chosen).enumerate().map(one).collect()
            };
        let mut together = sequences(&gpu)?;
        decode(&mut gpu, &mut together)?;
        let mut alone = sequences(&cpu)?;
        for one in &mut alone {
            decode(&mut cpu, std::slice::from_mut(one))?;
        }
        for (found, wanted) in together.iter().zip(&alone) {
            if found.tokens != wanted.tokens {
                return Err(format!("answer {} differs from the CPU's", found.id).into());
            }
        }
        free.push(gpu.device().free_memory()?);
    }
    println!("{ANSWERS} answers of {TOKENS} tokens are the CPU's");
    let (early, late) = (free[free.len() / 4], free[free.len() - 1]);
    if late < early {
        return Err(format!("{} bytes of device memory went away", early - late).into());
    }
    println!("device memory is flat");
    Ok(())
}

/// The first token, or a draw from what is likely; of an answer's so-manieth position.
fn how(answer: u64, position: u32) -> Choosing {
    let temperature = if answer.is_multiple_of(2) { 0.0 } else { 0.8 };
    Choosing { temperature, top_k: 200, top_p: 950_000, min_p: 1_000, seed: answer, choice: 0, position }
}

/// Prompts, then the tokens that the device chooses, or the engine would.
fn decode(backend: &mut dyn InferenceBackend, sequences: &mut [Sequence]) -> Outcome {
    let mut out = StepOutput::default();
    let mut at = vec![0; sequences.len()];
    for sequence in sequences.iter() {
        let seq = tributary_engine::SeqId(sequence.id);
        while backend.admit(seq, &sequence.lora)? != tributary_engine::Admission::Ready {
            std::thread::yield_now();
        }
    }
    for position in 0..TOKENS as u32 {
        let rows: Vec<_> = sequences
            .iter()
            .zip(&at)
            .map(|(sequence, at)| Row {
                logits: Wanted::Last,
                choose: Some(how(sequence.id, position)),
                ..sequence.row(*at, sequence.tokens.len() - at)
            })
            .collect();
        backend.step(&rows, &mut out)?;
        for (row, sequence) in sequences.iter_mut().enumerate() {
            if let Some(error) = out.error(row) {
                return Err(error.into());
            }
            at[row] = sequence.tokens.len();
            let token = match out.found(row, 0) {
                Found::Logits(logits) => how(sequence.id, position).token(0, logits).ok(),
                Found::Chosen(token) => token,
            };
            sequence.tokens.push(token.ok_or("logits allow no choice")?);
        }
    }
    sequences.iter().for_each(|sequence| backend.release(tributary_engine::SeqId(sequence.id)));
    Ok(())
}
