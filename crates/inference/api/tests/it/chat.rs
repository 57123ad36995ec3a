//! `/v1/chat/completions`.

use crate::server::{BASE, Server};
use serde_json::{Value, json};
use tributary_api::types::{ChatChunk, ChatReply, Receipt};

const PATH: &str = "/v1/chat/completions";

fn hello(more: Value) -> Value {
    let mut body = json!({ "model": BASE, "messages": [{ "role": "user", "content": "Hello there" }] });
    for (field, value) in more.as_object().unwrap() {
        body[field] = value.clone();
    }
    body
}

#[tokio::test]
async fn a_reply_has_openais_shape_and_a_receipt() {
    let server = Server::plain().await;
    let reply = server.chat(json!({ "max_tokens": 8, "temperature": 0 })).await;
    assert_eq!(reply["object"], "chat.completion");
    assert!(reply["id"].as_str().unwrap().starts_with("chatcmpl-"));
    assert_eq!(reply["model"], BASE);
    assert_eq!(reply["choices"][0]["index"], 0);
    assert_eq!(reply["choices"][0]["message"]["role"], "assistant");
    assert!(reply["choices"][0]["logprobs"].is_null());
    let usage = &reply["usage"];
    assert_eq!(
        usage["total_tokens"].as_u64().unwrap(),
        usage["prompt_tokens"].as_u64().unwrap() + usage["completion_tokens"].as_u64().unwrap()
    );
    let receipt: Receipt = serde_json::from_value(reply["tributary"].clone()).unwrap();
    assert_eq!(u64::from(receipt.in_tokens), usage["prompt_tokens"].as_u64().unwrap());
    assert_eq!(receipt.output.len() as u64, usage["completion_tokens"].as_u64().unwrap());
    assert!(receipt.fee.is_zero() && !receipt.exec_hash.is_zero() && !receipt.logits_root.is_zero());
    // The types a client uses read what the server writes.
    let typed: ChatReply = serde_json::from_value(reply.clone()).unwrap();
    assert_eq!(serde_json::to_value(&typed).unwrap(), reply);
}

#[tokio::test]
async fn a_stream_is_the_same_answer_in_pieces() {
    let server = Server::plain().await;
    let body = hello(json!({ "max_tokens": 24, "temperature": 0.8, "seed": 11 }));
    let whole = server.ok(PATH, body.clone()).await;
    let chunks = server.stream(PATH, body).await;
    let text: String =
        chunks.iter().filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str()).collect();
    assert_eq!(text, whole["choices"][0]["message"]["content"].as_str().unwrap());
    assert_eq!(chunks[0]["choices"][0]["delta"]["role"], "assistant");
    let (last, before) = chunks.split_last().unwrap();
    assert_eq!(last["choices"][0]["finish_reason"], whole["choices"][0]["finish_reason"]);
    assert!(before.iter().all(|chunk| chunk["choices"][0]["finish_reason"].is_null()));
    assert!(before.iter().all(|chunk| chunk.get("tributary").is_none() && chunk.get("usage").is_none()));
    assert_eq!(last["tributary"]["logitsRoot"], whole["tributary"]["logitsRoot"]);
    for chunk in &chunks {
        assert_eq!(chunk["object"], "chat.completion.chunk");
        let typed: ChatChunk = serde_json::from_value(chunk.clone()).unwrap();
        assert_eq!(serde_json::to_value(&typed).unwrap(), *chunk);
    }
}

#[tokio::test]
async fn usage_comes_last_when_asked_for() {
    let server = Server::plain().await;
    let body = hello(json!({
        "max_tokens": 5, "ignore_eos": true, "stream_options": { "include_usage": true }
    }));
    let chunks = server.stream(PATH, body).await;
    let (last, before) = chunks.split_last().unwrap();
    assert_eq!(last["choices"], json!([]));
    assert_eq!(last["usage"]["completion_tokens"], 5);
    assert_eq!(last["tributary"]["outTokens"], 5);
    assert!(before.iter().all(|chunk| chunk.get("usage").is_none()));
    assert_eq!(before.last().unwrap()["choices"][0]["finish_reason"], "length");
}

