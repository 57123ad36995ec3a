//! Prometheus' metrics: what is counted, and where it is shown.

use std::{net::SocketAddr, sync::OnceLock};

use axum::{Router, routing::get};
use eyre::{Context, Result};
use metrics::{Counter, Gauge, Histogram, Key, KeyName, Label, Metadata, Recorder, SharedString, Unit};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder};
use tokio::net::TcpListener;
use tracing::{error, info};

/// The base model's name: dashboards made for vLLM ask for it with every figure.
static MODEL: OnceLock<SharedString> = OnceLock::new();

/// Upper bounds of vLLM's histograms, so that its dashboards' quantiles fit.
const SECONDS: [f64; 21] = [
    0.001, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0,
    80.0, 160.0, 640.0,
];
const TOKENS: [f64; 14] =
    [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 2000.0, 5000.0, 10_000.0, 20_000.0];

/// Counts from now on.
pub(super) fn install() -> Result<PrometheusHandle> {
    let failed = "metrics cannot be counted";
    let mut builder = PrometheusBuilder::new();
    for prefix in ["vllm", "tributary"] {
        for name in [
            "time_to_first_token_seconds",
            "time_per_output_token_seconds",
            "inter_token_latency_seconds",
            "request_queue_time_seconds",
            "e2e_request_latency_seconds",
        ] {
            builder = builder.set_buckets_for_metric(Matcher::Full(format!("{prefix}:{name}")), &SECONDS)?;
        }
        for name in [
            "iteration_tokens_total",
            "request_prompt_tokens",
            "request_generation_tokens",
            "request_params_max_tokens",
            "request_params_n",
        ] {
            builder = builder.set_buckets_for_metric(Matcher::Full(format!("{prefix}:{name}")), &TOKENS)?;
        }
    }
    let recorder = builder.build_recorder();
    let handle = recorder.handle();
    metrics::set_global_recorder(WithModel(recorder)).wrap_err(failed)?;
    let upkeep = handle.clone();
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(std::time::Duration::from_secs(5)).await;
            upkeep.run_upkeep();
        }
    });
    Ok(handle)
}

/// Names the model that vLLM's figures are of.
pub(super) fn name_model(name: &str) {
    drop(MODEL.set(SharedString::from(name.to_owned())));
}

/// Serves what is counted, and says where.
pub(super) async fn serve(handle: PrometheusHandle, address: SocketAddr) -> Result<SocketAddr> {
    let failed = || format!("--metrics {address}: cannot be served");
    let listener = TcpListener::bind(address).await.wrap_err_with(failed)?;
    let bound = listener.local_addr().wrap_err_with(failed)?;
    // Any path, as other clients have it.
    let app = Router::new().fallback(get(move || async move { handle.render() }));
    tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, app).await {
            error!(target: "tributary", %error, "Metrics are no longer served");
        }
    });
    info!(target: "tributary", "Starting metrics endpoint at {bound}");
    Ok(bound)
}

/// Adds the model's name to what goes by vLLM's names.
struct WithModel(PrometheusRecorder);

fn named(key: &Key) -> Key {
    match MODEL.get().filter(|_| key.name().starts_with("vllm:")) {
        Some(model) => key.with_extra_labels(vec![Label::new("model_name", model.clone())]),
        None => key.clone(),
    }
}

impl Recorder for WithModel {
    fn describe_counter(&self, key: KeyName, unit: Option<Unit>, description: SharedString) {
        self.0.describe_counter(key, unit, description);
    }

    fn describe_gauge(&self, key: KeyName, unit: Option<Unit>, description: SharedString) {
        self.0.describe_gauge(key, unit, description);
    }

    fn describe_histogram(&self, key: KeyName, unit: Option<Unit>, description: SharedString) {
        self.0.describe_histogram(key, unit, description);
    }

    fn register_counter(&self, key: &Key, metadata: &Metadata<'_>) -> Counter {
        self.0.register_counter(&named(key), metadata)
    }

    fn register_gauge(&self, key: &Key, metadata: &Metadata<'_>) -> Gauge {
        self.0.register_gauge(&named(key), metadata)
    }

    fn register_histogram(&self, key: &Key, metadata: &Metadata<'_>) -> Histogram {
        self.0.register_histogram(&named(key), metadata)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vllms_figures_are_the_models() {
        name_model("m");
        let labels = |name: &'static str| {
            let key = named(&Key::from_parts(name, vec![Label::new("a", "b")]));
            key.labels().map(|label| label.key().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(labels("vllm:x"), ["a", "model_name"]);
        assert_eq!(labels("tributary:x"), ["a"]);
    }
}
