//! What a checker makes of a request's body is what the server made of it.

use crate::server::{BASE, Options, Server};
use serde_json::{Value, json};
use tributary_adapters::Bounds;
use tributary_api::{ApiError, TextModel, replay};
use tributary_cpu::CpuBackend;
use tributary_engine::{
    AdapterSet, Claim, InferenceBackend, LoraPart, SamplingParams, Verdict, committed_max_tokens, verify,
};
use tributary_testkit::{AdapterSpec, artifact, model_folder};
use tributary_weights::Model;

fn adapters() -> [(&'static str, AdapterSpec); 3] {
    [
        ("poet", AdapterSpec::new(1)),
        ("jurist", AdapterSpec::new(2).rank(5)),
        ("sailor", AdapterSpec::new(3).dora()),
    ]
}

/// Endpoint, body, adapters of the answer with weights.
type Asked = (&'static str, Value, Vec<(usize, f32)>);

fn requests() -> Vec<Asked> {
    let (chat, completion) = ("/v1/chat/completions", "/v1/completions");
    let messages = json!([{"role": "user", "content": "Say something"}]);
    let schema = json!({"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"], "additionalProperties": false});
    vec![
        (chat, json!({"model": BASE, "messages": messages, "max_tokens": 20}), vec![]),
        (completion, json!({"model": BASE, "prompt": "one two", "temperature": 0}), vec![]),
        (
            completion,
            json!({"model": "poet", "prompt": ["a", "b"], "n": 2, "max_tokens": 9, "top_k": 7}),
            vec![(0, 1.0)],
        ),
        (
            completion,
            json!({"model": "sailor", "prompt": [65, 66, 67], "seed": 5, "min_tokens": 4, "stop": ["q"]}),
            vec![(2, 1.0)],
        ),
        (
            chat,
            json!({"model": BASE, "messages": messages, "max_tokens": 12, "logit_bias": {"65": 5}, "presence_penalty": 1,
                "adapters": [{"name": "poet", "weight": 0.5}, {"name": "jurist", "weight": -0.75}]}),
            vec![(0, 0.5), (1, -0.75)],
        ),
        (
            chat,
            json!({"model": BASE, "messages": messages, "max_tokens": 60,
                "response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": schema}}}),
            vec![],
        ),
        (
            chat,
            json!({"model": BASE, "messages": messages, "max_tokens": 40, "tool_choice": "required",
                "tools": [{"type": "function", "function": {"name": "f", "parameters": schema}}]}),
            vec![],
        ),
    ]
}

#[tokio::test]
async fn every_answer_can_be_checked_from_its_body_and_receipt() {
    let published = adapters().map(|(name, spec)| (name, artifact(&spec))).into();
    let server = Server::start(Options { adapters: published, ..Options::default() }).await;
    let folder = model_folder(7).unwrap();
    let model = Model::open(folder.path()).unwrap();
    let text = TextModel::new(model.tokenizer.clone(), model.chat.clone());
    let options = tributary_cpu::Options { threads: 1, rows: 1, ..Default::default() };
    let mut backend = CpuBackend::new(model.config, model.weights, &model.hashes, &options).unwrap();
    let (context, identity) = (backend.limits().context, *backend.identity());
    for (path, body, composition) in requests() {
        let reply = server.ok(path, body.clone()).await;
        let bytes = body.to_string().into_bytes();
        for choice in reply["choices"].as_array().unwrap() {
            let index = choice["index"].as_u64().unwrap() as u32;
            let receipt =
                if choice["tributary"].is_null() { &reply["tributary"] } else { &choice["tributary"] };
            let asked = replay(&text, context, &bytes, index).await.unwrap();
            let names: Vec<&str> = asked.adapters.iter().map(|(name, _)| name.as_str()).collect();
            let composed: Vec<&str> = composition.iter().map(|(adapter, _)| adapters()[*adapter].0).collect();
            assert!(
                names == composed
                    || (names.is_empty() && composed.first().is_none_or(|only| *only == asked.model))
            );
            let parts = |backend: &CpuBackend| {
                let part = |(number, weight): &(usize, f32)| {
                    let artifact = artifact(&adapters()[*number].1);
                    let adapter = artifact.parse(&backend.geometry(), &Bounds::default()).unwrap();
                    let prepared = backend.preparer().prepare(&adapter, *weight).unwrap();
                    LoraPart { hash: adapter.hash, weight: *weight, prepared }
                };
                AdapterSet::of(composition.iter().map(part).collect())
            };
            let sampling: Vec<u8> =
                receipt["sampling"].as_str().map(|hex| alloy_primitives::hex::decode(hex).unwrap()).unwrap();
            let mut request = asked.request;
            request.adapters = parts(&backend);
            request.sampling.seed = SamplingParams::seed_in(&sampling).unwrap();
            assert_eq!(request.sampling.encode(), sampling);
            let mut claim = Claim {
                request,
                output: serde_json::from_value(receipt["output"].clone()).unwrap(),
                exec_hash: serde_json::from_value(receipt["execHash"].clone()).unwrap(),
                logits_root: serde_json::from_value(receipt["logitsRoot"].clone()).unwrap(),
            };
            let max = committed_max_tokens(&identity, context, &claim).unwrap();
            claim.request.stop.max_tokens = max;
            claim.request.stop.min_tokens = claim.request.stop.min_tokens.min(max);
            let found = verify(&mut backend, &*model.tokenizer, claim).unwrap();
            assert!(matches!(found, Verdict::Equal(_)), "{body}, answer {index}: {found:?}");
        }
    }
}

#[tokio::test]
async fn what_is_no_request_is_said_so() {
    let folder = model_folder(7).unwrap();
    let model = Model::open(folder.path()).unwrap();
    let text = TextModel::new(model.tokenizer.clone(), model.chat.clone());
    let fault = async |body: &str, choice| replay(&text, 100, body.as_bytes(), choice).await.unwrap_err();
    assert!(matches!(fault("{", 0).await, ApiError::Invalid { .. }));
    assert!(matches!(fault("[]", 0).await, ApiError::Invalid { .. }));
    assert!(matches!(fault(r#"{"model": "m"}"#, 0).await, ApiError::Invalid { .. }));
    assert!(matches!(fault(r#"{"model": "m", "prompt": "a"}"#, 1).await, ApiError::Invalid { .. }));
    assert!(matches!(
        fault(r#"{"model": "m", "prompt": "a", "never_heard_of": 1}"#, 0).await,
        ApiError::Unsupported(_)
    ));
    // As many as an operator may allow.
    let many = json!({"model": "m", "prompt": vec!["a"; 20], "n": 2}).to_string();
    assert_eq!(replay(&text, 100, many.as_bytes(), 39).await.unwrap().request.sampling.choice, 39);
    assert!(matches!(fault(&many, 40).await, ApiError::Invalid { .. }));
    let long = json!({"model": "m", "prompt": "x".repeat(100)}).to_string();
    assert!(matches!(fault(&long, 0).await, ApiError::TooLong { .. }));
}
