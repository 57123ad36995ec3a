//! Places of connections: most for whoever comes, and a few for those who come when all are taken.
//!
//! ```text
//! accepted ─► a place is free ── yes ─► place ─► requests, as many as it likes
//!                 │ no
//!                 └─► door ─► one request ─┬─ health, metrics ─► answered at once
//!                                          └─ else ─► waits ─► place ─► answered; 503 where too many wait
//! ```

use crate::{
    config::ApiConfig,
    error::{ApiError, Result},
    server::is_of_operators,
};
use parking_lot::Mutex;
use std::{io, sync::Arc, time::Duration};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Connections that are asked what they want although no place is free.
const AT_THE_DOOR: usize = 16;
/// Connections that wait for a place, having said what for.
const WAITING: usize = 64;
/// How long they do. While they wait nobody reads on, so nobody sees that a client with a long body is gone.
const PATIENCE: Duration = Duration::from_secs(30);

/// The places.
#[derive(Clone, Debug)]
pub(crate) struct Seats {
    places: Arc<Semaphore>,
    door: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
    patience: Duration,
}

/// Where a connection is, until it ends.
#[derive(Debug)]
pub(crate) struct Seat {
    seats: Seats,
    held: Mutex<OwnedSemaphorePermit>,
    at_the_door: bool,
}

impl Seats {
    pub(crate) fn new(config: &ApiConfig) -> Self {
        Self {
            places: Arc::new(Semaphore::new(config.connections.clamp(1, Semaphore::MAX_PERMITS))),
            door: Arc::new(Semaphore::new(AT_THE_DOOR)),
            waiting: Arc::new(Semaphore::new(WAITING)),
            patience: config.request_timeout.min(PATIENCE),
        }
    }

    /// A place, or where none is free the door, as soon as there is room.
    pub(crate) async fn take(&self) -> io::Result<Arc<Seat>> {
        let (held, at_the_door) = tokio::select! {
            biased;
            place = Arc::clone(&self.places).acquire_owned() => (place, false),
            door = Arc::clone(&self.door).acquire_owned() => (door, true),
        };
        let held = Mutex::new(held.map_err(io::Error::other)?);
        Ok(Arc::new(Seat { seats: self.clone(), held, at_the_door }))
    }
}

impl Seat {
    /// At the door there is time for one request, to be made soon.
    pub(crate) const fn is_at_the_door(&self) -> bool {
        self.at_the_door
    }

    /// Lets a request through to its path; from the door, all but an operator's have to wait for a place.
    pub(crate) async fn admit(&self, path: &str) -> Result<()> {
        if !self.at_the_door || is_of_operators(path) {
            return Ok(());
        }
        let full = |_| ApiError::Unavailable("this server has all the connections that it takes".into());
        *self.held.lock() = Arc::clone(&self.seats.waiting).try_acquire_owned().map_err(full)?;
        let place = Arc::clone(&self.seats.places).acquire_owned();
        let place = tokio::time::timeout(self.seats.patience, place).await;
        let late = |_| ApiError::Unavailable("no connection has ended for too long".into());
        *self.held.lock() = place.map_err(late)?.map_err(|error| ApiError::Internal(error.to_string()))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seats(connections: usize) -> Seats {
        Seats::new(&ApiConfig {
            connections,
            request_timeout: Duration::from_secs(5),
            ..ApiConfig::default()
        })
    }

    #[tokio::test]
    async fn who_comes_late_waits_unless_an_operator_asks() {
        let seats = seats(1);
        let first = seats.take().await.unwrap();
        assert!(!first.is_at_the_door());
        first.admit("/v1/completions").await.unwrap();
        let probe = seats.take().await.unwrap();
        assert!(probe.is_at_the_door());
        probe.admit("/health").await.unwrap();
        let second = seats.take().await.unwrap();
        let waiting = tokio::spawn(async move { second.admit("/v1/completions").await.map(|()| second) });
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!(!waiting.is_finished());
        drop(first);
        let second = waiting.await.unwrap().unwrap();
        // It has the only place now.
        assert!(seats.take().await.unwrap().is_at_the_door());
        drop(second);
        assert!(!seats.take().await.unwrap().is_at_the_door());
    }

    #[tokio::test]
    async fn the_door_and_the_line_are_bounded() {
        let seats = seats(1);
        let _first = seats.take().await.unwrap();
        let mut waiting = Vec::new();
        for _ in 0..WAITING {
            let seat = seats.take().await.unwrap();
            waiting.push(tokio::spawn(async move { seat.admit("/v1/models").await }));
        }
        while seats.waiting.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        let late = seats.take().await.unwrap();
        assert_eq!(late.admit("/v1/models").await.unwrap_err().status(), 503);
        late.admit("/metrics").await.unwrap();
        let mut door = vec![late];
        while door.len() < AT_THE_DOOR {
            door.push(seats.take().await.unwrap());
        }
        let more = tokio::time::timeout(Duration::from_millis(50), seats.take()).await;
        assert!(more.is_err(), "no more than these have a descriptor");
        waiting.iter().for_each(tokio::task::JoinHandle::abort);
    }
}