#[tokio::test]
async fn several_answers_differ_and_the_first_is_the_one_alone() {
    let server = Server::plain().await;
    let fields = json!({ "max_tokens": 12, "temperature": 1.0, "seed": 5, "ignore_eos": true });
    let one = server.ok(PATH, hello(fields.clone())).await;
    let mut many = hello(fields);
    many["n"] = json!(3);
    let reply = server.ok(PATH, many.clone()).await;
    let text = |choice: &Value| choice["message"]["content"].as_str().unwrap().to_owned();
    let texts: Vec<_> = reply["choices"].as_array().unwrap().iter().map(text).collect();
    assert_eq!(texts.len(), 3);
    assert_eq!(texts[0], text(&one["choices"][0]));
    assert!(texts[0] != texts[1] && texts[1] != texts[2]);
    assert_eq!(reply["usage"]["completion_tokens"], 36);
    // Each answer has a receipt of its own.
    assert!(reply.get("tributary").is_none());
    assert_ne!(reply["choices"][0]["tributary"]["requestId"], reply["choices"][1]["tributary"]["requestId"]);
    let chunks = server.stream(PATH, many).await;
    for (index, text) in texts.iter().enumerate() {
        let streamed: String = chunks
            .iter()
            .flat_map(|chunk| chunk["choices"].as_array().unwrap())
            .filter(|choice| choice["index"] == index)
            .filter_map(|choice| choice["delta"]["content"].as_str())
            .collect();
        assert_eq!(streamed, *text);
    }
}

#[tokio::test]
async fn log_probabilities() {
    let server = Server::plain().await;
    let body = hello(json!({
        "max_tokens": 4, "temperature": 0, "logprobs": true, "top_logprobs": 2, "ignore_eos": true
    }));
    let reply = server.ok(PATH, body.clone()).await;
    let content = reply["choices"][0]["logprobs"]["content"].as_array().unwrap();
    assert_eq!(content.len(), 4);
    for token in content {
        assert_eq!(token["top_logprobs"].as_array().unwrap().len(), 2);
        assert_eq!(token["logprob"], token["top_logprobs"][0]["logprob"]);
        assert!(token["bytes"].is_array());
    }
    let chunks = server.stream(PATH, body).await;
    let streamed: Vec<Value> = chunks
        .iter()
        .filter_map(|chunk| chunk["choices"][0]["logprobs"]["content"].as_array())
        .flatten()
        .cloned()
        .collect();
    assert_eq!(streamed, *content);
}

#[tokio::test]
async fn limits_and_stops() {
    let server = Server::plain().await;
    let ask = async |more: Value| {
        let reply = server.ok(PATH, hello(more)).await;
        let choice = reply["choices"][0].clone();
        let text = choice["message"]["content"].as_str().unwrap().to_owned();
        (
            text,
            choice["finish_reason"].as_str().unwrap().to_owned(),
            reply["usage"]["completion_tokens"].as_u64(),
        )
    };
    let letters: Value = (0..260)
        .filter(|t| !(97..123).contains(t))
        .map(|t| (t.to_string(), json!(-100)))
        .collect::<serde_json::Map<_, _>>()
        .into();
    let free = json!({ "seed": 3, "logit_bias": letters, "max_completion_tokens": 30 });
    let (text, reason, tokens) = ask(free.clone()).await;
    assert_eq!((text.len(), reason.as_str(), tokens), (30, "length", Some(30)));
    for stop in [json!(text[7..9]), json!(["##", text[7..9]])] {
        let mut stopped = free.clone();
        stopped["stop"] = stop;
        let at = text.find(&text[7..9]).unwrap();
        assert_eq!(ask(stopped).await, (text[..at].to_owned(), "stop".into(), Some(at as u64 + 2)));
    }
    // The older name of the same limit; where both are given the newer counts.
    let (text, ..) = ask(json!({ "max_tokens": 9, "max_completion_tokens": 2, "ignore_eos": true })).await;
    assert!(text.chars().count() <= 2);
}

#[tokio::test]
async fn messages_in_all_their_forms() {
    let server = Server::plain().await;
    let count = async |messages: Value| {
        let body = json!({ "model": BASE, "messages": messages, "max_tokens": 1 });
        server.ok(PATH, body).await["usage"]["prompt_tokens"].as_u64().unwrap()
    };
    let plain = count(json!([{ "role": "user", "content": "one two" }])).await;
    let parts = json!([{ "role": "user", "content": [
        { "type": "text", "text": "one " }, { "type": "text", "text": "two" }
    ] }]);
    assert_eq!(count(parts).await, plain);
    let system =
        count(json!([{ "role": "system", "content": "s" }, { "role": "user", "content": "u" }])).await;
    let developer =
        count(json!([{ "role": "developer", "content": "s" }, { "role": "user", "content": "u" }])).await;
    assert_eq!(system, developer);
    // The template as the model was trained with: control tokens are single tokens.
    assert_eq!(plain, ("user\none two\n".len() + "assistant\n".len() + 3) as u64);
}
