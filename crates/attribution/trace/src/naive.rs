//! The definition by looking everywhere: the oracle, and good enough for a handful of short texts.

use crate::trace::{SourceOf, Windows};

/// A contribution with its tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CorpusDocument {
    /// Its id.
    pub contribution: u64,
    /// When it was committed.
    pub commit_block: u64,
    /// It was removed by the pinned epoch.
    pub removed: bool,
    /// Its tokens.
    pub tokens: Vec<u32>,
}

/// A pinned datanet as a plain list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Corpus {
    /// The datanet's shortest match.
    pub min_match: u32,
    /// Its contributions, rejected ones left out.
    pub documents: Vec<CorpusDocument>,
}

impl Windows for Corpus {
    fn min_match(&self) -> u32 {
        self.min_match
    }

    fn sources(&self, output: &[u32]) -> Vec<Option<SourceOf>> {
        let width = self.min_match.max(1) as usize;
        output.windows(width).map(|window| self.source(window)).collect()
    }
}

impl Corpus {
    fn source(&self, window: &[u32]) -> Option<SourceOf> {
        self.documents
            .iter()
            .filter_map(|document| {
                let offset = document.tokens.windows(window.len()).position(|found| found == window)?;
                Some(SourceOf {
                    contribution: document.contribution,
                    commit_block: document.commit_block,
                    offset: offset as u32,
                    removed: document.removed,
                })
            })
            .min_by_key(|source| (source.commit_block, source.contribution))
    }
}
