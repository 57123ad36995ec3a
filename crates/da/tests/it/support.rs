use std::path::PathBuf;
use tributary_da::memstore::{Memstore, MemstoreConfig};

pub(crate) async fn start(folder: Option<PathBuf>, config: MemstoreConfig) -> Memstore {
    let local = "127.0.0.1:0".parse().expect("an address");
    Memstore::start(local, folder, config).await.expect("starting")
}

pub(crate) async fn started() -> Memstore {
    start(None, MemstoreConfig::default()).await
}

/// Any request; status and body.
pub(crate) async fn call(
    store: &Memstore,
    method: &str,
    path: &str,
    body: impl Into<Vec<u8>>,
) -> (u16, Vec<u8>) {
    let url = format!("http://{}{path}", store.address());
    let method = reqwest::Method::from_bytes(method.as_bytes()).expect("a method");
    let request = reqwest::Client::new().request(method, url).body(body.into());
    let response = request.send().await.expect("an answer");
    (response.status().as_u16(), response.bytes().await.expect("a body").to_vec())
}

pub(crate) fn text(body: &[u8]) -> String {
    String::from_utf8_lossy(body).into_owned()
}
