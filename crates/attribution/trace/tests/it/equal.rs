use crate::support::indexed;
use proptest::prelude::*;
use tributary_record::{Placed, attribute, check_spans, contribution_id};
use tributary_trace::{Corpus, CorpusDocument, Trace, Windows, trace};

/// Corpora full of copies: each document is made of pieces of a shared stock of phrases.
fn corpus(datanet: u64) -> impl Strategy<Value = Corpus> {
    let piece = (0usize..12, 0usize..20, 1usize..20);
    let document = (0u64..5, proptest::bool::weighted(0.2), proptest::collection::vec(piece, 1..8));
    (3u32..6, proptest::collection::vec(document, 0..8)).prop_map(move |(min_match, documents)| Corpus {
        min_match,
        documents: (0u32..)
            .zip(documents)
            .map(|(index, (commit_block, removed, pieces))| CorpusDocument {
                contribution: contribution_id(datanet, index),
                commit_block,
                removed,
                tokens: pieces.into_iter().flat_map(cut).collect(),
            })
            .collect(),
    })
}

/// Tokens `start..start+len` of a phrase; phrases repeat themselves and each other.
fn cut((phrase, start, len): (usize, usize, usize)) -> Vec<u32> {
    (start..start + len).map(|at| ((at * at / 3 + phrase * (at % 2)) % 7) as u32).collect()
}

/// The protocol's text, token by token, sharing nothing with the code under test but the window sources.
fn by_the_letter(output: &[u32], corpora: &[Corpus]) -> Trace {
    struct Found(u64, u64, u32, u32, u32, bool);
    let mut spans: Vec<Found> = Vec::new();
    for corpus in corpora {
        let width = corpus.min_match as usize;
        let mut last: Option<(usize, u64, u32)> = None;
        for start in 0..(output.len() + 1).saturating_sub(width) {
            let window = &output[start..start + width];
            let mut best: Option<(u64, u64, u32, bool)> = None;
            for document in &corpus.documents {
                for offset in 0..(document.tokens.len() + 1).saturating_sub(width) {
                    if &document.tokens[offset..offset + width] == window {
                        let found =
                            (document.commit_block, document.contribution, offset as u32, document.removed);
                        if best.is_none_or(|best| (found.0, found.1, found.2) < (best.0, best.1, best.2)) {
                            best = Some(found);
                        }
                    }
                }
            }
            match best {
                Some((_, id, offset, _))
                    if last == Some((start.wrapping_sub(1), id, offset.wrapping_sub(1))) =>
                {
                    spans.last_mut().expect("an open span").3 += 1;
                    last = Some((start, id, offset));
                }
                Some((block, id, offset, removed)) => {
                    spans.push(Found(block, id, start as u32, width as u32, offset, removed));
                    last = Some((start, id, offset));
                }
                None => last = None,
            }
        }
    }
    let owner = |token: u32| {
        (0..spans.len())
            .filter(|at| spans[*at].2 <= token && token < spans[*at].2 + spans[*at].3)
            .min_by_key(|at| (spans[*at].0, spans[*at].1, spans[*at].2))
    };
    let owners: Vec<Option<usize>> = (0..output.len() as u32).map(owner).collect();
    let mut credits: std::collections::BTreeMap<u64, u64> = std::collections::BTreeMap::new();
    for at in owners.iter().flatten().filter(|at| !spans[**at].5) {
        *credits.entry(spans[*at].1).or_default() += 1;
    }
    let mut ranked: Vec<(u64, u64)> = credits.into_iter().collect();
    ranked.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
    ranked.truncate(32);
    ranked.sort();
    let shares: Vec<tributary_record::Share> = ranked
        .into_iter()
        .map(|(contribution, tokens)| tributary_record::Share {
            contribution,
            ppb: (tokens * 1_000_000_000 / output.len() as u64) as u32,
        })
        .collect();
    let mut kept: Vec<tributary_record::Span> = (0..spans.len())
        .filter(|at| owners.contains(&Some(*at)))
        .map(|at| tributary_record::Span {
            start: spans[at].2,
            len: spans[at].3,
            contribution: spans[at].1,
            offset: spans[at].4,
        })
        .collect();
    kept.sort_by_key(|span| (span.start, span.contribution));
    let unattributed_ppb = 1_000_000_000 - shares.iter().map(|share| share.ppb).sum::<u32>();
    Trace { spans: kept, shares, unattributed_ppb }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn index_and_oracle_agree(
        first in corpus(1),
        second in corpus(2),
        pieces in proptest::collection::vec((0usize..12, 0usize..20, 1usize..25), 0..12),
        per_epoch in 1usize..5,
    ) {
        let output: Vec<u32> = pieces.into_iter().flat_map(cut).collect();
        let (_one, one) = indexed(&first, per_epoch);
        let (_two, two) = indexed(&second, per_epoch);
        let fast = trace(&output, &[&one, &two]);
        let slow = trace(&output, &[&first, &second]);
        prop_assert_eq!(&fast, &slow);
        prop_assert_eq!(&fast, &by_the_letter(&output, &[first.clone(), second.clone()]));

        for datanet in [&first as &dyn Windows, &second] {
            prop_assert_eq!(datanet.sources(&output).len(), (output.len() + 1).saturating_sub(datanet.min_match() as usize));
        }
        // What the trace produces passes the check of records, and shares follow from spans alone.
        let corpora = [&first, &second];
        let placed: Vec<Placed> = fast.spans.iter().map(|span| {
            let of = |corpus: &&Corpus| corpus.documents.iter().find(|at| at.contribution == span.contribution).cloned();
            let (corpus, document) = corpora.iter().find_map(|corpus| Some((*corpus, of(corpus)?))).unwrap();
            let at = span.offset as usize;
            assert_eq!(document.tokens[at..at + span.len as usize], output[span.start as usize..][..span.len as usize]);
            Placed { span: *span, commit_block: document.commit_block, live: !document.removed, min_match: corpus.min_match }
        }).collect();
        let again = attribute(output.len() as u32, &placed, 32);
        check_spans(output.len() as u32, &placed, &again).unwrap();
        prop_assert_eq!(again.shares, fast.shares);
    }
}
