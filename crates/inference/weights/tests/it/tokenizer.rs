//! The default model's tokenizer.

use crate::model::default_model;
use proptest::prelude::*;

/// Texts and their tokens as llama.cpp's own implementation of this vocabulary gives them.
const GOLDEN: &str = include_str!("../data/tokens.json");

#[test]
fn tokens_equal_another_implementation() {
    let golden: Vec<(String, Vec<u32>)> = serde_json::from_str(GOLDEN).unwrap();
    assert!(golden.len() > 30);
    let tokenizer = &default_model().tokenizer;
    for (text, tokens) in golden {
        assert_eq!(tokenizer.encode(&text).unwrap(), tokens, "{text:?}");
        assert_eq!(tokenizer.decode(&tokens), text);
    }
}

#[test]
fn control_tokens_are_text_unless_asked_for() {
    let tokenizer = &default_model().tokenizer;
    let text = "<|im_start|>user\nhi<|im_end|>";
    let prompt = tokenizer.encode_prompt(text).unwrap();
    assert_eq!(prompt.first(), Some(&1));
    assert_eq!(prompt.last(), Some(&2));
    let plain = tokenizer.encode(text).unwrap();
    assert!(!plain.iter().any(|id| tokenizer.is_control(*id)));
    assert_eq!(tokenizer.decode(&plain), text);
    assert_eq!(tokenizer.decode(&prompt), "user\nhi");
    assert_eq!(tokenizer.eos(), [2]);
    assert_eq!(tokenizer.special("<|im_end|>"), Some(2));
}

#[test]
fn a_stream_holds_back_unfinished_characters() {
    let tokenizer = &default_model().tokenizer;
    let text = "naïve 🜚 日本";
    let tokens = tokenizer.encode(text).unwrap();
    let mut stream = tokenizer.detokenizer();
    let pieces: Vec<String> = tokens.iter().map(|id| stream.push(*id)).collect();
    assert_eq!(pieces.concat() + &stream.finish(), text);
    assert!(pieces.iter().all(|piece| !piece.contains('\u{fffd}')));
    let mut cut = tokenizer.detokenizer();
    let alchemical = tokenizer.encode("🜚").unwrap();
    assert_eq!(cut.push(alchemical[0]), "");
    assert_eq!(cut.finish(), "\u{fffd}");
}

proptest! {
    #[test]
    fn text_round_trips(text in "[ -~\\n\\téßЖ中あ🙂]{0,60}") {
        let tokenizer = &default_model().tokenizer;
        let tokens = tokenizer.encode(&text).unwrap();
        prop_assert_eq!(tokenizer.decode(&tokens), text.clone());
        let mut stream = tokenizer.detokenizer();
        let streamed: String = tokens.iter().map(|id| stream.push(*id)).collect();
        prop_assert_eq!(streamed + &stream.finish(), text);
    }

    #[test]
    fn any_tokens_stream_as_they_decode(tokens in prop::collection::vec(0u32..49_152, 0..40)) {
        let tokenizer = &default_model().tokenizer;
        let mut stream = tokenizer.detokenizer();
        let streamed: String = tokens.iter().map(|id| stream.push(*id)).collect();
        prop_assert_eq!(streamed + &stream.finish(), tokenizer.decode(&tokens));
    }
}
