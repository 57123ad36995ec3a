//! Answers to what peers ask of the chain.

use std::sync::Arc;

use alloy_primitives::{B256, Bytes};
use alloy_rlp::Encodable;
use tokio::sync::Semaphore;
use tributary_spec::Header;
use tributary_tree::{Chain, TreeError};

use crate::{
    by_number::ByNumberAnswer,
    payload::{self, Shape},
    range::{RangeAnswer, RangeRequest, SOFT_LIMIT},
};

/// Requests that are answered at once; the others wait.
const AT_ONCE: usize = 4;

/// Reads the chain for peers, a few at a time.
#[derive(Debug, Clone)]
pub(crate) struct Librarian {
    chain: Chain,
    desks: Arc<Semaphore>,
}

impl Librarian {
    pub(crate) fn new(chain: Chain) -> Self {
        Self { chain, desks: Arc::new(Semaphore::new(AT_ONCE)) }
    }

    /// Runs a read on a thread that may block. `None` if the chain cannot be read.
    pub(crate) async fn look_up<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Chain) -> Result<T, TreeError> + Send + 'static,
    ) -> Option<T> {
        let _desk = self.desks.acquire().await.ok()?;
        let chain = self.chain.clone();
        match tokio::task::spawn_blocking(move || read(&chain)).await {
            Ok(Ok(found)) => Some(found),
            Ok(Err(error)) => {
                tracing::warn!(target: "p2p", %error, "Cannot answer a peer");
                None
            }
            Err(_) => None,
        }
    }
}

/// Headers or blocks.
pub(crate) fn range(chain: &Chain, request: &RangeRequest) -> Result<RangeAnswer, TreeError> {
    match request {
        RangeRequest::Headers { hash, count } => headers(chain, *hash, *count),
        RangeRequest::Blocks(hashes) => blocks(chain, hashes),
    }
}

fn headers(chain: &Chain, mut hash: B256, count: u64) -> Result<RangeAnswer, TreeError> {
    let mut items = Vec::new();
    for _ in 0..count {
        let Some(header) = chain.header_by_hash(hash)? else { break };
        items.push(encoded::<Header>(header.inner()));
        hash = header.parent_hash;
        if header.number == 0 {
            break;
        }
    }
    Ok(RangeAnswer(items))
}

fn blocks(chain: &Chain, hashes: &[B256]) -> Result<RangeAnswer, TreeError> {
    let mut items: Vec<Bytes> = Vec::new();
    let mut size = 0;
    for hash in hashes {
        let Some(block) = chain.block_by_hash(*hash)? else { break };
        size += block.rlp_length();
        if size > SOFT_LIMIT && !items.is_empty() {
            break;
        }
        items.push(block.rlp().into());
    }
    Ok(RangeAnswer(items))
}

fn encoded<T: Encodable>(item: &T) -> Bytes {
    alloy_rlp::encode(item).into()
}

/// A canonical block, as an op-node asks for it.
pub(crate) fn by_number(chain: &Chain, number: u64) -> Result<ByNumberAnswer, TreeError> {
    let Some(block) = chain.block_by_number(number)? else { return Ok(ByNumberAnswer::NotFound) };
    let with_root = Shape::at(chain.spec(), block.header().timestamp).has_root();
    Ok(ByNumberAnswer::Payload { with_root, bytes: payload::encode(chain.spec(), &block) })
}
