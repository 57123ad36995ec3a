//! `trace_*`.

use crate::node::{Node, account, config, init_code, transfer};
use alloy_consensus::TxEip1559;
use alloy_primitives::{Address, B256, Bytes, TxKind, hex};
use jsonrpsee::rpc_params;
use serde_json::{Value, json};

/// Calls the contract whose address is its input, twice, each time with one word.
const CALLS_TWICE: [u8; 23] = hex!("5f5f60205f5f5f355af1505f5f60205f5f5f355af15000");

fn array(value: &Value) -> &Vec<Value> {
    value.as_array().unwrap_or_else(|| panic!("{value} is no array"))
}

/// A node with a block of a transfer and of a call that calls twice.
async fn node_with_calls() -> (Node, Address, Address, B256) {
    let node = Node::start().await;
    let callee = node.deploy(0).await;
    let input = init_code(&CALLS_TWICE);
    node.send(0, TxEip1559 { nonce: 1, to: TxKind::Create, input, ..TxEip1559::default() }).await;
    node.mine();
    let caller = account(0).address().create(1);
    node.send(1, transfer(Address::repeat_byte(7), 5, 0)).await;
    let input: Bytes = callee.into_word().into();
    let hash =
        node.send(0, TxEip1559 { nonce: 2, to: TxKind::Call(caller), input, ..TxEip1559::default() }).await;
    node.mine();
    (node, caller, callee, hash)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_calls_of_a_transaction_have_their_places() {
    let (node, caller, callee, hash) = node_with_calls().await;
    let traces = node.ask("trace_transaction", rpc_params![hash]).await;
    let ways: Vec<_> = array(&traces).iter().map(|trace| trace["traceAddress"].clone()).collect();
    assert_eq!(ways, [json!([]), json!([0]), json!([1])]);
    let first = &traces[0];
    assert_eq!((&first["action"]["to"], &first["subtraces"]), (&json!(caller), &json!(2)));
    assert_eq!(first["action"]["from"], json!(account(0).address()));
    assert_eq!((&first["transactionHash"], &first["type"]), (&json!(hash), &json!("call")));
    for inner in &array(&traces)[1..] {
        assert_eq!((&inner["action"]["from"], &inner["action"]["to"]), (&json!(caller), &json!(callee)));
        assert_eq!(inner["action"]["callType"], "call");
    }
    assert_eq!(node.ask("trace_get", rpc_params![hash, json!(["0x2"])]).await, traces[2]);
    assert_eq!(node.ask("trace_get", rpc_params![hash, json!(["0x3"])]).await, Value::Null);
    assert_eq!(node.ask("trace_get", rpc_params![hash, json!(["0x0", "0x1"])]).await, Value::Null);
    assert_eq!(node.ask("trace_transaction", rpc_params![B256::ZERO]).await, Value::Null);

    let head = node.chain.head();
    let block = node.ask("trace_block", rpc_params!["latest"]).await;
    assert_eq!(node.ask("trace_block", rpc_params![head.hash()]).await, block);
    assert_eq!(node.ask("trace_block", rpc_params!["0x4"]).await, Value::Null);
    assert_eq!(node.ask("trace_block", rpc_params!["earliest"]).await, json!([]));
    assert!(array(&block).iter().all(|trace| trace["blockHash"] == json!(head.hash())));
    assert!(array(&block).iter().all(|trace| trace["type"] != "reward"));
    let own: Vec<_> = array(&block).iter().filter(|trace| trace["transactionHash"] == json!(hash)).collect();
    assert_eq!(own, array(&traces).iter().collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_finds_calls_by_their_ends() {
    let (node, caller, callee, hash) = node_with_calls().await;
    let find = async |filter: Value| node.ask("trace_filter", rpc_params![filter]).await;
    let inner = find(json!({"fromBlock": "0x1", "toBlock": "latest", "fromAddress": [caller]})).await;
    assert_eq!(array(&inner).len(), 2);
    assert!(array(&inner).iter().all(|trace| trace["transactionHash"] == json!(hash)));
    let none = json!({"fromAddress": [caller], "toAddress": [caller]});
    assert_eq!(find(none.clone()).await, json!([]));
    let mut either = none;
    either["mode"] = json!("union");
    // The two calls, the call to it, and its creation.
    assert_eq!(array(&find(either).await).len(), 4);
    let page = find(json!({"toAddress": [callee], "after": 1, "count": 1})).await;
    assert_eq!(array(&page), &[array(&find(json!({"toAddress": [callee]})).await)[1].clone()]);
    assert_eq!(find(json!({"count": 0})).await, json!([]));
    let reversed = json!({"fromBlock": "0x2", "toBlock": "0x1"});
    assert!(node.try_ask("trace_filter", rpc_params![reversed]).await.is_err());
    let unlabelled = json!({"fromBlock": "finalized"});
    assert!(node.try_ask("trace_filter", rpc_params![unlabelled]).await.is_err());
    assert!(node.try_ask("trace_filter", rpc_params![json!({"fromblock": "0x1"})]).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_answers_what_is_asked_for() {
    let (node, caller, _, hash) = node_with_calls().await;
    let all = json!(["trace", "stateDiff", "vmTrace"]);
    let replay = node.ask("trace_replayTransaction", rpc_params![hash, all.clone()]).await;
    assert_eq!(array(&replay["trace"]).len(), 3);
    let key = |address: Address| address.to_string().to_lowercase();
    let sender = &replay["stateDiff"][key(account(0).address())];
    assert_eq!(sender["nonce"]["*"], json!({"from": "0x2", "to": "0x3"}));
    assert!(replay["stateDiff"].get(key(caller)).is_none(), "nothing changed there");
    let ops = array(&replay["vmTrace"]["ops"]);
    assert_eq!(ops.iter().filter(|op| !op["sub"].is_null()).count(), 2);
    let code = node.ask("eth_getCode", rpc_params![caller, "latest"]).await;
    assert_eq!(replay["vmTrace"]["code"], code);

    let calls_only = node.ask("trace_replayTransaction", rpc_params![hash, json!(["trace"])]).await;
    assert_eq!((&calls_only["stateDiff"], &calls_only["vmTrace"]), (&Value::Null, &Value::Null));
    assert_eq!(calls_only["trace"], replay["trace"]);

    let block = node.ask("trace_replayBlockTransactions", rpc_params!["latest", all]).await;
    assert_eq!(array(&block).len(), 3);
    assert_eq!(
        block[0]["transactionHash"],
        node.ask("eth_getBlockByNumber", rpc_params!["latest", false]).await["transactions"][0]
    );
    let own = array(&block).iter().find(|trace| trace["transactionHash"] == json!(hash)).unwrap();
    assert_eq!(own["trace"], replay["trace"]);
    assert_eq!(node.ask("trace_replayBlockTransactions", rpc_params!["0x9", json!([])]).await, Value::Null);
    assert!(
        node.try_ask("trace_replayTransaction", rpc_params![B256::ZERO, json!(["trace"])]).await.is_err()
    );
    assert!(node.try_ask("trace_replayTransaction", rpc_params![hash, json!(["everything"])]).await.is_err());

    let gas = node.ask("trace_transactionOpcodeGas", rpc_params![hash]).await;
    let calls = array(&gas["opcodeGas"]).iter().find(|op| op["opcode"] == "CALL").unwrap();
    assert_eq!(calls["count"], 2);
    let of_block = node.ask("trace_blockOpcodeGas", rpc_params!["latest"]).await;
    assert!(array(&of_block["transactions"]).contains(&gas));
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_are_traced_that_nobody_sent() {
    let (node, _, callee, _) = node_with_calls().await;
    let word = B256::repeat_byte(0x33);
    let call = json!({"from": account(2).address(), "to": callee, "data": word});
    let types = json!(["trace", "stateDiff"]);
    let once = node.ask("trace_call", rpc_params![call.clone(), types.clone(), "latest"]).await;
    let slot = &once["stateDiff"][callee.to_string().to_lowercase()]["storage"][B256::ZERO.to_string()];
    assert_eq!(slot["*"]["to"], json!(word));
    assert_eq!(node.ask("trace_call", rpc_params![call.clone(), types.clone()]).await, once);

    // The second sees what the first did.
    let many = node.ask("trace_callMany", rpc_params![json!([[call, types], [call, types]]), "latest"]).await;
    assert_eq!(many[0]["stateDiff"], once["stateDiff"]);
    assert!(many[1]["stateDiff"].get(callee.to_string().to_lowercase()).is_none());
    let too_many = vec![json!([call, ["trace"]]); 1025];
    assert!(node.try_ask("trace_callMany", rpc_params![too_many, "latest"]).await.is_err());

    let raw = node.sign(1, transfer(Address::repeat_byte(8), 3, 1));
    let traced = node.ask("trace_rawTransaction", rpc_params![raw, json!(["trace"])]).await;
    assert_eq!(traced["trace"][0]["action"]["to"], json!(Address::repeat_byte(8)));
    let used = node.sign(1, transfer(Address::repeat_byte(8), 3, 0));
    let refused =
        node.try_ask("trace_rawTransaction", rpc_params![used, json!(["trace"])]).await.unwrap_err();
    assert!(refused.message().starts_with("nonce too low"), "{refused:?}");
}

/// What is recorded, and how many blocks are asked of, has bounds here too.
#[tokio::test(flavor = "multi_thread")]
async fn parity_traces_end_at_their_bounds() {
    let mut config = config();
    config.eth.max_trace_bytes = 16 << 20;
    config.eth.max_trace_filter_blocks = 2;
    let node = Node::with(config).await;
    (0..3).for_each(|_| drop(node.mine()));
    let wide = node.try_ask("trace_filter", rpc_params![json!({"fromBlock": "0x1"})]).await.unwrap_err();
    assert_eq!(wide.message(), "Block range too large; currently limited to 2 blocks");
    node.ask("trace_filter", rpc_params![json!({"fromBlock": "0x2", "toBlock": "0x99"})]).await;

    let target = Address::repeat_byte(0x11);
    let trace = async |code: &str, types: Value| {
        let call = json!({"to": target, "gas": "0x2faf080"});
        let overrides = json!({ target.to_string(): { "code": code } });
        node.try_ask("trace_call", rpc_params![call, types, "latest", overrides]).await
    };
    // 64 KiB of memory, then a loop that does nothing.
    let memory = trace("0x600062010000525b600756", json!(["vmTrace"])).await.unwrap_err();
    assert!(memory.message().starts_with("trace exceeds 16 MiB"), "{memory:?}");
    // Calls without end, each with 64 KiB of input.
    let calls = trace("0x5b60006000620100006000600060996000f150600056", json!(["trace"])).await.unwrap_err();
    assert!(calls.message().starts_with("trace exceeds 16 MiB"), "{calls:?}");
    // The same that records nothing comes to the end of its gas.
    trace("0x5b600056", json!(["stateDiff"])).await.unwrap();
}
