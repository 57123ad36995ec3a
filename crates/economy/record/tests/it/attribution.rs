use proptest::prelude::*;
use std::collections::BTreeMap;
use tributary_record::*;

fn placed(start: u32, len: u32, contribution: u64, commit_block: u64, live: bool) -> Placed {
    Placed { span: Span { start, len, contribution, offset: 0 }, commit_block, live, min_match: 1 }
}

/// Token by token, as the text of the protocol has it.
fn naive(n: u32, spans: &[Placed]) -> (Vec<Share>, u32) {
    let mut credit: BTreeMap<u64, u64> = BTreeMap::new();
    for token in 0..n {
        let owner = spans
            .iter()
            .filter(|placed| placed.span.start <= token && token < placed.span.start + placed.span.len)
            .min_by_key(|placed| (placed.commit_block, placed.span.contribution, placed.span.start));
        if let Some(owner) = owner.filter(|owner| owner.live) {
            *credit.entry(owner.span.contribution).or_default() += 1;
        }
    }
    let mut best: Vec<(u64, u64)> = credit.into_iter().map(|(id, tokens)| (u64::MAX - tokens, id)).collect();
    best.sort();
    best.truncate(32);
    let mut shares: Vec<Share> = best
        .into_iter()
        .map(|(rank, contribution)| Share {
            contribution,
            ppb: ((u64::MAX - rank) * 1_000_000_000 / u64::from(n)) as u32,
        })
        .collect();
    shares.sort_by_key(|share| share.contribution);
    let sum: u32 = shares.iter().map(|share| share.ppb).sum();
    (shares, 1_000_000_000 - sum)
}

proptest! {
    #[test]
    fn painting_equals_asking_each_token(
        n in 0u32..120,
        spans in proptest::collection::vec((0u32..130, 1u32..40, 0u64..50, 0u64..4, any::<bool>()), 0..80),
    ) {
        let live: BTreeMap<u64, bool> = spans.iter().map(|span| (span.2, span.4)).collect();
        let block: BTreeMap<u64, u64> = spans.iter().map(|span| (span.2, span.3)).collect();
        let spans: Vec<Placed> =
            spans.iter().map(|span| placed(span.0, span.1, span.2, block[&span.2], live[&span.2])).collect();
        let attributed = attribute(n, &spans, MAX_EARNERS);
        let (shares, unattributed) = naive(n, &spans);
        prop_assert_eq!(attributed.shares, shares);
        prop_assert_eq!(attributed.unattributed_ppb, unattributed);
    }
}

#[test]
fn nothing_out_means_nothing_attributed() {
    assert_eq!(attribute(0, &[], MAX_EARNERS).unattributed_ppb, BILLION);
    assert_eq!(attribute(0, &[placed(0, 5, 1, 1, true)], MAX_EARNERS).unattributed_ppb, BILLION);
}

#[test]
fn at_most_32_earn_and_ties_go_to_the_lower_id() {
    let spans: Vec<Placed> = (0..40).map(|at| placed(at, 1, u64::from(100 - at), 0, true)).collect();
    let attributed = attribute(40, &spans, MAX_EARNERS);
    assert_eq!(attributed.shares.len(), MAX_EARNERS);
    assert_eq!(attributed.shares[0].contribution, 61);
    assert_eq!(attributed.unattributed_ppb, 8 * 25_000_000);
}

#[test]
fn a_removed_contribution_keeps_its_tokens_from_the_others() {
    let spans = [placed(0, 10, 1, 5, false), placed(0, 20, 2, 6, true)];
    let attributed = attribute(20, &spans, MAX_EARNERS);
    assert_eq!(attributed.won, [10, 10]);
    assert_eq!(attributed.shares, [Share { contribution: 2, ppb: 500_000_000 }]);
}

#[test]
fn impossible_spans_are_named() {
    let span = |start, len, contribution, offset| Placed {
        span: Span { start, len, contribution, offset },
        commit_block: 0,
        live: true,
        min_match: 8,
    };
    let fault = |spans: &[Placed]| check_spans(40, spans, &attribute(40, spans, MAX_EARNERS)).unwrap_err();
    assert_eq!(fault(&[span(33, 8, 1, 0)]), SpanFault::Bounds(0));
    assert_eq!(fault(&[span(u32::MAX, 8, 1, 0)]), SpanFault::Bounds(0));
    assert_eq!(fault(&[span(3, 7, 1, 0)]), SpanFault::Short(0));
    assert_eq!(fault(&[span(9, 8, 1, 0), span(0, 8, 1, 0)]), SpanFault::Order(1));
    assert_eq!(fault(&[span(0, 9, 1, 0), span(1, 8, 1, 0)]), SpanFault::SharedWindow(1));
    assert_eq!(fault(&[span(0, 8, 1, 0), span(1, 8, 1, 1)]), SpanFault::NotMaximal(1));
    assert_eq!(fault(&[span(0, 20, 1 << 32, 0), span(5, 10, 2 << 32, 0)]), SpanFault::WinsNothing(1));
    let good = [span(0, 8, 1, 0), span(1, 8, 1, 5), span(3, 10, 2, 0)];
    check_spans(40, &good, &attribute(40, &good, MAX_EARNERS)).unwrap();
}
