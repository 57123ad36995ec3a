//! The client against a memstore, and against servers that are down, slow, or lie.

use std::time::Duration;

use axum::{Router, http::StatusCode, routing::any};
use tributary_da::{DaBackend, DaError, MAX_PAYLOAD, MemstoreConfig, ProxyClient, ProxyOptions};
use url::Url;

use crate::{client, memstore};

async fn server(answer: Router) -> Url {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("address"));
    tokio::spawn(async move { axum::serve(listener, answer).await });
    url.parse().expect("url")
}

fn hasty(url: Url) -> ProxyClient {
    let limit = Duration::from_millis(300);
    ProxyClient::new(url, ProxyOptions { connect: limit, put: limit, get: limit }).expect("client")
}

#[tokio::test]
async fn payloads_come_back_whole() {
    let store = memstore(MemstoreConfig::default()).await;
    let da = client(&store);
    assert_eq!(da.is_memstore().await, Ok(true));
    for size in [1, 31, 32, 93, 94, 120 * 1024] {
        let payload = vec![0xa5; size];
        let commitment = da.put(payload.clone().into()).await.expect("put");
        assert_eq!(da.get(&commitment, size).await, Ok(payload.into()));
        assert!(matches!(da.get(&commitment, size - 1).await, Err(DaError::Retry(_))), "bounded");
    }
}

#[tokio::test]
async fn payloads_that_cannot_be_dispersed_are_refused_here() {
    let store = memstore(MemstoreConfig::default()).await;
    for payload in [Vec::new(), vec![0; MAX_PAYLOAD + 1]] {
        assert!(matches!(client(&store).put(payload.into()).await, Err(DaError::Refused(_))));
    }
    let ftp = ProxyClient::new("ftp://x".parse().expect("url"), ProxyOptions::default());
    assert!(matches!(ftp, Err(DaError::Refused(_))));
}

#[tokio::test]
async fn a_proxy_that_is_down_or_slow_is_tried_again() {
    let down = hasty("http://127.0.0.1:1".parse().expect("url"));
    assert!(matches!(down.put(b"x".to_vec().into()).await, Err(DaError::Retry(_))));
    assert!(matches!(down.get(&b"x".to_vec().into(), 1).await, Err(DaError::Retry(_))));
    let slow = hasty(
        server(Router::new().fallback(any(|| async {
            tokio::time::sleep(Duration::from_secs(5)).await;
        })))
        .await,
    );
    assert!(matches!(slow.put(b"x".to_vec().into()).await, Err(DaError::Retry(_))));
}

#[tokio::test]
async fn each_status_asks_for_its_own_reaction() {
    for (status, body) in [(500, "x"), (404, "x"), (429, "slow down"), (302, "")] {
        let url = server(
            Router::new()
                .fallback(any(move || async move { (StatusCode::from_u16(status).expect("status"), body) })),
        )
        .await;
        assert!(
            matches!(hasty(url.clone()).put(b"x".to_vec().into()).await, Err(DaError::Retry(_))),
            "{status}"
        );
        assert!(matches!(hasty(url).get(&b"x".to_vec().into(), 9).await, Err(DaError::Retry(_))), "{status}");
    }
    let url = server(Router::new().fallback(any(|| async { (StatusCode::IM_A_TEAPOT, "not json") }))).await;
    let dropped = hasty(url).get(&b"x".to_vec().into(), 9).await;
    assert_eq!(dropped, Err(DaError::Drop { code: 0, message: "not json".to_owned() }));
}

#[tokio::test]
async fn endless_answers_are_cut() {
    let long = "z".repeat(1 << 20);
    let url = server(Router::new().fallback(any(move || {
        let long = long.clone();
        async move { (StatusCode::INTERNAL_SERVER_ERROR, long) }
    })))
    .await;
    let Err(DaError::Retry(text)) = hasty(url).put(b"x".to_vec().into()).await else { panic!("an error") };
    assert!(text.len() < 5000, "{}", text.len());
}
