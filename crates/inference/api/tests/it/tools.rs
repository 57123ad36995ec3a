//! Functions that a model calls.

use crate::server::{BASE, Server};
use serde_json::{Value, json};
use tributary_api::types::{ChatChunk, ChatReply};

const PATH: &str = "/v1/chat/completions";

fn tools() -> Value {
    json!([
        { "type": "function", "function": {
            "name": "weather", "description": "The weather of a city.", "strict": true,
            "parameters": {
                "type": "object", "required": ["city"], "additionalProperties": false,
                "properties": { "city": { "enum": ["Oslo", "Rome"] } },
            },
        } },
        { "type": "function", "function": { "name": "now" } },
    ])
}

fn asked(more: Value) -> Value {
    let mut body = json!({
        "model": BASE, "messages": [{ "role": "user", "content": "Is it warm?" }], "tools": tools(), "max_tokens": 250,
        "seed": 3,
    });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

fn check(call: &Value) {
    assert_eq!(call["type"], "function");
    assert!(call["id"].as_str().unwrap().starts_with("call_"));
    let arguments: Value = serde_json::from_str(call["function"]["arguments"].as_str().unwrap()).unwrap();
    match call["function"]["name"].as_str().unwrap() {
        "weather" => assert!(arguments["city"] == "Oslo" || arguments["city"] == "Rome", "{call}"),
        "now" => assert_eq!(arguments, json!({})),
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn calls_that_have_to_be_made_are_made() {
    let server = Server::plain().await;
    for (choice, reason) in [
        (json!("required"), "tool_calls"),
        (json!({ "type": "function", "function": { "name": "weather" } }), "stop"),
    ] {
        let body = asked(json!({ "tool_choice": choice, "parallel_tool_calls": false }));
        let reply = server.ok(PATH, body.clone()).await;
        let answer = &reply["choices"][0];
        assert_eq!(answer["finish_reason"], reason, "{reply}");
        assert!(answer["message"]["content"].is_null(), "{reply}");
        let calls = answer["message"]["tool_calls"].as_array().unwrap();
        assert_eq!(calls.len(), 1);
        check(&calls[0]);
        let typed: ChatReply = serde_json::from_value(reply.clone()).unwrap();
        assert_eq!(serde_json::to_value(&typed).unwrap(), reply);

        let chunks = server.stream(PATH, body).await;
        let mut built = json!({ "arguments": "" });
        for chunk in &chunks {
            let typed: ChatChunk = serde_json::from_value(chunk.clone()).unwrap();
            assert_eq!(serde_json::to_value(&typed).unwrap(), *chunk);
            let delta = &chunk["choices"][0]["delta"];
            assert!(delta["content"].is_null(), "{chunk}");
            for call in delta["tool_calls"].as_array().into_iter().flatten() {
                assert_eq!(call["index"], 0);
                if call["id"].is_string() {
                    (built["id"], built["name"]) = (call["id"].clone(), call["function"]["name"].clone());
                    assert_eq!(call["type"], "function");
                }
                let more = call["function"]["arguments"].as_str().unwrap_or_default();
                built["arguments"] = json!(built["arguments"].as_str().unwrap().to_owned() + more);
            }
        }
        assert_eq!(chunks.last().unwrap()["choices"][0]["finish_reason"], reason);
        let whole = &calls[0];
        // The seed is the same, so is the answer; names of calls come from the request's own id.
        assert_eq!(
            (&built["name"], &built["arguments"]),
            (&whole["function"]["name"], &whole["function"]["arguments"])
        );
        assert!(built["id"].as_str().unwrap().starts_with("call_"));
    }
}

#[tokio::test]
async fn a_model_that_may_call_may_also_speak() {
    let server = Server::plain().await;
    let reply = server.ok(PATH, asked(json!({ "max_tokens": 10, "ignore_eos": true }))).await;
    let message = &reply["choices"][0]["message"];
    assert!(message["content"].is_string() && message.get("tool_calls").is_none(), "{reply}");
    assert_eq!(reply["choices"][0]["finish_reason"], "length");
    let words: String = server
        .stream(PATH, asked(json!({ "max_tokens": 10, "ignore_eos": true })))
        .await
        .iter()
        .filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str().map(str::to_owned))
        .collect();
    assert_eq!(words, message["content"].as_str().unwrap());
    // Either calls, or words in the form that was asked for.
    let format = json!({ "type": "json_schema", "json_schema": { "name": "a", "schema": { "enum": ["warm", "cold"] } } });
    let format = {
        let mut format = format;
        format["json_schema"]["schema"]["type"] = json!("string");
        format
    };
    for seed in 0..6 {
        let reply = server.ok(PATH, asked(json!({ "response_format": format, "seed": seed }))).await;
        let message = &reply["choices"][0]["message"];
        match message["tool_calls"].as_array() {
            Some(calls) => calls.iter().for_each(check),
            None => assert!(message["content"] == "\"warm\"" || message["content"] == "\"cold\"", "{reply}"),
        }
    }
}

#[tokio::test]
async fn tools_are_part_of_the_prompt_unless_none_may_be_called() {
    let server = Server::plain().await;
    let prompt =
        async |more: Value| server.ok(PATH, asked(more)).await["usage"]["prompt_tokens"].as_u64().unwrap();
    let told = prompt(json!({ "max_tokens": 1 })).await;
    let untold = prompt(json!({ "max_tokens": 1, "tool_choice": "none" })).await;
    let without = prompt(json!({ "max_tokens": 1, "tools": [] })).await;
    assert!(told > untold + 100 && untold == without, "{told} {untold} {without}");
    let body = json!({ "messages": [{ "role": "user", "content": "Is it warm?" }], "tools": tools() });
    assert_eq!(server.ok("/tokenize", body).await["count"], told);
}

#[tokio::test]
async fn a_conversation_with_calls_goes_on() {
    let server = Server::plain().await;
    let messages = json!([
        { "role": "user", "content": "Is it warm?" },
        { "role": "assistant", "content": null, "tool_calls": [
            { "id": "call_1", "type": "function", "function": { "name": "weather", "arguments": "{\"city\": \"Oslo\"}" } },
            { "id": "call_2", "type": "function", "function": { "name": "now", "arguments": "not JSON" } },
        ] },
        { "role": "tool", "tool_call_id": "call_1", "content": "-3" },
    ]);
    let reply = server.ok(PATH, asked(json!({ "messages": messages, "max_tokens": 2, "tools": [] }))).await;
    let text = "<|im_start|>user\nIs it warm?<|im_end|>\n<|im_start|>assistant\n<tool_call>\n\
        {\"name\":\"weather\",\"arguments\":{\"city\":\"Oslo\"}}\n</tool_call>\n<tool_call>\n\
        {\"name\":\"now\",\"arguments\":\"not JSON\"}\n</tool_call><|im_end|>\n<|im_start|>tool\n-3<|im_end|>\n\
        <|im_start|>assistant\n";
    // Nine control tokens, all else a token a byte.
    let controls = text.matches("<|im_start|>").count() * 11 + text.matches("<|im_end|>").count() * 9;
    assert_eq!(reply["usage"]["prompt_tokens"], text.len() - controls);
}

#[tokio::test]
async fn what_is_no_tool_is_an_error_of_its_field() {
    let server = Server::plain().await;
    for (more, field) in [
        (json!({ "tools": [{ "type": "retrieval" }] }), "tools"),
        (json!({ "tools": [{ "type": "function", "function": { "name": "a b" } }] }), "tools"),
        (json!({ "tool_choice": "maybe" }), "tool_choice"),
        (json!({ "tool_choice": { "type": "function", "function": { "name": "other" } } }), "tool_choice"),
        (json!({ "tools": [], "tool_choice": "required" }), "tool_choice"),
        (
            json!({ "tool_choice": "required", "response_format": { "type": "json_object" } }),
            "response_format",
        ),
        (
            json!({ "tool_choice": "required", "tools": [{ "type": "function", "function": { "name": "f", "parameters": { "type": "none" } } }] }),
            "tools",
        ),
        (json!({ "functions": [{ "name": "f" }] }), "functions"),
    ] {
        let response = server.post(PATH, &asked(more)).send().await.unwrap();
        let (status, reply) = (response.status().as_u16(), response.json::<Value>().await.unwrap());
        assert_eq!((status, reply["error"]["param"].as_str()), (400, Some(field)), "{reply}");
    }
}
