//! Keys and their limits; adapters that come and go; compositions.

use crate::server::{BASE, Options, Server, adapter, publish};
use reqwest::{Response, StatusCode};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tributary_api::{ApiConfig, ApiKey};
use tributary_testkit::{AdapterSpec, artifact};

const COMPLETION: &str = "/v1/completions";
const CHAT: &str = "/v1/chat/completions";

fn body(model: &str) -> Value {
    json!({ "model": model, "prompt": "question", "max_tokens": 12, "temperature": 0, "ignore_eos": true })
}

async fn text(server: &Server, body: Value) -> Value {
    server.ok("/v1/completions", body).await["choices"][0]["text"].clone()
}

#[tokio::test]
async fn a_key_has_its_limits() {
    let keys = ApiKey::parse_file("slow rpm=2\nfew tpm=30\nfree name=ann\n").unwrap();
    let config = ApiConfig { api_keys: keys, ..ApiConfig::default() };
    let server = Server::start(Options { api: config, ..Options::default() }).await;
    let ask =
        async |key: &str| server.post("/v1/completions", &body(BASE)).bearer_auth(key).send().await.unwrap();
    let limited = async |response: Response| {
        assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
        let seconds: u64 = response.headers()["retry-after"].to_str().unwrap().parse().unwrap();
        assert!((1..=60).contains(&seconds), "{seconds}");
        assert_eq!(response.json::<Value>().await.unwrap()["error"]["code"], "rate_limit_exceeded");
    };
    assert_eq!(ask("slow").await.status(), StatusCode::OK);
    assert_eq!(ask("slow").await.status(), StatusCode::OK);
    limited(ask("slow").await).await;
    // Eight tokens of prompt and twelve of answer leave ten, which are too few.
    assert_eq!(ask("few").await.status(), StatusCode::OK);
    limited(ask("few").await).await;
    for _ in 0..4 {
        assert_eq!(ask("free").await.status(), StatusCode::OK);
    }
    assert_eq!(ask("unknown").await.status(), StatusCode::UNAUTHORIZED);
}

/// A server with one key of so many tokens a minute.
async fn limited_to(tokens: u32) -> Server {
    let keys = ApiKey::parse_file(&format!("key tpm={tokens}")).unwrap();
    let config = ApiConfig { api_keys: keys, ..ApiConfig::default() };
    Server::start(Options { api: config, ..Options::default() }).await
}

async fn ask(server: &Server, path: &str, more: Value) -> Response {
    let mut body = body(BASE);
    if path == CHAT {
        let prompt = body.as_object_mut().unwrap().remove("prompt");
        body["messages"] = json!([{ "role": "user", "content": prompt }]);
    }
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    server.post(path, &body).bearer_auth("key").send().await.unwrap()
}

/// What was in flight was once bounded by nothing.
#[tokio::test]
async fn tokens_of_requests_under_way_are_taken() {
    let server = limited_to(1000).await;
    let held = ask(&server, COMPLETION, json!({ "max_tokens": 900, "stream": true })).await;
    assert_eq!(held.status(), StatusCode::OK);
    let second = async || ask(&server, COMPLETION, json!({ "max_tokens": 200 })).await;
    let refused = second().await;
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    let seconds: u64 = refused.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=7).contains(&seconds), "{seconds}");
    // Who goes away gives back what was not answered: nobody waits for those seconds.
    drop(held);
    let start = Instant::now();
    while second().await.status() != StatusCode::OK {
        assert!(start.elapsed() < Duration::from_secs(4));
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
}

