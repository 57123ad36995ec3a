//! `/v1/completions`, and the tokens beneath it.

use crate::server::{BASE, Server};
use serde_json::{Value, json};
use tributary_api::types::CompletionReply;

const PATH: &str = "/v1/completions";

#[tokio::test]
async fn prompts_in_all_their_forms() {
    let server = Server::plain().await;
    let ask = async |prompt: Value| {
        let body =
            json!({ "model": BASE, "prompt": prompt, "max_tokens": 6, "temperature": 0, "ignore_eos": true });
        server.ok(PATH, body).await
    };
    let text = ask(json!("ab")).await;
    assert_eq!(text["object"], "text_completion");
    assert_eq!(text["usage"], json!({ "prompt_tokens": 2, "completion_tokens": 6, "total_tokens": 8 }));
    let typed: CompletionReply = serde_json::from_value(text.clone()).unwrap();
    assert_eq!(serde_json::to_value(&typed).unwrap(), text);
    let answer = |reply: &Value, index: usize| reply["choices"][index]["text"].clone();
    assert_eq!(answer(&ask(json!([97, 98])).await, 0), answer(&text, 0));
    let several = ask(json!(["xyz", "ab"])).await;
    assert_eq!(answer(&several, 1), answer(&text, 0));
    assert_eq!(several["usage"]["prompt_tokens"], 5);
    let lists = ask(json!([[97, 98], [120, 121, 122]])).await;
    assert_eq!((answer(&lists, 0), answer(&lists, 1)), (answer(&several, 1), answer(&several, 0)));
}

#[tokio::test]
async fn the_default_is_sixteen_tokens() {
    let server = Server::plain().await;
    let reply = server.ok(PATH, json!({ "model": BASE, "prompt": "x", "ignore_eos": true })).await;
    assert_eq!(reply["usage"]["completion_tokens"], 16);
    assert_eq!(reply["choices"][0]["finish_reason"], "length");
}

#[tokio::test]
async fn streams_and_log_probabilities() {
    let server = Server::plain().await;
    let body = json!({
        "model": BASE, "prompt": "stream", "max_tokens": 12, "temperature": 0, "logprobs": 3,
        "stream_options": { "include_usage": true }, "ignore_eos": true
    });
    let mut plain = body.clone();
    plain.as_object_mut().unwrap().remove("stream_options");
    let whole = server.ok(PATH, plain).await;
    let chunks = server.stream(PATH, body).await;
    let text: String = chunks.iter().filter_map(|chunk| chunk["choices"][0]["text"].as_str()).collect();
    assert_eq!(text, whole["choices"][0]["text"].as_str().unwrap());
    let logprobs = &whole["choices"][0]["logprobs"];
    for field in ["tokens", "token_logprobs", "text_offset", "top_logprobs"] {
        let streamed: Vec<Value> = chunks
            .iter()
            .filter_map(|chunk| chunk["choices"][0]["logprobs"][field].as_array())
            .flatten()
            .cloned()
            .collect();
        assert_eq!(streamed.len(), 12);
        assert_eq!(Value::from(streamed), logprobs[field], "{field}");
    }
    assert_eq!(logprobs["text_offset"][0], 0);
    assert_eq!(chunks.last().unwrap()["usage"]["total_tokens"], 18);
}

#[tokio::test]
async fn tokens_are_counted_as_they_are_charged() {
    let server = Server::plain().await;
    let messages =
        json!([{ "role": "system", "content": "be brief" }, { "role": "user", "content": "héllo €" }]);
    let counted = server.ok("/tokenize", json!({ "messages": messages })).await;
    let reply = server.chat(json!({ "messages": messages, "max_tokens": 1 })).await;
    assert_eq!(counted["count"], reply["usage"]["prompt_tokens"]);
    assert_eq!(counted["max_model_len"], 512);
    let tokens = server.ok("/tokenize", json!({ "model": BASE, "prompt": "héllo €" })).await;
    assert_eq!(tokens["count"], "héllo €".len());
    let text = server.ok("/detokenize", json!({ "model": BASE, "tokens": tokens["tokens"] })).await;
    assert_eq!(text, json!({ "prompt": "héllo €" }));
    let reply = server.ok(PATH, json!({ "model": BASE, "prompt": tokens["tokens"], "max_tokens": 1 })).await;
    assert_eq!(reply["usage"]["prompt_tokens"], tokens["count"]);
}
