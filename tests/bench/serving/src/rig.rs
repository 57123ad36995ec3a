//! A backend by itself: steps without scheduler, sampler or HTTP.

use crate::lora;
use eyre::{Result, eyre};
use std::{path::Path, sync::Arc, time::Instant};
use tributary_cpu::{CpuBackend, Options};
use tributary_engine::{InferenceBackend, LoraPart, Preparer, Row, SeqId, StepOutput, Wanted};
use tributary_weights::{Config, Model};

/// Tokens of a prompt, and of its answer.
pub(crate) const PROMPT: usize = 64;
/// Tokens of an answer.
pub(crate) const ANSWER: usize = 64;

/// The adapters of each stream.
pub(crate) type Streams = Vec<Vec<LoraPart>>;

/// The model on the CPU backend.
pub(crate) struct Rig {
    backend: CpuBackend,
    preparer: Arc<dyn Preparer>,
    config: Config,
    out: StepOutput,
    logits: Vec<f32>,
}

impl Rig {
    pub(crate) fn open(model: &Path, options: &Options) -> Result<Self> {
        let model = Model::open(model)?;
        let config = model.config.clone();
        let backend = CpuBackend::new(model.config, model.weights, &model.hashes, options)?;
        let preparer = backend.preparer();
        Ok(Self { backend, preparer, config, out: StepOutput::default(), logits: Vec::new() })
    }

    /// Bytes of weights that a step reads.
    pub(crate) fn weight_bytes(&self) -> f64 {
        self.backend.weight_bytes() as f64
    }

    /// As many streams with an adapter each.
    pub(crate) fn adapted(&self, count: usize, rank: usize) -> Result<Streams> {
        let part = |seed| {
            let adapter = lora::adapter(&self.config, rank, seed);
            let prepared = self.preparer.prepare(&adapter, 1.0).map_err(|error| eyre!("{error}"))?;
            Ok(vec![LoraPart { hash: adapter.hash, weight: 1.0, prepared }])
        };
        (0..count as u64).map(part).collect()
    }

    /// Seconds of a prompt of so many tokens.
    pub(crate) fn prefill(&mut self, count: usize) -> Result<f64> {
        let tokens: Vec<u32> = (0..count).map(token).collect();
        let pages = pages(0);
        let start = Instant::now();
        let logits = Wanted::Last;
        let row =
            Row { seq: SeqId(0), pos: 0, tokens: &tokens, pages: &pages, lora: &[], logits, choose: None };
        self.backend.step(&[row], &mut self.out)?;
        Ok(start.elapsed().as_secs_f64())
    }

    /// Seconds of one decoding step over all streams, after a prompt each; the mean over an answer.
    pub(crate) fn decode(&mut self, streams: &Streams) -> Result<f64> {
        let tables: Vec<Vec<u32>> = (0..streams.len()).map(pages).collect();
        let tokens: Vec<u32> = (0..PROMPT + ANSWER).map(token).collect();
        for (at, chunk) in (0..).step_by(16).zip(tokens[..PROMPT].chunks(16)) {
            self.step(at, chunk, streams, &tables)?;
        }
        let start = Instant::now();
        for at in PROMPT..PROMPT + ANSWER {
            self.step(at, &tokens[at..=at], streams, &tables)?;
        }
        Ok(start.elapsed().as_secs_f64() / ANSWER as f64)
    }

    /// Seconds of one step of `tokens` more tokens for each of `streams` sequences that stand at `from`.
    pub(crate) fn extend(&mut self, streams: usize, from: usize, tokens: usize) -> Result<f64> {
        let tables: Vec<Vec<u32>> = (0..streams).map(pages).collect();
        let tokens: Vec<u32> = (from..from + tokens).map(token).collect();
        let start = Instant::now();
        self.step(from, &tokens, &vec![Vec::new(); streams], &tables)?;
        Ok(start.elapsed().as_secs_f64())
    }

    fn step(&mut self, at: usize, tokens: &[u32], streams: &Streams, tables: &[Vec<u32>]) -> Result<()> {
        let rows = streams.iter().zip(tables).enumerate().map(|(seq, (lora, pages))| Row {
            seq: SeqId(seq as u64),
            pos: at as u32,
            tokens,
            pages,
            lora,
            logits: Wanted::Last,
            choose: None,
        });
        self.backend.step(&rows.collect::<Vec<_>>(), &mut self.out)?;
        Ok(())
    }

    /// Seconds of reading all weights once.
    pub(crate) fn read_pass(&mut self) -> Result<f64> {
        let start = Instant::now();
        std::hint::black_box(self.backend.read_pass()?);
        Ok(start.elapsed().as_secs_f64())
    }

    /// Bytes a second of the read pass.
    pub(crate) fn bandwidth(&mut self) -> Result<f64> {
        let times = (0..16).map(|_| self.read_pass()).collect::<Result<Vec<_>>>()?;
        Ok(self.weight_bytes() / crate::report::median(&times))
    }

    /// Seconds of every matrix over so many tokens, the head over those wanted, and nothing else.
    pub(crate) fn matmul_pass(&mut self, tokens: usize, wanted: usize) -> Result<f64> {
        let start = Instant::now();
        self.backend.matmul_pass(tokens, wanted, &mut self.logits)?;
        Ok(start.elapsed().as_secs_f64())
    }
}

/// The token of a position, as in `peer.py`.
pub(crate) fn token(at: usize) -> u32 {
    (100 + 7 * at % 40_000) as u32
}

/// Pages for 640 positions, no two sequences' the same.
fn pages(sequence: usize) -> Vec<u32> {
    (sequence as u32 * 40..(sequence as u32 + 1) * 40).collect()
}
