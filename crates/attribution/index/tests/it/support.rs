use std::collections::HashMap;
use tributary_index::{Document, PinSpec, Pinned, Store};

/// Contributions with their tokens.
pub(crate) type Texts = HashMap<u64, Vec<u32>>;

pub(crate) fn document(contribution: u64, commit_block: u64, tokens: &[u32]) -> Document {
    Document {
        contribution,
        commit_block,
        tokens: tokens.len() as u32,
        tokens_root: tributary_record::tokens_root(tokens).expect("at least one token"),
    }
}

pub(crate) fn spec(epochs: &[Vec<(u64, u64, Vec<u32>)>]) -> (PinSpec, Texts) {
    let mut texts = Texts::new();
    let epochs = epochs
        .iter()
        .map(|epoch| {
            epoch
                .iter()
                .map(|(contribution, block, tokens)| {
                    texts.insert(*contribution, tokens.clone());
                    document(*contribution, *block, tokens)
                })
                .collect()
        })
        .collect();
    (PinSpec { datanet: 1, epoch: 9, min_match: 8, epochs, ..PinSpec::default() }, texts)
}

pub(crate) fn pin(store: &Store, spec: &PinSpec, texts: &Texts) -> Pinned {
    store.pin(spec, &mut |document| Ok(texts[&document.contribution].clone())).expect("pinning")
}
