//! Artifacts from where their builders published them: `file:` folders and `http(s):` folders.
//!
//! ```text
//! Source {hash, uri} ─► cache/<hash>/ ─ hash right ─► Artifact
//!                          │ absent or damaged
//!                          ▼
//!                 file: bounded read │ http: bounded, timed GETs, no redirects
//!                          ▼
//!                  hash checked ─► cache (http only) ─► Artifact
//! ```

use crate::{
    artifact::{Artifact, Bounds, CONFIG_FILE, TENSORS_FILE},
    cache::DiskCache,
    error::AdapterError,
    files::FileRoots,
    hosts::{PublicResolver, is_public},
};
use alloy_primitives::B256;
use reqwest::{Client, redirect};
use std::{path::PathBuf, sync::Arc, time::Duration};
use url::{Host, Url};

/// A registered artifact: what it must hash to and where its builder serves it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Registered artifact hash.
    pub hash: B256,
    /// A folder: `file:///path`, `http://host/path` or `https://host/path`; the two file names are appended.
    pub uri: String,
}

/// What fetching may do and for how long.
#[derive(Clone, Debug)]
pub struct FetchPolicy {
    /// Folders open to `file:` uris.
    pub files: FileRoots,
    /// Whether `http` may reach loopback, link-local and private addresses.
    pub private_hosts: bool,
    /// Time for a whole artifact.
    pub timeout: Duration,
    /// Size bounds.
    pub bounds: Bounds,
    /// Bytes of fetched artifacts kept on disk.
    pub cache_bytes: u64,
}

impl Default for FetchPolicy {
    fn default() -> Self {
        Self {
            files: FileRoots::Under(Vec::new()),
            private_hosts: false,
            timeout: Duration::from_secs(120),
            bounds: Bounds::default(),
            cache_bytes: 20 << 30,
        }
    }
}

/// Fetches and checks artifacts, keeping remote ones on disk.
#[derive(Clone, Debug)]
pub struct Fetcher {
    client: Client,
    policy: Arc<FetchPolicy>,
    cache: Arc<DiskCache>,
}

impl Fetcher {
    /// A fetcher that caches under `cache_dir`.
    pub fn new(policy: FetchPolicy, cache_dir: PathBuf) -> Result<Self, AdapterError> {
        let mut builder = Client::builder()
            .redirect(redirect::Policy::none())
            .no_proxy()
            .connect_timeout(Duration::from_secs(10))
            .user_agent(concat!("tributary/", env!("CARGO_PKG_VERSION")));
        if !policy.private_hosts {
            builder = builder.dns_resolver(PublicResolver);
        }
        let client = builder.build().map_err(|error| AdapterError::Internal(error.to_string()))?;
        let cache = DiskCache::open(cache_dir, policy.cache_bytes)?;
        Ok(Self { client, policy: Arc::new(policy), cache: Arc::new(cache) })
    }

    /// Size bounds in force.
    pub fn bounds(&self) -> &Bounds {
        &self.policy.bounds
    }

    /// The artifact, its hash checked.
    pub async fn fetch(&self, source: &Source) -> Result<Artifact, AdapterError> {
        if let Some(artifact) = self.cached(source.hash).await? {
            return Ok(artifact);
        }
        let url = Url::parse(&source.uri).map_err(|error| refused(&source.uri, &error.to_string()))?;
        match url.scheme() {
            "file" => self.read_folder(&url, source.hash).await,
            "http" | "https" => {
                let artifact = tokio::time::timeout(self.policy.timeout, self.download(&url))
                    .await
                    .map_err(|_| failed(&url, "timed out"))??;
                self.keep(artifact, source.hash).await
            }
            other => Err(refused(&source.uri, &format!("scheme `{other}` is not file, http or https"))),
        }
    }

    async fn cached(&self, hash: B256) -> Result<Option<Artifact>, AdapterError> {
        let (cache, bounds) = (Arc::clone(&self.cache), self.policy.bounds);
        blocking(move || Ok(cache.get(hash, &bounds))).await
    }

    async fn read_folder(&self, url: &Url, hash: B256) -> Result<Artifact, AdapterError> {
        let policy = Arc::clone(&self.policy);
        let url = url.clone();
        blocking(move || {
            let folder = local_path(&url)?;
            let artifact =
                Artifact::gather(&policy.bounds, |name, limit| policy.files.read(&folder.join(name), limit))?;
            artifact.verify(hash)?;
            Ok(artifact)
        })
        .await
    }

