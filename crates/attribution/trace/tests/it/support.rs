use std::collections::HashMap;
use tributary_index::{Document, PinSpec, Pinned, Store};
use tributary_record::{contribution_id, tokens_root};
use tributary_trace::{Corpus, CorpusDocument};

/// A corpus indexed in a folder of its own, cut into epochs of this many contributions.
pub(crate) fn indexed(corpus: &Corpus, per_epoch: usize) -> (tempfile::TempDir, Pinned) {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Store::open(folder.path()).expect("a store");
    let texts: HashMap<u64, &[u32]> =
        corpus.documents.iter().map(|document| (document.contribution, &document.tokens[..])).collect();
    let documents: Vec<Document> = corpus
        .documents
        .iter()
        .map(|document| Document {
            contribution: document.contribution,
            commit_block: document.commit_block,
            tokens: document.tokens.len() as u32,
            tokens_root: tokens_root(&document.tokens).expect("tokens"),
        })
        .collect();
    let spec = PinSpec {
        datanet: 1,
        epoch: 1,
        min_match: corpus.min_match,
        epochs: documents.chunks(per_epoch.max(1)).map(<[Document]>::to_vec).collect(),
        removed: corpus.documents.iter().filter(|at| at.removed).map(|at| at.contribution).collect(),
    };
    let pinned =
        store.pin(&spec, &mut |document| Ok(texts[&document.contribution].to_vec())).expect("pinning");
    (folder, pinned)
}

pub(crate) fn document(datanet: u64, index: u32, commit_block: u64, tokens: Vec<u32>) -> CorpusDocument {
    CorpusDocument { contribution: contribution_id(datanet, index), commit_block, removed: false, tokens }
}
