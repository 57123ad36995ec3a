//! Choices between as many texts as there may be: each of them, verbatim, and nothing else.

use crate::walk::{GRAMMARS, accepts, allows, start, walk};
use rand::{Rng, SeedableRng, rngs::StdRng};
use serde_json::json;
use std::collections::BTreeSet;
use tributary_grammar::{CallStyle, Calls, Compiled, GrammarError, Shape};

/// What expressions, Lark and JSON take for more than text.
const MARKS: &str = "ab \n\r\t\0\u{7f}\"'\\/.*+?()[]{}|^$#%<>@~-&,:;=é€𝄞\u{2028}";
const MOST: usize = 1024;

/// Different texts of so many bytes, out of `marks`, all behind the same beginning.
fn texts(count: usize, bytes: usize, marks: &str, seed: u64) -> Vec<String> {
    let (mut noise, mut texts) = (StdRng::seed_from_u64(seed), BTreeSet::new());
    let marks: Vec<char> = marks.chars().collect();
    while texts.len() < count {
        let mut text = "a/(".to_owned();
        while text.len() + 4 <= bytes {
            text.push(marks[noise.random_range(0..marks.len())]);
        }
        text.extend(std::iter::repeat_n('|', bytes - text.len()));
        texts.insert(text);
    }
    texts.into_iter().collect()
}

fn compiled(choices: &[String]) -> Compiled {
    GRAMMARS.compile(&Shape::Choice(choices.to_vec())).unwrap_or_else(|error| panic!("{error}"))
}

/// Each whole; a hundred of them neither cut short nor gone on with.
fn assert_exact(choices: &[String]) {
    let (grammar, all) = (compiled(choices), choices.iter().collect::<BTreeSet<_>>());
    let allowed = |text: &str| allows(grammar.constraint(), text);
    choices.iter().for_each(|choice| assert!(allowed(choice), "{choice:?}"));
    for choice in choices.iter().step_by(choices.len().div_ceil(100)) {
        let mut shorter = choice.clone();
        let last = shorter.pop().unwrap_or('a');
        let other = if last == 'z' { 'y' } else { 'z' };
        for text in
            [shorter.clone(), format!("{choice}{last}"), format!("{choice}z"), format!("{shorter}{other}")]
        {
            assert_eq!(allowed(&text), all.contains(&text), "{text:?} beside {choice:?}");
        }
    }
}

/// A choice was a rule, whose every alternative is an item of the parser's row: some 480 were too many.
#[test]
fn the_most_and_longest_choices_are_exact() {
    let choices = texts(MOST, 200, MARKS, 1);
    assert_exact(&choices);
    for seed in 0..20 {
        let text = walk(&Shape::Choice(choices.clone()), seed, 300).expect("it ends");
        assert!(choices.contains(&text), "{text:?}");
    }
}

#[test]
fn short_choices_that_begin_alike_are_exact() {
    assert_exact(&texts(MOST, 16, "abc", 2));
    assert_exact(&(0..MOST).map(|n| format!("option {n}")).collect::<Vec<_>>());
}

#[test]
fn each_choice_may_be_the_beginning_of_the_next() {
    let choices: Vec<String> = (1..=700).map(|length| "a".repeat(length)).collect();
    let grammar = compiled(&choices);
    for length in [1, 2, 99, 100, 101, 102, 511, 699, 700] {
        assert!(allows(grammar.constraint(), &"a".repeat(length)), "{length}");
        assert!(!allows(grammar.constraint(), &format!("{}b", "a".repeat(length))), "{length}");
    }
    assert!(!allows(grammar.constraint(), "") && !allows(grammar.constraint(), &"a".repeat(701)));
}

#[test]
fn marks_are_only_text() {
    let marks: Vec<String> = MARKS.chars().map(String::from).collect();
    assert_exact(&marks);
    let words = [".*", "(", "a|b", "\\d", "[a-z]", "//", "# x", "%json {}", "OTHER", "\"i", "\r\n", "^$"];
    assert_exact(&words.map(str::to_owned));
}

