//! A payer against an agent that lies: what it claims, what it asks for, what it gives as a receipt.

mod world;

use std::{sync::Arc, time::Duration};

use alloy_primitives::{B256, U128};
use alloy_signer_local::PrivateKeySigner;
use axum::http::StatusCode;
use serde_json::{Value, json};

use self::world::{AGENT, CHANNEL, FEE, Lies, MAX_FEE, World};
use super::{Payer, Spending, ledger::Ledger, serve_proxy};

fn body() -> Value {
    json!({"model": "m", "messages": [{"role": "user", "content": "?"}], "max_tokens": 8})
}

async fn refusal(payer: &Payer) -> String {
    format!("{:#}", payer.chat(&body()).await.unwrap_err())
}

/// What an agent can take at most, and what it may take.
async fn known(world: &World) -> super::Known {
    let payer = world.payer().await;
    let name = payer.purse.as_ref().unwrap().name();
    let books = Ledger::new(world.ledgers.path(), name).read().unwrap().unwrap();
    super::Known { used: books.used(), outstanding: books.outstanding(), highest: books.highest() }
}

#[tokio::test]
async fn an_honest_agent_is_promised_one_request_more_than_was_used() {
    let world = World::new().await;
    let payer = world.payer().await;
    for asked in 1..=5_u128 {
        payer.chat(&body()).await.unwrap();
        assert_eq!(world.highest(), (asked - 1) * FEE + MAX_FEE);
    }
    // Another process goes on where this one is.
    world.payer().await.chat(&body()).await.unwrap();
    assert_eq!((world.highest(), world.vouchers()), (5 * FEE + MAX_FEE, 6));
    let known = known(&world).await;
    assert_eq!((known.used, known.outstanding, known.highest), (6 * FEE, 0, 5 * FEE + MAX_FEE));
}

#[tokio::test]
async fn several_processes_on_one_channel_promise_what_is_in_flight() {
    let world = World::new().await;
    let mut askers = Vec::new();
    for _ in 0..4 {
        let payer = Arc::new(world.payer().await);
        for _ in 0..2 {
            let payer = Arc::clone(&payer);
            askers.push(tokio::spawn(async move {
                for _ in 0..5 {
                    payer.chat(&body()).await.unwrap();
                }
            }));
        }
    }
    for asker in askers {
        asker.await.unwrap();
    }
    let known = known(&world).await;
    assert_eq!((known.used, known.outstanding), (40 * FEE, 0));
    assert!(world.highest() <= 40 * FEE + 8 * MAX_FEE, "{}", world.highest());
    assert_eq!(world.books.lock().spent, 40 * FEE);
}

#[tokio::test]
async fn an_agent_that_counts_more_than_was_signed_gets_nothing() {
    let world = World::new().await;
    let payer = world.payer().await;
    payer.chat(&body()).await.unwrap();
    world.lie(|lies| lies.spent = 500_000);
    let (before, said) = (world.highest(), refusal(&payer).await);
    assert!(said.contains("--accept-spent 0.000000000000500023"), "{said}");
    // Vouchers that learned of the claim promised one request; none was signed for the claim.
    assert_eq!(world.highest(), before + FEE);
    let signed = world.vouchers();
    refusal(&payer).await;
    refusal(&world.payer().await).await;
    assert_eq!((world.highest(), world.vouchers()), (before + FEE, signed + 2));
    // The user takes its word, once and for this amount.
    let less = Spending { accept_spent: Some(500_022), ..world.spending() };
    refusal(&world.payer_with(less).await.unwrap()).await;
    let enough = Spending { accept_spent: Some(600_000), ..world.spending() };
    let payer = world.payer_with(enough).await.unwrap();
    payer.chat(&body()).await.unwrap();
    assert_eq!(world.highest(), 500_000 + FEE + MAX_FEE, "what was claimed, not what was accepted");
    world.lie(|lies| lies.spent += 50_000);
    refusal(&payer).await;
}

