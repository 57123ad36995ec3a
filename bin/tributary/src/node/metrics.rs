//! Prometheus' metrics: what is counted, and where it is shown.

use std::{borrow::Cow, net::SocketAddr, sync::OnceLock};

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
            "request_prefill_time_seconds",
            "request_decode_time_seconds",
            "request_inference_time_seconds",
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
    metrics::set_global_recorder(WithModel { recorder, model: &MODEL }).wrap_err(failed)?;
    let upkeep = handle.clone();
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(std::time::Duration::from_secs(5)).await;
            upkeep.run_upkeep();
        }
    });
    Ok(handle)
}

/// Names the model that the worker's figures are of; before anything of it counts.
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

/// Adds the model's name to the worker's figures. As long as it has none nothing counts: a series without would stay beside those with it.
struct WithModel {
    recorder: PrometheusRecorder,
    model: &'static OnceLock<SharedString>,
}

impl WithModel {
    /// What a figure is called; None if it does not count yet.
    fn named<'a>(&self, key: &'a Key) -> Option<Cow<'a, Key>> {
        if !["vllm:", "tributary:"].iter().any(|prefix| key.name().starts_with(prefix)) {
            return Some(Cow::Borrowed(key));
        }
        let model = Label::new("model_name", self.model.get()?.clone());
        Some(Cow::Owned(key.with_extra_labels(vec![model])))
    }
}

impl Recorder for WithModel {
    fn describe_counter(&self, key: KeyName, unit: Option<Unit>, description: SharedString) {
        self.recorder.describe_counter(key, unit, description);
    }

    fn describe_gauge(&self, key: KeyName, unit: Option<Unit>, description: SharedString) {
        self.recorder.describe_gauge(key, unit, description);
    }

    fn describe_histogram(&self, key: KeyName, unit: Option<Unit>, description: SharedString) {
        self.recorder.describe_histogram(key, unit, description);
    }

    fn register_counter(&self, key: &Key, metadata: &Metadata<'_>) -> Counter {
        self.named(key).map_or_else(Counter::noop, |key| self.recorder.register_counter(&key, metadata))
    }

    fn register_gauge(&self, key: &Key, metadata: &Metadata<'_>) -> Gauge {
        self.named(key).map_or_else(Gauge::noop, |key| self.recorder.register_gauge(&key, metadata))
    }

    fn register_histogram(&self, key: &Key, metadata: &Metadata<'_>) -> Histogram {
        self.named(key).map_or_else(Histogram::noop, |key| self.recorder.register_histogram(&key, metadata))
    }
}

#[cfg(test)]
mod tests {
    use metrics::{counter, gauge, histogram, with_local_recorder};

    use super::*;

    /// The engine once counted before the model had its name, and every such series was there twice.
    #[test]
    fn the_workers_figures_are_the_models() {
        static NAME: OnceLock<SharedString> = OnceLock::new();
        let recorder = WithModel { recorder: PrometheusBuilder::new().build_recorder(), model: &NAME };
        let handle = recorder.recorder.handle();
        let count = || {
            counter!("vllm:a", "b" => "c").increment(1);
            gauge!("tributary:d").set(1.0);
            histogram!("vllm:e").record(1.0);
            counter!("tributary_f").increment(1);
        };
        with_local_recorder(&recorder, count);
        let early = handle.render();
        assert!(early.contains("tributary_f 1") && !early.contains(':'), "{early}");
        NAME.set("m".into()).unwrap();
        with_local_recorder(&recorder, count);
        let text = handle.render();
        let series = text.lines().filter(|line| line.starts_with("vllm:") || line.starts_with("tributary:"));
        let series: Vec<&str> = series.collect();
        assert!(series.len() >= 5, "{text}");
        for line in series {
            assert_eq!(line.matches("model_name=\"m\"").count(), 1, "{line}");
        }
        assert!(
            text.contains("vllm:a{b=\"c\",model_name=\"m\"} 1") && text.contains("tributary_f 2"),
            "{text}"
        );
    }
}
