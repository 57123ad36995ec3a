//! Trains an adapter from a folder with `headwords.json` and `recipe.json` on the installed dictionary.
//!
//! `adapter MODEL ADAPTER_FOLDER OUT_FOLDER`: what `tributary adapter train` does for a datanet, for a shipped adapter.

use std::{ops::ControlFlow, path::Path, time::Instant};

use tributary_train::{
    Recipe,
    corpus::{Selection, dictd},
    job,
};
use tributary_weights::Model;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, folder, out] = arguments.as_slice() else {
        return Err("adapter MODEL ADAPTER_FOLDER OUT_FOLDER".into());
    };
    let folder = Path::new(folder);
    let recipe = Recipe::read(&folder.join(job::RECIPE_FILE))?;
    let documents =
        Selection::read(&folder.join("headwords.json"))?.documents(Path::new(dictd::DEBIAN_FOLDER))?;
    let model = Model::open(Path::new(model))?;
    let start = Instant::now();
    job::run(&model, &documents, &recipe, Path::new(out), |step| {
        let held_out = step.held_out.map(|h| {
            format!(
                "  held out {:.3}, {:.1}% right, {:.1}% begun",
                h.loss,
                100.0 * h.accuracy,
                100.0 * h.openings
            )
        });
        println!(
            "{:6.0} s  step {}/{}  epoch {}  loss {:.4}  gradient {:.3}{}",
            start.elapsed().as_secs_f64(),
            step.step,
            step.steps,
            step.epoch,
            step.loss,
            step.gradient_norm,
            held_out.unwrap_or_default()
        );
        ControlFlow::Continue(())
    })?;
    Ok(())
}
