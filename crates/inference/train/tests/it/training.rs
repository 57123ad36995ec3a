//! Training end to end on a tiny model.

use std::{collections::HashSet, ops::ControlFlow};

use tributary_adapters::{Artifact, Bounds, Projection};
use tributary_train::{Document, LoraWeights, Recipe, Step, TrainError, Trained, peft, train};
use tributary_weights::Architecture;

use crate::tiny::{self, Bytes};

fn documents() -> Vec<Document> {
    let texts = [
        ("ox", "Big beast."),
        ("ant", "Small."),
        ("hut", "A house."),
        ("sea", "Salt water."),
        ("elm", "A tree."),
    ];
    texts.iter().map(|(headword, text)| Document::new(*headword, *text)).collect()
}

fn recipe() -> Recipe {
    Recipe {
        rank: 4,
        alpha: 8.0,
        epochs: 30,
        batch: 2,
        learning_rate: 1e-2,
        max_tokens: 100,
        ..Recipe::default()
    }
}

fn run(recipe: &Recipe) -> Result<Trained, TrainError> {
    train(&tiny::base(Architecture::Llama), &Bytes, &documents(), recipe, |_| ControlFlow::Continue(()))
}

#[test]
fn a_tiny_model_learns_its_documents_and_training_repeats_bit_by_bit() {
    let trained = run(&recipe()).unwrap();
    let losses: Vec<f64> = trained.curve.iter().map(|step| step.loss).collect();
    assert_eq!(losses.len(), 3 * 30);
    assert!(losses[0] > 6.0, "{losses:?}");
    let end = losses[losses.len() - 6..].iter().sum::<f64>() / 6.0;
    assert!(end < 2.0, "{end}: {losses:?}");
    let again = run(&recipe()).unwrap();
    assert_eq!(again.curve, trained.curve);
    let other = run(&Recipe { seed: 2, epochs: 1, ..recipe() }).unwrap();
    assert_ne!(other.curve[0].loss, trained.curve[0].loss);
}

#[test]
fn the_folder_holds_every_matrix_in_bf16() {
    let recipe = Recipe { epochs: 1, ..recipe() };
    let trained = run(&recipe).unwrap();
    let folder = tempfile::tempdir().unwrap();
    peft::save(&trained.weights, "tiny", folder.path()).unwrap();
    let config: serde_json::Value =
        serde_json::from_slice(&std::fs::read(folder.path().join(peft::CONFIG_FILE)).unwrap()).unwrap();
    assert_eq!((config["r"].as_u64(), config["lora_alpha"].as_f64()), (Some(4), Some(8.0)));
    let bytes = std::fs::read(folder.path().join(peft::WEIGHTS_FILE)).unwrap();
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let names: HashSet<String> = tensors.names().into_iter().map(|name| name.to_string()).collect();
    assert_eq!(names.len(), 2 * 2 * Projection::ALL.len());
    let down = tensors.tensor("base_model.model.model.layers.1.mlp.down_proj.lora_A.weight").unwrap();
    assert_eq!((down.shape(), down.dtype()), (&[4, 64][..], safetensors::Dtype::BF16));
}

#[test]
fn progress_is_told_everything_and_can_stop() {
    let mut seen: Vec<Step> = Vec::new();
    let stopped = train(&tiny::base(Architecture::Llama), &Bytes, &documents(), &recipe(), |step| {
        seen.push(*step);
        if step.step == 7 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    assert!(matches!(stopped, Err(TrainError::Stopped(7))), "{stopped:?}");
    assert_eq!(seen.len(), 7);
    assert_eq!((seen[3].epoch, seen[3].steps), (2, 90));
    assert!(seen[5].held_out.is_some() && seen[2].held_out.is_none());
    assert!(seen.iter().all(|step| step.gradient_norm > 0.0 && step.tokens > 0));
}

#[test]
fn what_cannot_be_trained_on_is_refused() {
    let base = tiny::base(Architecture::Llama);
    let refuse = |documents: &[Document], recipe: &Recipe| {
        let error = train(&base, &Bytes, documents, recipe, |_| ControlFlow::Continue(())).unwrap_err();
        assert!(error.is_input(), "{error}");
        error.to_string()
    };
    assert!(refuse(&[], &recipe()).contains("no documents"));
    assert!(refuse(&[Document::new("x", "")], &recipe()).contains("answer of 0"));
    assert!(refuse(&documents(), &Recipe { max_tokens: 4096, ..recipe() }).contains("positions"));
    assert!(refuse(&documents(), &Recipe { questions: Vec::new(), ..recipe() }).contains("no question"));
    assert!(refuse(&documents(), &Recipe { max_tokens: 5, ..recipe() }).contains("do not fit"));
}

#[test]
fn a_diverging_run_says_so() {
    let recipe = Recipe { learning_rate: 1e30, warmup: 0, clip_norm: 1e30, ..recipe() };
    let error = run(&recipe).unwrap_err();
    assert!(matches!(error, TrainError::Diverged { .. }), "{error}");
}

#[test]
fn a_model_with_biases_and_an_uneven_batch_learns_too() {
    let recipe = Recipe { epochs: 3, batch: 4, ..recipe() };
    let base = tiny::base(Architecture::Qwen2);
    let trained = train(&base, &Bytes, &documents(), &recipe, |_| ControlFlow::Continue(())).unwrap();
    assert!(trained.curve[5].loss < trained.curve[0].loss, "{:?}", trained.curve);
}

#[test]
fn a_saved_adapter_scores_as_the_trained_one_but_for_bf16() {
    let recipe = Recipe { epochs: 4, ..recipe() };
    let base = tiny::base(Architecture::Llama);
    let trained = train(&base, &Bytes, &documents(), &recipe, |_| ControlFlow::Continue(())).unwrap();
    let folder = tempfile::tempdir().unwrap();
    peft::save(&trained.weights, "tiny", folder.path()).unwrap();
    let bounds = Bounds::default();
    let adapter = Artifact::read(folder.path(), &bounds).unwrap().parse(&base.geometry(), &bounds).unwrap();
    let read = LoraWeights::from_adapter(&adapter, &base.geometry()).unwrap();
    assert_eq!((read.rank(), read.scale()), (4, 2.0));
    let score = |lora| base.score(&[81, 58, 111, 120], &[1, 3], lora).unwrap().concat();
    let largest = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0f32, f32::max);
    let (plain, before, after) = (score(None), score(Some(&trained.weights)), score(Some(&read)));
    assert!(largest(&before, &after) < 0.1, "{}", largest(&before, &after));
    assert!(largest(&plain, &after) > 0.5, "{}", largest(&plain, &after));
    assert!(base.score(&[500], &[0], None).unwrap_err().is_input());
    assert!(base.score(&[1], &[1], None).unwrap_err().is_input());
}
