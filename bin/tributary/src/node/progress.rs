//! What an operator reads while the node runs: blocks as they come, the state of things now and then, and who is missing.

use std::time::{Duration, Instant};

use tokio::{
    sync::broadcast::error::RecvError,
    time::{MissedTickBehavior, interval_at},
};
use tracing::{info, warn};
use tributary_engine_api::Engine;
use tributary_p2p::Network;
use tributary_tree::{CanonEvent, Chain};

/// Between two lines on the state of things.
const STATUS: Duration = Duration::from_secs(25);
/// A rollup node that has not called for so long is missed.
const PATIENCE: Duration = Duration::from_secs(120);
/// Blocks of one change of the head that get a line each.
const EACH: usize = 4;

/// Whose progress.
pub(super) struct Progress {
    pub(super) chain: Chain,
    pub(super) network: Option<Network>,
    /// The engine, if blocks come by a rollup node alone.
    pub(super) driven: Option<Engine>,
}

impl Progress {
    /// Logs until the chain ends.
    pub(super) async fn log(self) {
        let (mut events, start) = (self.chain.subscribe(), Instant::now());
        let mut ticks = interval_at((start + STATUS).into(), STATUS);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                event = events.recv() => match event {
                    Ok(event) => moved(&event),
                    Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => return,
                },
                _ = ticks.tick() => self.status(start),
            }
        }
    }

    fn status(&self, start: Instant) {
        let number = |block: Option<tributary_spec::SealedHeader>| block.map_or(0, |block| block.number);
        let (safe, finalized) = (number(self.chain.safe()), number(self.chain.finalized()));
        let connected_peers = self.network.as_ref().map_or(0, |network| network.peers().len());
        info!(target: "tributary", connected_peers, latest_block = self.chain.head().number, safe, finalized, "Status");
        let Some(engine) = &self.driven else { return };
        match engine.heard() {
            None if start.elapsed() >= PATIENCE => {
                warn!(target: "tributary", "Post-merge network, but never seen beacon client. Is op-node running, and does it know --authrpc.port and the JWT secret?");
            }
            Some(last) if last.elapsed() >= PATIENCE => {
                let seconds = last.elapsed().as_secs();
                warn!(target: "tributary", seconds, "Beacon client online, but no consensus updates received for a while. Is op-node well?");
            }
            _ => {}
        }
    }
}

fn moved(event: &CanonEvent) {
    let new = event.added();
    if new.len() <= EACH {
        for executed in new {
            let header = executed.block.header();
            info!(
                target: "tributary", number = header.number, hash = %header.hash(), txs = executed.block.transactions().len(),
                gas_used = header.gas_used, gas_limit = header.gas_limit, base_fee = header.base_fee_per_gas.unwrap_or_default(),
                "Block added to canonical chain"
            );
        }
    } else if let Some(last) = new.last() {
        let header = last.block.header();
        info!(target: "tributary", number = header.number, hash = %header.hash(), blocks = new.len(), "Canonical chain committed");
    }
}
