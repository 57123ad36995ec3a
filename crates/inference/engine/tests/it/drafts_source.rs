//! Texts to guess from that are right, half right, or wrong.

use std::sync::Arc;
use tributary_engine::DraftSource;

#[derive(Debug)]
pub(crate) struct Misquote {
    text: Vec<u32>,
}

impl Misquote {
    /// 0: none; 1: the answer itself; 2: the answer with every fifth token changed.
    pub(crate) fn source(which: u8, prompt: &[u32], answer: &[u32]) -> Option<Arc<dyn DraftSource>> {
        let mut text = [prompt, answer].concat();
        match which {
            0 => return None,
            1 => {}
            _ => text.iter_mut().step_by(5).for_each(|token| *token = (*token + 1) % 260),
        }
        Some(Arc::new(Self { text }))
    }
}

impl DraftSource for Misquote {
    fn draft(&self, context: &[u32], most: usize, draft: &mut Vec<u32>) -> usize {
        draft.extend(self.text.iter().skip(context.len()).take(most));
        if draft.is_empty() { 0 } else { 50 }
    }
}
