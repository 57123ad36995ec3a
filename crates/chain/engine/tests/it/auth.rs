//! The door.

use jsonrpsee::{core::client::ClientT, rpc_params, ws_client::WsClientBuilder};
use serde_json::{Value, json};
use tributary_engine_api::JwtSecret;

use crate::node::Node;

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
