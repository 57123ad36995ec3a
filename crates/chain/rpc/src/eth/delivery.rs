//! The way of an event to a subscriber.
//!
//! ```text
//! event ─► JSON of what is told of it ─► what waits for this subscriber ─► the connection's queue ─► socket
//! ```
//!
//! An event holds on to a block with all that its execution left behind. It is read, written down and let go at once,
//! however slow the subscriber is; what is written down waits, within limits. Whoever is too slow for these is told so,
//! and is subscribed no longer.

use futures::future::{Fuse, FusedFuture, FutureExt};
use jsonrpsee::{
    PendingSubscriptionSink, SubscriptionMessage, SubscriptionSink,
    core::{SubscriptionError, SubscriptionResult},
};
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use std::{
    collections::VecDeque,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::sync::broadcast::{Receiver, error::RecvError};

/// How much may wait for subscribers, and how long.
#[derive(Clone, Copy, Debug)]
struct Limits {
    /// Bytes that may wait for one subscriber when an event comes; what is told of that event comes on top.
    each: usize,
    /// Bytes that may wait for all of them.
    all: usize,
    /// How long a connection may take nothing.
    patience: Duration,
}

/// What waits for all subscribers. Clones share.
#[derive(Clone, Debug)]
pub(crate) struct Backlog {
    waiting: Arc<AtomicUsize>,
    limits: Limits,
}

impl Default for Backlog {
    fn default() -> Self {
        Self::with(Limits { each: 8 << 20, all: 256 << 20, patience: Duration::from_secs(30) })
    }
}

impl Backlog {
    fn with(limits: Limits) -> Self {
        Self { waiting: Arc::default(), limits }
    }

    /// Accepts a subscription and sends what `items` makes of each event, until the client leaves or is too slow.
    pub(crate) async fn deliver<E: Clone, T: Serialize>(
        &self,
        pending: PendingSubscriptionSink,
        mut news: Receiver<E>,
        items: impl Fn(&E) -> Vec<T>,
    ) -> SubscriptionResult {
        // Meanwhile `news` is not read: not for long.
        let sink = tokio::time::timeout(self.limits.patience, pending.accept()).await??;
        let mut waiting = Waiting { messages: VecDeque::new(), bytes: 0, backlog: self };
        let mut sending = pin!(Fuse::terminated());
        let mut size = 0;
        loop {
            if sending.is_terminated()
                && let Some(message) = waiting.messages.pop_front()
            {
                size = message.get().len();
                sending.set(self.send(&sink, message).fuse());
            }
            tokio::select! {
                () = sink.closed() => return Ok(()),
                sent = &mut sending => {
                    sent?;
                    waiting.release(size);
                }
                event = news.recv() => match event {
                    Ok(event) => waiting.add(items(&event))?,
                    Err(RecvError::Lagged(_)) => return Err(too_slow()),
                    Err(RecvError::Closed) => return Ok(()),
                },
            }
        }
    }

    async fn send(&self, sink: &SubscriptionSink, message: Box<RawValue>) -> SubscriptionResult {
        let sent = sink.send_timeout(SubscriptionMessage::from(message), self.limits.patience).await;
        sent.map_err(|_| too_slow())
    }
}

/// What waits for one subscriber, with what is on its way to the connection's queue.
struct Waiting<'a> {
    messages: VecDeque<Box<RawValue>>,
    bytes: usize,
    backlog: &'a Backlog,
}

impl Waiting<'_> {
    fn add<T: Serialize>(&mut self, items: Vec<T>) -> SubscriptionResult {
        let Limits { each, all, .. } = self.backlog.limits;
        for (nth, item) in items.iter().enumerate() {
            let behind = nth == 0 && self.bytes > each;
            if behind || self.backlog.waiting.load(Ordering::Relaxed) > all {
                return Err(too_slow());
            }
            let message = to_raw_value(item)?;
            self.bytes += message.get().len();
            self.backlog.waiting.fetch_add(message.get().len(), Ordering::Relaxed);
            self.messages.push_back(message);
        }
        Ok(())
    }

    fn release(&mut self, size: usize) {
        self.bytes -= size;
        self.backlog.waiting.fetch_sub(size, Ordering::Relaxed);
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.release(self.bytes);
    }
}

