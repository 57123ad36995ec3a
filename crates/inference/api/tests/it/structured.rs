//! Answers that have to look like something.

use crate::server::{BASE, Server};
use serde_json::{Value, json};

fn schema() -> Value {
    json!({
        "type": "object", "additionalProperties": false, "required": ["mood", "count"],
        "properties": { "mood": { "enum": ["good", "bad"] }, "count": { "type": "integer", "minimum": 0, "maximum": 99 } },
    })
}

async fn answer(server: &Server, more: Value) -> String {
    let mut body = json!({ "max_tokens": 200, "seed": 5 });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let reply = server.chat(body).await;
    assert_eq!(reply["choices"][0]["finish_reason"], "stop", "{reply}");
    reply["choices"][0]["message"]["content"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn every_way_of_asking_binds_the_answer() {
    let server = Server::plain().await;
    let format = json!({ "type": "json_schema", "json_schema": { "name": "mood", "strict": true, "schema": schema() } });
    for more in [
        json!({ "response_format": format }),
        json!({ "guided_json": schema() }),
        json!({ "structured_outputs": { "json": schema() } }),
        // What would let the answer run on yields to the grammar.
        json!({ "guided_json": schema(), "ignore_eos": true, "min_tokens": 150 }),
    ] {
        let text = answer(&server, more).await;
        let value: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert!(value["mood"] == "good" || value["mood"] == "bad", "{text}");
        assert!(value["count"].as_u64().unwrap() <= 99, "{text}");
    }
    let text = answer(&server, json!({ "guided_regex": "[A-F]{4}-[0-9]{2}" })).await;
    assert!(text.len() == 7 && text.as_bytes()[4] == b'-', "{text}");
    let text = answer(&server, json!({ "guided_choice": ["north", "south"], "temperature": 0 })).await;
    assert!(text == "north" || text == "south", "{text}");
    let text = answer(&server, json!({ "guided_grammar": "start: \"x\"{3} /[yz]/" })).await;
    assert!(text == "xxxy" || text == "xxxz", "{text}");
}

#[tokio::test]
async fn completions_streams_and_several_answers_are_bound_too() {
    let server = Server::plain().await;
    let body = json!({
        "model": BASE, "prompt": "x", "n": 3, "max_tokens": 50, "structured_outputs": { "choice": ["one", "two", "three"] }
    });
    let reply = server.ok("/v1/completions", body.clone()).await;
    let texts: Vec<&str> =
        reply["choices"].as_array().unwrap().iter().map(|choice| choice["text"].as_str().unwrap()).collect();
    assert!(texts.len() == 3 && texts.iter().all(|text| ["one", "two", "three"].contains(text)), "{texts:?}");
    let mut body = body;
    body["n"] = json!(1);
    let chunks = server.stream("/v1/completions", body).await;
    let text: String = chunks.iter().filter_map(|chunk| chunk["choices"][0]["text"].as_str()).collect();
    assert!(["one", "two", "three"].contains(&text.as_str()), "{text}");
}

/// The record of a bound answer says so.
#[tokio::test]
async fn the_grammar_is_part_of_what_an_answer_commits_to() {
    let server = Server::plain().await;
    let hash = async |more: Value| {
        let mut body = json!({ "max_tokens": 4, "seed": 1, "temperature": 0 });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        server.chat(body).await["tributary"]["execHash"].clone()
    };
    let hashes = [
        hash(json!({})).await,
        hash(json!({ "guided_regex": "[a-z]+" })).await,
        hash(json!({ "guided_regex": "[a-y]+" })).await,
    ];
    assert!(hashes[0] != hashes[1] && hashes[1] != hashes[2]);
    assert_eq!(hash(json!({ "structured_outputs": { "regex": "[a-z]+" } })).await, hashes[1]);
}

#[tokio::test]
async fn what_is_no_grammar_is_an_error_of_the_field() {
    let server = Server::plain().await;
    let deep = (0..150).fold(json!({}), |inner, _| json!({ "type": "array", "items": inner }));
    for (more, field) in [
        (json!({ "guided_regex": "(" }), "guided_regex"),
        (json!({ "guided_regex": "a".repeat(70_000) }), "guided_regex"),
        (json!({ "guided_choice": [] }), "guided_choice"),
        (json!({ "guided_grammar": "start: nothing" }), "guided_grammar"),
        (json!({ "guided_grammar": "root ::= \"a\"" }), "guided_grammar"),
        (json!({ "guided_json": { "type": "no such" } }), "guided_json"),
        (json!({ "guided_json": { "$ref": "http://127.0.0.1/x" } }), "guided_json"),
        (json!({ "structured_outputs": { "json": 7 } }), "structured_outputs"),
        (json!({ "response_format": { "type": "yaml" } }), "response_format.type"),
        (json!({ "response_format": { "type": "json_object" }, "guided_regex": "a" }), "response_format"),
    ] {
        let mut body =
            json!({ "model": BASE, "messages": [{ "role": "user", "content": "x" }], "max_tokens": 4 });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let response = server.post("/v1/chat/completions", &body).send().await.unwrap();
        let (status, reply) = (response.status().as_u16(), response.json::<Value>().await.unwrap());
        assert_eq!((status, reply["error"]["param"].as_str()), (400, Some(field)), "{reply}");
        assert!(reply["error"]["message"].as_str().unwrap().len() < 600, "{reply}");
    }
    let body = json!({ "model": BASE, "prompt": "x", "guided_json": deep });
    let status = server.post("/v1/completions", &body).send().await.unwrap().status();
    assert!(status.is_client_error() || status.is_success(), "{status}");
    // One that runs into its bound half-way fails by itself.
    let body = json!({ "model": BASE, "prompt": "x", "guided_grammar": "start: start start | /./", "max_tokens": 100 });
    let response = server.post("/v1/completions", &body).send().await.unwrap();
    let (status, reply) = (response.status().as_u16(), response.json::<Value>().await.unwrap());
    assert!(status == 200 || status == 422 && reply["error"]["code"] == "grammar_failed", "{reply}");
    answer(&server, json!({ "guided_choice": ["still here"] })).await;
}
