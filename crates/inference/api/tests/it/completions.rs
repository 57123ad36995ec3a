//! `/v1/completions`, and the tokens beneath it.

use crate::server::{BASE, Options, Server};
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
    assert_eq!(
        text["usage"],
        json!({
            "prompt_tokens": 2, "completion_tokens": 6, "total_tokens": 8, "prompt_tokens_details": { "cached_tokens": 0 }
        })
    );
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
    assert_eq!(counted["max_model_len"], 1024);
    let tokens = server.ok("/tokenize", json!({ "model": BASE, "prompt": "héllo €" })).await;
    assert_eq!(tokens["count"], "héllo €".len());
    let text = server.ok("/detokenize", json!({ "model": BASE, "tokens": tokens["tokens"] })).await;
    assert_eq!(text, json!({ "prompt": "héllo €" }));
    let reply = server.ok(PATH, json!({ "model": BASE, "prompt": tokens["tokens"], "max_tokens": 1 })).await;
    assert_eq!(reply["usage"]["prompt_tokens"], tokens["count"]);
}

/// Control tokens were once left out of the text, so that encoding it gave others.
#[tokio::test]
async fn control_tokens_come_back_as_they_went() {
    let server = Server::plain().await;
    let prompt = "<|im_start|>user\nhé<|im_end|>";
    let tokens = server.ok("/tokenize", json!({ "prompt": prompt })).await["tokens"].clone();
    assert_eq!((&tokens[0], &tokens[9]), (&json!(257), &json!(258)));
    let text = server.ok("/detokenize", json!({ "tokens": tokens })).await;
    assert_eq!(text, json!({ "prompt": prompt }));
    let last = server.ok("/detokenize", json!({ "tokens": [259] })).await;
    assert_eq!(last, json!({ "prompt": "<|pad|>" }));
}

#[tokio::test]
async fn tokens_are_those_of_a_model_that_is_there() {
    let server = Server::plain().await;
    for (path, body) in [("/tokenize", json!({ "prompt": "x" })), ("/detokenize", json!({ "tokens": [97] }))]
    {
        for (model, status) in
            [(json!(BASE), 200), (Value::Null, 200), (json!("nobody"), 404), (json!(""), 400)]
        {
            let mut body = body.clone();
            body["model"] = model;
            let response = server.post(path, &body).send().await.unwrap();
            assert_eq!(response.status(), status, "{path} {body}");
            if status != 200 {
                let error = response.json::<Value>().await.unwrap()["error"].clone();
                assert_eq!(error["param"], "model", "{error}");
            }
        }
    }
}

/// The field was once ignored.
#[tokio::test]
async fn a_text_is_opened_unless_that_is_turned_off() {
    let server = Server::start(Options { opens: true, ..Options::default() }).await;
    let count = async |prompt: Value, more: Value| {
        let mut body = json!({ "model": BASE, "prompt": prompt, "max_tokens": 1 });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let reply = server.ok(PATH, body.clone()).await;
        let text = prompt.is_string().then(|| server.ok("/tokenize", body));
        let counted = match text {
            Some(counting) => counting.await["count"].clone(),
            None => reply["usage"]["prompt_tokens"].clone(),
        };
        assert_eq!(reply["usage"]["prompt_tokens"], counted);
        counted.as_u64().unwrap()
    };
    let (on, off) = (json!({ "add_special_tokens": true }), json!({ "add_special_tokens": false }));
    assert_eq!(count(json!("ab"), json!({})).await, 3);
    assert_eq!((count(json!("ab"), on.clone()).await, count(json!("ab"), off.clone()).await), (3, 2));
    assert_eq!((count(json!([97, 98]), on).await, count(json!(["ab", "c"]), off).await), (2, 3));
    // A conversation has what its template gives it.
    let chat = json!({ "model": BASE, "messages": [{ "role": "user", "content": "x" }], "add_special_tokens": true });
    for path in ["/v1/chat/completions", "/tokenize"] {
        let response = server.post(path, &chat).send().await.unwrap();
        assert_eq!(response.status(), 400, "{path}");
        assert_eq!(response.json::<Value>().await.unwrap()["error"]["param"], "add_special_tokens");
    }
}

