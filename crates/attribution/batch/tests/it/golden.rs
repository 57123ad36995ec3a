//! Vectors of whole batches; `tests/oracle` recomputes them in Python.

#[path = "../../examples/golden.rs"]
#[expect(dead_code, reason = "the example's main is not called here")]
pub(crate) mod generator;

#[test]
fn committed_vectors_are_current() {
    let committed: serde_json::Value =
        serde_json::from_str(include_str!("../../testdata/golden.json")).expect("json");
    assert_eq!(committed, generator::vectors());
}