fn too_slow() -> SubscriptionError {
    tracing::debug!(target: "rpc", "a subscriber was too slow");
    SubscriptionError::from("the subscriber is too slow: the subscription is closed")
}

#[cfg(test)]
mod tests {
    use super::*;
    use jsonrpsee::RpcModule;
    use serde_json::Value;
    use tokio::sync::{broadcast, mpsc};

    /// A subscriber whose connection's queue has room for one message.
    async fn subscribed(
        limits: Limits,
    ) -> (Backlog, broadcast::Sender<Arc<String>>, mpsc::Receiver<Box<RawValue>>) {
        let (backlog, (events, _)) = (Backlog::with(limits), broadcast::channel::<Arc<String>>(64));
        let mut module = RpcModule::new((backlog.clone(), events.clone()));
        module
            .register_subscription(
                "subscribe",
                "subscription",
                "unsubscribe",
                |_, pending, context, _| async move {
                    let (backlog, events) = &*context;
                    backlog.deliver(pending, events.subscribe(), |event| vec![event.to_string()]).await
                },
            )
            .unwrap();
        let request = r#"{"jsonrpc":"2.0","id":1,"method":"subscribe","params":[]}"#;
        let (_, messages) = module.raw_json_request(request, 1).await.unwrap();
        (backlog, events, messages)
    }

    async fn until(what: impl Fn() -> bool) {
        let wait = async {
            while !what() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), wait).await.unwrap();
    }

    fn told(message: &RawValue) -> Value {
        serde_json::from_str::<Value>(message.get()).unwrap()["params"].clone()
    }

    const AMPLE: Limits = Limits { each: 1 << 20, all: 1 << 20, patience: Duration::from_secs(60) };

    #[tokio::test]
    async fn events_are_let_go_while_a_subscriber_does_not_read_and_arrive_when_it_does() {
        let (backlog, events, mut messages) = subscribed(AMPLE).await;
        let sent: Vec<_> = (0..40).map(|n| Arc::new(format!("event {n}"))).collect();
        let held: Vec<_> = sent.iter().map(Arc::downgrade).collect();
        for event in sent {
            events.send(event).unwrap();
        }
        until(|| held.iter().all(|event| event.upgrade().is_none())).await;
        assert!(backlog.waiting.load(Ordering::Relaxed) > 300, "they wait in writing");
        for n in 0..40 {
            assert_eq!(told(&messages.recv().await.unwrap())["result"], format!("event {n}"));
        }
        until(|| backlog.waiting.load(Ordering::Relaxed) == 0).await;
        assert_eq!(events.receiver_count(), 1);
    }

    #[tokio::test]
    async fn a_subscriber_that_falls_behind_is_told_so_and_dropped() {
        let own = Limits { each: 1_000, ..AMPLE };
        let shared = Limits { all: 1_000, ..AMPLE };
        let asleep = Limits { patience: Duration::from_millis(50), ..AMPLE };
        for limits in [own, shared, asleep] {
            let (backlog, events, mut messages) = subscribed(limits).await;
            for _ in 0..20 {
                // Fails when the subscriber is gone.
                let _ = events.send(Arc::new("x".repeat(200)));
                tokio::task::yield_now().await;
            }
            until(|| events.receiver_count() == 0).await;
            assert_eq!(backlog.waiting.load(Ordering::Relaxed), 0, "{limits:?}");
            let mut last = Value::Null;
            while let Some(message) = messages.recv().await {
                last = told(&message);
            }
            assert!(last["error"].as_str().unwrap().contains("too slow"), "{limits:?}: {last}");
        }
    }
}
