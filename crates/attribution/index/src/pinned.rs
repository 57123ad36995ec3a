//! A datanet at one epoch, over as many segments as it takes.

use crate::document::Document;
use crate::segment::{Found, Segment};
use std::collections::HashSet;
use std::sync::Arc;

/// What to pin.
#[derive(Debug, Clone, Default)]
pub struct PinSpec {
    /// The datanet.
    pub datanet: u64,
    /// The epoch.
    pub epoch: u64,
    /// The datanet's shortest match.
    pub min_match: u32,
    /// The contributions that each epoch up to this one added, rejected ones left out.
    pub epochs: Vec<Vec<Document>>,
    /// Contributions removed at or before the epoch.
    pub removed: HashSet<u64>,
}

/// The source of a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hit {
    /// The contribution and where in it.
    pub found: Found,
    /// It was removed: it keeps its place but its tokens stay unattributed.
    pub removed: bool,
}

/// A pinned epoch, ready to be searched. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Pinned {
    datanet: u64,
    epoch: u64,
    min_match: u32,
    segments: Vec<Arc<Segment>>,
    removed: Arc<HashSet<u64>>,
}

impl Pinned {
    /// A pinned epoch over open segments.
    #[must_use]
    pub fn new(spec: &PinSpec, segments: Vec<Arc<Segment>>) -> Self {
        Self {
            datanet: spec.datanet,
            epoch: spec.epoch,
            min_match: spec.min_match,
            segments,
            removed: Arc::new(spec.removed.clone()),
        }
    }

    /// The datanet.
    #[must_use]
    pub const fn datanet(&self) -> u64 {
        self.datanet
    }

    /// The epoch.
    #[must_use]
    pub const fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The datanet's shortest match.
    #[must_use]
    pub const fn min_match(&self) -> u32 {
        self.min_match
    }

    /// The segments it reads.
    #[must_use]
    pub fn segments(&self) -> &[Arc<Segment>] {
        &self.segments
    }

    /// The source of a window: of all contributions of the epoch that contain it the one with the lowest
    /// (commitBlock, contributionId), at its lowest offset.
    #[must_use]
    pub fn find(&self, window: &[u32]) -> Option<Hit> {
        self.first(self.segments.iter().filter_map(|segment| segment.find(window)))
    }

    /// The source of each window of `minMatch` tokens, by the window's start.
    #[must_use]
    pub fn sources(&self, tokens: &[u32]) -> Vec<Option<Hit>> {
        let width = self.min_match as usize;
        let by_segment: Vec<Vec<Option<Found>>> =
            self.segments.iter().map(|segment| segment.find_all(tokens, width)).collect();
        let windows = (tokens.len() + 1).saturating_sub(width.max(1));
        (0..windows).map(|start| self.first(by_segment.iter().filter_map(|found| found[start]))).collect()
    }

    /// Appends what follows the end of `context` in the segment that holds the most of it; how many tokens agree, 0 if none does.
    /// For guesses only: it may be of any contribution, a removed one too.
    pub fn follow(&self, context: &[u32], most: usize, next: &mut Vec<u32>) -> usize {
        let mut best = (0, Vec::new());
        for segment in &self.segments {
            let mut found = Vec::new();
            let same = segment.follow(context, most, &mut found);
            if same > best.0 {
                best = (same, found);
            }
        }
        next.append(&mut best.1);
        best.0
    }

    fn first(&self, found: impl Iterator<Item = Found>) -> Option<Hit> {
        let found = found.min_by_key(|found| (found.commit_block, found.contribution))?;
        Some(Hit { found, removed: self.removed.contains(&found.contribution) })
    }
}
