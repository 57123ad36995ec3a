//! The committed vectors are what the code computes; `tests/oracle` recomputes them in Python.

#[path = "../../examples/golden.rs"]
#[expect(dead_code, reason = "the example's main is not called here")]
mod generator;

#[test]
fn committed_vectors_are_current() {
    let committed: serde_json::Value =
        serde_json::from_str(include_str!("../../testdata/golden.json")).expect("json");
    let now = generator::vectors();
    for (name, value) in now.as_object().expect("an object") {
        assert_eq!(&committed[name], value, "{name}");
    }
    assert_eq!(committed.as_object().map(|map| map.len()), now.as_object().map(|map| map.len()));
}
