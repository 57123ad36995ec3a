//! `/v1/embeddings`.

use crate::server::{BASE, Options, Server};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::{Value, json};
use std::sync::Arc;
use tributary_api::{ApiConfig, ApiKey, types::EmbeddingsReply};
use tributary_embed::Embedder;
use tributary_testkit::{BERT_HIDDEN, TinyBert};

const PATH: &str = "/v1/embeddings";
const MODEL: &str = "tiny-bert";

async fn server() -> Server {
    let folder = TinyBert::new(4).unwrap().folder;
    let embedder = Some((MODEL.to_owned(), Arc::new(Embedder::open(folder.path()).unwrap())));
    Server::start(Options { embedder, ..Options::default() }).await
}

fn numbers(reply: &Value, index: usize) -> Vec<f64> {
    let list = reply["data"][index]["embedding"].as_array().unwrap();
    list.iter().map(|number| number.as_f64().unwrap()).collect()
}

#[tokio::test]
async fn texts_and_tokens_in_both_encodings() {
    let server = server().await;
    let one = server.ok(PATH, json!({ "model": MODEL, "input": "the river", "user": "me" })).await;
    assert_eq!((&one["object"], &one["model"]), (&json!("list"), &json!(MODEL)));
    assert_eq!(one["usage"], json!({ "prompt_tokens": 4, "total_tokens": 4 }));
    assert_eq!((&one["data"][0]["object"], &one["data"][0]["index"]), (&json!("embedding"), &json!(0)));
    assert_eq!(numbers(&one, 0).len(), BERT_HIDDEN);
    let typed: EmbeddingsReply = serde_json::from_value(one.clone()).unwrap();
    assert_eq!((typed.data.len(), typed.usage.total_tokens), (1, 4));
    // Beside others it is the same to the bit.
    let several = server
        .ok(PATH, json!({ "model": MODEL, "input": ["a fish", "the river"], "encoding_format": "float" }))
        .await;
    assert_eq!(several["data"][1]["embedding"], one["data"][0]["embedding"]);
    assert_eq!(several["data"][1]["index"], 1);
    let tokens = server.ok(PATH, json!({ "model": MODEL, "input": [[2, 4, 6, 3]] })).await;
    assert_eq!(tokens["data"][0]["embedding"], one["data"][0]["embedding"]);
    let packed = server
        .ok(PATH, json!({ "model": MODEL, "input": [2, 4, 6, 3], "encoding_format": "base64", "dimensions": BERT_HIDDEN }))
        .await;
    let bytes = BASE64_STANDARD.decode(packed["data"][0]["embedding"].as_str().unwrap()).unwrap();
    let unpacked: Vec<f32> =
        bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
    let floats: Vec<f32> = numbers(&one, 0).into_iter().map(|number| number as f32).collect();
    assert_eq!(unpacked, floats);
    let models: Value = server.get("/v1/models").send().await.unwrap().json().await.unwrap();
    assert_eq!((&models["data"][0]["id"], &models["data"][1]["id"]), (&json!(BASE), &json!(MODEL)));
}

#[tokio::test]
async fn long_texts_are_refused_or_cut() {
    let server = server().await;
    let long = "sea ".repeat(60);
    let refused = server.post(PATH, &json!({ "model": MODEL, "input": long })).send().await.unwrap();
    assert_eq!(refused.status(), 400);
    assert_eq!(refused.json::<Value>().await.unwrap()["error"]["code"], "context_length_exceeded");
    for (cut, tokens) in [(-1, 40), (7, 7), (500, 40)] {
        let body = json!({ "model": MODEL, "input": long, "truncate_prompt_tokens": cut });
        assert_eq!(server.ok(PATH, body).await["usage"]["total_tokens"], tokens);
    }
}

#[tokio::test]
async fn what_cannot_be_embedded_is_named() {
    let server = server().await;
    for (more, field) in [
        (json!({ "dimensions": 8 }), "dimensions"),
        (json!({ "encoding_format": "hex" }), "encoding_format"),
        (json!({ "input": [] }), "input"),
        (json!({ "input": vec!["a"; 3000] }), "input"),
        (json!({ "input": [[2, 99]] }), "input"),
        (json!({ "input": [[]] }), "input"),
        (json!({ "truncate_prompt_tokens": 0 }), "truncate_prompt_tokens"),
        (json!({ "truncate_prompt_tokens": -5 }), "truncate_prompt_tokens"),
        (json!({ "never_heard_of": 1 }), "never_heard_of"),
        (json!({ "add_special_tokens": false }), "add_special_tokens"),
    ] {
        let mut body = json!({ "model": MODEL, "input": "sea" });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let response = server.post(PATH, &body).send().await.unwrap();
        let (status, reply) = (response.status().as_u16(), response.json::<Value>().await.unwrap());
        assert_eq!((status, reply["error"]["param"].as_str()), (400, Some(field)), "{reply}");
    }
    let many = json!({ "model": MODEL, "input": vec![vec![2; 40]; 2000] });
    assert_eq!(server.post(PATH, &many).send().await.unwrap().status(), 400);
    for model in [BASE, "nobody"] {
        let body = json!({ "model": model, "input": "sea" });
        assert_eq!(server.post(PATH, &body).send().await.unwrap().status(), 404);
    }
}

/// It once read as if only the model's name were wrong.
#[tokio::test]
async fn a_node_without_embeddings_says_so() {
    let without = Server::plain().await;
    let response = without.post(PATH, &json!({ "model": MODEL, "input": "sea" })).send().await.unwrap();
    assert_eq!(response.status(), 404);
    let error = response.json::<Value>().await.unwrap()["error"].clone();
    assert_eq!((&error["code"], &error["param"]), (&json!("no_embeddings"), &Value::Null));
    assert!(error["message"].as_str().unwrap().contains("--embeddings"), "{error}");
}

#[tokio::test]
async fn a_keys_tokens_bound_embeddings_too() {
    let folder = TinyBert::new(4).unwrap().folder;
    let embedder = Some((MODEL.to_owned(), Arc::new(Embedder::open(folder.path()).unwrap())));
    let config = ApiConfig { api_keys: ApiKey::parse_file("few tpm=10").unwrap(), ..ApiConfig::default() };
    let server = Server::start(Options { api: config, embedder, ..Options::default() }).await;
    let ask = async |input: Value| {
        let body = json!({ "model": MODEL, "input": input, "truncate_prompt_tokens": 7 });
        server.post(PATH, &body).bearer_auth("few").send().await.unwrap().status().as_u16()
    };
    // Four tokens each. What was refused costs nothing.
    let three = json!(["the river", "the river", "the river"]);
    assert_eq!((ask(three).await, ask(json!("the river")).await), (400, 200));
    assert_eq!((ask(json!("the river")).await, ask(json!("the river")).await), (200, 429));
}