#[test]
fn nothing_is_a_choice_too() {
    for choices in [&["", "a", "ab"][..], &["a", ""], &["", ""], &[""]] {
        assert_exact(&choices.iter().map(|choice| (*choice).to_owned()).collect::<Vec<_>>());
    }
    assert_eq!(walk(&Shape::Choice(vec![String::new()]), 1, 5).as_deref(), Some(""));
}

#[test]
fn the_most_choices_may_be_what_is_said_instead_of_calls() {
    let choices: Vec<String> = (0..MOST).map(|n| format!("option {n}")).collect();
    let calls = |or: Vec<String>| {
        let functions = vec![(
            "now".to_owned(),
            json!({"type": "object", "properties": {}, "additionalProperties": false}),
        )];
        Shape::Calls(Calls {
            style: CallStyle::Tagged,
            functions,
            many: true,
            or: Some(Box::new(Shape::Choice(or))),
        })
    };
    let shape = calls(choices);
    assert!(accepts(&shape, "option 1023") && accepts(&shape, "option 7") && accepts(&shape, "option 77"));
    assert!(accepts(&shape, "<tool_call>\n{\"name\": \"now\", \"arguments\": {}}\n</tool_call>"));
    assert!(!accepts(&shape, "option") && !accepts(&shape, "option 1024") && !accepts(&shape, ""));
    assert!(matches!(start(&calls(vec!["a".into(); MOST + 1])), Err(GrammarError::TooLarge(_))));
    assert!(matches!(start(&calls(Vec::new())), Err(GrammarError::Invalid(_))));
}

#[test]
fn what_is_more_than_the_most_is_refused_by_name() {
    for many in [vec!["a".to_owned(); MOST + 1], texts(MOST, 257, MARKS, 3)] {
        assert!(matches!(start(&Shape::Choice(many)), Err(GrammarError::TooLarge(_))));
    }
}

#[test]
fn schemas_of_many_alternatives_are_exact() {
    let words: Vec<String> = texts(MOST, 40, "abcdefgh", 4);
    let constants: Vec<_> = words.iter().map(|word| json!({"const": word})).collect();
    let numbers: Vec<usize> = (0..MOST).map(|n| n * 7).collect();
    for schema in [json!({"enum": words}), json!({"anyOf": constants})] {
        let grammar = GRAMMARS.compile(&Shape::JsonSchema(schema)).unwrap();
        let allowed = |text: &str| allows(grammar.constraint(), text);
        for word in &words {
            assert!(allowed(&format!("\"{word}\"")), "{word}");
            assert!(!allowed(&format!("\"{word}i\"")) && !allowed(&format!("\"{}\"", &word[..39])), "{word}");
        }
    }
    let grammar = GRAMMARS.compile(&Shape::JsonSchema(json!({"enum": numbers}))).unwrap();
    for number in 0..7 * MOST {
        assert_eq!(allows(grammar.constraint(), &number.to_string()), number % 7 == 0, "{number}");
    }
}

/// What is no single token of JSON is an item each: 500 were the most.
#[test]
fn schemas_of_many_objects_and_references_are_exact() {
    const MANY: usize = 650;
    let fields = |n: usize| json!({"k": {"const": n}});
    let object = |n: usize| json!({"type": "object", "properties": fields(n), "required": ["k"], "additionalProperties": false});
    let constant = |n: usize| json!({"k": n});
    let objects: Vec<_> = (0..MANY).map(object).collect();
    let constants: Vec<_> = (0..MANY).map(constant).collect();
    let (references, definitions): (Vec<_>, serde_json::Map<_, _>) = (0..MANY)
        .map(|n| (json!({"$ref": format!("#/$defs/d{n}")}), (format!("d{n}"), json!({"const": constant(n)}))))
        .unzip();
    for schema in [
        json!({"anyOf": objects}),
        json!({"anyOf": references, "$defs": definitions}),
        json!({"enum": constants}),
    ] {
        let grammar = GRAMMARS.compile(&Shape::JsonSchema(schema)).unwrap();
        for n in 0..MANY + 10 {
            assert_eq!(allows(grammar.constraint(), &constant(n).to_string()), n < MANY, "{n}");
        }
    }
}