    /// Fetches one file of at most `limit` bytes under the same policy, past the cache. What it holds is the
    /// caller's to verify.
    pub async fn fetch_file(&self, uri: &str, limit: u64) -> Result<Vec<u8>, AdapterError> {
        let url = Url::parse(uri).map_err(|error| refused(uri, &error.to_string()))?;
        match url.scheme() {
            "file" => {
                let policy = Arc::clone(&self.policy);
                blocking(move || policy.files.read(&local_path(&url)?, limit)).await
            }
            "http" | "https" => {
                self.check_host(&url)?;
                tokio::time::timeout(self.policy.timeout, self.get_url(&url, limit))
                    .await
                    .map_err(|_| failed(&url, "timed out"))?
            }
            other => Err(refused(uri, &format!("scheme `{other}` is not file, http or https"))),
        }
    }

    async fn download(&self, url: &Url) -> Result<Artifact, AdapterError> {
        self.check_host(url)?;
        let config = self.get(url, CONFIG_FILE, self.policy.bounds.config).await?;
        let tensors = self.get(url, TENSORS_FILE, self.policy.bounds.tensors).await?;
        Ok(Artifact::new(config, tensors))
    }

    async fn get(&self, folder: &Url, name: &str, limit: u64) -> Result<Vec<u8>, AdapterError> {
        let mut url = folder.clone();
        url.path_segments_mut()
            .map_err(|()| refused(folder.as_str(), "cannot hold a path"))?
            .pop_if_empty()
            .push(name);
        self.get_url(&url, limit).await
    }

    fn check_host(&self, url: &Url) -> Result<(), AdapterError> {
        let public = match url.host() {
            Some(Host::Ipv4(ip)) => is_public(ip.into()),
            Some(Host::Ipv6(ip)) => is_public(ip.into()),
            // A name's addresses are filtered when it is resolved.
            Some(Host::Domain(_)) => true,
            None => false,
        };
        if !public && !self.policy.private_hosts {
            return Err(refused(url.as_str(), "the host is not on the public network"));
        }
        Ok(())
    }

    async fn get_url(&self, url: &Url, limit: u64) -> Result<Vec<u8>, AdapterError> {
        let why = |error: reqwest::Error| failed(url, &error.without_url().to_string());
        let mut response =
            self.client.get(url.clone()).send().await.map_err(why)?.error_for_status().map_err(why)?;
        if !response.status().is_success() {
            return Err(failed(url, &format!("status {}", response.status())));
        }
        let too_large = |bytes| AdapterError::TooLarge { what: url.to_string(), bytes, limit };
        let declared = response.content_length().unwrap_or(0);
        if declared > limit {
            return Err(too_large(declared));
        }
        let mut content = Vec::with_capacity(declared as usize);
        while let Some(chunk) = response.chunk().await.map_err(why)? {
            if (content.len() + chunk.len()) as u64 > limit {
                return Err(too_large((content.len() + chunk.len()) as u64));
            }
            content.extend_from_slice(&chunk);
        }
        Ok(content)
    }

    async fn keep(&self, artifact: Artifact, hash: B256) -> Result<Artifact, AdapterError> {
        let cache = Arc::clone(&self.cache);
        blocking(move || {
            artifact.verify(hash)?;
            if let Err(error) = cache.put(hash, &artifact) {
                tracing::warn!(%error, %hash, "Adapter not cached on disk");
            }
            Ok(artifact)
        })
        .await
    }
}

fn local_path(url: &Url) -> Result<PathBuf, AdapterError> {
    url.to_file_path().map_err(|()| refused(url.as_str(), "not a local path"))
}

/// Runs blocking work off the async threads.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, AdapterError> + Send + 'static,
) -> Result<T, AdapterError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(AdapterError::Internal(error.to_string())),
    }
}

fn refused(uri: &str, reason: &str) -> AdapterError {
    AdapterError::Uri { uri: uri.chars().take(256).collect(), reason: reason.to_owned() }
}

fn failed(url: &Url, reason: &str) -> AdapterError {
    AdapterError::Fetch { uri: url.to_string(), reason: reason.to_owned() }
}
