//! The model itself, against the similarities that its makers publish and a computation in NumPy.

use tributary_embed::Embedder;
use tributary_weights::{EMBEDDING_MODEL, cache_dir, pull};

#[test]
fn sentences_are_as_similar_as_published() {
    let folder = pull(&EMBEDDING_MODEL, &cache_dir().unwrap()).unwrap();
    let embedder = Embedder::open(&folder).unwrap();
    assert_eq!((embedder.dimensions(), embedder.limit()), (384, 256));
    let embed = |text: &str| embedder.embed(&embedder.tokens(text, None).unwrap()).unwrap();
    let source = embed("That is a happy person");
    assert_eq!(
        embedder.tokens("That is a happy person", None).unwrap(),
        [101, 2008, 2003, 1037, 3407, 2711, 102]
    );
    let first = [-0.0338769, 0.0919416, 0.0487013, -0.0348836, -0.0648292, -0.0266857];
    for (one, other) in source.iter().zip(first) {
        assert!((one - other).abs() < 1e-5, "{one} {other}");
    }
    for (text, similarity) in [
        ("That is a happy dog", 0.694577),
        ("That is a very happy person", 0.942915),
        ("Today is a sunny day", 0.256876),
    ] {
        let dot: f32 = source.iter().zip(embed(text)).map(|(a, b)| a * b).sum();
        assert!((dot - similarity).abs() < 1e-5, "{text}: {dot}");
    }
}
