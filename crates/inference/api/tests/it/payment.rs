//! The gate before the first token and the meter after the last.

use crate::server::{BASE, Options, Server};
use alloy_primitives::{B256, U128, U256};
use async_trait::async_trait;
use reqwest::StatusCode;
use serde_json::{Value, json};
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::sync::Mutex;
use tributary_api::{
    Ask, Gate, Meter, Refusal, SettleError, VOUCHER_HEADER, VoucherHeader,
    types::{ErrorReply, PaymentRequired, Receipt},
};
use tributary_engine::{FinishReason, Outcome};

/// A till: one wei a token, a voucher for every request, everything written down.
#[derive(Default)]
struct Till {
    open: AtomicUsize,
    settled: Mutex<Vec<(B256, usize, FinishReason)>>,
    broken: bool,
}

struct Counter(Arc<Till>);

struct Sale {
    till: Arc<Till>,
    request_id: B256,
    budget: u32,
}

impl Drop for Sale {
    fn drop(&mut self) {
        self.till.open.fetch_sub(1, Ordering::SeqCst);
    }
}

#[async_trait]
impl Gate for Counter {
    async fn authorize(&self, ask: Ask) -> Result<Box<dyn Meter>, Refusal> {
        let max_fee = u128::from(ask.prompt_tokens + ask.max_tokens);
        let refuse = |code: &'static str, message: &str| {
            let terms = PaymentRequired {
                channel: ask.voucher.as_ref().map(|voucher| voucher.channel),
                agent_id: 1,
                chain_id: 161_299,
                model_id: 1,
                adapter_id: 0,
                settled: U128::ZERO,
                spent: U128::ZERO,
                reserved: U128::ZERO,
                deposit: U128::from(1000),
                n_in: ask.prompt_tokens,
                max_fee: U128::from(max_fee),
                cumulative: U256::from(max_fee),
                in_rate: U128::from(1000),
                out_rate: U128::from(1000),
                platform_fee: U128::ZERO,
                l2_block: 5,
            };
            Refusal::Payment { message: message.into(), code, terms: Box::new(terms) }
        };
        let Some(voucher) = &ask.voucher else {
            return Err(refuse("voucher_required", "a voucher is required"));
        };
        if voucher.n_in != ask.prompt_tokens {
            return Err(refuse("voucher_mismatch", "nIn is not the prompt's"));
        }
        let budget = u32::try_from(voucher.max_fee).unwrap().saturating_sub(ask.prompt_tokens);
        self.0.open.fetch_add(1, Ordering::SeqCst);
        Ok(Box::new(Sale { till: Arc::clone(&self.0), request_id: voucher.request_id, budget }))
    }
}

#[async_trait]
impl Meter for Sale {
    fn request_id(&self) -> B256 {
        self.request_id
    }

    fn max_output_tokens(&self) -> Option<u32> {
        Some(self.budget)
    }

    async fn settle(self: Box<Self>, outcome: &Outcome) -> Result<Receipt, SettleError> {
        if self.till.broken {
            return Err(SettleError("disk full".into()));
        }
        self.till.settled.lock().await.push((self.request_id, outcome.tokens.len(), outcome.reason));
        let fee = U128::from(outcome.prompt_tokens as usize + outcome.tokens.len());
        Ok(Receipt {
            request_id: self.request_id,
            fee,
            signature: Some(vec![1; 65].into()),
            ..Receipt::default()
        })
    }
}

fn voucher(n_in: u32, max_fee: u128) -> VoucherHeader {
    VoucherHeader {
        channel: B256::repeat_byte(3),
        cumulative: U256::from(max_fee),
        request_id: B256::repeat_byte(4),
        l2_block: 5,
        n_in,
        max_fee,
        privacy: 0,
        signature: vec![9; 65].into(),
    }
}

async fn shop(broken: bool) -> (Server, Arc<Till>) {
    let till = Arc::new(Till { broken, ..Till::default() });
    let gate = Arc::new(Counter(Arc::clone(&till)));
    (Server::start(Options { gate, ..Options::default() }).await, till)
}

fn body(max_tokens: u32) -> Value {
    json!({ "model": BASE, "prompt": "12345", "max_tokens": max_tokens, "ignore_eos": true })
}

