//! Calls, estimates, access lists.

use crate::node::{Node, STORE_AND_LOG, account, number, revert_code, verify};
use alloy_consensus::TxEip1559;
use alloy_primitives::{Address, B256, Bytes, TxKind, U256, address, hex, keccak256};
use alloy_provider::{Provider, ProviderBuilder};
use alloy_sol_types::{Revert, SolCall, SolError, SolEvent};
use jsonrpsee::rpc_params;
use serde_json::json;
use tributary_abi::{
    IAgents, ISettlement,
    address::{AGENTS, SETTLEMENT},
};

const TARGET: Address = Address::repeat_byte(0xaa);

#[tokio::test(flavor = "multi_thread")]
async fn a_revert_comes_with_reason_and_data() {
    let node = Node::start().await;
    let data: Bytes = Revert::from("closed on sundays").abi_encode().into();
    let overrides = json!({ TARGET.to_string(): { "code": revert_code(&data) } });
    for method in ["eth_call", "eth_estimateGas"] {
        let error =
            node.try_ask(method, rpc_params![json!({"to": TARGET}), "latest", &overrides]).await.unwrap_err();
        assert_eq!(error.code(), 3, "{method}");
        assert_eq!(error.message(), "execution reverted: closed on sundays");
        assert_eq!(error.data().unwrap().get(), format!("\"{data}\""));
    }
    let burn = json!({ TARGET.to_string(): { "code": "0xfe" } });
    let error =
        node.try_ask("eth_call", rpc_params![json!({"to": TARGET}), "latest", burn]).await.unwrap_err();
    assert_eq!((error.code(), error.message()), (-32000, "invalid opcode: INVALID"));
}

