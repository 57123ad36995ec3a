//! Keeps a part of the worker running: a panic or an error is logged, and the part starts again after a pause that
//! doubles up to a minute. The chain never waits for any of this.

use std::{
    any::Any,
    future::Future,
    panic::AssertUnwindSafe,
    time::{Duration, Instant},
};

use futures::FutureExt;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// A part that ran this long starts again at once.
const HEALTHY_AFTER: Duration = Duration::from_secs(60);

/// Runs `part` until it ends well or `stop` is cancelled, which ends it wherever it is.
pub async fn supervise<F, Fut, E>(name: &'static str, stop: CancellationToken, mut part: F)
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<(), E>>,
    E: std::fmt::Display,
{
    let cut = stop.clone();
    let cut_short = move || {
        let (run, cut) = (part(), cut.clone());
        async move {
            tokio::select! {
                biased;
                () = cut.cancelled() => Ok(()),
                outcome = run => outcome,
            }
        }
    };
    supervise_to_its_end(name, stop, cut_short).await;
}

/// The same for a part that ends by itself when `stop` is cancelled, having finished what it has to.
pub(crate) async fn supervise_to_its_end<F, Fut, E>(name: &'static str, stop: CancellationToken, mut part: F)
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<(), E>>,
    E: std::fmt::Display,
{
    let mut pause = FIRST_PAUSE;
    loop {
        let started = Instant::now();
        match AssertUnwindSafe(part()).catch_unwind().await {
            Ok(Ok(())) => {
                info!(target: "tributary::worker", part = name, "stopped");
                return;
            }
            Ok(Err(failure)) => {
                warn!(target: "tributary::worker", part = name, %failure, "failed, starting again")
            }
            Err(panic) => {
                let message = panic_message(panic.as_ref());
                error!(target: "tributary::worker", part = name, message, "panicked, starting again");
            }
        }
        crate::metrics::restarted(name);
        if started.elapsed() >= HEALTHY_AFTER {
            pause = FIRST_PAUSE;
        }
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

fn panic_message(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::{CancellationToken, supervise, supervise_to_its_end};

    #[tokio::test(start_paused = true)]
    async fn a_part_that_panics_or_fails_starts_again() {
        let runs = AtomicUsize::new(0);
        supervise("test", CancellationToken::new(), || async {
            match runs.fetch_add(1, Ordering::Relaxed) {
                0 => panic!("first"),
                1 => Err("second"),
                _ => Ok(()),
            }
        })
        .await;
        assert_eq!(runs.load(Ordering::Relaxed), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn stopping_ends_a_part_that_never_ends() {
        let stop = CancellationToken::new();
        let running = tokio::spawn(supervise("test", stop.clone(), || async {
            std::future::pending::<Result<(), String>>().await
        }));
        stop.cancel();
        running.await.expect("supervisor ends");
    }
    /// Replies under way were once cut off with the part that wrote them.
    #[tokio::test(start_paused = true)]
    async fn a_part_that_has_something_to_finish_does() {
        let (stop, runs) = (CancellationToken::new(), AtomicUsize::new(0));
        let part = || async {
            stop.cancelled().await;
            tokio::time::sleep(std::time::Duration::from_secs(5)).await;
            runs.fetch_add(1, Ordering::Relaxed);
            Err("not again")
        };
        let stopping = async {
            tokio::task::yield_now().await;
            stop.cancel();
        };
        tokio::join!(supervise_to_its_end("test", stop.clone(), part), stopping);
        assert_eq!(runs.load(Ordering::Relaxed), 1);
    }
}