#[tokio::test]
async fn a_lost_ledger_is_not_made_up_for_by_the_agents_word() {
    let world = World::new().await;
    for _ in 0..3 {
        world.payer().await.chat(&body()).await.unwrap();
    }
    let elsewhere = tempfile::tempdir().unwrap();
    let spending = Spending { ledgers: elsewhere.path().to_owned(), ..world.spending() };
    let payer = world.payer_with(spending.clone()).await.unwrap();
    assert!(refusal(&payer).await.contains("was the ledger here lost?"));
    // The chain's word is enough.
    *world.settled.lock() = 3 * FEE;
    payer.chat(&body()).await.unwrap();
    let again = world.payer_with(spending).await.unwrap();
    again.chat(&body()).await.unwrap();
}

async fn caught(lie: impl FnOnce(&mut Lies), expected: &str) {
    let world = World::new().await;
    let payer = world.payer().await;
    payer.chat(&body()).await.unwrap();
    world.lie(lie);
    let said = refusal(&payer).await;
    assert!(said.contains(expected), "{said}");
    *world.lies.lock() = Lies::default();
    let (signed, highest) = (world.vouchers(), world.highest());
    for payer in [payer, world.payer().await] {
        let said = refusal(&payer).await;
        assert!(said.contains("the agent was caught") && said.contains(expected), "{said}");
    }
    assert_eq!((world.vouchers(), world.highest()), (signed, highest), "nothing further was signed");
    let forgiving = Spending { accept_spent: Some(0), ..world.spending() };
    world.payer_with(forgiving).await.unwrap().chat(&body()).await.unwrap();
}

#[tokio::test]
async fn a_bad_receipt_ends_the_trust() {
    caught(|lies| lies.forger = Some(PrivateKeySigner::random()), "not by the operator").await;
    caught(|lies| lies.replay = true, "of another request").await;
    caught(|lies| lies.no_receipt = true, "without a receipt").await;
    caught(|lies| lies.receipt = Some(|receipt| receipt.request_hash = B256::ZERO), "of another request")
        .await;
    let above_cap = |receipt: &mut tributary_api::types::Receipt| receipt.fee = U128::from(MAX_FEE + 1);
    caught(|lies| lies.receipt = Some(above_cap), "passes the cap").await;
    let above_price = |receipt: &mut tributary_api::types::Receipt| receipt.fee = U128::from(FEE + 1);
    caught(|lies| lies.receipt = Some(above_price), "its tokens cost").await;
    // The agent of another channel cannot vouch for this one's.
    let elsewhere = |receipt: &mut tributary_api::types::Receipt| receipt.agent_id = AGENT + 1;
    let world = World::new().await;
    world.lie(|lies| lies.receipt = Some(elsewhere));
    world.payer().await.chat(&body()).await.unwrap();
}

#[tokio::test]
async fn terms_that_the_chain_does_not_know_are_not_signed() {
    type Lie = fn(&mut Lies);
    let lies: [(Lie, &str); 8] = [
        (|lies| lies.cap = 1, "by the chain's rates it costs 31 at most"),
        (|lies| lies.terms = Some(|terms| terms.agent_id = AGENT + 1), "the API is agent 8"),
        (|lies| lies.terms = Some(|terms| terms.chain_id = 1), "settles on chain 1"),
        (|lies| lies.terms = Some(|terms| terms.model_id += 1), "bills model 4 for m"),
        (|lies| lies.terms = Some(|terms| terms.adapter_id = 9), "bills model 9 for m"),
        (|lies| lies.terms = Some(|terms| terms.l2_block = 9), "prices by block 9"),
        (|lies| lies.terms = Some(|terms| terms.n_in = 1_000_000), "counts 1000000 tokens"),
        (|lies| lies.terms = Some(|terms| terms.max_fee = U128::MAX), "asks for a cap"),
    ];
    let world = World::new().await;
    let payer = world.payer().await;
    for (lie, expected) in lies {
        *world.lies.lock() = Lies::default();
        world.lie(lie);
        let said = refusal(&payer).await;
        assert!(said.contains(expected), "{said}");
    }
    assert_eq!(world.vouchers(), 0);
    *world.lies.lock() = Lies::default();
    let frugal = Spending { max_fee: Some(MAX_FEE - 1), ..world.spending() };
    let said = refusal(&world.payer_with(frugal).await.unwrap()).await;
    assert!(said.contains("the most is"), "{said}");
    assert_eq!(world.vouchers(), 0);
}

