//! Bad requests: a status, OpenAI's error object, and a server that goes on.

use crate::server::{BASE, Options, Server};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tributary_api::{ApiConfig, types::ErrorReply};
use tributary_engine::EngineConfig;

async fn refused(server: &Server, path: &str, body: Value) -> (u16, Value) {
    let response = server.post(path, &body).send().await.unwrap();
    let status = response.status().as_u16();
    let reply: Value = response.json().await.unwrap();
    assert!(reply["error"]["message"].is_string() && reply["error"]["type"].is_string(), "{reply}");
    drop(serde_json::from_value::<ErrorReply>(reply.clone()).unwrap());
    (status, reply["error"].clone())
}

#[tokio::test]
async fn fields_out_of_range_are_named() {
    let server = Server::plain().await;
    let cases = [
        (json!({ "temperature": -1 }), "temperature"),
        (json!({ "top_p": 0 }), "top_p"),
        (json!({ "max_tokens": 0 }), "max_tokens"),
        (json!({ "n": 0 }), "n"),
        (json!({ "n": 1000 }), "n"),
        (json!({ "stop": [""] }), "stop"),
        (json!({ "stop": vec!["x"; 100] }), "stop"),
        (json!({ "min_tokens": 9, "max_tokens": 3 }), "min_tokens"),
        (json!({ "logit_bias": { "notanumber": 1 } }), "logit_bias"),
        (json!({ "logit_bias": { "97": 1, "260": 1 } }), "logit_bias"),
        (json!({ "stop_token_ids": [99_999] }), "stop_token_ids"),
        (json!({ "temperature": "hot" }), "temperature"),
        (json!({ "messages": [{ "role": "user", "content": 5 }] }), "messages[0].content"),
        (json!({ "top_logprobs": 3 }), "top_logprobs"),
        (json!({ "logprobs": true, "top_logprobs": 99 }), "top_logprobs"),
        (json!({ "messages": [] }), "messages"),
        (json!({ "messages": [{ "role": "user" }] }), "messages[0].content"),
        (json!({ "tools": [{ "type": "function" }] }), "tools"),
        (json!({ "response_format": { "type": "json_schema" } }), "response_format"),
        (json!({ "model": "" }), "model"),
        (
            json!({ "messages": [{ "role": "user", "content": [{ "type": "image_url" }] }] }),
            "messages[0].content[0].image_url",
        ),
    ];
    for (fields, param) in cases {
        let mut body = json!({ "model": BASE, "messages": [{ "role": "user", "content": "x" }] });
        for (field, value) in fields.as_object().unwrap() {
            body[field] = value.clone();
        }
        let (status, error) = refused(&server, "/v1/chat/completions", body).await;
        assert_eq!((status, error["param"].as_str()), (400, Some(param)), "{error}");
    }
    server.chat(json!({ "max_tokens": 1 })).await;
}

