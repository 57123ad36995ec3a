//! Models, health, metrics, ids, browsers, shutdown.

use crate::server::{BASE, Options, Server, adapter, chunks};
use reqwest::StatusCode;
use serde_json::{Value, json};
use std::time::Duration;
use tributary_api::types::ModelList;

#[tokio::test]
async fn adapters_are_listed_with_root_and_parent() {
    let adapters = vec![("poet", adapter(1)), ("adapter:7", adapter(2))];
    let server = Server::start(Options { adapters, ..Options::default() }).await;
    let list: ModelList = server.get("/v1/models").send().await.unwrap().json().await.unwrap();
    assert_eq!(list.object, "list");
    assert_eq!(list.data[0].id, BASE);
    assert_eq!(list.data[0].max_model_len, Some(1024));
    assert_eq!(list.data[0].parent, None);
    let poet = list.data.iter().find(|card| card.id == "poet").unwrap();
    assert_eq!(poet.parent.as_deref(), Some(BASE));
    assert!(poet.root.starts_with("file://"));
    let one: Value = server.get("/v1/models/adapter:7").send().await.unwrap().json().await.unwrap();
    assert_eq!((&one["id"], &one["object"]), (&json!("adapter:7"), &json!("model")));
}

#[tokio::test]
async fn while_the_model_loads() {
    let loading = Duration::from_millis(300);
    let server = Server::loading(Options { loading, ..Options::default() }).await;
    let health = server.get("/health").send().await.unwrap();
    assert_eq!(health.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(health.json::<Value>().await.unwrap()["status"], "loading");
    let body = json!({ "model": BASE, "prompt": "x" });
    let early = server.post("/v1/completions", &body).send().await.unwrap();
    assert_eq!(early.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(early.headers().contains_key("retry-after"));
    server.engine.ready().await.unwrap();
    assert_eq!(server.get("/health").send().await.unwrap().status(), StatusCode::OK);
}

#[tokio::test]
async fn metrics_version_ids_and_browsers() {
    let server = Server::start(Options { metrics: true, ..Options::default() }).await;
    let metrics = server.get("/metrics").send().await.unwrap().text().await.unwrap();
    assert!(metrics.starts_with("up 1\n"), "{metrics}");
    assert!(metrics.contains("vllm:cache_config_info{model_name=\"tiny\",block_size=\"16\""), "{metrics}");
    assert!(
        server.get("/version").send().await.unwrap().json::<Value>().await.unwrap()["version"].is_string()
    );
    let own = server.get("/health").header("x-request-id", "mine").send().await.unwrap();
    assert_eq!(own.headers()["x-request-id"], "mine");
    let fresh = server.get("/health").send().await.unwrap();
    assert!(fresh.headers()["x-request-id"].to_str().unwrap().starts_with("req-"));
    let preflight = server
        .client
        .request(reqwest::Method::OPTIONS, format!("{}/v1/chat/completions", server.url))
        .header("origin", "http://playground.example")
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "content-type,tributary-voucher")
        .send()
        .await
        .unwrap();
    assert_eq!(preflight.headers()["access-control-allow-origin"], "*");
    let plain = Server::plain().await;
    assert_eq!(plain.get("/metrics").send().await.unwrap().status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn shutdown_lets_open_replies_finish() {
    let server = Server::plain().await;
    let body = json!({
        "model": BASE, "prompt": "finish", "max_tokens": 60, "ignore_eos": true, "stream": true,
        "stream_options": { "include_usage": true }
    });
    let open = server.post("/v1/completions", &body).send().await.unwrap();
    let reading = tokio::spawn(chunks(open));
    let url = server.url.clone();
    server.stop().await;
    let chunks = reading.await.unwrap();
    assert_eq!(chunks.last().unwrap()["usage"]["completion_tokens"], 60);
    assert!(reqwest::get(format!("{url}/health")).await.is_err());
}

#[tokio::test]
async fn adapters_in_memory_are_told_of() {
    let adapters = vec![("poet", adapter(1)), ("jurist", adapter(2))];
    let server = Server::start(Options { adapters, metrics: true, ..Options::default() }).await;
    let loaded = async || {
        let text = server.get("/metrics").send().await.unwrap().text().await.unwrap();
        let lines: Vec<String> = text
            .lines()
            .filter(|line| line.starts_with("vllm:lora_adapter_loaded{"))
            .map(str::to_owned)
            .collect();
        lines
    };
    assert!(loaded().await.is_empty());
    let body = json!({ "model": "poet", "prompt": "x", "max_tokens": 1 });
    server.ok("/v1/completions", body).await;
    let lines = loaded().await;
    assert_eq!(lines.len(), 1);
    for part in
        ["model_name=\"tiny\"", "adapter_name=\"poet\"", "level=\"cpu\"", "pinned=\"false\"", "rank=\""]
    {
        assert!(lines[0].contains(part), "{}", lines[0]);
    }
    assert!(!lines[0].contains("rank=\"0\""), "{}", lines[0]);
    let text = server.get("/metrics").send().await.unwrap().text().await.unwrap();
    let named = |line: &&str| line.starts_with("vllm:") || line.starts_with("tributary:");
    let series: Vec<&str> = text.lines().filter(named).collect();
    assert!(series.len() >= 5, "{text}");
    for line in series {
        assert_eq!(line.matches("model_name=\"tiny\"").count(), 1, "{line}");
    }
}
