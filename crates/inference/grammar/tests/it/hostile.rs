//! What a client may try: nothing panics, nothing grows without a bound.

use crate::walk::{commit, start, walk};
use serde_json::{Value, json};
use tributary_engine::TokenMask;
use tributary_grammar::{GrammarError, Shape};
use tributary_testkit::VOCAB;

fn nested(depth: usize, wrap: fn(Value) -> Value) -> Value {
    (0..depth).fold(json!({"type": "string"}), |inner, _| wrap(inner))
}

/// Compiled or refused; if compiled, its masks are computed or refused as well.
fn survive(shape: &Shape) {
    let Ok(mut grammar) = start(shape) else { return };
    let mut mask = TokenMask::default();
    for _ in 0..200 {
        mask.reset(VOCAB);
        if grammar.mask(&mut mask).is_err() {
            return;
        }
        let Some(token) = (0..VOCAB).rev().find(|token| mask.contains(*token)) else { return };
        if commit(&mut grammar, token).unwrap_or(true) {
            return;
        }
    }
}

#[test]
fn schemas_that_blow_up_are_bounded() {
    let wide: Vec<Value> = (0..500).map(|n| json!({"const": format!("v{n}")})).collect();
    let many: Value = (0..400)
        .map(|n| (format!("p{n}"), json!({"type": "string"})))
        .collect::<serde_json::Map<_, _>>()
        .into();
    for schema in [
        nested(100, |inner| json!({"type": "array", "items": inner})),
        nested(12, |inner| json!({"anyOf": [inner.clone(), {"type": "array", "items": inner}]})),
        nested(60, |inner| json!({"allOf": [inner, {"minLength": 1}]})),
        json!({"$ref": "#"}),
        json!({"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}}),
        json!({"type": "array", "minItems": 1_000_000_000_u64}),
        json!({"type": "array", "maxItems": 4_000_000_000_u64, "items": {"type": "integer"}}),
        json!({"type": "string", "minLength": 1_000_000_000_u64}),
        json!({"type": "string", "maxLength": 100_000_000_u64}),
        json!({"type": "string", "pattern": "((a{1,500}){1,500}){1,500}"}),
        json!({"type": "string", "pattern": "(?=x)y"}),
        json!({"type": "integer", "minimum": -1e300, "maximum": 1e300}),
        json!({"type": "integer", "multipleOf": 0}),
        json!({"type": "number", "multipleOf": 1e-300}),
        json!({"anyOf": wide}),
        json!({"type": "object", "properties": many}),
        json!({"type": "object", "minProperties": 5, "maxProperties": 2}),
        json!({"enum": []}),
        json!({"type": "no such type"}),
        json!({"$ref": "http://127.0.0.1:1/schema.json"}),
        json!({"$ref": "file:///etc/passwd"}),
        json!({"x-guidance": {"item_separator": "("}}),
        json!(true),
        json!(false),
        json!(7),
        json!("text"),
        json!([]),
        Value::Null,
    ] {
        survive(&Shape::JsonSchema(schema));
    }
}

#[test]
fn expressions_that_blow_up_are_bounded() {
    for text in [
        "(a{1000}){1000}",
        "((((a*)*)*)*)*b",
        "(a|aa)+$",
        "[^a]{1,65535}",
        "(x+x+)+y",
        "\\p{L}{1,1000}\\p{N}{1,1000}",
        "(?i)[\\w\\s]{0,4000}",
        "(",
        "*",
        "\\1",
        "(?<name>a)\\k<name>",
        "",
        "a{4294967295}",
        "(?P<x>.{0,9999}){9999}",
    ] {
        survive(&Shape::Regex(text.into()));
    }
    survive(&Shape::Regex("(".repeat(30_000)));
    survive(&Shape::Regex("a|".repeat(30_000)));
}

#[test]
fn grammars_that_blow_up_are_bounded() {
    for text in [
        "",
        "start: start",
        "start: start start | \"a\"",
        "start: a\na: b\nb: a",
        "start: undefined",
        "start: \"a\"{1,1000000}",
        "start: %json {\"type\": \"no\"}",
        "start: @other",
        "start: <|im_end|> \"a\"",
        "start: <[999999]>",
        "start: a a a a a a a a\na: b b b b b b b b\nb: c c c c c c c c\nc: d d d d d d d d\nd: \"x\"?",
        "%llguidance {\"no_forcing\": true}\nstart: /a/",
        "start: \"unterminated",
        "\u{0}",
    ] {
        survive(&Shape::Lark(text.into()));
    }
    let deep = format!("start: {}\"a\"{}", "(".repeat(5_000), ")".repeat(5_000));
    survive(&Shape::Lark(deep));
}

#[test]
fn sizes_are_refused_by_name() {
    let long = Shape::Regex("a".repeat(70_000));
    assert!(matches!(start(&long), Err(GrammarError::TooLarge(_))));
    let many = Shape::Choice(vec!["a".into(); 1025]);
    assert!(matches!(start(&many), Err(GrammarError::TooLarge(_))));
    assert!(matches!(start(&Shape::Choice(Vec::new())), Err(GrammarError::Invalid(_))));
    assert_eq!(walk(&Shape::Choice(vec!["a".repeat(300)]), 1, 400).map(|text| text.len()), Some(300));
}
