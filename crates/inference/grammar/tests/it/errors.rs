//! What a client is told whose grammar is none: why, on one line of a bounded length.

use crate::walk::start;
use serde_json::json;
use tributary_grammar::Shape;

fn told(shape: &Shape) -> String {
    let text = start(shape).err().unwrap_or_else(|| panic!("it is a grammar")).to_string();
    assert!(text.len() <= 600 && text.lines().count() == 1, "{text}");
    assert!(!text.contains("panic") && !text.contains(".rs"), "{text}");
    text
}

/// The reason is in the last of several lines.
#[test]
fn an_expression_says_what_is_wrong_with_it() {
    for (text, reason) in [
        ("(unclosed", "unclosed group"),
        ("unopened)", "unopened group"),
        ("[z-a]", "invalid character class range"),
        ("a{2,1}", "invalid repetition count range"),
        ("*", "repetition operator missing expression"),
        ("(?=ahead)x", "look-around"),
        ("(one)\\1", "backreferences are not supported"),
        ("several\n(lines", "unclosed group"),
        ("\\p{Nothing}", "Unicode property not found"),
    ] {
        let told = told(&Shape::Regex(text.into()));
        assert!(told.contains(reason) && !told.starts_with("at "), "{text:?}: {told}");
    }
    let long = told(&Shape::Regex(format!("({}", "é\"".repeat(20_000))));
    assert!(long.contains("unclosed group"), "{long}");
}

#[test]
fn a_pattern_in_a_schema_says_it_too() {
    for schema in [
        json!({"type": "string", "pattern": "(unclosed"}),
        json!({"type": "object", "properties": {"a": {"type": "string", "pattern": "(unclosed"}}}),
        json!({"$ref": "#/$defs/a", "$defs": {"a": {"type": "array", "items": {"type": "string", "pattern": "(unclosed"}}}}),
        json!({"type": "object", "patternProperties": {"(unclosed": true}}),
    ] {
        let told = told(&Shape::JsonSchema(schema.clone()));
        assert!(told.contains("unclosed group"), "{schema}: {told}");
    }
}

#[test]
fn a_grammar_says_where_it_is_wrong() {
    let told = |text: &str| told(&Shape::Lark(text.into()));
    assert!(told("start: undefined").contains("undefined"));
    assert!(told("start: \"a\"\nb: \"unterminated").contains("2("));
    assert!(told("start: /(unclosed/").contains("unclosed group"));
    assert!(told("root ::= \"a\"").contains("Lark"));
}

/// Found in the middle of the answer once, and named nobody's field.
#[test]
fn what_no_text_fits_is_refused_at_once() {
    for shape in [
        Shape::Regex("[^\\x00-\\U0010ffff]".into()),
        Shape::JsonSchema(json!({"$ref": "#"})),
        Shape::JsonSchema(
            json!({"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}}),
        ),
        Shape::Lark("start: start".into()),
    ] {
        assert!(told(&shape).contains("no text that fits"), "{shape:?}: {}", told(&shape));
    }
}
