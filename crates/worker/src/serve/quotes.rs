//! Guesses from the datanets of an answer's adapters: answers quote what their adapter learned.

use std::sync::Arc;

use tributary_engine::DraftSource;
use tributary_index::Pinned;

/// The epochs that an answer may quote.
#[derive(Debug)]
pub(super) struct Quotes(Vec<Arc<Pinned>>);

impl Quotes {
    /// Nothing for a model without datanets.
    pub(super) fn of(pinned: &[Arc<Pinned>]) -> Option<Arc<dyn DraftSource>> {
        if pinned.is_empty() { None } else { Some(Arc::new(Self(pinned.to_vec()))) }
    }
}

impl DraftSource for Quotes {
    fn draft(&self, context: &[u32], most: usize, draft: &mut Vec<u32>) -> usize {
        let mut best = (0, Vec::new());
        for pinned in &self.0 {
            let mut next = Vec::new();
            let same = pinned.follow(context, most, &mut next);
            if same > best.0 && !next.is_empty() {
                best = (same, next);
            }
        }
        draft.append(&mut best.1);
        best.0
    }
}
