//! Subscriptions inside a batch, answered there and nowhere else.
//!
//! The library sends what a subscription is answered with by itself, since nothing may be told of it before; within a
//! batch it puts the same answer into the batch's, too, and each call would be answered twice. (reth does so, geth does
//! not.) Here such a subscription speaks to a sink of its own:
//!
//! ```text
//! subscription ─► own sink ─► first message, the answer: dropped, for the batch has it
//!                    └──────► what is told: waits until the batch is answered ─► the connection's sink
//! ```

use super::socket::QUEUE;
use jsonrpsee::{
    MethodResponse, Methods,
    core::{
        RegisterMethodError,
        middleware::{Batch, Notification, RpcServiceT},
        server::{MethodCallback, MethodSink, SubscriptionMethod},
    },
    types::Request,
};
use serde_json::value::RawValue;
use std::sync::{Arc, OnceLock};
use tokio::sync::{mpsc, watch};
use tower::Layer;

/// The layer. It does nothing unless the server's methods went through [`BatchLayer::prepare`].
#[derive(Clone, Copy, Debug, Default)]
pub struct BatchLayer;

impl BatchLayer {
    /// The same methods, of which those that subscribe know whether they are called in a batch.
    pub fn prepare(methods: &Methods) -> Result<Methods, RegisterMethodError> {
        let mut prepared = Methods::new();
        for (name, callback) in methods.method_names().filter_map(|name| methods.method_with_name(name)) {
            let callback = match callback {
                MethodCallback::Subscription(subscribe) => {
                    MethodCallback::Subscription(answered_by_the_batch(Arc::clone(subscribe)))
                }
                other => other.clone(),
            };
            prepared.verify_and_insert(name, callback)?;
        }
        Ok(prepared)
    }
}

fn answered_by_the_batch(subscribe: SubscriptionMethod<'static>) -> SubscriptionMethod<'static> {
    Arc::new(move |id, params, sink, state, extensions| {
        let sink = match extensions.get::<Member>() {
            Some(member) => member.own_sink(sink),
            None => sink,
        };
        subscribe(id, params, sink, state, extensions)
    })
}

impl<S> Layer<S> for BatchLayer {
    type Service = Batches<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Batches(inner)
    }
}

/// The service around another one.
#[derive(Clone, Debug)]
pub struct Batches<S>(S);

impl<S> RpcServiceT for Batches<S>
where
    S: RpcServiceT<BatchResponse = MethodResponse> + Send + Sync + Clone + 'static,
{
    type MethodResponse = S::MethodResponse;
    type NotificationResponse = S::NotificationResponse;
    type BatchResponse = MethodResponse;

    fn call<'a>(&self, request: Request<'a>) -> impl Future<Output = S::MethodResponse> + Send + 'a {
        self.0.call(request)
    }

    fn batch<'a>(&self, mut requests: Batch<'a>) -> impl Future<Output = MethodResponse> + Send + 'a {
        let (answered, gate) = watch::channel(false);
        let member = Member { answered: gate, connection: Arc::default() };
        for entry in requests.iter_mut().flatten() {
            entry.extensions_mut().insert(member.clone());
        }
        let inner = self.0.clone();
        async move {
            let answer = inner.batch(requests).await;
            match member.connection.get() {
                // What is told must not overtake the answer, so that is sent from here. Where the batch is answered by one
                // error, as too large, nobody learns of the subscriptions, and they end with `answered`.
                Some(connection) if answer.is_batch() => {
                    if connection.send(answer.into_json()).await.is_ok() {
                        answered.send_replace(true);
                    }
                    MethodResponse::notification()
                }
                _ => answer,
            }
        }
    }

    fn notification<'a>(
        &self,
        notification: Notification<'a>,
    ) -> impl Future<Output = S::NotificationResponse> + Send + 'a {
        self.0.notification(notification)
    }
}

/// What every call of one batch knows of it.
#[derive(Clone, Debug)]
struct Member {
    answered: watch::Receiver<bool>,
    /// Of those that subscribe, which only a WebSocket's can.
    connection: Arc<OnceLock<MethodSink>>,
}

impl Member {
    fn own_sink(&self, connection: MethodSink) -> MethodSink {
        let (sender, messages) = mpsc::channel(QUEUE as usize);
        let own = MethodSink::new_with_limit(sender, connection.max_response_size());
        self.connection.get_or_init(|| connection.clone());
        tokio::spawn(pass_on(messages, connection, self.answered.clone()));
        own
    }
}

async fn pass_on(
    mut messages: mpsc::Receiver<Box<RawValue>>,
    connection: MethodSink,
    mut answered: watch::Receiver<bool>,
) {
    if messages.recv().await.is_none() || answered.wait_for(|answered| *answered).await.is_err() {
        return;
    }
    loop {
        let message = tokio::select! {
            () = connection.closed() => return,
            message = messages.recv() => message,
        };
        let Some(message) = message else { return };
        if connection.send(message).await.is_err() {
            return;
        }
    }
}
