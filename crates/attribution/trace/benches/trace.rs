//! Tracing 300 tokens over more than five million indexed ones: text like a language's (Zipf), an answer that
//! quotes it, and the worst case of a corpus that repeats itself.

use criterion::{Criterion, criterion_group, criterion_main};
use std::hint::black_box;
use tributary_index::{Document, PinSpec, Pinned, Store};
use tributary_record::{contribution_id, tokens_root};
use tributary_trace::trace;

const DOCUMENTS: u32 = 2_600;
const TOKENS: u32 = 2_000;

/// A small generator of the same numbers everywhere.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }

    /// Low ids far more often than high ones.
    fn token(&mut self) -> u32 {
        let bits = self.next() % 16;
        (self.next() % (3 << bits)) as u32 % 49_152
    }
}

fn natural() -> Vec<Vec<u32>> {
    let mut numbers = Numbers(7);
    (0..DOCUMENTS).map(|_| (0..TOKENS).map(|_| numbers.token()).collect()).collect()
}

fn repeating() -> Vec<Vec<u32>> {
    (0..DOCUMENTS).map(|document| (0..TOKENS).map(|at| (at + document % 3) % 17).collect()).collect()
}

fn pin(folder: &std::path::Path, documents: &[Vec<u32>], epochs: usize) -> Pinned {
    let described: Vec<Document> = (0u32..)
        .zip(documents)
        .map(|(index, tokens)| Document {
            contribution: contribution_id(1, index),
            commit_block: u64::from(index / 10),
            tokens: tokens.len() as u32,
            tokens_root: tokens_root(tokens).expect("tokens"),
        })
        .collect();
    let spec = PinSpec {
        datanet: 1,
        epoch: 1,
        min_match: 8,
        epochs: shrinking(&described, epochs),
        ..PinSpec::default()
    };
    let load =
        &mut |document: &Document| Ok(documents[(document.contribution & 0xffff_ffff) as usize].clone());
    Store::open(folder).and_then(|store| store.pin(&spec, load)).expect("pinning")
}

/// Epochs of which each is a third of the one before, so that none are joined.
fn shrinking(documents: &[Document], epochs: usize) -> Vec<Vec<Document>> {
    let mut rest = documents;
    let mut cut = Vec::new();
    for left in (0..epochs).rev() {
        let (epoch, after) = rest.split_at(if left == 0 { rest.len() } else { rest.len() * 3 / 4 });
        cut.push(epoch.to_vec());
        rest = after;
    }
    cut
}

/// 300 tokens: quotes of 40 from all over, with words of its own in between.
fn quoting(documents: &[Vec<u32>]) -> Vec<u32> {
    let mut numbers = Numbers(11);
    let mut output = Vec::new();
    while output.len() < 300 {
        let document = &documents[numbers.next() as usize % documents.len()];
        let start = numbers.next() as usize % (document.len() - 40);
        output.extend(&document[start..start + 40]);
        output.extend((0..10).map(|_| numbers.token()));
    }
    output.truncate(300);
    output
}

fn bench(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, documents) in [("natural", natural()), ("repeating", repeating())] {
        for epochs in [1, 5] {
            let pinned = pin(folder.path(), &documents, epochs);
            let tokens: usize = pinned.segments().iter().map(|segment| segment.tokens()).sum();
            let output = quoting(&documents);
            let label = format!("trace/{name}/{tokens} tokens, {} segments", pinned.segments().len());
            criterion.bench_function(&label, |bencher| {
                bencher.iter(|| trace(black_box(&output), &[black_box(&pinned)]));
            });
        }
    }
}

criterion_group!(benches, bench);
criterion_main!(benches);
