//! Adapters by name, over HTTP, in mixed company.

use crate::server::{BASE, Options, Server, adapter};
use futures::future::join_all;
use serde_json::{Value, json};
use tributary_testkit::{AdapterSpec, artifact};

fn body(model: &str, seed: u64) -> Value {
    json!({
        "model": model, "prompt": format!("question {seed}"), "max_tokens": 12, "seed": seed, "temperature": 0.7,
        "ignore_eos": true
    })
}

#[tokio::test]
async fn concurrent_requests_get_their_own_adapter() {
    let names = ["poet", "jurist", "sailor"];
    let adapters = names.iter().zip(1..).map(|(name, seed)| (*name, adapter(seed))).collect();
    let server = Server::start(Options { adapters, ..Options::default() }).await;
    let models = [BASE, "poet", "jurist", "sailor"];
    let answer = async |model: &str, seed: u64| {
        let reply = server.ok("/v1/completions", body(model, seed)).await;
        (reply["choices"][0]["text"].clone(), reply["tributary"]["logitsRoot"].clone())
    };
    let mut alone = Vec::new();
    for index in 0..12 {
        alone.push(answer(models[index % 4], index as u64).await);
    }
    assert_eq!(server.store.stats().resident, 3);
    let together = join_all((0..12).map(|index| answer(models[index % 4], index as u64))).await;
    assert_eq!(together, alone);
}

#[tokio::test]
async fn an_adapter_that_cannot_be_had_is_said_so_and_others_go_on() {
    let broken = artifact(&AdapterSpec::new(1).config("modules_to_save", json!(["lm_head"])));
    let adapters = vec![("broken", broken), ("fine", adapter(2))];
    let server = Server::start(Options { adapters, ..Options::default() }).await;
    let (good, bad) = tokio::join!(
        server.ok("/v1/completions", body("fine", 1)),
        server.post("/v1/completions", &body("broken", 1)).send()
    );
    assert_eq!(good["usage"]["completion_tokens"], 12);
    let bad = bad.unwrap();
    assert_eq!(bad.status(), 503);
    let error = bad.json::<Value>().await.unwrap()["error"].clone();
    assert_eq!(error["code"], "data_unavailable");
    assert!(error["message"].as_str().unwrap().contains("modules_to_save"), "{error}");
}

#[tokio::test]
async fn a_composition_with_a_dora_adapter_is_refused_by_name() {
    let dora = artifact(&AdapterSpec::new(1).dora());
    let adapters = vec![("scaled", dora), ("plain", adapter(2))];
    let server = Server::start(Options { adapters, ..Options::default() }).await;
    assert_eq!(server.ok("/v1/completions", body("scaled", 1)).await["usage"]["completion_tokens"], 12);
    let mut both = body(BASE, 1);
    both["adapters"] = json!([{"name": "plain", "weight": 1}, {"name": "scaled", "weight": 0.5}]);
    let refused = server.post("/v1/completions", &both).send().await.unwrap();
    assert_eq!(refused.status(), 400);
    let error = refused.json::<Value>().await.unwrap()["error"].clone();
    assert_eq!(error["param"], "adapters");
    assert!(error["message"].as_str().unwrap().contains("DoRA"), "{error}");
}