#[tokio::test]
async fn without_a_voucher_the_terms_come_back() {
    let (server, till) = shop(false).await;
    let response = server.post("/v1/completions", &body(10)).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::PAYMENT_REQUIRED);
    let reply: Value = response.json().await.unwrap();
    assert_eq!(reply["error"]["code"], "voucher_required");
    for field in [
        "channel",
        "agentId",
        "chainId",
        "settled",
        "spent",
        "reserved",
        "deposit",
        "nIn",
        "maxFee",
        "cumulative",
        "inRate",
        "outRate",
        "platformFee",
        "l2Block",
    ] {
        assert!(reply.get(field).is_some(), "{field}");
    }
    assert_eq!((&reply["nIn"], &reply["maxFee"]), (&json!(5), &json!("0xf")));
    let typed: ErrorReply = serde_json::from_value(reply).unwrap();
    let terms = typed.payment.unwrap();
    // A client that signs what the terms say is let in.
    let paid = voucher(terms.n_in, terms.max_fee.to());
    let response =
        server.post("/v1/completions", &body(10)).header(VOUCHER_HEADER, paid.encode()).send().await;
    let reply: Value = response.unwrap().json().await.unwrap();
    assert_eq!(
        (&reply["usage"]["completion_tokens"], &reply["tributary"]["fee"]),
        (&json!(10), &json!("0xf"))
    );
    assert_eq!(reply["tributary"]["requestId"], json!(B256::repeat_byte(4)));
    assert_eq!(reply["id"], format!("cmpl-{}", "04".repeat(32)));
    assert_eq!(till.open.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn decoding_stops_before_the_cap() {
    let (server, till) = shop(false).await;
    let paid = voucher(5, 5 + 7).encode();
    let response =
        server.post("/v1/completions", &body(100)).header(VOUCHER_HEADER, &paid).send().await.unwrap();
    let reply: Value = response.json().await.unwrap();
    assert_eq!(reply["usage"]["completion_tokens"], 7);
    assert_eq!(reply["choices"][0]["finish_reason"], "length");
    assert_eq!(till.settled.lock().await[..], [(B256::repeat_byte(4), 7, FinishReason::Length)]);
    let nothing = voucher(5, 5).encode();
    let response =
        server.post("/v1/completions", &body(9)).header(VOUCHER_HEADER, nothing).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    assert_eq!(till.open.load(Ordering::SeqCst), 0, "what was reserved is given back");
}

#[tokio::test]
async fn vouchers_that_are_none() {
    let (server, till) = shop(false).await;
    for header in ["", "???", "AAAA", &"A".repeat(4000)] {
        let request = server.post("/v1/completions", &body(1)).header(VOUCHER_HEADER, header);
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), StatusCode::BAD_REQUEST);
        assert_eq!(response.json::<Value>().await.unwrap()["error"]["code"], "invalid_voucher");
    }
    let wrong = voucher(6, 100).encode();
    let response =
        server.post("/v1/completions", &body(1)).header(VOUCHER_HEADER, wrong).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::PAYMENT_REQUIRED);
    let reply: Value = response.json().await.unwrap();
    assert_eq!((&reply["nIn"], &reply["channel"]), (&json!(5), &json!(B256::repeat_byte(3))));
    let twice = server
        .post("/v1/completions", &body(1))
        .header(VOUCHER_HEADER, voucher(5, 9).encode())
        .header(VOUCHER_HEADER, voucher(5, 10).encode());
    assert_eq!(twice.send().await.unwrap().status(), StatusCode::BAD_REQUEST);
    let mut several = body(1);
    several["n"] = json!(2);
    let request = server.post("/v1/completions", &several).header(VOUCHER_HEADER, voucher(5, 99).encode());
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    assert_eq!(response.json::<Value>().await.unwrap()["error"]["param"], "n");
    assert_eq!(till.settled.lock().await.len(), 0);
    assert_eq!(till.open.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn the_last_chunk_of_a_stream_has_the_receipt() {
    let (server, _till) = shop(false).await;
    for usage in [false, true] {
        let mut asked = body(4);
        asked["stream"] = json!(true);
        asked["stream_options"] = json!({ "include_usage": usage });
        let request = server.post("/v1/completions", &asked).header(VOUCHER_HEADER, voucher(5, 50).encode());
        let chunks = crate::server::chunks(request.send().await.unwrap()).await;
        let last = chunks.last().unwrap();
        assert_eq!(last["tributary"]["fee"], "0x9");
        assert_eq!(chunks.iter().filter(|chunk| chunk.get("tributary").is_some()).count(), 1);
    }
}

/// A client that hangs up pays for what it was sent; one that never got a byte pays nothing.
#[tokio::test]
async fn clients_that_leave() {
    let (server, till) = shop(false).await;
    let mut asked = body(450);
    asked["stream"] = json!(true);
    let request = server.post("/v1/completions", &asked).header(VOUCHER_HEADER, voucher(5, 1000).encode());
    let mut response = request.send().await.unwrap();
    response.chunk().await.unwrap().unwrap();
    drop(response);
    wait(|| till.open.load(Ordering::SeqCst) == 0).await;
    let settled = till.settled.lock().await.clone();
    assert_eq!(settled.len(), 1);
    assert!((1..450).contains(&settled[0].1), "{settled:?}");
    assert_eq!(settled[0].2, FinishReason::Cancelled);

    // Who hangs up while the whole answer is decoded; a machine that is busy may finish it first, then once more.
    for _ in 0..50 {
        let before = till.settled.lock().await.len();
        let request =
            server.post("/v1/completions", &body(450)).header(VOUCHER_HEADER, voucher(5, 1000).encode());
        let asking = tokio::spawn(request.send());
        wait(|| server.engine.requests() > 0 || asking.is_finished()).await;
        asking.abort();
        wait(|| till.open.load(Ordering::SeqCst) == 0 && server.engine.requests() == 0).await;
        let settled = till.settled.lock().await;
        assert!(settled[before..].iter().all(|it| it.2 != FinishReason::Cancelled), "{settled:?}");
        if settled.len() == before {
            return;
        }
    }
    panic!("no answer took long enough to leave it");
}

#[tokio::test]
async fn an_answer_that_cannot_be_recorded_is_not_given_as_paid() {
    let (server, _till) = shop(true).await;
    let request = server.post("/v1/completions", &body(3)).header(VOUCHER_HEADER, voucher(5, 50).encode());
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    let mut asked = body(3);
    asked["stream"] = json!(true);
    let request = server.post("/v1/completions", &asked).header(VOUCHER_HEADER, voucher(5, 50).encode());
    let chunks = crate::server::chunks(request.send().await.unwrap()).await;
    assert!(chunks.last().unwrap()["error"]["message"].as_str().unwrap().contains("disk full"));
}

async fn wait(mut done: impl FnMut() -> bool) {
    let waiting = async {
        while !done() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), waiting).await.unwrap();
}
