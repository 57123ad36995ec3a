use crate::support::*;
use alloy_primitives::{Bytes, keccak256};
use axum::Router;
use axum::http::StatusCode;
use axum::routing::{get, post};
use std::time::Duration;
use tributary_da::*;
use url::Url;

/// A server that answers as it is told.
async fn server(routes: Router) -> Url {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move { axum::serve(listener, routes).await });
    Url::parse(&format!("http://{address}")).expect("a URL")
}

fn client(url: Url) -> ProxyClient {
    let config = ProxyConfig {
        put_timeout: Duration::from_millis(500),
        get_timeout: Duration::from_millis(500),
        max_bytes: 1_000,
        ..ProxyConfig::new(url)
    };
    ProxyClient::new(config).expect("a client")
}

#[tokio::test]
async fn what_is_put_is_fetched_and_checked() {
    let store = started().await;
    let client = store.client().expect("a client");
    assert!(client.healthy().await);
    let bytes = Bytes::from(vec![7u8; 120 * 1024]);
    let commitment = client.put(bytes.clone()).await.expect("putting");
    assert_eq!(commitment[0], certificate::VERSION_V4);
    assert!(certificate::is_memstore(&commitment));
    assert_eq!(get_checked(&client, &commitment, keccak256(&bytes)).await, Ok(bytes));
    let other = get_checked(&client, &commitment, keccak256("other")).await;
    assert!(matches!(other, Err(DaError::WrongBytes { .. })));
}

#[tokio::test]
async fn nothing_and_too_much_are_never_sent() {
    let client = client(Url::parse("http://127.0.0.1:1").expect("a URL"));
    assert!(matches!(client.put(Bytes::new()).await, Err(DaError::Rejected(_))));
    let large = Bytes::from(vec![0; 16_252_898]);
    assert!(matches!(client.put(large).await, Err(DaError::Rejected(_))));
}

#[tokio::test]
async fn a_proxy_that_is_down_is_unavailable() {
    let down = client(Url::parse("http://127.0.0.1:1").expect("a URL"));
    let error = down.put(Bytes::from_static(b"x")).await.expect_err("nobody there");
    assert!(matches!(error, DaError::Unavailable(_)) && error.is_transient(), "{error}");
    assert!(matches!(down.get(&Bytes::from_static(&[3, 1])).await, Err(DaError::Unavailable(_))));
    assert!(!down.healthy().await);
}

#[tokio::test]
async fn a_slow_proxy_is_unavailable() {
    let slow = || async {
        tokio::time::sleep(Duration::from_secs(60)).await;
        "late"
    };
    let client = client(server(Router::new().route("/put", post(slow)).route("/get/{c}", get(slow))).await);
    let error = client.put(Bytes::from_static(b"x")).await.expect_err("too slow");
    assert!(matches!(&error, DaError::Unavailable(why) if why.starts_with("timed out")), "{error}");
    assert!(matches!(client.get(&Bytes::from_static(&[3, 1])).await, Err(DaError::Unavailable(_))));
}

#[tokio::test]
async fn statuses_say_what_to_do() {
    let status = |status: StatusCode, body: &'static str| {
        Router::new()
            .route("/put", post(move || async move { (status, body) }))
            .route("/get/{c}", get(move || async move { (status, body) }))
    };
    let x = Bytes::from_static(b"x");
    let c = Bytes::from_static(&[3, 1]);
    let of = |routes| async { client(server(routes).await) };

    let down = of(status(StatusCode::SERVICE_UNAVAILABLE, "down")).await;
    assert_eq!(down.put(x.clone()).await, Err(DaError::FailOver("down".to_owned())));
    assert!(matches!(down.get(&c).await, Err(DaError::Retry { status: 503, .. })));

    let limited = of(status(StatusCode::TOO_MANY_REQUESTS, "slow down")).await;
    assert!(matches!(limited.put(x.clone()).await, Err(DaError::Retry { status: 429, .. })));

    let bad = of(status(StatusCode::BAD_REQUEST, "too large")).await;
    assert_eq!(bad.put(x.clone()).await, Err(DaError::Rejected("too large".to_owned())));
    assert!(matches!(bad.get(&c).await, Err(DaError::Retry { status: 400, .. })));

    let teapot = of(status(StatusCode::IM_A_TEAPOT, r#"{"StatusCode":2,"Msg":"old"}"#)).await;
    assert_eq!(teapot.get(&c).await, Err(DaError::Drop { code: 2, message: "old".to_owned() }));
    assert!(matches!(teapot.put(x.clone()).await, Err(DaError::Retry { status: 418, .. })));

    let odd = of(status(StatusCode::IM_A_TEAPOT, "not json")).await;
    assert!(matches!(odd.get(&c).await, Err(DaError::Drop { code: 0, .. })));

    let missing = of(status(StatusCode::INTERNAL_SERVER_ERROR, "payload not found for key")).await;
    assert!(matches!(missing.get(&c).await, Err(DaError::Retry { status: 500, .. })));

    let moved = of(status(StatusCode::FOUND, "elsewhere")).await;
    assert!(matches!(moved.get(&c).await, Err(DaError::Retry { status: 302, .. })));

    let nothing = of(status(StatusCode::OK, "")).await;
    assert!(matches!(nothing.put(x).await, Err(DaError::Retry { status: 200, .. })));
}

#[tokio::test]
async fn endless_answers_are_cut() {
    let long = || async { vec![b'a'; 300_000] };
    let teapot = || async { (StatusCode::IM_A_TEAPOT, "a".repeat(300_000)) };
    let big = client(server(Router::new().route("/put", post(long)).route("/get/{c}", get(long))).await);
    assert_eq!(big.get(&Bytes::from_static(&[3, 1])).await, Err(DaError::TooLarge { max: 1_000 }));
    assert_eq!(big.put(Bytes::from_static(b"x")).await, Err(DaError::TooLarge { max: 8_192 }));
    let error = client(server(Router::new().route("/get/{c}", get(teapot))).await)
        .get(&Bytes::from_static(&[3, 1]))
        .await
        .expect_err("a drop");
    assert!(error.to_string().len() < 6_000);
}

#[tokio::test]
async fn a_path_in_the_address_is_kept() {
    let routes = Router::new().route("/da/put", post(|| async { vec![3u8, 1] }));
    let mut url = server(routes).await;
    url.set_path("/da/");
    let commitment = client(url).put(Bytes::from_static(b"x")).await;
    assert_eq!(commitment, Ok(Bytes::from_static(&[3, 1])));
}