/// The process ends after its voucher is out: the next one knows what it may have cost.
#[tokio::test]
async fn a_crash_between_voucher_and_answer_leaves_the_promise_on_disk() {
    let world = World::new().await;
    world.lie(|lies| lies.hangs = true);
    let payer = Arc::new(world.payer().await);
    let asking = tokio::spawn({
        let payer = Arc::clone(&payer);
        async move { payer.chat(&body()).await }
    });
    while world.vouchers() == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let promised = known(&world).await;
    assert_eq!((promised.used, promised.outstanding, promised.highest), (0, MAX_FEE, MAX_FEE));
    asking.abort();
    assert!(asking.await.unwrap_err().is_cancelled());
    world.lie(|lies| lies.hangs = false);
    // The agent served it after all, at its full price.
    world.served_in_secret(MAX_FEE);
    world.payer().await.chat(&body()).await.unwrap();
    assert_eq!(world.highest(), 2 * MAX_FEE);
    // One wei more than it can have cost is a lie.
    world.lie(|lies| lies.spent = 1);
    assert!(refusal(&world.payer().await).await.contains("accounts for"));
    assert_eq!(world.highest(), 2 * MAX_FEE);
}

#[tokio::test]
async fn a_refused_request_costs_nothing_and_a_failed_one_may_have_cost_its_cap() {
    let world = World::new().await;
    let payer = world.payer().await;
    world.lie(|lies| lies.status = Some(StatusCode::TOO_MANY_REQUESTS));
    refusal(&payer).await;
    assert_eq!(known(&world).await.outstanding, 0);
    world.lie(|lies| lies.status = Some(StatusCode::BAD_GATEWAY));
    refusal(&payer).await;
    assert_eq!(known(&world).await.outstanding, MAX_FEE);
    // It did not: nothing more is promised for it.
    *world.lies.lock() = Lies::default();
    payer.chat(&body()).await.unwrap();
    assert_eq!(world.highest(), MAX_FEE);
}

#[tokio::test]
async fn the_proxy_passes_streams_on_and_reads_their_receipts() {
    let world = World::new().await;
    let (sender, address) = tokio::sync::oneshot::channel();
    let payer = Arc::new(world.payer().await);
    tokio::spawn(serve_proxy(payer, "127.0.0.1:0".parse().unwrap(), |at| sender.send(at).unwrap()));
    let url = format!("http://{}/v1/chat/completions", address.await.unwrap());
    let ask = async || {
        let mut body = body();
        body["stream"] = json!(true);
        reqwest::Client::new().post(&url).body(body.to_string()).send().await.unwrap()
    };
    let text = ask().await.text().await.unwrap();
    assert!(text.ends_with("data: [DONE]\n\n"), "{text}");
    let paid = known(&world).await;
    assert_eq!((paid.used, paid.outstanding), (FEE, 0));
    world.lie(|lies| lies.forger = Some(PrivateKeySigner::random()));
    ask().await.text().await.unwrap();
    world.lie(|lies| lies.forger = None);
    let signed = world.vouchers();
    let refused = ask().await;
    assert_eq!(refused.status(), StatusCode::PAYMENT_REQUIRED);
    let body: Value = refused.json().await.unwrap();
    assert!(body["error"]["message"].as_str().unwrap().contains("the agent was caught"), "{body}");
    assert_eq!(world.vouchers(), signed);
}

#[tokio::test]
async fn a_channel_of_another_key_is_not_paid_from() {
    let world = World::new().await;
    let stranger = world.stranger().await.unwrap_err();
    assert!(format!("{stranger:#}").contains(&format!("vouchers of channel {CHANNEL} are signed by")));
}
