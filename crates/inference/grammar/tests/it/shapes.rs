//! Each kind of shape allows what it says and nothing else.

use crate::walk::{GRAMMARS, accepts, commit, walk};
use serde_json::{Value, json};
use std::collections::HashSet;
use tributary_grammar::{CallStyle, Calls, Shape};

#[test]
fn a_schema_binds_every_answer() {
    let schema = json!({
        "type": "object",
        "properties": {
            "name": {"type": "string", "maxLength": 5},
            "age": {"type": "integer", "minimum": 0, "maximum": 150},
            "tags": {"type": "array", "items": {"enum": ["a", "b"]}, "maxItems": 2},
            "next": {"$ref": "#/$defs/leaf"},
        },
        "required": ["name", "age", "tags", "next"],
        "additionalProperties": false,
        "$defs": {"leaf": {"type": ["boolean", "null"]}},
    });
    let shape = Shape::JsonSchema(schema);
    for seed in 0..30 {
        let text = walk(&shape, seed, 20_000).expect("the answer ends");
        let value: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{text:?}: {error}"));
        let keys: Vec<&String> = value.as_object().unwrap().keys().collect();
        assert_eq!(keys.len(), 4, "{text}");
        assert!(value["name"].as_str().unwrap().chars().count() <= 5, "{text}");
        assert!((0..=150).contains(&value["age"].as_i64().unwrap()), "{text}");
        let tags = value["tags"].as_array().unwrap();
        assert!(tags.len() <= 2 && tags.iter().all(|tag| tag == "a" || tag == "b"), "{text}");
        assert!(value["next"].is_boolean() || value["next"].is_null(), "{text}");
    }
    assert!(accepts(&shape, r#"{"name":"Ann","age":7,"tags":[],"next":null}"#));
    assert!(!accepts(&shape, r#"{"name":"Ann","age":-7,"tags":[],"next":null}"#));
    assert!(!accepts(&shape, r#"{"name":"Ann"}"#));
}

#[test]
fn spaces_are_bounded() {
    for fine in
        ["{\"a\":[1,2]}", "{\"a\": [1, 2]}", "{\n  \"a\": [\n    1,\n    2\n  ]\n}", "{\n\t\"a\": []\n}"]
    {
        assert!(accepts(&Shape::JsonObject, fine), "{fine}");
    }
    for other in ["{  \"a\": 1}", "{\n\n\"a\": 1}", "{ \n\"a\": 1}"] {
        assert!(!accepts(&Shape::JsonObject, other), "{other}");
    }
    for seed in 0..20 {
        let text = walk(
            &Shape::JsonSchema(json!({"type": "array", "items": {"const": 1}, "maxItems": 3})),
            seed,
            300,
        );
        assert!(text.is_some(), "{seed}");
    }
}

#[test]
fn an_object_is_an_object() {
    for fine in [r"{}", r#"{"a": [1, {"b": null}]}"#] {
        assert!(accepts(&Shape::JsonObject, fine), "{fine}");
    }
    for other in ["[1]", "\"a\"", "{a: 1}", "{", ""] {
        assert!(!accepts(&Shape::JsonObject, other), "{other}");
    }
}

#[test]
fn a_regular_expression_matches_the_whole_answer() {
    let shape = Shape::Regex(r"[0-9]{3}-(yes|no)\.?".into());
    for seed in 0..20 {
        let text = walk(&shape, seed, 100).expect("it ends");
        assert!(accepts(&shape, &text), "{text}");
        assert!(text.len() <= 8 && text.as_bytes()[3] == b'-', "{text}");
    }
    assert!(accepts(&shape, "123-no") && !accepts(&shape, "123-nope") && !accepts(&shape, "12-no"));
    assert!(accepts(&Shape::Regex("a/b\"c\\\\n\n".into()), "a/b\"c\\n\n"), "delimiters are only text");
}

#[test]
fn a_choice_is_one_of_its_texts_verbatim() {
    let choices = ["yes", "no", "quote \" \\ \n $ { | €", "y"].map(str::to_owned).to_vec();
    let shape = Shape::Choice(choices.clone());
    let seen: HashSet<String> = (0..80).filter_map(|seed| walk(&shape, seed, 100)).collect();
    assert_eq!(seen, choices.iter().cloned().collect());
    assert!(!accepts(&shape, "ye") && !accepts(&shape, "yes "));
}

#[test]
fn a_grammar_in_lark_binds() {
    let shape = Shape::Lark("start: \"a\" b+\nb: \"(\" b? \")\"".into());
    assert!(accepts(&shape, "a(())()") && !accepts(&shape, "a(()") && !accepts(&shape, "a"));
}

#[test]
fn answers_share_a_grammar_but_not_their_place() {
    let shape = Shape::Choice(vec!["ab".into(), "ba".into()]);
    let compiled = GRAMMARS.compile(&shape).unwrap();
    let (mut one, mut other) = (compiled.constraint(), compiled.constraint());
    assert!(!commit(&mut one, u32::from(b'a')).unwrap());
    assert!(!commit(&mut other, u32::from(b'b')).unwrap());
    assert!(commit(&mut one, u32::from(b'b')).unwrap());
    assert!(commit(&mut other, u32::from(b'a')).unwrap());
}

#[test]
fn every_shape_has_its_own_hash() {
    let shapes = [
        Shape::JsonObject,
        Shape::JsonSchema(json!({"type": "object"})),
        Shape::JsonSchema(json!({"type": "array"})),
        Shape::Regex("a".into()),
        Shape::Choice(vec!["a".into()]),
        Shape::Lark("start: \"a\"".into()),
    ];
    let hashes: HashSet<_> =
        shapes.iter().map(|shape| GRAMMARS.compile(shape).unwrap().start().hash()).collect();
    assert_eq!(hashes.len(), shapes.len());
}

fn calls(style: CallStyle, many: bool, or: Option<Shape>) -> Shape {
    let city = json!({
        "type": "object", "properties": {"city": {"$ref": "#/$defs/city"}}, "required": ["city"],
        "additionalProperties": false, "$defs": {"city": {"enum": ["Oslo", "Rome"]}},
    });
    let none = json!({"type": "object", "properties": {}, "additionalProperties": false});
    let functions = vec![("weather".to_owned(), city), ("now".to_owned(), none)];
    Shape::Calls(Calls { style, functions, many, or: or.map(Box::new) })
}

#[test]
fn calls_are_written_as_the_model_writes_them() {
    let oslo = "<tool_call>\n{\"name\": \"weather\", \"arguments\": {\"city\": \"Oslo\"}}\n</tool_call>";
    let now = "<tool_call>\n{\"name\": \"now\", \"arguments\": {}}\n</tool_call>";
    let one = calls(CallStyle::Tagged, false, None);
    let many = calls(CallStyle::Tagged, true, None);
    for shape in [&one, &many] {
        assert!(accepts(shape, oslo) && accepts(shape, now));
        assert!(!accepts(shape, "Hello") && !accepts(shape, &oslo.replace("Oslo", "Bonn")));
        assert!(!accepts(shape, &oslo.replace("weather", "now")));
    }
    let both = format!("{oslo}\n{now}");
    assert!(accepts(&many, &both) && !accepts(&one, &both));
    let bare = calls(CallStyle::Bare, false, None);
    assert!(accepts(&bare, r#"{"name": "weather", "parameters": {"city": "Rome"}}"#));
}

#[test]
fn calls_may_have_an_alternative() {
    for other in [
        Shape::JsonSchema(
            json!({"type": "object", "properties": {"a": {"type": "null"}}, "required": ["a"]}),
        ),
        Shape::Regex("\\{\"a\": *null\\}".into()),
        Shape::Choice(vec!["{\"a\": null}".into()]),
        Shape::JsonObject,
    ] {
        let shape = calls(CallStyle::Tagged, true, Some(other));
        assert!(accepts(&shape, "{\"a\": null}"), "{shape:?}");
        assert!(accepts(&shape, "<tool_call>\n{\"name\": \"now\", \"arguments\": {}}\n</tool_call>"));
        assert!(!accepts(&shape, "Hello"));
    }
    let bad = [
        calls(CallStyle::Tagged, true, Some(Shape::Lark("start: \"a\"".into()))),
        calls(CallStyle::Tagged, true, Some(Shape::JsonSchema(json!(true)))),
        Shape::Calls(Calls { style: CallStyle::Bare, functions: Vec::new(), many: true, or: None }),
        Shape::Calls(Calls {
            style: CallStyle::Bare,
            functions: vec![("a".into(), json!(7))],
            many: true,
            or: None,
        }),
    ];
    for shape in bad {
        assert!(GRAMMARS.compile(&shape).is_err(), "{shape:?}");
    }
}

/// The profile and every grammar's hash name the engine: a new version of it has to be told there.
#[test]
fn the_engine_is_named_as_it_is() {
    let lock = include_str!("../../../../../Cargo.lock");
    let entry = lock.split("[[package]]").find(|entry| entry.contains("name = \"llguidance\"")).unwrap();
    let version = entry.lines().find_map(|line| line.strip_prefix("version = ")).unwrap().trim_matches('"');
    assert!(tributary_engine::GRAMMAR_ENGINE.starts_with(&format!("llguidance {version},")), "{version}");
}
