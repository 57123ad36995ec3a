//! From spans to shares, and what spans must look like. Pure: tokens are not looked at here.

use crate::constants::{BILLION, MAX_EARNERS, MAX_SPANS};
use crate::ids::datanet_of;
use crate::record::{Share, Span};
use std::collections::BTreeMap;

/// A span with what the chain says about its contribution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placed {
    /// The span.
    pub span: Span,
    /// When its contribution was committed.
    pub commit_block: u64,
    /// Whether it earns in the pinned epoch; tokens of one that does not stay unattributed.
    pub live: bool,
    /// The datanet's shortest match.
    pub min_match: u32,
}

impl Placed {
    const fn priority(&self) -> (u64, u64, u32) {
        (self.commit_block, self.span.contribution, self.span.start)
    }
}

/// How long the lists of a trace may get, as parameters say at the record's block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceBounds {
    /// Most spans: of more, the first by (start, contribution) stand.
    pub spans: usize,
    /// Most contributions that earn.
    pub earners: usize,
}

impl Default for TraceBounds {
    fn default() -> Self {
        Self { spans: MAX_SPANS, earners: MAX_EARNERS }
    }
}

impl TraceBounds {
    /// The bounds that `Params.maxSpans` and `Params.maxPayees` make; two payees are the model owners.
    #[must_use]
    pub fn new(max_spans: u32, max_payees: u32) -> Self {
        Self {
            spans: (max_spans as usize).min(MAX_SPANS),
            earners: (max_payees.saturating_sub(2) as usize).min(MAX_EARNERS),
        }
    }
}

/// Who won which tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attributed {
    /// Tokens that each span won, in the order given.
    pub won: Vec<u32>,
    /// Shares of the contributions that earn, ascending by contribution.
    pub shares: Vec<Share>,
    /// What nobody earns.
    pub unattributed_ppb: u32,
}

/// Why a list of spans is not one the trace can produce.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SpanFault {
    /// A span reaches past the output.
    #[error("span {0} reaches past the output")]
    Bounds(usize),
    /// A span is shorter than the datanet's shortest match.
    #[error("span {0} is shorter than the shortest match")]
    Short(usize),
    /// Spans must ascend strictly by (start, contribution).
    #[error("span {0} is out of order")]
    Order(usize),
    /// A window has one source in a datanet, yet two spans hold it.
    #[error("span {0} shares a window with another of its datanet")]
    SharedWindow(usize),
    /// Two spans that are one.
    #[error("span {0} continues another")]
    NotMaximal(usize),
    /// A span without a token of its own is dropped by the trace.
    #[error("span {0} wins no token")]
    WinsNothing(usize),
}

/// Gives each of `n` output tokens to the covering span with the lowest (commitBlock, contribution, start) and
/// turns tokens into shares: at most `earners` earn, most tokens first, ties to the lower id. Parts of spans
/// past the output are ignored.
#[must_use]
pub fn attribute(n: u32, spans: &[Placed], earners: usize) -> Attributed {
    let won = paint(n, spans);
    let mut credit: BTreeMap<u64, u32> = BTreeMap::new();
    for (placed, tokens) in spans.iter().zip(&won) {
        if placed.live && *tokens > 0 {
            *credit.entry(placed.span.contribution).or_default() += tokens;
        }
    }
    let mut ranked: Vec<(u64, u32)> = credit.into_iter().collect();
    ranked.sort_by_key(|(contribution, tokens)| (std::cmp::Reverse(*tokens), *contribution));
    ranked.truncate(earners);
    ranked.sort_unstable();
    let shares: Vec<Share> = ranked
        .into_iter()
        .map(|(contribution, tokens)| Share { contribution, ppb: ppb(tokens, n) })
        .collect();
    let attributed: u32 = shares.iter().map(|share| share.ppb).sum();
    Attributed { won, shares, unattributed_ppb: BILLION - attributed }
}

/// Checks the form of a span list: bounds, order, one source a window and datanet, spans as long as they can
/// be, each winning a token.
///
/// # Errors
/// With the first span that the trace could not have produced.
pub fn check_spans(n: u32, spans: &[Placed], attributed: &Attributed) -> Result<(), SpanFault> {
    let mut last: BTreeMap<u64, (usize, u64)> = BTreeMap::new();
    for (at, placed) in spans.iter().enumerate() {
        let span = placed.span;
        if u64::from(span.start) + u64::from(span.len) > u64::from(n) {
            return Err(SpanFault::Bounds(at));
        }
        if span.len < placed.min_match || span.len == 0 {
            return Err(SpanFault::Short(at));
        }
        let ordered = at.checked_sub(1).is_none_or(|before| {
            let before = spans[before].span;
            (before.start, before.contribution) < (span.start, span.contribution)
        });
        if !ordered {
            return Err(SpanFault::Order(at));
        }
        let last_window = u64::from(span.start) + u64::from(span.len) - u64::from(placed.min_match);
        let before = last.insert(datanet_of(span.contribution), (at, last_window));
        if let Some((before, window)) = before {
            check_neighbours(at, span, spans[before].span, window)?;
        }
        if attributed.won.get(at).is_none_or(|tokens| *tokens == 0) {
            return Err(SpanFault::WinsNothing(at));
        }
    }
    Ok(())
}

fn check_neighbours(at: usize, span: Span, before: Span, last_window: u64) -> Result<(), SpanFault> {
    if u64::from(span.start) <= last_window {
        return Err(SpanFault::SharedWindow(at));
    }
    let continues = u64::from(span.start) == last_window + 1
        && span.contribution == before.contribution
        && span.offset.checked_sub(before.offset) == Some(span.start - before.start);
    if continues { Err(SpanFault::NotMaximal(at)) } else { Ok(()) }
}

/// Tokens each span wins, by painting in order of priority and skipping what is painted.
fn paint(n: u32, spans: &[Placed]) -> Vec<u32> {
    let mut order: Vec<usize> = (0..spans.len()).collect();
    order.sort_by_key(|at| spans[*at].priority());
    let mut free: Vec<u32> = (0..=n).collect();
    let mut won = vec![0u32; spans.len()];
    for at in order {
        let span = spans[at].span;
        let end = u64::from(span.start).saturating_add(u64::from(span.len)).min(u64::from(n)) as u32;
        let mut token = next_free(&mut free, span.start.min(n));
        while token < end {
            won[at] += 1;
            free[token as usize] = token + 1;
            token = next_free(&mut free, token + 1);
        }
    }
    won
}

/// First unpainted token at or after `token`; `n` when there is none. Halves the path it walks.
fn next_free(free: &mut [u32], mut token: u32) -> u32 {
    while free[token as usize] != token {
        let next = free[token as usize];
        free[token as usize] = free[next as usize];
        token = next;
    }
    token
}

/// ⌊tokens·10⁹/n⌋.
fn ppb(tokens: u32, n: u32) -> u32 {
    if n == 0 {
        return 0;
    }
    (u64::from(tokens) * u64::from(BILLION) / u64::from(n)) as u32
}
