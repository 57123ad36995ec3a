//! Starting and stopping.

use super::blobs::Blobs;
use super::config::MemstoreConfig;
use super::routes::{Shared, router, sweep};
use crate::error::DaError;
use crate::proxy::{ProxyClient, ProxyConfig};
use parking_lot::Mutex;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use url::Url;

/// A running memstore; dropping it stops it.
#[derive(Debug)]
pub struct Memstore {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    server: JoinHandle<()>,
    sweeper: JoinHandle<()>,
}

impl Memstore {
    /// Starts on an address (port 0: any free one). Blobs are kept under `folder` and survive a restart; without a
    /// folder they live in memory. Whether the chain may have a memstore at all is for the caller to ask of
    /// [`crate::DaChoice::check`].
    ///
    /// # Errors
    /// When the port is taken or the folder cannot be used.
    pub async fn start(
        address: SocketAddr,
        folder: Option<PathBuf>,
        config: MemstoreConfig,
    ) -> Result<Self, DaError> {
        let blobs = Blobs::open(folder)?;
        let shared = Arc::new(Shared { config: Mutex::new(config), blobs: Mutex::new(blobs) });
        let bound =
            TcpListener::bind(address).await.and_then(|listener| Ok((listener.local_addr()?, listener)));
        let (address, listener) = bound.map_err(|error| {
            DaError::Memstore(format!("{address}: {error}; choose another port with --da.memstore-port"))
        })?;
        let (stop, stopped) = oneshot::channel::<()>();
        let routes = router(shared.clone());
        let server = tokio::spawn(async move {
            let until = async {
                let _ = stopped.await;
            };
            if let Err(error) = axum::serve(listener, routes).with_graceful_shutdown(until).await {
                tracing::error!(target: "da", %error, "the memstore stopped");
            }
        });
        let sweeper = tokio::spawn(sweep(shared));
        tracing::info!(target: "da", url = %address, "memstore started: for development, nothing is dispersed");
        Ok(Self { address, stop: Some(stop), server, sweeper })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its URL.
    ///
    /// # Errors
    /// Never in practice: an address makes a URL.
    pub fn url(&self) -> Result<Url, DaError> {
        Url::parse(&format!("http://{}", self.address)).map_err(|error| DaError::Memstore(error.to_string()))
    }

    /// A client of it: the same code that talks to a real proxy.
    ///
    /// # Errors
    /// When no client can be made.
    pub fn client(&self) -> Result<ProxyClient, DaError> {
        ProxyClient::new(ProxyConfig::new(self.url()?))
    }

    /// Stops it and waits for requests in flight.
    pub async fn stop(mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        self.sweeper.abort();
        let _ = (&mut self.server).await;
    }
}

impl Drop for Memstore {
    fn drop(&mut self) {
        self.stop.take();
        self.sweeper.abort();
    }
}
