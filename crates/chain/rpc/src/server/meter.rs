//! Counts and times every call, by method.

use jsonrpsee::{
    MethodResponse, Methods,
    core::middleware::{Batch, BatchEntry, Notification, RpcServiceT},
    types::Request,
};
use std::{collections::HashSet, sync::Arc, time::Instant};
use tower::Layer;

/// The layer. It knows the names that exist: others are counted together, lest callers fill the metrics with names.
#[derive(Clone, Debug)]
pub struct MeterLayer {
    names: Arc<HashSet<&'static str>>,
    transport: &'static str,
}

impl MeterLayer {
    /// For servers of these methods, told apart in the metrics by a name.
    pub fn new(methods: &Methods, transport: &'static str) -> Self {
        Self { names: Arc::new(methods.method_names().collect()), transport }
    }
}

impl<S> Layer<S> for MeterLayer {
    type Service = Meter<S>;

    fn layer(&self, inner: S) -> Self::Service {
        metrics::gauge!("tributary_rpc_connections", "transport" => self.transport).increment(1);
        Meter { inner, open: Arc::new(Open(self.transport)), layer: self.clone() }
    }
}

/// The service around another one: one a connection.
#[derive(Clone, Debug)]
pub struct Meter<S> {
    inner: S,
    open: Arc<Open>,
    layer: MeterLayer,
}

/// Counts a connection until it is closed.
#[derive(Debug)]
struct Open(&'static str);

impl Drop for Open {
    fn drop(&mut self) {
        metrics::gauge!("tributary_rpc_connections", "transport" => self.0).decrement(1);
    }
}

impl<S> Meter<S> {
    fn label(&self, method: &str) -> &'static str {
        self.layer.names.get(method).copied().unwrap_or("unknown")
    }
}

impl<S> RpcServiceT for Meter<S>
where
    S: RpcServiceT<MethodResponse = MethodResponse> + Send + Sync + Clone + 'static,
{
    type MethodResponse = MethodResponse;
    type NotificationResponse = S::NotificationResponse;
    type BatchResponse = S::BatchResponse;

    fn call<'a>(&self, request: Request<'a>) -> impl Future<Output = MethodResponse> + Send + 'a {
        let (inner, open, method) =
            (self.inner.clone(), self.open.clone(), self.label(request.method_name()));
        async move {
            let start = Instant::now();
            let response = inner.call(request).await;
            metrics::histogram!("tributary_rpc_call_seconds", "method" => method)
                .record(start.elapsed().as_secs_f64());
            let result = if response.is_success() { "ok" } else { "error" };
            metrics::counter!("tributary_rpc_calls_total", "method" => method, "result" => result)
                .increment(1);
            drop(open);
            response
        }
    }

    fn batch<'a>(&self, requests: Batch<'a>) -> impl Future<Output = S::BatchResponse> + Send + 'a {
        for entry in requests.iter() {
            if let Ok(BatchEntry::Call(request)) = entry {
                let method = self.label(request.method_name());
                metrics::counter!("tributary_rpc_calls_total", "method" => method, "result" => "batched")
                    .increment(1);
            }
        }
        self.inner.batch(requests)
    }

    fn notification<'a>(
        &self,
        notification: Notification<'a>,
    ) -> impl Future<Output = S::NotificationResponse> + Send + 'a {
        self.inner.notification(notification)
    }
}
