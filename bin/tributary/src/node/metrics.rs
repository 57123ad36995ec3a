//! Prometheus' endpoint.

use std::net::SocketAddr;

use axum::{Router, routing::get};
use eyre::{Context, Result};
use metrics_exporter_prometheus::PrometheusBuilder;
use tokio::net::TcpListener;
use tracing::{error, info};

/// Serves what is counted from now on.
pub(super) async fn serve(address: SocketAddr) -> Result<()> {
    let failed = || format!("--metrics {address}: cannot be served");
    let handle = PrometheusBuilder::new().install_recorder().wrap_err_with(failed)?;
    let listener = TcpListener::bind(address).await.wrap_err_with(failed)?;
    let bound = listener.local_addr().wrap_err_with(failed)?;
    let upkeep = handle.clone();
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(std::time::Duration::from_secs(5)).await;
            upkeep.run_upkeep();
        }
    });
    // Any path, as other clients have it.
    let app = Router::new().fallback(get(move || async move { handle.render() }));
    tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, app).await {
            error!(target: "tributary", %error, "Metrics are no longer served");
        }
    });
    info!(target: "tributary", "Starting metrics endpoint at {bound}");
    Ok(())
}
