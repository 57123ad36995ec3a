//! Which blocks have logs of an address or with a topic.
//!
//! A tag is eight bytes of a hash, so two terms may share one: an answer names every block that matches and, once
//! in a great while, one that does not. Whoever asks looks at the receipts anyway.

use crate::{Snapshot, StoreError, Table, snapshot::be_u64};
use alloy_consensus::TxReceipt;
use alloy_primitives::{Address, B256, keccak256};
use std::collections::BTreeSet;
use tributary_spec::Receipt;

type Tag = [u8; 8];

/// Kind of a term: 0 for an address, 1 to 4 for the topic at that place.
fn tag(kind: u8, term: &[u8]) -> Tag {
    let mut preimage = Vec::with_capacity(33);
    preimage.push(kind);
    preimage.extend_from_slice(term);
    let mut tag = Tag::default();
    tag.copy_from_slice(&keccak256(preimage)[..8]);
    tag
}

/// The rows of one block, in order.
pub(crate) fn keys(number: u64, receipts: &[Receipt]) -> Vec<[u8; 16]> {
    let mut terms: Vec<(u8, &[u8])> = Vec::new();
    for log in receipts.iter().flat_map(|receipt| receipt.logs()) {
        terms.push((0, log.address.as_slice()));
        terms.extend((1..).zip(log.topics()).map(|(place, topic)| (place, topic.as_slice())));
    }
    terms.sort_unstable();
    terms.dedup();
    let mut keys: Vec<[u8; 16]> = terms
        .into_iter()
        .map(|(kind, term)| {
            let mut key = [0; 16];
            key[..8].copy_from_slice(&tag(kind, term));
            key[8..].copy_from_slice(&number.to_be_bytes());
            key
        })
        .collect();
    keys.sort_unstable();
    keys.dedup();
    keys
}

/// What logs to look for: any of the addresses, and at each place any of the topics. Empty means anything.
#[derive(Debug, Clone, Default)]
pub struct LogQuery {
    /// Emitting contracts.
    pub addresses: Vec<Address>,
    /// Topics by place.
    pub topics: [Vec<B256>; 4],
}

impl LogQuery {
    fn groups(&self) -> impl Iterator<Item = Vec<Tag>> {
        let addresses = self.addresses.iter().map(|address| tag(0, address.as_slice())).collect();
        let topics = (1..).zip(&self.topics);
        let topics =
            topics.map(|(place, topics)| topics.iter().map(|topic| tag(place, topic.as_slice())).collect());
        std::iter::once(addresses).chain(topics).filter(|group: &Vec<Tag>| !group.is_empty())
    }
}

impl Snapshot {
    /// Blocks of `from..=to` that may have matching logs, in order. `None` if the query matches everything.
    pub fn blocks_with_logs(
        &self,
        query: &LogQuery,
        from: u64,
        to: u64,
    ) -> Result<Option<Vec<u64>>, StoreError> {
        let mut found: Option<BTreeSet<u64>> = None;
        for group in query.groups() {
            let mut blocks = BTreeSet::new();
            for tag in group {
                self.blocks_of_tag(tag, from, to, &mut blocks)?;
            }
            if let Some(found) = &found {
                blocks.retain(|block| found.contains(block));
            }
            found = Some(blocks);
        }
        Ok(found.map(|blocks| blocks.into_iter().collect()))
    }

    fn blocks_of_tag(
        &self,
        tag: Tag,
        from: u64,
        to: u64,
        blocks: &mut BTreeSet<u64>,
    ) -> Result<(), StoreError> {
        let mut rows = self.rows(Table::LogIndex, false)?;
        rows.seek([tag, from.to_be_bytes()].concat());
        while let Some(key) = rows.key().filter(|key| key.starts_with(&tag)) {
            let number = be_u64(&key[tag.len()..])?;
            if number > to {
                break;
            }
            blocks.insert(number);
            rows.next();
        }
        Ok(rows.status()?)
    }
}