/// The names of variants are nobody's business; what geth calls them is.
#[tokio::test(flavor = "multi_thread")]
async fn a_halt_is_told_in_plain_words() {
    let node = Node::start().await;
    // A pairing of no whole number of points.
    let pairing = json!({"to": "0x0000000000000000000000000000000000000008", "data": "0x01"});
    // A modexp whose base has 2^256 - 1 bytes.
    let modexp = json!({"to": "0x0000000000000000000000000000000000000005", "data": B256::repeat_byte(0xff)});
    for call in [pairing, modexp] {
        for method in ["eth_call", "eth_estimateGas"] {
            let error = node.try_ask(method, rpc_params![&call, "latest"]).await.unwrap_err();
            let text = error.message();
            let plain =
                text.starts_with("precompiled contract failed") || text.contains("gas required exceeds");
            assert!(error.code() == -32000 && plain, "{method} {call}: {error:?}");
        }
    }
    for (code, text) in
        [("0x56", "stack underflow"), ("0x600056", "invalid jump destination"), ("0x0c", "invalid opcode")]
    {
        let state = json!({ TARGET.to_string(): { "code": code } });
        let error =
            node.try_ask("eth_call", rpc_params![json!({"to": TARGET}), "latest", state]).await.unwrap_err();
        assert_eq!((error.code(), error.message()), (-32000, text));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn overrides_change_state_and_block_for_one_call() {
    let node = Node::start().await;
    // TIMESTAMP, NUMBER and SELFBALANCE in three words.
    let code: Bytes = hex!("42600052436020524760405260606000f3").into();
    let state = json!({ TARGET.to_string(): { "code": code, "balance": "0x539" } });
    let block = json!({ "time": "0x11", "number": "0x22" });
    let output = node.ask("eth_call", rpc_params![json!({"to": TARGET}), "latest", state, block]).await;
    let words: Bytes = serde_json::from_value(output).unwrap();
    let word = |index: usize| U256::from_be_slice(&words[index * 32..(index + 1) * 32]);
    assert_eq!([word(0), word(1), word(2)], [U256::from(0x11), U256::from(0x22), U256::from(0x539)]);
    assert_eq!(node.ask("eth_getBalance", rpc_params![TARGET, "latest"]).await, "0x0");

    // SLOAD of slot 0, which the override sets.
    let diff = json!({ TARGET.to_string(): {
        "code": "0x60005460005260206000f3", "stateDiff": { B256::ZERO.to_string(): B256::repeat_byte(4) }
    }});
    let output = node.ask("eth_call", rpc_params![json!({"to": TARGET}), "latest", diff]).await;
    assert_eq!(output, json!(B256::repeat_byte(4)));
    let both = json!({ TARGET.to_string(): { "state": {}, "stateDiff": {} } });
    let error =
        node.try_ask("eth_call", rpc_params![json!({"to": TARGET}), "latest", both]).await.unwrap_err();
    let text = format!("account {} has both 'state' and 'stateDiff'", TARGET.to_string().to_lowercase());
    assert_eq!((error.code(), error.message()), (-32602, text.as_str()));
    let bad_code = json!({ TARGET.to_string(): { "code": "0xef0100" } });
    let error =
        node.try_ask("eth_call", rpc_params![json!({"to": TARGET}), "latest", bad_code]).await.unwrap_err();
    assert_eq!(error.code(), -32602);
    assert!(error.message().starts_with("Invalid bytecode: "), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_say_two_things_are_bad_parameters() {
    let node = Node::start().await;
    let data = json!({ "to": TARGET, "data": "0x01", "input": "0x02" });
    let price = json!({ "to": TARGET, "gasPrice": "0x1", "maxFeePerGas": "0x1" });
    for (call, text) in [
        (data, "both \"data\" and \"input\" are set and not equal"),
        (price, "both gasPrice and (maxFeePerGas or maxPriorityFeePerGas) specified"),
    ] {
        for method in ["eth_call", "eth_estimateGas", "eth_createAccessList", "debug_traceCall"] {
            let error = node.try_ask(method, rpc_params![&call, "latest"]).await.unwrap_err();
            assert_eq!(error.code(), -32602, "{method}: {error:?}");
            assert!(error.message().starts_with(text), "{method}: {error:?}");
        }
    }
    let same = json!({ "to": TARGET, "data": "0x01", "input": "0x01" });
    assert_eq!(node.ask("eth_call", rpc_params![same, "latest"]).await, "0x");
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_need_no_funds_unless_they_name_a_price() {
    let node = Node::start().await;
    let poor = Address::repeat_byte(0xbb);
    node.ask("eth_call", rpc_params![json!({"from": poor, "to": TARGET}), "latest"]).await;
    let dear = json!({"from": poor, "to": TARGET, "gasPrice": "0x77359400", "gas": "0x5208"});
    let error = node.try_ask("eth_call", rpc_params![dear, "latest"]).await.unwrap_err();
    assert!(error.message().starts_with("insufficient funds for gas * price + value"), "{error:?}");
    let wrong = json!({"to": TARGET, "chainId": "0x1"});
    let error = node.try_ask("eth_call", rpc_params![wrong, "latest"]).await.unwrap_err();
    assert_eq!(error.message(), "invalid chain ID: have 1, want 161299");
    let both = json!({"to": TARGET, "gasPrice": "0x1", "maxFeePerGas": "0x1"});
    assert!(node.try_ask("eth_call", rpc_params![both, "latest"]).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_estimate_is_enough_and_hardly_more() {
    let node = Node::start().await;
    let from = account(0).address();
    let plain =
        node.ask("eth_estimateGas", rpc_params![json!({"from": from, "to": TARGET, "value": "0x1"})]).await;
    assert_eq!(plain, "0x5208");
    let contract = node.deploy(0).await;
    let call = json!({"from": from, "to": contract, "data": B256::repeat_byte(1)});
    let estimate = number(&node.ask("eth_estimateGas", rpc_params![call]).await);
    let tx = TxEip1559 {
        nonce: 1,
        gas_limit: estimate,
        to: TxKind::Call(contract),
        input: B256::repeat_byte(1).into(),
        ..TxEip1559::default()
    };
    let hash = node.send(0, tx).await;
    node.mine();
    let receipt = node.ask("eth_getTransactionReceipt", rpc_params![hash]).await;
    assert_eq!(receipt["status"], "0x1");
    assert!(estimate * 98 / 100 <= number(&receipt["gasUsed"]), "{estimate} for {}", receipt["gasUsed"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_estimate_leaves_room_for_the_l1_fee() {
    let node = Node::start().await;
    node.mine();
    let from = Address::repeat_byte(0xcc);
    let call = json!({"from": from, "to": TARGET, "gasPrice": "0x3b9aca00"});
    let gas_alone = U256::from(21_000u64) * U256::from(1_000_000_000u64);
    let with = |balance: U256| json!({ from.to_string(): { "balance": balance } });
    let error =
        node.try_ask("eth_estimateGas", rpc_params![&call, "latest", with(gas_alone)]).await.unwrap_err();
    assert!(error.message().starts_with("gas required exceeds allowance ("), "{error:?}");
    let more = gas_alone + U256::from(1_000_000_000_000_000u64);
    assert_eq!(node.ask("eth_estimateGas", rpc_params![&call, "latest", with(more)]).await, "0x5208");
    let error =
        node.try_ask("eth_estimateGas", rpc_params![&call, "latest", with(U256::ONE)]).await.unwrap_err();
    assert!(error.message().starts_with("insufficient funds"), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_access_list_names_what_is_touched() {
    let node = Node::start().await;
    let reader: Bytes = hex!("600054507300000000000000000000000000000000000000ff3100").into();
    let overrides = json!({ TARGET.to_string(): { "code": reader } });
    let result =
        node.ask("eth_createAccessList", rpc_params![json!({"to": TARGET}), "latest", overrides]).await;
    let list = result["accessList"].as_array().unwrap();
    assert_eq!(list.len(), 2);
    assert!(
        list.iter()
            .any(|item| item["address"] == json!(TARGET) && item["storageKeys"][0] == json!(B256::ZERO))
    );
    assert!(number(&result["gasUsed"]) > 21_000);
    assert!(result.get("error").is_none());
    let state = json!({ TARGET.to_string(): { "code": revert_code(b"") } });
    let result = node.ask("eth_createAccessList", rpc_params![json!({"to": TARGET}), "latest", state]).await;
    assert_eq!(result["error"], "execution reverted");
}

#[tokio::test(flavor = "multi_thread")]
async fn code_and_slots_are_read() {
    let node = Node::start().await;
    let contract = node.deploy(3).await;
    assert_eq!(
        node.ask("eth_getCode", rpc_params![contract, "latest"]).await,
        json!(Bytes::from(STORE_AND_LOG))
    );
    assert_eq!(node.ask("eth_getCode", rpc_params![contract, "0x0"]).await, "0x");
    let input = B256::repeat_byte(0x5a);
    let tx = TxEip1559 { nonce: 1, to: TxKind::Call(contract), input: input.into(), ..TxEip1559::default() };
    node.send(3, tx).await;
    node.mine();
    for slot in ["0x0", "0x0000000000000000000000000000000000000000000000000000000000000000"] {
        assert_eq!(node.ask("eth_getStorageAt", rpc_params![contract, slot, "latest"]).await, json!(input));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_economys_precompiles_answer_and_their_state_is_proved() {
    let node = Node::start().await;
    let params = address!("0000000000000000000000000000000000000a06");
    let call = json!({"to": params, "data": Bytes::copy_from_slice(&keccak256("all()")[..4])});
    let all: Bytes =
        serde_json::from_value(node.ask("eth_call", rpc_params![&call, "latest"]).await).unwrap();
    assert!(all.len() > 64, "{all}");
    assert!(number(&node.ask("eth_estimateGas", rpc_params![&call]).await) > 21_000);
    let list = node.ask("eth_createAccessList", rpc_params![&call, "latest"]).await;
    let slots = list["accessList"][0]["storageKeys"].as_array().unwrap().clone();
    assert_eq!(list["accessList"][0]["address"], json!(params));
    let proof = node.ask("eth_getProof", rpc_params![params, &slots, "latest"]).await;
    assert_eq!(
        (&proof["nonce"], proof["storageProof"].as_array().unwrap().len()),
        (&json!("0x1"), slots.len())
    );
    let unknown = json!({"to": params, "data": "0x12345678"});
    let error = node.try_ask("eth_call", rpc_params![unknown, "latest"]).await.unwrap_err();
    assert_eq!(error.code(), 3, "a custom error comes as revert data");
    assert!(error.data().unwrap().get().len() >= 12);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channels_balance_is_proved() {
    let node = Node::start().await;
    let signer = account(0).address();
    let register =
        IAgents::registerCall { kind: 0, uri: "http://a".into(), peerId: String::new(), operator: signer };
    let open = ISettlement::openCall { agentId: 1, signer };
    let deposit = 123_456_789_012_345_678u128;
    let calls =
        [(AGENTS, register.abi_encode(), 2 * 10u128.pow(18)), (SETTLEMENT, open.abi_encode(), deposit)];
    for (nonce, (to, input, value)) in (0..).zip(calls) {
        let (to, input) = (TxKind::Call(to), input.into());
        let gas_limit = 1_000_000;
        let tx = TxEip1559 { nonce, to, input, gas_limit, value: U256::from(value), ..TxEip1559::default() };
        node.send(0, tx).await;
    }
    node.mine();
    let filter = json!({"address": SETTLEMENT, "topics": [ISettlement::ChannelOpened::SIGNATURE_HASH]});
    let logs = node.ask("eth_getLogs", rpc_params![filter]).await;
    let channel: B256 = serde_json::from_value(logs[0]["topics"][1].clone()).unwrap();

    // Solidity's place of channels[channel].deposited and .settled, as anyone can compute it.
    let slot = U256::from_be_bytes(keccak256([channel, B256::ZERO].concat()).0) + U256::from(2);
    let provider = ProviderBuilder::new().connect_http(node.url().parse().unwrap());
    let proof = provider.get_proof(SETTLEMENT, vec![slot.into()]).await.unwrap();
    verify(&proof, node.chain.head().state_root);
    assert_eq!(proof.storage_proof[0].value, U256::from(deposit), "deposited, and nothing settled");
}

/// What OP's acceptance tests ask: one call in one block, as a dynamic-fee transaction, with its DA footprint.
#[tokio::test(flavor = "multi_thread")]
async fn a_simulated_block_is_whole() {
    let node = Node::start().await;
    let head = node.mine();
    let call = json!({ "from": Address::ZERO, "to": Address::ZERO, "data": "0x" });
    let payload = json!({ "returnFullTransactions": true, "blockStateCalls": [{ "calls": [call] }] });
    let answer = node.ask("eth_simulateV1", rpc_params![payload, "0x1"]).await;
    let block = &answer[0];
    assert_eq!(block["transactions"][0]["type"], "0x2");
    assert_eq!(block["parentHash"], json!(head.hash()));
    assert_eq!((&block["number"], &block["calls"][0]["status"]), (&json!("0x2"), &json!("0x1")));
    assert_ne!(number(&block["blobGasUsed"]), 0);
    assert_eq!(block["calls"][0]["gasUsed"], "0x5208");
    assert_eq!(node.chain.head().hash(), head.hash());
}

#[tokio::test(flavor = "multi_thread")]
async fn simulated_blocks_stand_on_each_other() {
    let node = Node::start().await;
    node.mine();
    let someone = Address::repeat_byte(0xcd);
    let overrides = json!({ TARGET.to_string(): { "code": Bytes::from(STORE_AND_LOG) }, someone.to_string(): { "balance": "0x64" } });
    let store = json!({ "from": someone, "to": TARGET, "input": B256::repeat_byte(6) });
    let pay = json!({ "from": someone, "to": Address::repeat_byte(0xce), "value": "0x64" });
    let payload = json!({
        "traceTransfers": true,
        "blockStateCalls": [
            { "stateOverrides": overrides, "calls": [store, pay] },
            { "blockOverrides": { "number": "0x5" }, "calls": [pay] },
        ],
    });
    let error = node.try_ask("eth_simulateV1", rpc_params![&payload, "latest"]).await.unwrap_err();
    assert_eq!(error.code(), -38014, "the money is gone in the second block: {error:?}");
    let mut rich = payload.clone();
    rich["blockStateCalls"][1]["stateOverrides"] = json!({ someone.to_string(): { "balance": "0x64" } });
    let answer = node.ask("eth_simulateV1", rpc_params![&rich, "latest"]).await;
    let blocks = answer.as_array().unwrap();
    assert_eq!(blocks.len(), 4, "gaps are filled");
    for pair in blocks.windows(2) {
        assert_eq!(pair[1]["parentHash"], pair[0]["hash"]);
        assert!(number(&pair[1]["timestamp"]) > number(&pair[0]["timestamp"]));
    }
    let first = &blocks[0]["calls"];
    assert_eq!(first[0]["logs"][0]["topics"][0], json!(B256::repeat_byte(6)));
    let transfer = &first[1]["logs"][0];
    assert_eq!(transfer["address"], "0xeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee");
    assert_eq!((&transfer["logIndex"], &transfer["transactionIndex"]), (&json!("0x1"), &json!("0x1")));
    assert_eq!(transfer["blockHash"], blocks[0]["hash"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn simulations_that_cannot_be_have_their_codes() {
    let node = Node::start().await;
    node.mine();
    let block = |overrides: serde_json::Value, call: serde_json::Value| json!({ "blockOverrides": overrides, "calls": [call] });
    let plain = json!({ "to": TARGET });
    let poor = json!({ "from": Address::repeat_byte(0xcc), "to": TARGET, "value": "0x1" });
    let revert = json!({ "to": TARGET, "nonce": "0x9" });
    for (validation, blocks, code) in [
        (false, json!([]), -32602),
        (false, json!([block(json!({ "number": "0x1" }), plain.clone())]), -38020),
        (false, json!([block(json!({ "number": "0x1000" }), plain.clone())]), -38026),
        (false, json!([block(json!({ "time": "0x1" }), plain.clone())]), -38021),
        (
            false,
            json!([block(json!({ "gasLimit": "0x5208" }), json!({ "to": TARGET, "gas": "0x5209" }))]),
            -38015,
        ),
        (false, json!([block(json!({}), poor)]), -38014),
        (true, json!([block(json!({}), revert)]), -38011),
        (true, json!([block(json!({}), json!({ "to": TARGET, "maxFeePerGas": "0x0" }))]), -38012),
        (
            false,
            json!([block(json!({}), json!({ "to": TARGET, "blobVersionedHashes": [B256::ZERO] }))]),
            -32000,
        ),
    ] {
        let payload = json!({ "validation": validation, "blockStateCalls": blocks });
        let error = node.try_ask("eth_simulateV1", rpc_params![&payload, "latest"]).await.unwrap_err();
        assert_eq!(error.code(), code, "{payload}: {error:?}");
    }
    let failing = json!({ TARGET.to_string(): { "code": revert_code(&Revert::from("no").abi_encode()) } });
    let payload = json!({ "blockStateCalls": [{ "stateOverrides": failing, "calls": [plain] }] });
    let answer = node.ask("eth_simulateV1", rpc_params![payload]).await;
    let call = &answer[0]["calls"][0];
    assert_eq!((&call["status"], &call["error"]["code"]), (&json!("0x0"), &json!(3)));
    assert_eq!(call["error"]["message"], "execution reverted: no");
}
