//! Prints corpora, outputs and their traces, for other implementations to check against.

use serde_json::{Value, json};
use tributary_record::contribution_id;
use tributary_trace::{Corpus, CorpusDocument, trace};

fn main() {
    println!("{}", serde_json::to_string_pretty(&vectors()).expect("json"));
}

/// Traces over two datanets of overlapping documents.
pub(crate) fn vectors() -> Value {
    (0..40u64).map(case).collect()
}

struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }

    /// Pieces of a stock of phrases that repeat themselves and each other.
    fn text(&mut self, pieces: u64) -> Vec<u32> {
        let mut text = Vec::new();
        for _ in 0..pieces {
            let (phrase, start, len) = (self.below(9), self.below(20), 1 + self.below(24));
            text.extend((start..start + len).map(|at| ((at * at / 3 + phrase * (at % 2)) % 6) as u32));
        }
        text
    }
}

fn corpus(numbers: &mut Numbers, datanet: u64) -> Corpus {
    let count = numbers.below(7) as u32;
    Corpus {
        min_match: 8 + numbers.below(3) as u32,
        documents: (0..count)
            .map(|index| {
                let pieces = 1 + numbers.below(8);
                CorpusDocument {
                    contribution: contribution_id(datanet, index),
                    commit_block: numbers.below(4),
                    removed: numbers.below(5) == 0,
                    tokens: numbers.text(pieces),
                }
            })
            .collect(),
    }
}

fn case(seed: u64) -> Value {
    let mut numbers = Numbers(seed);
    let corpora = [corpus(&mut numbers, 3), corpus(&mut numbers, 4)];
    let pieces = numbers.below(10);
    let output = numbers.text(pieces);
    let traced = trace(&output, &[&corpora[0], &corpora[1]]);
    let datanets: Vec<Value> = corpora
        .iter()
        .map(|corpus| {
            let documents: Vec<Value> = corpus
                .documents
                .iter()
                .map(|document| {
                    json!({
                        "contribution": document.contribution, "commitBlock": document.commit_block,
                        "removed": document.removed, "tokens": document.tokens,
                    })
                })
                .collect();
            json!({ "minMatch": corpus.min_match, "documents": documents })
        })
        .collect();
    json!({
        "output": output, "datanets": datanets, "spans": traced.spans, "shares": traced.shares,
        "unattributedPpb": traced.unattributed_ppb,
    })
}
