//! The door.

use jsonrpsee::{core::client::ClientT, rpc_params, ws_client::WsClientBuilder};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
};
use tributary_engine_api::JwtSecret;

use crate::node::Node;

const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::test]
async fn nobody_passes_without_a_token() {
    let node = Node::start().await;
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "eth_chainId", "params": [] });
    let post = || reqwest::Client::new().post(node.url()).json(&body);
    let other = JwtSecret::random().token();
    for request in
        [post(), post().bearer_auth(other), post().bearer_auth("a.b.c"), post().basic_auth("a", Some("b"))]
    {
        assert_eq!(request.send().await.unwrap().status(), 401);
    }
    let answer = post().bearer_auth(node.secret.token()).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let answer: Value = answer.json().await.unwrap();
    assert_eq!(answer["result"], format!("{:#x}", node.spec.chain_id()));
}

#[tokio::test]
async fn websocket_is_let_in_by_its_handshake() {
    let node = Node::start().await;
    let url = format!("ws://{}", node.server.address());
    assert!(WsClientBuilder::default().build(&url).await.is_err());
    let mut headers = http::HeaderMap::new();
    headers.insert("authorization", format!("Bearer {}", node.secret.token()).parse().unwrap());
    let client = WsClientBuilder::default().set_headers(headers).build(&url).await.unwrap();
    let capabilities: Vec<String> =
        client.request("engine_exchangeCapabilities", rpc_params![Vec::<String>::new()]).await.unwrap();
    assert!(capabilities.contains(&"engine_newPayloadV4".to_owned()));
    assert!(!capabilities.contains(&"engine_exchangeCapabilities".to_owned()));
    // Go's client reads no number there.
    let id: Value = client.request("eth_subscribe", rpc_params!["newHeads"]).await.unwrap();
    assert!(id.as_str().is_some_and(|id| id.starts_with("0x")), "{id}");
}

/// op-node has one endpoint of this client.
#[tokio::test]
async fn what_a_rollup_node_reads_is_served_beside() {
    let node = Node::start().await;
    let genesis = node.ask("eth_getBlockByNumber", json!(["0x0", true])).await;
    assert_eq!(genesis["hash"], json!(node.spec.genesis_hash()));
    let proof = json!(["0x4200000000000000000000000000000000000016", [], node.spec.genesis_hash()]);
    assert!(
        node.ask("eth_getProof", proof).await["accountProof"]
            .as_array()
            .is_some_and(|proof| !proof.is_empty())
    );
    for label in ["safe", "finalized"] {
        assert_eq!(node.ask("eth_getBlockByNumber", json!([label, false])).await, Value::Null);
    }
    let version = node.ask(
        "engine_getClientVersionV1",
        json!([{ "code": "OP", "name": "op-node", "version": "1", "commit": "00" }]),
    );
    assert_eq!(version.await[0]["name"], "Tributary");
    assert_eq!(node.call("admin_addPeer", json!(["enode://"])).await.unwrap_err().0, -32601);
}

#[tokio::test]
async fn the_batchers_limits_reach_the_builder() {
    let node = Node::start().await;
    assert_eq!(node.ask("miner_setMaxDASize", json!(["0x64", "0x1388"])).await, true);
    let caps = node.engine.builder().da_caps();
    assert_eq!((caps.max_tx, caps.max_block), (Some(100), Some(5000)));
    assert_eq!(node.ask("miner_setMaxDASize", json!(["0x0", "0x0"])).await, true);
    assert_eq!(node.engine.builder().da_caps(), Default::default());
}

/// Requests whose bodies came a byte at a time, as many as there are places, shut the port to the rollup node.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_body_keeps_no_rollup_node_out_and_ends() {
    let node = Node::with_patience(Duration::from_secs(1)).await;
    let head = format!(
        "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nAuthorization: Bearer {}\r\n\
         Content-Length: 1000000\r\n\r\n{{",
        node.secret.token()
    );
    let mut slow = Vec::new();
    for _ in 0..130 {
        let mut stream = TcpStream::connect(node.server.address()).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        slow.push(stream);
    }
    node.advance().await;
    let (mut answers, mut requests) = slow.pop().unwrap().into_split();
    let drip = tokio::spawn(async move {
        while requests.write_all(b" ").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    let mut answer = [0; 12];
    tokio::time::timeout(PATIENCE, answers.read_exact(&mut answer)).await.unwrap().unwrap();
    assert_eq!(String::from_utf8_lossy(&answer), "HTTP/1.1 408");
    tokio::time::timeout(PATIENCE, drip).await.expect("the connection is closed").unwrap();
}

/// A body without a token is not read at all.
#[tokio::test(flavor = "multi_thread")]
async fn a_body_without_a_token_is_not_waited_for() {
    let node = Node::start().await;
    let mut stream = TcpStream::connect(node.server.address()).await.unwrap();
    let head = "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100000000\r\n\r\n{";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    tokio::time::timeout(PATIENCE, stream.read_exact(&mut answer)).await.unwrap().unwrap();
    assert_eq!(String::from_utf8_lossy(&answer), "HTTP/1.1 401");
}

/// Who asks for much and reads nothing once kept the answers in this node's memory.
#[tokio::test(flavor = "multi_thread")]
async fn who_reads_nothing_is_hung_up_on() {
    let node = Node::with_patience(Duration::from_secs(1)).await;
    let one = |id: u32| {
        json!({"jsonrpc": "2.0", "id": id, "method": "eth_getCode",
               "params": ["0x4200000000000000000000000000000000000015", "latest"]})
    };
    let body = json!((0..1000).map(one).collect::<Vec<_>>()).to_string();
    let length = body.len();
    let ask = format!(
        "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nAuthorization: Bearer {}\r\n\
         Content-Length: {length}\r\n\r\n{body}",
        node.secret.token()
    );
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4 << 10).unwrap();
    let mut deaf = socket.connect(node.server.address()).await.unwrap();
    let asking = async { while deaf.write_all(ask.as_bytes()).await.is_ok() {} };
    tokio::time::timeout(PATIENCE, asking).await.expect("the connection is closed");
    node.advance().await;
}
