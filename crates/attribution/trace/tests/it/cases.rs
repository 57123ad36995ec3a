use crate::support::{document, indexed};
use tributary_record::{BILLION, MAX_SPANS, TraceBounds, contribution_id};
use tributary_trace::{Corpus, trace, trace_within};

fn corpus(documents: Vec<tributary_trace::CorpusDocument>) -> Corpus {
    Corpus { min_match: 8, documents }
}

#[test]
fn a_copy_earns_nothing_and_a_copy_plus_one_token_earns_that_token() {
    let original: Vec<u32> = (0..100).collect();
    let mut longer = original.clone();
    longer.push(500);
    let corpus = corpus(vec![
        document(1, 0, 10, original.clone()),
        document(1, 1, 11, original.clone()),
        document(1, 2, 12, longer.clone()),
    ]);
    let (_folder, pinned) = indexed(&corpus, 1);
    let plain = trace(&original, &[&pinned]);
    assert_eq!(plain.shares.len(), 1);
    assert_eq!((plain.shares[0].contribution, plain.shares[0].ppb), (contribution_id(1, 0), BILLION));
    let extended = trace(&longer, &[&pinned]);
    assert_eq!(extended.shares.len(), 2);
    assert_eq!(extended.shares[1].contribution, contribution_id(1, 2));
    assert_eq!(extended.shares[1].ppb, BILLION / 101);
}

#[test]
fn an_earlier_commit_wins_over_a_lower_id() {
    let text: Vec<u32> = (0..20).collect();
    let corpus = corpus(vec![document(1, 0, 10, text.clone()), document(1, 1, 9, text.clone())]);
    let (_folder, pinned) = indexed(&corpus, 1);
    assert_eq!(trace(&text, &[&pinned]).shares[0].contribution, contribution_id(1, 1));
}

#[test]
fn a_removed_contribution_keeps_its_tokens_unattributed() {
    let text: Vec<u32> = (0..20).collect();
    let mut corpus = corpus(vec![document(1, 0, 9, text.clone()), document(1, 1, 10, text.clone())]);
    corpus.documents[0].removed = true;
    let (_folder, pinned) = indexed(&corpus, 2);
    let traced = trace(&text, &[&pinned]);
    assert_eq!(traced.unattributed_ppb, BILLION);
    assert!(traced.shares.is_empty());
    assert_eq!(traced.spans.len(), 1);
}

#[test]
fn nothing_and_too_little_stay_unattributed() {
    let corpus = corpus(vec![document(1, 0, 9, (0..20).collect())]);
    let (_folder, pinned) = indexed(&corpus, 1);
    for output in [vec![], (0..7).collect::<Vec<u32>>(), vec![99; 40]] {
        let traced = trace(&output, &[&pinned]);
        assert_eq!((traced.spans.len(), traced.unattributed_ppb), (0, BILLION));
    }
    assert_eq!(trace(&[1, 2, 3], &[]).unattributed_ppb, BILLION);
}

#[test]
fn the_earlier_of_two_datanets_takes_shared_text() {
    let text: Vec<u32> = (0..20).collect();
    let first = corpus(vec![document(1, 0, 30, text.clone())]);
    let second = corpus(vec![document(2, 0, 29, text.clone())]);
    let traced = trace(&text, &[&first, &second]);
    assert_eq!(traced.shares.len(), 1);
    assert_eq!(traced.shares[0].contribution, contribution_id(2, 0));
}

#[test]
fn of_very_many_spans_the_first_stand() {
    let pieces = 600u32;
    let documents = (0..pieces).map(|at| document(1, at, 1, (at * 8..at * 8 + 8).collect())).collect();
    let corpus = corpus(documents);
    let output: Vec<u32> = (0..pieces * 8).collect();
    let (_folder, pinned) = indexed(&corpus, 600);
    let traced = trace(&output, &[&pinned]);
    assert_eq!(traced.spans.len(), MAX_SPANS);
    assert_eq!(traced.spans[MAX_SPANS - 1].start, (MAX_SPANS as u32 - 1) * 8);
    assert_eq!(traced.shares.len(), 32);
    assert_eq!(traced, trace(&output, &[&corpus]));
    let few = trace_within(&output, &[&corpus], &TraceBounds::new(3, 4));
    assert_eq!((few.spans.len(), few.shares.len()), (3, 2));
    assert_eq!(few.spans, traced.spans[..3]);
}
