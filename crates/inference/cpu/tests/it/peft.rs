//! Adapters alone and composed, against Hugging Face's peft and against merging in float.

use crate::{
    model::{HASHES, Sequence, alone, part},
    oracle::Oracle,
};
use serde::Deserialize;
use tributary_adapters::{Adapter, Bounds, Geometry};
use tributary_cpu::{CpuBackend, Options};
use tributary_testkit::{artifact, peft_cases, write_model};
use tributary_weights::Model;

/// Made by `tests/python/peft_golden.py`.
const GOLDEN: &str = include_str!("../../testdata/peft.json");
/// Of the largest logit: float sums in another order.
const FLOAT: f32 = 2e-4;
/// The same for the profile, whose activations have eight bits: root of the mean square, in parts of that of the logits.
const PROFILE: f32 = 0.08;

#[derive(Deserialize)]
struct Golden {
    tokens: Vec<u32>,
    positions: Vec<usize>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    hashes: Vec<String>,
    logits: Vec<Vec<f32>>,
}

/// ‖a − b‖ / ‖b‖.
fn distance(a: &[f32], b: &[f32]) -> f32 {
    let squares = |values: &mut dyn Iterator<Item = f32>| values.map(|v| f64::from(v).powi(2)).sum::<f64>();
    let apart = squares(&mut a.iter().zip(b).map(|(a, b)| a - b));
    (apart / squares(&mut b.iter().copied())).sqrt() as f32
}

fn largest(values: &mut dyn Iterator<Item = f32>) -> f32 {
    values.fold(0.0, |most, value| most.max(value.abs()))
}

#[test]
fn adapters_are_what_peft_makes_of_them() {
    let golden: Golden = serde_json::from_str(GOLDEN).unwrap();
    let cases = peft_cases();
    assert_eq!(golden.cases.len(), cases.len());
    for (case, golden_case) in cases.iter().zip(&golden.cases) {
        assert_eq!(case.name, golden_case.name);
        let folder = tempfile::tempdir().unwrap();
        write_model(folder.path(), case.model, case.biased).unwrap();
        let model = Model::open(folder.path()).unwrap();
        let geometry = Geometry::from(&model.config);
        let adapters: Vec<(Adapter, f32)> = case
            .adapters
            .iter()
            .zip(&golden_case.hashes)
            .map(|((spec, weight), hash)| {
                let artifact = artifact(spec);
                assert_eq!(artifact.hash().to_string(), *hash, "{}: another artifact", case.name);
                (artifact.parse(&geometry, &Bounds::default()).unwrap(), *weight)
            })
            .collect();
        let merged: Vec<(&Adapter, f32)> =
            adapters.iter().map(|(adapter, weight)| (adapter, *weight)).collect();
        let float = Oracle::new(&model.config, &model.weights, &merged).logits(&golden.tokens);
        let without = Oracle::new(&model.config, &model.weights, &[]).logits(&golden.tokens);
        let options = Options { threads: 1, cache_tokens: 64, context: 64, ..Options::default() };
        let mut backend =
            CpuBackend::new(model.config.clone(), model.weights.clone(), &HASHES, &options).unwrap();
        let lora = adapters.iter().map(|(adapter, weight)| part(&backend, adapter, *weight)).collect();
        let sequence = Sequence { id: 1, tokens: golden.tokens.clone(), pages: vec![1, 0], lora };
        let profile = alone(&mut backend, &sequence, 24);
        for (position, theirs) in golden.positions.iter().zip(&golden_case.logits) {
            let place = format!("{}, position {position}", case.name);
            let apart = largest(&mut float[*position].iter().zip(theirs).map(|(a, b)| a - b));
            let scale = largest(&mut theirs.iter().copied());
            assert!(apart < FLOAT * scale, "{place}: float is {apart} from peft of {scale}");
            let found: Vec<f32> = profile[*position].0.iter().map(|bits| f32::from_bits(*bits)).collect();
            let (error, moved) = (distance(&found, theirs), distance(&without[*position], theirs));
            println!("{place}: profile {error:.4}, without adapters {moved:.4}");
            assert!(error < PROFILE, "{place}: {error}");
            assert!(moved > 2.0 * PROFILE, "{place}: the adapters move logits by {moved} only");
        }
    }
}