#[tokio::test]
async fn what_was_set_aside_and_not_used_is_given_back() {
    let server = limited_to(1000).await;
    // Each sets more aside than half of the minute.
    for _ in 0..4 {
        let stop = json!({ "max_tokens": 800, "logit_bias": { "258": 100 }, "ignore_eos": false });
        assert_eq!(ask(&server, COMPLETION, stop).await.status(), StatusCode::OK);
    }
    // Nor does it cost any to be refused later.
    for _ in 0..3 {
        let refused = json!({ "max_tokens": 800, "guided_regex": "(" });
        assert_eq!(ask(&server, COMPLETION, refused).await.status(), StatusCode::BAD_REQUEST);
    }
    assert_eq!(ask(&server, COMPLETION, json!({ "max_tokens": 800 })).await.status(), StatusCode::OK);
    assert_eq!(
        ask(&server, COMPLETION, json!({ "max_tokens": 800 })).await.status(),
        StatusCode::TOO_MANY_REQUESTS
    );
}

/// Every answer once counted its prompt again.
#[tokio::test]
async fn a_prompt_counts_once_however_many_answers_there_are() {
    let server = limited_to(100).await;
    // 8 of prompt, 3 answers of 12: 44, twice.
    for _ in 0..2 {
        assert_eq!(ask(&server, COMPLETION, json!({ "n": 3 })).await.status(), StatusCode::OK);
    }
    assert_eq!(ask(&server, COMPLETION, json!({ "n": 3 })).await.status(), StatusCode::TOO_MANY_REQUESTS);
}

/// To wait for a minute that has more tokens than others is to wait for ever.
#[tokio::test]
async fn what_no_minute_has_room_for_is_refused_for_good() {
    let server = limited_to(40).await;
    for (more, param) in [
        (json!({ "max_tokens": 33 }), json!("max_tokens")),
        (json!({ "n": 3 }), json!("max_tokens")),
        (json!({ "prompt": "x".repeat(41) }), Value::Null),
    ] {
        let response = ask(&server, COMPLETION, more.clone()).await;
        assert_eq!(response.status(), StatusCode::BAD_REQUEST, "{more}");
        assert!(!response.headers().contains_key("retry-after"));
        let error = response.json::<Value>().await.unwrap()["error"].clone();
        assert_eq!(error["param"], param, "{error}");
        assert!(error["message"].as_str().unwrap().contains("40 a minute"), "{error}");
    }
    assert_eq!(ask(&server, COMPLETION, json!({ "max_tokens": 32 })).await.status(), StatusCode::OK);
}

/// Such a request once set the whole minute aside, and found no room unless it was the first.
#[tokio::test]
async fn who_names_no_bound_leaves_others_something() {
    let server = limited_to(400).await;
    let open = json!({ "max_tokens": null });
    let (one, other) = tokio::join!(ask(&server, CHAT, open.clone()), ask(&server, CHAT, open));
    let mut longest = 0;
    for reply in [one, other] {
        assert_eq!(reply.status(), StatusCode::OK);
        let usage = reply.json::<Value>().await.unwrap()["usage"].clone();
        let answer = usage["completion_tokens"].as_u64().unwrap();
        // The part of a minute that is the least, and half of all there is.
        assert!((50..=200).contains(&answer), "{usage}");
        longest = longest.max(answer);
    }
    assert!(longest > 150, "{longest}");
}

#[tokio::test]
async fn requests_are_bounded_in_tokens() {
    let config = ApiConfig { prompt_tokens: 20, output_tokens: 5, ..ApiConfig::default() };
    let server = Server::start(Options { api: config, ..Options::default() }).await;
    let reply = server.ok("/v1/completions", body(BASE)).await;
    assert_eq!(
        (&reply["usage"]["completion_tokens"], &reply["choices"][0]["finish_reason"]),
        (&json!(5), &json!("length"))
    );
    let mut long = body(BASE);
    long["prompt"] = json!("x".repeat(21));
    let response = server.post("/v1/completions", &long).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    assert_eq!(response.json::<Value>().await.unwrap()["error"]["code"], "context_length_exceeded");
}

async fn administrated() -> Server {
    let config = ApiConfig { admin_key: Some(ApiKey::new("root")), ..ApiConfig::default() };
    Server::start(Options { api: config, adapters: vec![("fixed", adapter(9))], ..Options::default() }).await
}

