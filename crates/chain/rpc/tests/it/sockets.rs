//! Bad requests, limits, and what is served to whom.

use crate::{
    bare::BareWs,
    node::{Node, config},
};
use jsonrpsee::{core::client::ClientT, rpc_params};
use reqwest::{Client, Response, StatusCode};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
};
use tributary_rpc::{CorsDomains, Namespace, Namespaces, RpcHandle, ServerError, VirtualHosts};

async fn post(node: &Node, body: impl Into<reqwest::Body>) -> Response {
    let request = Client::new().post(node.url()).header("content-type", "application/json");
    request.body(body).send().await.unwrap()
}

async fn error_code(response: Response) -> i64 {
    response.json::<Value>().await.unwrap()["error"]["code"].as_i64().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_requests_get_the_codes_of_the_specification() {
    let node = Node::start().await;
    let cases = [
        ("{nonsense", -32700),
        ("[]", -32600),
        (r#"{"jsonrpc":"2.0","id":1}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":1,"method":"eth_nothing","params":[]}"#, -32601),
        (r#"{"jsonrpc":"2.0","id":1,"method":"eth_getBalance","params":["0x12"]}"#, -32602),
        (r#"{"jsonrpc":"2.0","id":1,"method":"eth_getBalance","params":[]}"#, -32602),
        (r#"{"jsonrpc":"2.0","id":1,"method":"eth_getBlockByNumber","params":["tomorrow",false]}"#, -32602),
    ];
    for (body, code) in cases {
        assert_eq!(error_code(post(&node, body).await).await, code, "{body}");
    }
    let text = Client::new().post(node.url()).body("{}").send().await.unwrap();
    assert_eq!(text.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
    let get = Client::new().get(node.url()).send().await.unwrap();
    assert_eq!(get.status(), StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_are_answered_in_order_and_limited() {
    let mut config = config();
    config.limits.max_batch_size = 3;
    let node = Node::with(config).await;
    let batch = |count: usize| {
        let one = |id| json!({"jsonrpc": "2.0", "id": id, "method": "eth_chainId", "params": []});
        serde_json::to_string(&(0..count).map(one).collect::<Vec<_>>()).unwrap()
    };
    let answers: Value = post(&node, batch(3)).await.json().await.unwrap();
    let ids: Vec<_> =
        answers.as_array().unwrap().iter().map(|answer| answer["id"].as_u64().unwrap()).collect();
    assert_eq!(ids, [0, 1, 2]);
    assert_eq!(error_code(post(&node, batch(4)).await).await, -32010);
}

#[tokio::test(flavor = "multi_thread")]
async fn sizes_are_limited_in_both_directions() {
    let mut config = config();
    config.limits.max_request_size = 10_000;
    config.limits.max_response_size = 2_000;
    let node = Node::with(config).await;
    let long =
        format!(r#"{{"jsonrpc":"2.0","id":1,"method":"web3_sha3","params":["0x{}"]}}"#, "00".repeat(6_000));
    assert_eq!(post(&node, long).await.status(), StatusCode::PAYLOAD_TOO_LARGE);
    let code = r#"{"jsonrpc":"2.0","id":1,"method":"eth_getCode","params":["0x4200000000000000000000000000000000000015","latest"]}"#;
    assert_eq!(error_code(post(&node, code).await).await, -32008);
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_are_limited() {
    let mut config = config();
    config.limits.max_connections = 1;
    let node = Node::with(config).await;
    let first = node.ws().await;
    let url = format!("ws://{}", node.handle.ws_address().unwrap());
    assert!(jsonrpsee::ws_client::WsClientBuilder::default().build(&url).await.is_err());
    let id: Value = first.request("eth_chainId", rpc_params![]).await.unwrap();
    assert_eq!(id, "0x27613");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_chosen_namespaces_are_served() {
    let mut config = config();
    let only: Namespaces = [Namespace::Eth, Namespace::Web3].into_iter().collect();
    config.http.as_mut().unwrap().namespaces = only;
    let node = Node::with(config).await;
    assert_eq!(node.ask("web3_clientVersion", rpc_params![]).await, "Tributary/test");
    assert_eq!(
        node.ask("rpc_modules", rpc_params![]).await,
        json!({"eth": "1.0", "rpc": "1.0", "web3": "1.0"})
    );
    for method in ["net_version", "txpool_status", "debug_chainConfig", "admin_clearTxpool"] {
        assert_eq!(node.try_ask(method, rpc_params![]).await.unwrap_err().code(), -32601, "{method}");
    }
    // What there are no methods of is not served, though it is asked for.
    let served = node.modules.served(&Namespaces::all());
    assert_eq!(served.to_string(), "eth,net,web3,txpool,debug,tributary,rpc,admin,trace");
    let all = node.ws().await;
    let version: Value = all.request("net_version", rpc_params![]).await.unwrap();
    assert_eq!(version, "161299");
}

#[tokio::test(flavor = "multi_thread")]
async fn foreign_host_names_are_refused() {
    let node = Node::start().await;
    let with_host =
        |host: &'static str| Client::new().get(format!("{}/health", node.url())).header("host", host);
    assert_eq!(with_host("localhost").send().await.unwrap().status(), StatusCode::OK);
    assert_eq!(with_host("rebound.example").send().await.unwrap().status(), StatusCode::FORBIDDEN);
    let mut config = config();
    config.http.as_mut().unwrap().vhosts = VirtualHosts::from("rebound.example");
    let node = Node::with(config).await;
    let with_host =
        |host: &'static str| Client::new().get(format!("{}/health", node.url())).header("host", host);
    assert_eq!(with_host("rebound.example").send().await.unwrap().status(), StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn cors_headers_are_sent_when_configured() {
    let preflight = |url: String| {
        Client::new()
            .request(reqwest::Method::OPTIONS, url)
            .header("origin", "https://dapp.example")
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "content-type")
    };
    let node = Node::start().await;
    let answer = preflight(node.url()).send().await.unwrap();
    assert!(answer.headers().get("access-control-allow-origin").is_none());
    let mut config = config();
    config.http.as_mut().unwrap().cors = "https://dapp.example".parse::<CorsDomains>().unwrap();
    let node = Node::with(config).await;
    let answer = preflight(node.url()).send().await.unwrap();
    assert_eq!(answer.headers()["access-control-allow-origin"], "https://dapp.example");
    let answer = preflight(node.url()).header("origin", "https://other.example").send().await.unwrap();
    assert_ne!(
        answer.headers().get("access-control-allow-origin").map(|o| o.as_bytes()),
        Some(&b"https://other.example"[..])
    );
}

/// The status that a WebSocket handshake of a page is answered with.
async fn handshake(url: &str, origin: Option<&str>) -> StatusCode {
    let request = Client::new()
        .get(url)
        .header("connection", "Upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
    let request = match origin {
        Some(origin) => request.header("origin", origin),
        None => request,
    };
    request.send().await.unwrap().status()
}

/// `--ws.origins` had been a CORS layer only, which no browser asks before it opens a WebSocket.
#[tokio::test(flavor = "multi_thread")]
async fn foreign_pages_open_no_websocket() {
    const OPEN: StatusCode = StatusCode::SWITCHING_PROTOCOLS;
    const REFUSED: StatusCode = StatusCode::FORBIDDEN;
    let (dapp, other, local) = ("https://dapp.example", "https://other.example", "http://localhost:3000");
    for (origins, of_dapp, of_other, of_local) in [
        ("", REFUSED, REFUSED, OPEN),
        ("https://dapp.example", OPEN, REFUSED, REFUSED),
        ("*", OPEN, OPEN, OPEN),
    ] {
        let mut config = config();
        config.ws.as_mut().unwrap().cors = origins.parse().unwrap();
        let node = Node::with(config).await;
        let url = format!("http://{}", node.handle.ws_address().unwrap());
        assert_eq!(handshake(&url, None).await, OPEN, "no browser");
        assert_eq!(handshake(&url, Some(dapp)).await, of_dapp, "{origins}");
        assert_eq!(handshake(&url, Some(other)).await, of_other, "{origins}");
        assert_eq!(handshake(&url, Some(local)).await, of_local, "{origins}");
        assert_eq!(handshake(&url, Some("null")).await, of_other, "{origins}");
        let id: Value = node.ws().await.request("eth_chainId", rpc_params![]).await.unwrap();
        assert_eq!(id, "0x27613");
    }
}

/// On a port that speaks both, requests over HTTP are CORS's business.
#[tokio::test(flavor = "multi_thread")]
async fn origins_of_plain_requests_are_not_refused() {
    let mut config = config();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    config.http.as_mut().unwrap().address = free;
    config.ws = config.http.clone();
    let node = Node::with(config).await;
    let request = Client::new().post(node.url()).header("origin", "https://dapp.example");
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": "eth_chainId", "params": []});
    let answer: Value = request.json(&body).send().await.unwrap().json().await.unwrap();
    assert_eq!(answer["result"], "0x27613");
    assert_eq!(handshake(&node.url(), Some("https://dapp.example")).await, StatusCode::FORBIDDEN);
}

#[tokio::test(flavor = "multi_thread")]
async fn health_says_where_the_head_is() {
    let node = Node::start().await;
    let block = node.mine();
    let answer: Value =
        Client::new().get(format!("{}/health", node.url())).send().await.unwrap().json().await.unwrap();
    assert_eq!((&answer["status"], &answer["blockNumber"]), (&json!("ok"), &json!("0x1")));
    assert_eq!(answer["blockHash"], json!(block.hash()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_taken_port_is_named() {
    let node = Node::start().await;
    let mut config = config();
    config.http.as_mut().unwrap().address = node.handle.http_address().unwrap();
    config.ws = None;
    let error = RpcHandle::launch(&config, &node.modules).await.unwrap_err();
    assert!(matches!(error, ServerError::AddressInUse { flag: "http", .. }), "{error}");
    assert!(error.to_string().contains("--http.port"));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_port_speaks_both() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut config = config();
    config.http.as_mut().unwrap().address = free;
    config.ws = config.http.clone();
    let node = Node::with(config.clone()).await;
    let over_ws: Value = node.ws().await.request("eth_chainId", rpc_params![]).await.unwrap();
    assert_eq!(over_ws, node.ask("eth_chainId", rpc_params![]).await);
    assert_eq!(node.handle.http_address(), node.handle.ws_address());
    config.ws.as_mut().unwrap().namespaces = Namespaces::default();
    let error = RpcHandle::launch(&config, &node.modules).await.unwrap_err();
    assert!(matches!(error, ServerError::Conflict(_)), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_without_a_worker_says_so() {
    let node = Node::start().await;
    let error = node.try_ask("tributary_params", rpc_params![]).await.unwrap_err();
    assert_eq!((error.code(), error.message()), (-32000, "no worker runs in this node"));
    let error = node.try_ask("tributary_getModel", rpc_params!["dict-devil"]).await.unwrap_err();
    assert_eq!(error.code(), -32000);
}

const PATIENCE: Duration = Duration::from_secs(20);

/// 505 requests whose bodies came a byte at a time shut the server for everybody else.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_body_keeps_nobody_out_and_ends() {
    let mut config = config();
    config.limits.max_connections = 1;
    config.limits.body_timeout = Duration::from_millis(500);
    let node = Node::with(config).await;
    let mut slow = Vec::new();
    for length in [1_000_000, 1_000_000, 1_000_000, 1_u64 << 32] {
        let mut stream = TcpStream::connect(node.handle.http_address().unwrap()).await.unwrap();
        let head = format!(
            "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{{"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        slow.push((stream, if length < 1 << 32 { "HTTP/1.1 408" } else { "HTTP/1.1 413" }));
    }
    for (stream, status) in slow {
        assert_eq!(node.ask("eth_chainId", rpc_params![]).await, "0x27613");
        let (mut answers, mut requests) = stream.into_split();
        let drip = tokio::spawn(async move {
            while requests.write_all(b" ").await.is_ok() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        let mut answer = [0; 12];
        tokio::time::timeout(PATIENCE, answers.read_exact(&mut answer)).await.unwrap().unwrap();
        assert_eq!(String::from_utf8_lossy(&answer), status);
        tokio::time::timeout(PATIENCE, drip).await.expect("the connection is closed").unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_peer_that_is_dead_is_let_go_and_one_that_is_silent_is_not() {
    let mut config = config();
    config.limits.ping_interval = Duration::from_millis(300);
    let node = Node::with(config).await;
    let (mut dead, silent) = (BareWs::connect(&node).await, node.ws().await);
    let mut last = Vec::new();
    let ended = tokio::time::timeout(PATIENCE, dead.0.read_to_end(&mut last)).await.unwrap();
    assert!(ended.is_ok() && last.starts_with(&[0x89, 0]), "pings, and an end: {ended:?} {last:?}");
    let id: Value = silent.request("eth_chainId", rpc_params![]).await.unwrap();
    assert_eq!(id, "0x27613");
}

/// A batch whose answer no connection has room for.
fn much() -> Value {
    let one = |id: u32| {
        json!({"jsonrpc": "2.0", "id": id, "method": "eth_getCode",
               "params": ["0x4200000000000000000000000000000000000015", "latest"]})
    };
    json!((0..1000).map(one).collect::<Vec<_>>())
}

/// A peer that does not read keeps the writer busy for ever, and what waits for it in memory. One that talks on meanwhile does not seem
/// to be gone, and kept its place.
#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_peer_that_does_not_read_is_let_go() {
    let mut config = config();
    config.limits.max_connections = 1;
    config.limits.stall_timeout = Duration::from_millis(500);
    for talks in [false, true] {
        let node = Node::with(config.clone()).await;
        let mut stalled = BareWs::connect(&node).await;
        for _ in 0..10 {
            stalled.say(&much()).await;
        }
        let talk = tokio::spawn(async move {
            const PONG: [u8; 6] = [0x8a, 0x80, 0, 0, 0, 0];
            while talks && stalled.0.write_all(&PONG).await.is_ok() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            stalled
        });
        let url = format!("ws://{}", node.handle.ws_address().unwrap());
        let again = async {
            while jsonrpsee::ws_client::WsClientBuilder::default().build(&url).await.is_err() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(PATIENCE, again).await.expect("its place is free");
        drop(tokio::time::timeout(PATIENCE, talk).await.expect("nobody listens to it").unwrap());
    }
}

/// More than are listened to at a time, and more than may wait unread.
#[tokio::test(flavor = "multi_thread")]
async fn many_calls_at_once_on_one_websocket_are_all_answered() {
    let node = Node::start().await;
    let url = format!("ws://{}", node.handle.ws_address().unwrap());
    let many = jsonrpsee::ws_client::WsClientBuilder::default().max_concurrent_requests(10_000);
    let client = many.build(&url).await.unwrap();
    let code = rpc_params!["0x4200000000000000000000000000000000000015", "latest"];
    let calls = (0..5_000).map(|_| client.request::<Value, _>("eth_getCode", code.clone()));
    let answers = tokio::time::timeout(6 * PATIENCE, futures::future::join_all(calls)).await.unwrap();
    assert!(answers.into_iter().all(|answer| answer.unwrap().as_str().unwrap().len() > 100));
}

fn over_http(body: &Value) -> Vec<u8> {
    let body = body.to_string();
    let length = body.len();
    format!("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}")
        .into_bytes()
}

/// Such a peer kept its answers in this node's memory for as long as it acknowledged what the system sent.
#[tokio::test(flavor = "multi_thread")]
async fn an_http_peer_that_does_not_read_is_let_go() {
    let mut config = config();
    config.limits.stall_timeout = Duration::from_millis(500);
    let node = Node::with(config).await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4 << 10).unwrap();
    let mut deaf = socket.connect(node.handle.http_address().unwrap()).await.unwrap();
    let ask = over_http(&much());
    let asking = async { while deaf.write_all(&ask).await.is_ok() {} };
    tokio::time::timeout(PATIENCE, asking).await.expect("the connection is closed");
    assert_eq!(node.ask("eth_chainId", rpc_params![]).await, "0x27613");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_idle_or_read_from_slowly_is_kept() {
    let mut config = config();
    config.limits.stall_timeout = Duration::from_secs(1);
    let node = Node::with(config).await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(64 << 10).unwrap();
    let mut stream = socket.connect(node.handle.http_address().unwrap()).await.unwrap();
    let ask = over_http(&json!({"jsonrpc": "2.0", "id": 1, "method": "eth_chainId", "params": []}));
    for _ in 0..2 {
        stream.write_all(&ask).await.unwrap();
        let mut answer = String::new();
        while !answer.ends_with('}') {
            answer.push(char::from(stream.read_u8().await.unwrap()));
        }
        assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("0x27613"), "{answer}");
        tokio::time::sleep(Duration::from_millis(2500)).await;
    }
    // Answers of megabytes, read at a tenth of the speed at which the system would say within the time that some of them has gone.
    let close = String::from_utf8(over_http(&much())).unwrap();
    let close = close.replacen("Host:", "Connection: close\r\nHost:", 1);
    stream.write_all(&over_http(&much())).await.unwrap();
    stream.write_all(close.as_bytes()).await.unwrap();
    let (mut answer, mut part, start) = (0, vec![0; 20 << 10], Instant::now());
    loop {
        match stream.read(&mut part).await.unwrap() {
            0 => break,
            more => answer += more,
        }
        if start.elapsed() < Duration::from_secs(5) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    assert!(answer > 2 << 20, "{answer}");
}

/// Such connections took every descriptor, those of the chain's files as well.
#[tokio::test(flavor = "multi_thread")]
async fn open_connections_are_limited_too() {
    let mut config = config();
    config.limits.max_connections = 1;
    let node = Node::with(config).await;
    let address = node.handle.http_address().unwrap();
    let mut idle = Vec::new();
    for _ in 0..8 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
        let mut status = [0; 12];
        stream.read_exact(&mut status).await.unwrap();
        assert_eq!(&status, b"HTTP/1.1 200");
        idle.push(stream);
    }
    let mut refused = TcpStream::connect(address).await.unwrap();
    let end = tokio::time::timeout(PATIENCE, refused.read(&mut [0])).await.expect("it is closed");
    assert!(matches!(end, Ok(0) | Err(_)), "{end:?}");
    idle.pop();
    let again = async {
        while Client::new().get(format!("{}/health", node.url())).send().await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, again).await.expect("a place is free");
}

/// Half a request had kept the node from stopping for as long as its sender liked.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_in_the_middle_of_a_request_does_not_hold_the_stop_up() {
    let node = Node::start().await;
    let address = node.handle.http_address().unwrap();
    let mut half = TcpStream::connect(address).await.unwrap();
    half.write_all(b"POST / HT").await.unwrap();
    let mut next = TcpStream::connect(address).await.unwrap();
    next.write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\nPOST / HT").await.unwrap();
    next.read_exact(&mut [0; 12]).await.unwrap();
    let Node { handle, .. } = node;
    tokio::time::timeout(PATIENCE, handle.stop()).await.expect("it stops");
    assert!(TcpStream::connect(address).await.is_err(), "nobody listens any more");
}

/// In HTTP/2 a peer holds answers back by opening no window for them, and no clock sees it.
#[tokio::test(flavor = "multi_thread")]
async fn http_2_is_not_spoken() {
    let node = Node::start().await;
    let mut stream = TcpStream::connect(node.handle.http_address().unwrap()).await.unwrap();
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    let mut answer = Vec::new();
    let end = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await;
    assert!(end.is_ok() && (answer.is_empty() || answer.starts_with(b"HTTP/1.1 4")), "{answer:?}");
}
