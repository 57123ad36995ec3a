//! Gossip and the engine: blocks of the signer become the head, and blocks made here are published.

use std::sync::Arc;

use alloy_primitives::B256;
use alloy_rpc_types_engine::{ForkchoiceState, PayloadStatusEnum};
use tokio::sync::broadcast::{Receiver, error::RecvError};
use tributary_engine_api::{Engine, EngineError, NewPayload, Version};
use tributary_tree::CanonEvent;

use crate::{Network, network::Arrivals};

/// Penalty for the bearer of a block that its signer should not have signed: the bearer checked no more than we did.
const INVALID_BLOCK: u32 = 10;

/// The newest block of the signer that is not the head yet.
type Goal = Option<(u64, B256)>;

/// Makes each block that comes the head. Runs until the network ends.
pub(crate) async fn run(network: Network, engine: Engine, mut arrivals: Arrivals) {
    let mut goal: Goal = None;
    while let Some((peer, payload)) = arrivals.recv().await {
        let (number, hash) = (payload.payload.block_number, payload.payload.block_hash);
        let engine = engine.clone();
        let before = goal;
        match tokio::task::spawn_blocking(move || take(&engine, payload, before)).await {
            Ok(Ok((PayloadStatusEnum::Invalid { validation_error }, _))) => {
                tracing::warn!(target: "p2p", number, %hash, validation_error, "The sequencer signed an invalid block");
                network.punish(peer, INVALID_BLOCK, validation_error).await;
            }
            Ok(Ok((status, next))) => {
                goal = next;
                tracing::debug!(target: "p2p", number, %hash, status = status.as_str(), "Block followed");
            }
            Ok(Err(error)) => tracing::warn!(target: "p2p", number, %hash, %error, "Block not followed"),
            Err(error) => tracing::error!(target: "p2p", %error, "Following panicked"),
        }
    }
}

/// Executes a block, then chooses it, or the newer one that waits for it. A goal with missing ancestors is fetched by whoever
/// watches the engine.
fn take(engine: &Engine, payload: NewPayload, goal: Goal) -> Result<(PayloadStatusEnum, Goal), EngineError> {
    let (number, hash) = (payload.payload.block_number, payload.payload.block_hash);
    let chain = engine.chain();
    if chain.canonical_hash(number)? == Some(hash) {
        return Ok((PayloadStatusEnum::Valid, goal));
    }
    let status = engine.new_payload(payload)?.status;
    if matches!(status, PayloadStatusEnum::Invalid { .. }) {
        return Ok((status, goal));
    }
    let head = chain.head().hash();
    let goal = goal.filter(|(newest, wanted)| *wanted != head && number < *newest).unwrap_or((number, hash));
    let state = ForkchoiceState { head_block_hash: goal.1, ..ForkchoiceState::default() };
    let chosen = engine.forkchoice_updated(Version::V3, state, None)?;
    Ok((chosen.payload_status.status, Some(goal)))
}

/// Publishes each block that becomes canonical. Runs until the chain ends.
pub(crate) async fn publish(network: Network, mut events: Receiver<CanonEvent>) {
    loop {
        match events.recv().await {
            Ok(CanonEvent::Commit { new } | CanonEvent::Reorg { new, .. }) => {
                for executed in new {
                    if network.publish(Arc::new(executed.block.clone())).await.is_err() {
                        return;
                    }
                }
            }
            // Those who miss blocks fetch them.
            Err(RecvError::Lagged(missed)) => tracing::warn!(target: "p2p", missed, "Blocks not published"),
            Err(RecvError::Closed) => return,
        }
    }
}
