//! Peers by `admin_*`, as the harnesses of execution clients call them.

use serde_json::{Value, json};
use tributary_p2p::{AdminApiServer, AdminMethods};

use crate::node::{Node, eventually};

async fn call(node: &Node, method: &str, params: Value) -> Result<Value, String> {
    let module = AdminMethods::new(node.network.clone(), node.chain.clone()).into_rpc();
    let request = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params }).to_string();
    let (answer, _) = module.raw_json_request(&request, 1).await.unwrap();
    let answer: Value = serde_json::from_str(answer.get()).unwrap();
    match answer.get("error") {
        Some(error) => Err(error["message"].as_str().unwrap().to_owned()),
        None => Ok(answer["result"].clone()),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_are_peered_and_parted_by_enode_and_record() {
    let (left, right) = (Node::start().await, Node::start().await);
    let info = call(&right, "admin_nodeInfo", json!([])).await.unwrap();
    assert_eq!(call(&left, "admin_addPeer", json!([info["enode"]])).await.unwrap(), true);
    assert_eq!(call(&left, "admin_addTrustedPeer", json!([info["enode"]])).await.unwrap(), true);
    eventually("connected", || left.network.peers().len() == 1 && right.network.peers().len() == 1).await;
    let peers = call(&left, "admin_peers", json!([])).await.unwrap();
    assert_eq!(peers[0]["id"], info["id"]);
    assert_eq!(peers[0]["network"]["trusted"], true);
    let theirs = call(&right, "admin_peers", json!([])).await.unwrap();
    assert_eq!(theirs[0]["id"], call(&left, "admin_nodeInfo", json!([])).await.unwrap()["id"]);
    assert_eq!(theirs[0]["network"]["inbound"], true);

    assert_eq!(call(&left, "admin_removePeer", json!([info["enr"]])).await.unwrap(), false, "trusted");
    assert_eq!(call(&left, "admin_removeTrustedPeer", json!([info["enode"]])).await.unwrap(), true);
    assert_eq!(call(&left, "admin_removePeer", json!([info["enr"]])).await.unwrap(), true);
    eventually("parted", || left.network.peers().is_empty() && right.network.peers().is_empty()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_names_no_peer_is_refused() {
    let node = Node::start().await;
    let own = node.network.enode().to_string();
    for peer in ["", "enode://12@1.2.3.4:5", "nonsense", own.as_str()] {
        let error = call(&node, "admin_addPeer", json!([peer])).await.unwrap_err();
        assert!(!error.is_empty(), "{peer}");
    }
}
