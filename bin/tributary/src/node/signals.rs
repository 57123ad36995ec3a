//! When to stop.

use eyre::Result;
use tokio::signal::unix::{SignalKind, signal};

/// Resolves at SIGINT or SIGTERM.
pub(super) async fn stop_requested() -> Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}
