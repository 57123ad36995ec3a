//! Embeddings against a plain computation in f64, and against published ones.

mod plain;
mod published;

use crate::plain::embed;
use tributary_embed::{EmbedError, Embedder};
use tributary_testkit::{BERT_WORDS, TinyBert};

#[test]
fn an_embedding_is_what_the_formulas_say() {
    for seed in 0..3 {
        let tiny = TinyBert::new(seed).unwrap();
        let embedder = Embedder::open(tiny.folder.path()).unwrap();
        for text in ["the river", "a river runs to the sea", "sea sea sea", ""] {
            let tokens = embedder.tokens(text, None).unwrap();
            let (got, want) = (embedder.embed(&tokens).unwrap(), embed(&tiny, &tokens));
            assert_eq!(got.len(), embedder.dimensions());
            for (one, other) in got.iter().zip(&want) {
                assert!((f64::from(*one) - other).abs() < 1e-5, "{text}: {got:?} {want:?}");
            }
            let length: f32 = got.iter().map(|value| value * value).sum();
            assert!((length - 1.0).abs() < 1e-5);
        }
    }
}

#[test]
fn texts_are_bounded_and_cut_when_asked() {
    let tiny = TinyBert::new(1).unwrap();
    let embedder = Embedder::open(tiny.folder.path()).unwrap();
    let limit = embedder.limit();
    let long = "sea ".repeat(limit);
    assert!(
        matches!(embedder.tokens(&long, None), Err(EmbedError::TooLong { tokens, .. }) if tokens == limit + 2)
    );
    let cut = embedder.tokens(&long, Some(usize::MAX)).unwrap();
    assert_eq!((cut.len(), cut.first(), cut.last()), (limit, Some(&2), Some(&3)));
    assert_eq!(embedder.tokens(&long, Some(5)).unwrap().len(), 5);
    assert!(matches!(embedder.tokens(&long, Some(0)), Err(EmbedError::Empty)));
    assert!(matches!(embedder.embed(&[]), Err(EmbedError::Empty)));
    assert!(matches!(embedder.embed(&[2, 999, 3]), Err(EmbedError::BadToken(999))));
    assert!(matches!(embedder.embed(&vec![2; limit + 1]), Err(EmbedError::TooLong { .. })));
}

#[test]
fn folders_that_are_no_model_are_errors() {
    let damage = |file: &str, change: &dyn Fn(Vec<u8>) -> Vec<u8>| {
        let tiny = TinyBert::new(2).unwrap();
        let path = tiny.folder.path().join(file);
        std::fs::write(&path, change(std::fs::read(&path).unwrap())).unwrap();
        Embedder::open(tiny.folder.path()).unwrap_err().to_string()
    };
    let edit = |from: &'static str, to: &'static str| {
        move |bytes: Vec<u8>| String::from_utf8(bytes).unwrap().replace(from, to).into_bytes()
    };
    assert!(damage("config.json", &edit("bert", "roberta")).contains("model_type"));
    assert!(damage("config.json", &edit("gelu", "relu")).contains("hidden_act"));
    assert!(
        damage("config.json", &edit("\"num_attention_heads\":4", "\"num_attention_heads\":0"))
            .contains("sizes")
    );
    assert!(
        damage("config.json", &edit("\"num_attention_heads\":4", "\"num_attention_heads\":5"))
            .contains("sizes")
    );
    assert!(damage("config.json", &edit("\"hidden_size\":32", "\"hidden_size\":64")).contains("shape"));
    assert!(damage("config.json", &|_| b"{}".to_vec()).contains("missing field"));
    for file in ["tokenizer.json", "model.safetensors"] {
        damage(file, &|mut bytes| bytes.drain(..bytes.len() / 2).collect());
        damage(file, &|_| Vec::new());
        damage(file, &|bytes| vec![0xff; bytes.len()]);
    }
    let tiny = TinyBert::new(2).unwrap();
    std::fs::remove_file(tiny.folder.path().join("tokenizer.json")).unwrap();
    assert!(matches!(Embedder::open(tiny.folder.path()), Err(EmbedError::Io { .. })));
    assert_eq!(BERT_WORDS.len(), 12);
}
