//! The memstore as the proxy's users see it, and the client against proxies that misbehave.

mod client;
mod contract;

use tributary_da::{Memstore, MemstoreConfig, ProxyClient, ProxyOptions};

async fn memstore(config: MemstoreConfig) -> Memstore {
    Memstore::start(([127, 0, 0, 1], 0).into(), None, config).await.expect("memstore starts")
}

fn client(store: &Memstore) -> ProxyClient {
    ProxyClient::new(store.url(), ProxyOptions::default()).expect("client")
}
