//! A development stand-in for EigenDA behind its proxy's own REST contract.

mod blobs;
mod cert;
mod commitment;
mod config;
mod duration;
mod routes;

use std::{io, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use parking_lot::RwLock;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use url::Url;

use self::blobs::Blobs;
pub use self::config::MemstoreConfig;

/// How often expired blobs are looked for.
const SWEEP: Duration = Duration::from_millis(500);

/// Why a memstore did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MemstoreError {
    /// The folder cannot be used.
    #[error("memstore folder {0}: {1}")]
    Folder(PathBuf, #[source] io::Error),
    /// The address cannot be listened on.
    #[error("memstore cannot listen on {0}: {1}")]
    Listen(SocketAddr, #[source] io::Error),
}

/// What the routes share.
#[derive(Debug)]
struct State {
    blobs: Blobs,
    config: RwLock<MemstoreConfig>,
}

/// A running memstore; it stops when dropped.
#[derive(Debug)]
pub struct Memstore {
    address: SocketAddr,
    stop: CancellationToken,
}

impl Memstore {
    /// Starts one. Blobs live in `folder`, or in memory without one.
    pub async fn start(
        address: SocketAddr,
        folder: Option<PathBuf>,
        config: MemstoreConfig,
    ) -> Result<Self, MemstoreError> {
        let blobs = match folder {
            None => Blobs::in_memory(),
            Some(folder) => {
                Blobs::in_folder(folder.clone()).map_err(|error| MemstoreError::Folder(folder, error))?
            }
        };
        let listener =
            TcpListener::bind(address).await.map_err(|error| MemstoreError::Listen(address, error))?;
        let address = listener.local_addr().map_err(|error| MemstoreError::Listen(address, error))?;
        let sweeps = !config.expiration.is_zero();
        let state = Arc::new(State { blobs, config: RwLock::new(config) });
        let stop = CancellationToken::new();
        if sweeps {
            tokio::spawn(sweep(Arc::clone(&state), stop.clone()));
        }
        let served = axum::serve(listener, routes::router(state))
            .with_graceful_shutdown(stop.clone().cancelled_owned());
        tokio::spawn(async move {
            if let Err(error) = served.await {
                tracing::error!(target: "tributary::da", %error, "memstore stopped");
            }
        });
        Ok(Self { address, stop })
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its URL for a [`crate::ProxyClient`].
    pub fn url(&self) -> Url {
        let mut url = Url::parse("http://localhost").unwrap_or_else(|_| unreachable!("a constant URL"));
        let _ = url.set_ip_host(self.address.ip());
        let _ = url.set_port(Some(self.address.port()));
        url
    }
}

impl Drop for Memstore {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn sweep(state: Arc<State>, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(SWEEP);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {
                let expiration = state.config.read().expiration;
                state.blobs.sweep(expiration);
            }
        }
    }
}