async fn admin(server: &Server, path: &str, body: Value) -> (u16, String) {
    let response = server.post(path, &body).bearer_auth("root").send().await.unwrap();
    (response.status().as_u16(), response.text().await.unwrap())
}

#[tokio::test]
async fn an_administrator_loads_and_unloads_adapters() {
    let (server, folder) = (administrated().await, tempfile::tempdir().unwrap());
    let paths: Vec<String> = (1..3)
        .map(|seed| {
            let path = folder.path().join(seed.to_string());
            publish(&path, &adapter(seed));
            path.display().to_string()
        })
        .collect();
    let load = async |name: &str, path: &str, again: bool| {
        let body = json!({ "lora_name": name, "lora_path": path, "load_inplace": again });
        admin(&server, "/v1/load_lora_adapter", body).await
    };
    assert_eq!(
        load("poet", &paths[0], false).await,
        (200, "Success: LoRA adapter 'poet' added successfully.".to_owned())
    );
    let first = text(&server, body("poet")).await;
    assert_ne!(first, text(&server, body(BASE)).await);
    let card: Value = server.get("/v1/models/poet").send().await.unwrap().json().await.unwrap();
    assert_eq!(card["parent"], BASE);
    assert!(card["root"].as_str().unwrap().ends_with("/1"), "{card}");
    for taken in ["poet", "fixed", BASE] {
        assert_eq!(load(taken, &paths[1], false).await.0, 400, "{taken}");
    }
    // Under the same name, nothing of the old one is left.
    assert_eq!(load("poet", &paths[1], true).await.0, 200);
    let second = text(&server, body("poet")).await;
    assert_ne!(first, second);
    // A path as it is, whatever a uri would make of it, and a uri.
    let odd = folder.path().join("a b#c?%20");
    publish(&odd, &adapter(3));
    assert_eq!(load("odd", &odd.display().to_string(), false).await.0, 200);
    let uri = url::Url::from_file_path(&odd).unwrap();
    assert_eq!(load("uri", uri.as_str(), false).await.0, 200);
    assert_eq!(text(&server, body("odd")).await, text(&server, body("uri")).await);
    assert_eq!(load("other", &paths[1], false).await.0, 200);
    assert_eq!(text(&server, body("other")).await, second);
    let unload =
        async |name: &str| admin(&server, "/v1/unload_lora_adapter", json!({ "lora_name": name })).await;
    assert_eq!(unload("poet").await.0, 200);
    assert_eq!(server.post("/v1/completions", &body("poet")).send().await.unwrap().status(), 404);
    assert_eq!(text(&server, body("other")).await, second);
    for gone in ["poet", "fixed"] {
        let (status, reply) = unload(gone).await;
        let error = serde_json::from_str::<Value>(&reply).unwrap()["error"].clone();
        assert_eq!((status, &error["param"]), (404, &json!("lora_name")), "{error}");
    }
}

