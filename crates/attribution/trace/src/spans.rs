//! Windows in a row become spans.

use crate::trace::SourceOf;
use tributary_record::{Placed, Span};

/// Joins consecutive windows with the same source and offsets rising by one. `sources[s]` is the source of the
/// window at `s`, each of `min_match` tokens.
#[must_use]
pub fn join(sources: &[Option<SourceOf>], min_match: u32) -> Vec<Placed> {
    let mut spans: Vec<Placed> = Vec::new();
    let mut open = false;
    for (start, source) in (0u32..).zip(sources) {
        let Some(source) = source else {
            open = false;
            continue;
        };
        match spans.last_mut().filter(|last| open && continues(last, start, source)) {
            Some(last) => last.span.len += 1,
            None => spans.push(Placed {
                span: Span {
                    start,
                    len: min_match,
                    contribution: source.contribution,
                    offset: source.offset,
                },
                commit_block: source.commit_block,
                live: !source.removed,
                min_match,
            }),
        }
        open = true;
    }
    spans
}

fn continues(last: &Placed, start: u32, source: &SourceOf) -> bool {
    last.span.contribution == source.contribution
        && source.offset.checked_sub(last.span.offset) == Some(start - last.span.start)
}
