//! Requests that the engine holds, for whoever has to end them from outside of its thread.

use crate::request::{Event, GenerateError};
use parking_lot::Mutex;
use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};
use tokio::sync::mpsc::UnboundedSender;

/// Every request from submission to its last event.
#[derive(Debug, Default)]
pub(super) struct Live(Mutex<Held>);

#[derive(Debug, Default)]
struct Held {
    next: u64,
    requests: HashMap<u64, (UnboundedSender<Event>, Arc<AtomicBool>)>,
}

/// Keeps a request among the live ones.
#[derive(Debug)]
pub(crate) struct Ticket {
    live: Arc<Live>,
    id: u64,
}

impl Ticket {
    /// Of a request that no engine holds.
    pub(crate) fn detached() -> Self {
        Self { live: Arc::default(), id: 0 }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.live.0.lock().requests.remove(&self.id);
    }
}

impl Live {
    pub(super) fn len(&self) -> usize {
        self.0.lock().requests.len()
    }

    /// Takes a request in unless there are `most` already; then tells how many.
    pub(super) fn enter(
        self: &Arc<Self>,
        most: usize,
        events: &UnboundedSender<Event>,
        cancelled: &Arc<AtomicBool>,
    ) -> Result<Ticket, usize> {
        let mut held = self.0.lock();
        if held.requests.len() >= most {
            return Err(held.requests.len());
        }
        let id = held.next;
        held.next += 1;
        held.requests.insert(id, (events.clone(), Arc::clone(cancelled)));
        Ok(Ticket { live: Arc::clone(self), id })
    }

    /// Ends every request, wherever it is.
    pub(super) fn fail_all(&self, error: &GenerateError) {
        for (events, cancelled) in self.0.lock().requests.drain().map(|(_, request)| request) {
            cancelled.store(true, Ordering::Relaxed);
            // A caller that is gone needs no event.
            let _ = events.send(Event::Failed(error.clone()));
        }
    }
}
