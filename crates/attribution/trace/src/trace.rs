//! The trace itself.

use crate::spans::join;
use tributary_index::{Hit, Pinned};
use tributary_record::{Placed, Share, Span, TraceBounds, attribute};

/// The source of a window in one datanet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SourceOf {
    /// The contribution.
    pub contribution: u64,
    /// When it was committed.
    pub commit_block: u64,
    /// First token of the window in it.
    pub offset: u32,
    /// It was removed by the pinned epoch: its tokens stay unattributed.
    pub removed: bool,
}

impl From<Hit> for SourceOf {
    fn from(hit: Hit) -> Self {
        Self {
            contribution: hit.found.contribution,
            commit_block: hit.found.commit_block,
            offset: hit.found.offset,
            removed: hit.removed,
        }
    }
}

/// One pinned datanet, able to name the source of every window.
pub trait Windows {
    /// The datanet's shortest match: the length of a window.
    fn min_match(&self) -> u32;
    /// For each start of a window in the output its source: the contribution with the lowest (commitBlock,
    /// contributionId) that contains it, at its lowest offset.
    fn sources(&self, output: &[u32]) -> Vec<Option<SourceOf>>;
}

impl Windows for Pinned {
    fn min_match(&self) -> u32 {
        self.min_match()
    }

    fn sources(&self, output: &[u32]) -> Vec<Option<SourceOf>> {
        self.sources(output).into_iter().map(|hit| hit.map(SourceOf::from)).collect()
    }
}

/// What a record says about its output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trace {
    /// Spans that win a token, by (start, contribution).
    pub spans: Vec<Span>,
    /// Contributions that earn, ascending.
    pub shares: Vec<Share>,
    /// What nobody earns.
    pub unattributed_ppb: u32,
}

/// Traces an output through the datanets that its adapter pins (none: all of it is unattributed), within the
/// widest bounds that parameters can set.
#[must_use]
pub fn trace(output: &[u32], datanets: &[&dyn Windows]) -> Trace {
    trace_within(output, datanets, &TraceBounds::default())
}

/// Traces within the bounds in force at the record's block.
#[must_use]
pub fn trace_within(output: &[u32], datanets: &[&dyn Windows], bounds: &TraceBounds) -> Trace {
    let n = output.len() as u32;
    let all: Vec<Placed> =
        datanets.iter().flat_map(|datanet| join(&datanet.sources(output), datanet.min_match())).collect();
    let won = attribute(n, &all, bounds.earners).won;
    let mut kept: Vec<Placed> =
        all.into_iter().zip(won).filter(|(_, tokens)| *tokens > 0).map(|(placed, _)| placed).collect();
    kept.sort_by_key(|placed| (placed.span.start, placed.span.contribution));
    kept.truncate(bounds.spans);
    let attributed = attribute(n, &kept, bounds.earners);
    Trace {
        spans: kept.into_iter().map(|placed| placed.span).collect(),
        shares: attributed.shares,
        unattributed_ppb: attributed.unattributed_ppb,
    }
}