#[tokio::test]
async fn tokens_are_shown_and_what_would_change_them_is_refused() {
    let server = Server::plain().await;
    let shown =
        server.ok("/tokenize", json!({ "prompt": "ab", "return_token_strs": true, "max_tokens": 5 })).await;
    assert_eq!(shown["token_strs"], json!(["a", "b"]));
    assert!(server.ok("/tokenize", json!({ "prompt": "ab" })).await.get("token_strs").is_none());
    for (more, param) in [
        (json!({ "continue_final_message": true }), "continue_final_message"),
        (json!({ "chat_template": "x" }), "chat_template"),
        (json!({ "messages": [] }), "messages"),
    ] {
        let mut body = json!({ "messages": [{ "role": "user", "content": "x" }] });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let response = server.post("/tokenize", &body).send().await.unwrap();
        assert_eq!(response.status(), 400, "{body}");
        assert_eq!(response.json::<Value>().await.unwrap()["error"]["param"], param);
    }
}

#[tokio::test]
async fn a_prompt_is_repeated_and_told_how_probable_it_was() {
    let server = Server::plain().await;
    let ask = async |more: Value| {
        let mut body = json!({ "model": BASE, "prompt": "abcé", "temperature": 0, "ignore_eos": true });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        server.ok(PATH, body).await
    };
    let plain = ask(json!({ "max_tokens": 5, "logprobs": 2 })).await;
    let echoed = ask(json!({ "max_tokens": 5, "logprobs": 2, "echo": true })).await;
    let text = |reply: &Value| reply["choices"][0]["text"].as_str().unwrap().to_owned();
    assert_eq!(text(&echoed), format!("abcé{}", text(&plain)));
    let (told, alone) = (&echoed["choices"][0]["logprobs"], &plain["choices"][0]["logprobs"]);
    let tokens = told["tokens"].as_array().unwrap();
    // Five bytes of prompt, five of answer.
    assert_eq!((tokens.len(), &tokens[0]), (10, &json!("a")));
    assert!(told["token_logprobs"][0].is_null() && told["top_logprobs"][0].is_null());
    assert!(told["token_logprobs"][1].as_f64().unwrap() < 0.0);
    assert_eq!(told["top_logprobs"][1].as_object().unwrap().len(), 2);
    assert_eq!(told["text_offset"].as_array().unwrap()[..6], [0, 1, 2, 3, 3, 4].map(Value::from));
    assert_eq!(
        told["token_logprobs"].as_array().unwrap()[5..],
        alone["token_logprobs"].as_array().unwrap()[..]
    );
    // As evaluations ask: nothing but the prompt's own probabilities.
    let scored = ask(json!({ "max_tokens": 0, "logprobs": 1, "echo": true })).await;
    assert_eq!((text(&scored), &scored["usage"]["completion_tokens"]), ("abcé".to_owned(), &json!(0)));
    assert_eq!(
        scored["choices"][0]["logprobs"]["token_logprobs"].as_array().unwrap()[..],
        told["token_logprobs"].as_array().unwrap()[..5]
    );
    let typed: CompletionReply = serde_json::from_value(scored.clone()).unwrap();
    assert_eq!(serde_json::to_value(&typed).unwrap(), scored);
    // The same in vLLM's words, whose alternatives hold the token itself.
    let prompt = ask(json!({ "max_tokens": 1, "prompt_logprobs": 0 })).await;
    let places = prompt["choices"][0]["prompt_logprobs"].as_array().unwrap();
    assert!(places.len() == 5 && places[0].is_null());
    assert_eq!(places[1]["98"]["decoded_token"], "b");
    assert_eq!(places[1]["98"]["logprob"], told["token_logprobs"][1]);
    assert!(places[1]["98"]["rank"].as_u64().unwrap() >= 1);
    let chunks = server
        .stream(PATH, json!({ "prompt": "ab", "echo": true, "max_tokens": 3, "ignore_eos": true }))
        .await;
    assert_eq!(chunks[0]["choices"][0]["text"], "ab");
}

#[tokio::test]
async fn prompts_are_scored_within_bounds() {
    let server = Server::plain().await;
    for (more, field) in [
        (json!({ "max_tokens": 0 }), "max_tokens"),
        (json!({ "prompt_logprobs": 21 }), "prompt_logprobs"),
        (json!({ "prompt_logprobs": 1, "stream": true }), "prompt_logprobs"),
        (json!({ "echo": true, "logprobs": 1, "stream": true }), "echo"),
    ] {
        let mut body = json!({ "model": BASE, "prompt": "ab" });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let response = server.post(PATH, &body).send().await.unwrap();
        assert_eq!(response.status(), 400, "{body}");
        assert_eq!(response.json::<Value>().await.unwrap()["error"]["param"], field);
    }
}
