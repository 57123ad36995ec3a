//! Writes what `tests/python/peft_load.py` compares: the trainer's logits with an adapter as it lies in its folder.
//!
//! `probe MODEL ADAPTER_FOLDER OUT.json`

use std::path::Path;

use serde_json::json;
use tributary_adapters::{Artifact, Bounds};
use tributary_train::{
    Base, Codec, LoraWeights, Recipe,
    corpus::{Selection, dictd},
    job::{ModelCodec, RECIPE_FILE},
};
use tributary_weights::Model;

/// Documents asked for, and answer tokens compared of each.
const CASES: usize = 4;
const POSITIONS: u32 = 8;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, folder, out] = arguments.as_slice() else {
        return Err("probe MODEL ADAPTER_FOLDER OUT.json".into());
    };
    let folder = Path::new(folder);
    let model = Model::open(Path::new(model))?;
    let codec = ModelCodec::new(&model)?;
    let base = Base::new(&model.config, &model.weights, 512)?;
    let bounds = Bounds::default();
    let adapter = Artifact::read(folder, &bounds)?.parse(&base.geometry(), &bounds)?;
    let lora = LoraWeights::from_adapter(&adapter, &base.geometry())?;
    let recipe = Recipe::read(&folder.join(RECIPE_FILE))?;
    let documents =
        Selection::read(&folder.join("headwords.json"))?.documents(Path::new(dictd::DEBIAN_FOLDER))?;
    let mut cases = Vec::new();
    for (index, document) in documents.iter().step_by(documents.len() / CASES).enumerate() {
        let question = recipe.held_out_question(document, index).ok_or("the recipe holds out no question")?;
        let mut tokens = codec.prompt(&question)?;
        let positions: Vec<u32> = (tokens.len() as u32 - 1..).take(POSITIONS as usize).collect();
        tokens.extend(codec.text(&document.text)?.into_iter().take(POSITIONS as usize));
        let logits = base.score(&tokens, &positions, Some(&lora))?;
        cases.push(json!({ "headword": document.headword, "tokens": tokens, "positions": positions, "logits": logits }));
    }
    std::fs::write(out, serde_json::to_vec(&json!({ "cases": cases }))?)?;
    Ok(())
}
