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
        let engine = shared.number;
        tracing::error!(engine, ?stall, "Inference backend stalled, leaving it behind");
        metrics::restarted(&shared.labels);
        let last = generation > MAX_LEFT_BEHIND;
        let was_draining = shared.status() == Status::Draining;
        // Before anything moves, so that nothing comes here meanwhile.
        let reason = if last { "stalled too often" } else { "stalled" }.to_owned();
        shared.set_status(if last { Status::Failed(reason) } else { Status::Restarting(reason) });
        // What the thread has not taken yet need not end with it. Its own line does: nobody else can reach it.
        let (back, told_to_drain) = shared.rescue(&spawner.commands);
        shared.live.fail_all(&GenerateError::Backend("stalled".to_owned()));
        drop(back);
        if last {
            tracing::error!(
                engine,
                "Too many backends stalled; this engine stays off until the node is started again"
            );
            return shared.pass_on(&spawner.commands);
        }
        let draining = was_draining || told_to_drain;
        thread::sleep(pause);
        pause = (pause * 2).min(spawner.config.restart_max);
        if let Err(error) = spawner.spawn(&shared, generation, draining) {
            tracing::error!(engine, %error, "No thread for inference");
            shared.set_status(Status::Failed(error.to_string()));
            return shared.pass_on(&spawner.commands);
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
