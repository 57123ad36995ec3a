//! A step that does not end: its requests fail, its thread is left behind, and another goes on with a new backend.

use super::{
    handle::{Shared, Status},
    worker::{Spawner, Worker},
};
use crate::{metrics, request::GenerateError};
use std::{sync::Weak, thread, time::Duration};

/// Threads that may hang with a backend each; after that the process has to be started again.
const MAX_LEFT_BEHIND: u64 = 3;

/// Looks after the engine's thread until the engine is gone.
pub(super) fn watch(shared: Weak<Shared>, spawner: Spawner) {
    let stall = spawner.config.stall;
    let mut pause = spawner.config.restart_first;
    loop {
        thread::sleep((stall / 8).clamp(Duration::from_millis(1), Duration::from_secs(1)));
        let Some(shared) = shared.upgrade() else { return };
        let Some(generation) = shared.supersede(stall) else { continue };
        tracing::error!(?stall, "Inference backend stalled, leaving it behind");
        metrics::restarted(&shared.labels);
        shared.live.fail_all(&GenerateError::Backend("stalled".to_owned()));
        if generation > MAX_LEFT_BEHIND {
            tracing::error!("Too many backends stalled; inference stays off until the node is started again");
            shared.set_status(Status::Failed("stalled too often".to_owned()));
            return;
        }
        let draining = shared.status() == Status::Draining;
        shared.set_status(Status::Restarting("stalled".to_owned()));
        thread::sleep(pause);
        pause = (pause * 2).min(spawner.config.restart_max);
        if let Err(error) = spawner.spawn(&shared, generation, draining) {
            tracing::error!(%error, "No thread for inference");
            shared.set_status(Status::Failed(error.to_string()));
            return;
        }
    }
}

impl Spawner {
    /// Starts an engine thread; it serves as long as its generation is the present one.
    pub(super) fn spawn(
        &self,
        shared: &std::sync::Arc<Shared>,
        generation: u64,
        draining: bool,
    ) -> std::io::Result<()> {
        let worker = Worker::new(self.clone(), std::sync::Arc::clone(shared), generation, draining);
        thread::Builder::new().name("engine".into()).spawn(move || worker.run())?;
        Ok(())
    }
}