#[tokio::test]
async fn bodies_that_are_no_requests() {
    let server = Server::plain().await;
    for body in ["", "{", "null", "[]", "\"x\"", "{\"model\":1}", "{\"model\":\"tiny\"}", "\u{0}", "[[[[[[[["]
    {
        for path in ["/v1/chat/completions", "/v1/completions", "/tokenize", "/detokenize"] {
            let request = server.client.post(format!("{}{path}", server.url)).body(body.to_owned());
            let response = request.send().await.unwrap();
            assert_eq!(response.status(), StatusCode::BAD_REQUEST, "{path} {body:?}");
            assert!(response.json::<Value>().await.unwrap()["error"]["message"].is_string());
        }
    }
    let nested = "[".repeat(100_000);
    let request = server.client.post(format!("{}/v1/completions", server.url)).body(nested);
    assert_eq!(request.send().await.unwrap().status(), StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn models_paths_and_methods_that_do_not_exist() {
    let server = Server::plain().await;
    let body = json!({ "model": "nobody", "prompt": "x" });
    let (status, error) = refused(&server, "/v1/completions", body).await;
    assert_eq!((status, &error["code"], &error["param"]), (404, &json!("model_not_found"), &json!("model")));
    let (status, error) = refused(&server, "/v1/nothing", json!({})).await;
    assert_eq!((status, &error["code"]), (404, &json!("unknown_url")));
    let (status, error) = refused(&server, "/v1/models", json!({})).await;
    assert_eq!((status, &error["code"]), (405, &json!("method_not_allowed")));
    assert_eq!(server.get("/v1/models/nobody").send().await.unwrap().status(), 404);
    assert_eq!(server.get("/v1/completions").send().await.unwrap().status(), 405);
    let response = server.get("/v1/models/%ff").send().await.unwrap();
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    assert!(response.json::<ErrorReply>().await.unwrap().error.message.contains("UTF-8"));
}

#[tokio::test]
async fn prompts_and_bodies_that_are_too_long() {
    let config = ApiConfig { body_bytes: 20_000, ..ApiConfig::default() };
    let server = Server::start(Options { api: config, ..Options::default() }).await;
    let long = json!({ "model": BASE, "prompt": "x".repeat(1200) });
    let (status, error) = refused(&server, "/v1/completions", long).await;
    assert_eq!((status, &error["code"]), (400, &json!("context_length_exceeded")));
    let huge = json!({ "model": BASE, "prompt": "x".repeat(30_000) });
    let (status, error) = refused(&server, "/v1/completions", huge).await;
    assert_eq!((status, &error["code"]), (413, &json!("body_too_large")));
    let unknown = json!({ "model": BASE, "prompt": [97, 99_999] });
    let (status, error) = refused(&server, "/v1/completions", unknown).await;
    assert_eq!((status, &error["param"]), (400, &json!("prompt")));
    let (status, error) = refused(&server, "/detokenize", json!({ "tokens": [99_999] })).await;
    assert_eq!((status, &error["param"]), (400, &json!("tokens")));
    for prompt in [json!(""), json!([]), json!([[]]), json!(vec!["a"; 99])] {
        let (status, _) =
            refused(&server, "/v1/completions", json!({ "model": BASE, "prompt": prompt })).await;
        assert_eq!(status, 400);
    }
}

#[tokio::test]
async fn keys() {
    let config = ApiConfig { api_keys: vec!["one".into(), "two".into()], ..ApiConfig::default() };
    let server = Server::start(Options { api: config, ..Options::default() }).await;
    let body = json!({ "model": BASE, "prompt": "x", "max_tokens": 1 });
    for key in [None, Some("three"), Some("")] {
        for (method, path) in [("POST", "/v1/completions"), ("GET", "/v1/models"), ("POST", "/tokenize")] {
            let request = if method == "GET" { server.get(path) } else { server.post(path, &body) };
            let request = match key {
                Some(key) => request.bearer_auth(key),
                None => request,
            };
            let response = request.send().await.unwrap();
            assert_eq!(response.status(), StatusCode::UNAUTHORIZED, "{path}");
            assert_eq!(response.headers()["www-authenticate"], "Bearer");
            assert_eq!(response.json::<Value>().await.unwrap()["error"]["code"], "invalid_api_key");
        }
    }
    for key in ["one", "two"] {
        let response = server.post("/v1/completions", &body).bearer_auth(key).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert!(server.get("/v1/models").bearer_auth(key).send().await.unwrap().status().is_success());
    }
    assert!(server.get("/health").send().await.unwrap().status().is_success());
}

#[tokio::test]
async fn too_many_at_once_are_told_when_to_come_back() {
    let engine = EngineConfig { max_requests: 1, ..EngineConfig::default() };
    let server = Server::start(Options { engine, ..Options::default() }).await;
    let body = json!({ "model": BASE, "prompt": "x", "max_tokens": 400, "ignore_eos": true, "stream": true });
    let held = server.post("/v1/completions", &body).send().await.unwrap();
    assert_eq!(held.status(), StatusCode::OK);
    let response = server.post("/v1/completions", &body).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(response.headers()["retry-after"], "1");
    assert_eq!(response.json::<Value>().await.unwrap()["error"]["code"], "rate_limit_exceeded");
    drop(held);
}
