//! What adapters of few tokens add to a layer: computed beside the base matrices, added by what reads the layer's result next.
//!
//! A round of tasks for it alone would have each thread wait for the other once more, and would part the stream of an adapter's A and B.

use super::{plan::Plan, shared::Shared};
use crate::kernels::{Kernels, Output};
use tributary_adapters::Projection;
use tributary_weights::Config;

/// `[token][stride]`; of the matrices that share an input, one after the other.
#[derive(Debug)]
pub(super) struct Deltas {
    values: Shared<f32>,
    stride: usize,
    query: usize,
    key: usize,
    wide: usize,
}

impl Deltas {
    pub(super) fn new(config: &Config) -> Self {
        let (query, key, wide) = (config.query(), config.key(), config.intermediate);
        let stride = config.hidden.max(query + 2 * key).max(2 * wide);
        Self { values: Shared::new(0.0, 0), stride, query, key, wide }
    }

    /// Makes room for a step.
    pub(super) fn prepare(&mut self, plan: &Plan<'_>) {
        let tokens = plan.tokens.len();
        let last = (0..tokens).rev().find(|token| plan.beside(*token).is_some());
        self.values.grow(0.0, last.map_or(0, |last| (last + 1) * self.stride));
    }

    const fn at(&self, projection: Projection) -> usize {
        match projection {
            Projection::Q | Projection::O | Projection::Gate | Projection::Down => 0,
            Projection::K => self.query,
            Projection::V => self.query + self.key,
            Projection::Up => self.wide,
        }
    }

    /// Where a projection's δ go. There is room for the tokens that [`Plan::beside`] names.
    pub(super) fn output(&self, projection: Projection) -> Output {
        Output { start: self.values.at(self.at(projection)), stride: self.stride, whole: false }
    }

    /// y = rn(y + δ), where an adapter of the token changes this projection.
    ///
    /// # Safety
    ///
    /// The layer's δ are complete, and nobody writes the token's meanwhile.
    pub(super) unsafe fn add(
        &self,
        kernels: Kernels,
        plan: &Plan<'_>,
        token: usize,
        (layer, projection): (usize, Projection),
        y: &mut [f32],
    ) {
        let Some(adapter) = plan.beside(token) else { return };
        if adapter.change(layer, projection).is_some() {
            // SAFETY: as this function's.
            let delta = unsafe { self.values.part(token * self.stride + self.at(projection), y.len()) };
            kernels.add(y, delta);
        }
    }
}
