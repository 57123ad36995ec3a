//! The float oracle: the same file dequantised, in candle's f32, adapters merged in float, and how far the
//! profile is from it on held-out text.

mod llama;
mod text;

pub(crate) use llama::Oracle;
pub(crate) use text::texts;

use std::path::{Path, PathBuf};
use tributary_adapters::Adapter;
use tributary_cpu::{CpuBackend, Options};
use tributary_engine::{InferenceBackend, LoraPart, Row, SeqId, StepOutput, Wanted};
use tributary_weights::{DEFAULT_MODEL, Model, cache_dir, pull};

/// Tokens that are read together.
pub(crate) const WINDOW: usize = 256;
/// The first of each window are context only.
const SKIP: usize = 32;

/// Sums over the tokens that were scored.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Score {
    profile: f64,
    oracle: f64,
    agree: usize,
    count: usize,
}

impl std::iter::Sum for Score {
    fn sum<I: Iterator<Item = Self>>(scores: I) -> Self {
        scores.fold(Self::default(), |sum, score| Self {
            profile: sum.profile + score.profile,
            oracle: sum.oracle + score.oracle,
            agree: sum.agree + score.agree,
            count: sum.count + score.count,
        })
    }
}

impl Score {
    /// Perplexity by the profile.
    pub(crate) fn profile(&self) -> f64 {
        (self.profile / self.count as f64).exp()
    }

    /// Perplexity by the oracle.
    pub(crate) fn oracle(&self) -> f64 {
        (self.oracle / self.count as f64).exp()
    }

    /// The profile's excess, in percent.
    pub(crate) fn excess(&self) -> f64 {
        100.0 * (self.profile() / self.oracle() - 1.0)
    }

    /// How often both have the same most likely token, in percent.
    pub(crate) fn agreement(&self) -> f64 {
        100.0 * self.agree as f64 / self.count as f64
    }

    /// Tokens scored.
    pub(crate) const fn count(&self) -> usize {
        self.count
    }
}

/// The default model's file, from the machine's cache.
pub(crate) fn default_model() -> PathBuf {
    pull(&DEFAULT_MODEL, &cache_dir().expect("a cache folder")).expect("the default model")
}

/// A model.
pub(crate) fn open(path: &Path) -> Model {
    Model::open(path).expect("a valid model")
}

/// Scores every `stride`-th window of a text both ways.
pub(crate) fn score(path: &Path, tokens: &[u32], stride: usize, adapter: Option<&Adapter>) -> Score {
    let model = open(path);
    let merged: Vec<(&Adapter, f32)> = adapter.map(|adapter| (adapter, 1.0)).into_iter().collect();
    let oracle = Oracle::new(&model.config, &model.weights, &merged);
    let options = Options { step_tokens: WINDOW, cache_tokens: WINDOW, ..Options::default() };
    let mut backend =
        CpuBackend::new(model.config, model.weights, &model.hashes, &options).expect("a backend");
    let lora: Vec<LoraPart> = adapter
        .map(|adapter| {
            let prepared = backend.preparer().prepare(adapter, 1.0).expect("an adapter that fits");
            LoraPart { hash: adapter.hash, weight: 1.0, prepared }
        })
        .into_iter()
        .collect();
    let pages: Vec<u32> = (0..backend.limits().pages).collect();
    let (mut out, mut score) = (StepOutput::default(), Score::default());
    for window in tokens.chunks_exact(WINDOW).step_by(stride) {
        let row = Row {
            seq: SeqId(0),
            pos: 0,
            tokens: window,
            pages: &pages,
            lora: &lora,
            logits: Wanted::All,
            choose: None,
        };
        backend.step(&[row], &mut out).expect("a step");
        let expected = oracle.logits(window);
        for at in SKIP..WINDOW - 1 {
            let (mine, float) = (out.logits(0, at), &expected[at]);
            score.profile += surprise(mine, window[at + 1]);
            score.oracle += surprise(float, window[at + 1]);
            score.agree += usize::from(first(mine) == first(float));
            score.count += 1;
        }
    }
    score
}

/// −ln p of a token.
fn surprise(logits: &[f32], token: u32) -> f64 {
    let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let total: f64 = logits.iter().map(|logit| f64::from((logit - most).exp())).sum();
    total.ln() - f64::from(logits[token as usize] - most)
}

/// The most likely token, the lowest of equals.
fn first(logits: &[f32]) -> usize {
    let mut best = 0;
    for (index, logit) in logits.iter().enumerate() {
        if *logit > logits[best] {
            best = index;
        }
    }
    best
}
