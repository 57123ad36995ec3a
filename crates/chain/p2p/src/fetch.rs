//! Requests to peers whose answers are checked before they are believed.

use std::{collections::VecDeque, num::NonZeroUsize};

use alloy_consensus::{
    EMPTY_OMMER_ROOT_HASH,
    proofs::{calculate_transaction_root, calculate_withdrawals_root},
};
use alloy_primitives::{B256, Sealable};
use libp2p::PeerId;
use lru::LruCache;
use tributary_spec::{Block, ChainSpec, RecoveredBlock, SealedHeader};

use crate::{
    Network, NetworkError,
    by_number::ByNumberAnswer,
    metrics, payload,
    range::{MAX_BLOCKS, MAX_HEADERS, RangeRequest},
};

/// Penalty for an answer that cannot be true.
const LIE: u32 = 100;
/// Penalty for none.
const SILENCE: u32 = 15;
/// Blocks got by number that are kept for the way back.
const KEPT: NonZeroUsize = NonZeroUsize::new(1_024).expect("not zero");

/// A block and the bytes it came in.
pub(crate) type Fetched = (RecoveredBlock, usize);

/// A block's place in the chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) number: u64,
    pub(crate) hash: B256,
    pub(crate) parent: B256,
}

/// Fetches from whichever peers there are: from Tributary nodes by range, else from op-nodes one by one.
#[derive(Debug)]
pub(crate) struct Fetcher {
    network: Network,
    /// The peers in turn.
    turn: VecDeque<PeerId>,
    kept: LruCache<B256, Fetched>,
}

impl Fetcher {
    pub(crate) fn new(network: Network) -> Self {
        Self { network, turn: VecDeque::new(), kept: LruCache::new(KEPT) }
    }

    /// Whom to ask: the same peer as long as it answers.
    fn choose(&mut self, peers: &[PeerId]) -> Option<PeerId> {
        self.turn.retain(|peer| peers.contains(peer));
        for peer in peers {
            if !self.turn.contains(peer) {
                self.turn.push_back(*peer);
            }
        }
        self.turn.front().copied()
    }

    /// Peers that can be asked at all.
    pub(crate) fn has_peers(&self) -> bool {
        !self.network.range_peers().is_empty() || !self.network.number_peers().is_empty()
    }

    /// A block and some ancestors of it, nearest first. `number` is the block's, if it is known.
    pub(crate) async fn ancestors(
        &mut self,
        spec: &ChainSpec,
        hash: B256,
        number: Option<u64>,
    ) -> Result<Vec<Link>, NetworkError> {
        if let Some(peer) = self.choose(&self.network.range_peers()) {
            let answer = self.headers(peer, hash).await;
            return self.judge(peer, answer).await;
        }
        let Some(peer) = self.choose(&self.network.number_peers()) else {
            return Err(nobody());
        };
        let number =
            number.ok_or_else(|| NetworkError::Request("op-nodes are asked by number".to_owned()))?;
        let answer = self.one(spec, peer, number, hash).await;
        let (block, size) = self.judge(peer, answer).await?;
        let link = Link { number, hash, parent: block.parent_hash() };
        self.kept.put(hash, (block, size));
        Ok(vec![link])
    }

    async fn headers(&self, peer: PeerId, hash: B256) -> Result<Vec<Link>, NetworkError> {
        let answer = self.network.range(peer, RangeRequest::Headers { hash, count: MAX_HEADERS }).await?;
        let headers = answer.headers().map_err(|error| NetworkError::Misbehaved(error.to_string()))?;
        if headers.is_empty() {
            return Err(NetworkError::NotThere(hash.to_string()));
        }
        let mut wanted = hash;
        let mut links: Vec<Link> = Vec::with_capacity(headers.len());
        for header in headers {
            let header = header.seal_slow();
            let descends =
                links.last().is_none_or(|child| child.number.checked_sub(1) == Some(header.number));
            if header.hash() != wanted || !descends {
                return Err(NetworkError::Misbehaved(format!(
                    "header {} instead of {wanted}",
                    header.hash()
                )));
            }
            wanted = header.parent_hash;
            links.push(Link { number: header.number, hash: header.hash(), parent: header.parent_hash });
        }
        Ok(links)
    }

    /// The first of these blocks, whose number is given; as many as fit an answer, at least one. With their sizes.
    pub(crate) async fn blocks(
        &mut self,
        spec: &ChainSpec,
        number: u64,
        hashes: &[B256],
    ) -> Result<Vec<Fetched>, NetworkError> {
        let Some(hash) = hashes.first().copied() else { return Ok(Vec::new()) };
        if let Some(kept) = self.kept.pop(&hash) {
            return Ok(vec![kept]);
        }
        if let Some(peer) = self.choose(&self.network.range_peers()) {
            let answer = self.many(peer, &hashes[..hashes.len().min(MAX_BLOCKS)]).await;
            return self.judge(peer, answer).await;
        }
        let Some(peer) = self.choose(&self.network.number_peers()) else { return Err(nobody()) };
        let answer = self.one(spec, peer, number, hash).await;
        Ok(vec![self.judge(peer, answer).await?])
    }