#[tokio::test]
async fn what_is_no_adapter_is_not_loaded_and_nobody_else_may() {
    let (server, folder) = (administrated().await, tempfile::tempdir().unwrap());
    let broken = folder.path().join("broken");
    publish(&broken, &artifact(&AdapterSpec::new(1).config("modules_to_save", json!(["lm_head"]))));
    let odd = folder.path().join("odd");
    publish(&odd, &adapter(1));
    std::fs::write(odd.join("adapter_config.json"), "[]").unwrap();
    for (name, path, field) in [
        ("a", odd.to_str().unwrap(), "lora_path"),
        ("a", broken.to_str().unwrap(), "lora_path"),
        ("a", "/nowhere", "lora_path"),
        ("a", folder.path().to_str().unwrap(), "lora_path"),
        ("a", "/dev/zero", "lora_path"),
        ("a", "http://127.0.0.1:1/x", "lora_path"),
        ("", "/nowhere", "lora_name"),
        ("a\n", "/nowhere", "lora_name"),
    ] {
        let body = json!({ "lora_name": name, "lora_path": path });
        let (status, reply) = admin(&server, "/v1/load_lora_adapter", body).await;
        let reply: Value = serde_json::from_str(&reply).unwrap();
        assert_eq!((status, reply["error"]["param"].as_str()), (400, Some(field)), "{reply}");
        assert!(!reply["error"]["message"].as_str().unwrap().contains("struct"), "{reply}");
    }
    let (status, reply) = admin(&server, "/v1/load_lora_adapter", json!({ "lora_name": "a" })).await;
    let reply: Value = serde_json::from_str(&reply).unwrap();
    assert_eq!((status, &reply["error"]["param"]), (400, &json!("lora_path")));
    let body = json!({ "lora_name": "a", "lora_path": "/x" });
    for path in ["/v1/load_lora_adapter", "/v1/unload_lora_adapter"] {
        let stranger = server.post(path, &body).bearer_auth("toor").send().await.unwrap();
        assert_eq!(stranger.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(server.post(path, &body).send().await.unwrap().status(), StatusCode::UNAUTHORIZED);
        let without = Server::plain().await;
        assert_eq!(
            without.post(path, &body).bearer_auth("root").send().await.unwrap().status(),
            StatusCode::FORBIDDEN
        );
    }
}

#[tokio::test]
async fn a_request_composes_adapters() {
    let adapters = vec![("poet", adapter(1)), ("jurist", adapter(2))];
    let server = Server::start(Options { adapters, ..Options::default() }).await;
    let composed = async |adapters: Value| {
        let mut body = body(BASE);
        body["adapters"] = adapters;
        text(&server, body).await
    };
    let poet = text(&server, body("poet")).await;
    assert_eq!(composed(json!([{ "name": "poet" }])).await, poet);
    assert_eq!(composed(json!([])).await, text(&server, body(BASE)).await);
    let both =
        composed(json!([{ "name": "poet", "weight": 0.6 }, { "name": "jurist", "weight": 0.4 }])).await;
    assert_ne!(both, poet);
    assert_eq!(
        both,
        composed(json!([{ "name": "poet", "weight": 0.6 }, { "name": "jurist", "weight": 0.4 }])).await
    );
    for (model, adapters) in [
        ("poet", json!([{ "name": "jurist" }])),
        (BASE, json!([{ "name": BASE }])),
        (BASE, json!([{ "name": "poet" }, { "name": "poet" }])),
        (BASE, json!([{ "name": "poet", "weight": 1e9 }])),
        (BASE, json!(vec![json!({ "name": "poet" }); 9])),
    ] {
        let mut body = body(model);
        body["adapters"] = adapters;
        let response = server.post("/v1/completions", &body).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::BAD_REQUEST, "{body}");
        assert_eq!(response.json::<Value>().await.unwrap()["error"]["param"], "adapters");
    }
    let mut unknown = body(BASE);
    unknown["adapters"] = json!([{ "name": "poet" }, { "name": "nobody" }]);
    let response = server.post("/v1/completions", &unknown).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::NOT_FOUND);
    assert_eq!(response.json::<Value>().await.unwrap()["error"]["param"], "adapters[1].name");
}

#[tokio::test]
async fn repeated_prompts_and_salts() {
    let server = Server::plain().await;
    let cached = async |more: Value| {
        let mut body = body(BASE);
        body["prompt"] = json!("the same beginning of a long prompt, again and again");
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        server.ok("/v1/completions", body).await["usage"]["prompt_tokens_details"]["cached_tokens"]
            .as_u64()
            .unwrap()
    };
    assert_eq!(cached(json!({})).await, 0);
    assert!(cached(json!({})).await > 0);
    assert_eq!(cached(json!({ "cache_salt": "mine" })).await, 0);
    assert!(cached(json!({ "cache_salt": "mine" })).await > 0);
}
