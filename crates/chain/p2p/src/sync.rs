//! Closing gaps: what the engine wants and does not have is fetched backwards to a known block, and executed forwards.
//!
//! ```text
//! Engine::wanted ─► headers, newest first, until one is known ─► blocks, oldest first ─► execute ─► head follows
//!                                                                                                   └─► Engine::resume
//! ```
//!
//! Every hash comes from the head that was chosen, so peers can be slow, and nothing else.

use std::time::Duration;

use alloy_primitives::B256;
use tributary_engine_api::{Engine, EngineError, Wanted};
use tributary_tree::PayloadStatus;

use crate::{
    Network, NetworkError,
    fetch::{Fetched, Fetcher},
};

/// Pause after an attempt that failed.
const RETRY: Duration = Duration::from_secs(1);
/// Hashes that may be held on the way back, a gigabyte of them.
const MAX_MISSING: usize = 30_000_000;
/// Blocks between two moves of the head on the way.
const STRIDE: usize = 128;

/// Serves the engine until the network ends.
pub(crate) async fn run(network: Network, engine: Engine) {
    let (mut wanted, mut peers) = (engine.wanted(), network.changes());
    let mut fetcher = Fetcher::new(network);
    loop {
        let target = *wanted.borrow_and_update();
        let Some(target) = target else {
            if wanted.changed().await.is_err() {
                return;
            }
            continue;
        };
        if !fetcher.has_peers() {
            tokio::select! {
                changed = wanted.changed() => if changed.is_err() { return },
                changed = peers.changed() => if changed.is_err() { return },
            }
            continue;
        }
        if let Err(error) = reach(&mut fetcher, &engine, target).await {
            tracing::debug!(target: "p2p", missing = %target.missing, %error, "Sync goes on later");
            tokio::time::sleep(RETRY).await;
        }
    }
}

/// Fetches and executes everything up to the target, then chooses what is wanted by then.
async fn reach(fetcher: &mut Fetcher, engine: &Engine, target: Wanted) -> Result<(), NetworkError> {
    let gap = way_back(fetcher, engine, target).await?;
    if !gap.hashes.is_empty() {
        tracing::info!(target: "p2p", from = gap.first, blocks = gap.hashes.len(), "Syncing");
    }
    execute(fetcher, engine, &gap, target).await?;
    let status = on_thread(engine, |engine| engine.resume().map_err(from_engine)).await?;
    tracing::info!(target: "p2p", status = status.status.as_str(), head = engine.chain().head().number, "Synced");
    Ok(())
}

/// What lies between a known block and the target, oldest first.
struct Gap {
    /// Number of the first.
    first: u64,
    hashes: Vec<B256>,
}

async fn way_back(fetcher: &mut Fetcher, engine: &Engine, target: Wanted) -> Result<Gap, NetworkError> {
    let chain = engine.chain();
    let mut hashes = Vec::new();
    let (mut at, mut number) = (target.missing, target.number);
    let mut first = 0;
    'back: while chain.header_by_hash(at)?.is_none() {
        for link in fetcher.ancestors(chain.spec(), at, number).await? {
            if chain.header_by_hash(link.hash)?.is_some() {
                break 'back;
            }
            let below = link.number.checked_sub(1).ok_or_else(|| {
                NetworkError::Request("the head that was chosen has another genesis".to_owned())
            })?;
            first = link.number;
            (at, number) = (link.parent, Some(below));
            hashes.push(link.hash);
        }
        if hashes.len() > MAX_MISSING {
            return Err(NetworkError::Request("the head that was chosen is too far away".to_owned()));
        }
    }
    hashes.reverse();
    Ok(Gap { first, hashes })
}

/// Executes the gap's blocks. While some are executed, the next ones are fetched.
async fn execute(
    fetcher: &mut Fetcher,
    engine: &Engine,
    gap: &Gap,
    target: Wanted,
) -> Result<(), NetworkError> {
    let spec = engine.chain().spec().clone();
    let wanted = engine.wanted();
    let mut left = gap.hashes.as_slice();
    let mut blocks = fetcher.blocks(&spec, gap.first, left).await?;
    let mut since_moved = 0;
    while !blocks.is_empty() {
        since_moved += blocks.len();
        left = &left[blocks.len()..];
        let moves = since_moved >= STRIDE || left.is_empty();
        if moves {
            since_moved = 0;
        }
        let next = gap.first + (gap.hashes.len() - left.len()) as u64;
        let (executed, fetched) = tokio::join!(
            on_thread(engine, move |engine| import(engine, blocks, moves, target)),
            fetcher.blocks(&spec, next, left)
        );
        executed?;
        // Something that is here was chosen meanwhile.
        if wanted.borrow().is_none() {
            return Ok(());
        }
        blocks = fetched?;
    }
    Ok(())
}

fn import(engine: &Engine, blocks: Vec<Fetched>, moves: bool, target: Wanted) -> Result<(), NetworkError> {
    let mut head = None;
    for (block, bytes) in blocks {
        let (hash, parent) = (block.hash(), block.parent_hash());
        match engine.fetched(block, bytes).map_err(from_engine)? {
            PayloadStatus::Valid => head = Some(hash),
            PayloadStatus::Syncing => {
                return Err(NetworkError::Request("the parent went away".to_owned()));
            }
            PayloadStatus::Invalid { reason, latest_valid } => {
                tracing::warn!(target: "p2p", %hash, reason, "The chain that was chosen is invalid");
                engine.reject(target.missing, latest_valid.unwrap_or(parent), &reason);
                return Err(NetworkError::Request("an invalid block".to_owned()));
            }
        }
    }
    match head.filter(|_| moves) {
        Some(head) => advance(engine, head),
        None => Ok(()),
    }
}

/// Moves the head along the way, so that what was executed is written and memory stays small.
fn advance(engine: &Engine, head: B256) -> Result<(), NetworkError> {
    let chain = engine.chain();
    chain.set_forkchoice(head, None, None)?;
    tracing::debug!(target: "p2p", head = chain.head().number, "Syncing");
    Ok(())
}

async fn on_thread<T: Send + 'static>(
    engine: &Engine,
    call: impl FnOnce(&Engine) -> Result<T, NetworkError> + Send + 'static,
) -> Result<T, NetworkError> {
    let engine = engine.clone();
    let done = tokio::task::spawn_blocking(move || call(&engine)).await;
    done.unwrap_or_else(|error| Err(NetworkError::Request(error.to_string())))
}

fn from_engine(error: EngineError) -> NetworkError {
    NetworkError::Request(error.to_string())
}