    async fn many(&self, peer: PeerId, hashes: &[B256]) -> Result<Vec<Fetched>, NetworkError> {
        let hashes = hashes.to_vec();
        let answer = self.network.range(peer, RangeRequest::Blocks(hashes.clone())).await?;
        if answer.0.is_empty() {
            return Err(NetworkError::NotThere(format!("{} blocks", hashes.len())));
        }
        if answer.0.len() > hashes.len() {
            return Err(NetworkError::Misbehaved("more blocks than were asked for".to_owned()));
        }
        let checked = tokio::task::spawn_blocking(move || {
            let sizes: Vec<_> = answer.0.iter().map(|item| item.len()).collect();
            let blocks = answer.blocks().map_err(|error| error.to_string())?;
            let recovered = blocks.into_iter().zip(hashes).map(|(block, hash)| recover(block, hash));
            recovered.zip(sizes).map(|(block, size)| Ok((block?, size))).collect::<Result<Vec<_>, String>>()
        });
        let blocks = checked
            .await
            .map_err(|error| NetworkError::Request(error.to_string()))?
            .map_err(NetworkError::Misbehaved)?;
        metrics::fetched(blocks.len());
        Ok(blocks)
    }

    /// One block by number, which must have the hash.
    async fn one(
        &self,
        spec: &ChainSpec,
        peer: PeerId,
        number: u64,
        hash: B256,
    ) -> Result<Fetched, NetworkError> {
        let (with_root, bytes) = match self.network.by_number(peer, number).await? {
            ByNumberAnswer::Payload { with_root, bytes } => (with_root, bytes),
            ByNumberAnswer::NotFound => return Err(NetworkError::NotThere(number.to_string())),
            ByNumberAnswer::Refused(code) => {
                return Err(NetworkError::Request(format!("refused with code {code}")));
            }
        };
        let (_, payload) = payload::decode(spec, with_root, &bytes).map_err(NetworkError::Misbehaved)?;
        let header = payload.verified_header(spec).map_err(NetworkError::Misbehaved)?;
        if header.hash() != hash {
            return Err(NetworkError::NotThere(format!("{number} is another block there")));
        }
        let block = payload.into_block(spec).map_err(NetworkError::Misbehaved)?;
        metrics::fetched(1);
        Ok(block)
    }

    /// An answer that is none makes it another peer's turn, and may cost the peer its welcome.
    async fn judge<T>(&mut self, peer: PeerId, answer: Result<T, NetworkError>) -> Result<T, NetworkError> {
        if answer.is_err() {
            self.turn.retain(|other| *other != peer);
            self.turn.push_back(peer);
        }
        match &answer {
            Err(NetworkError::Misbehaved(why)) => self.network.punish(peer, LIE, why.clone()).await,
            Err(NetworkError::Request(why)) => self.network.punish(peer, SILENCE, why.clone()).await,
            _ => {}
        }
        answer
    }
}

fn nobody() -> NetworkError {
    NetworkError::Request("no peer to ask".to_owned())
}

/// A block whose header has the hash that was asked for, and whose body is that header's.
fn recover(block: Block, hash: B256) -> Result<RecoveredBlock, String> {
    let (header, body) = (block.header.seal_slow(), block.body);
    if header.hash() != hash {
        return Err(format!("block {} instead of {hash}", header.hash()));
    }
    if calculate_transaction_root(&body.transactions) != header.transactions_root {
        return Err(format!("transactions of another block than {hash}"));
    }
    if !body.ommers.is_empty() || header.ommers_hash != EMPTY_OMMER_ROOT_HASH {
        return Err(format!("block {hash} has ommers"));
    }
    check_withdrawals(&header, body.withdrawals.as_ref().map(|list| list.as_slice()))?;
    RecoveredBlock::recover_sealed(header, body).map_err(|error| error.to_string())
}

/// From Isthmus on the header's root is of the state, and the list must be empty; before, it is the list's.
fn check_withdrawals(
    header: &SealedHeader,
    withdrawals: Option<&[alloy_eips::eip4895::Withdrawal]>,
) -> Result<(), String> {
    let right = match (withdrawals, header.withdrawals_root) {
        (None, None) => true,
        (Some(list), Some(root)) => list.is_empty() || calculate_withdrawals_root(list) == root,
        _ => false,
    };
    if right { Ok(()) } else { Err(format!("withdrawals of another block than {}", header.hash())) }
}
