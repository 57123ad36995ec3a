//! Held-out questions in float, the right answer fed in: the base alone, and with an adapter as its folder holds it.
//!
//! `evaluate MODEL ADAPTER_FOLDER [FILES_FOLDER]`: quick to run after a training. The quality bar itself is judged in the
//! serving engine.

use std::path::Path;

use tributary_adapters::{Artifact, Bounds};
use tributary_train::{
    Base, LoraWeights, Recipe,
    corpus::{Selection, dictd},
    evaluate,
    job::{ModelCodec, RECIPE_FILE},
};
use tributary_weights::Model;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, folder, rest @ ..] = arguments.as_slice() else {
        return Err("evaluate MODEL ADAPTER_FOLDER".into());
    };
    let folder = Path::new(folder);
    let model = Model::open(Path::new(model))?;
    let codec = ModelCodec::new(&model)?;
    let recipe = Recipe::read(&folder.join(RECIPE_FILE))?;
    let documents =
        Selection::read(&folder.join("headwords.json"))?.documents(Path::new(dictd::DEBIAN_FOLDER))?;
    let base = Base::new(&model.config, &model.weights, recipe.max_tokens)?;
    let bounds = Bounds::default();
    let files = rest.first().map_or(folder, Path::new);
    let adapter = Artifact::read(files, &bounds)?.parse(&base.geometry(), &bounds)?;
    let lora = LoraWeights::from_adapter(&adapter, &base.geometry())?;
    for (name, weights) in [("base", None), ("adapter", Some(&lora))] {
        if let Some(found) = evaluate(&base, weights, &codec, &documents, &recipe)? {
            println!("{name}: {found:?}");
        }
    }
    Ok(())
}
