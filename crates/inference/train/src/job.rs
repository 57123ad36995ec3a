//! One training from a loaded model to an adapter folder, for the command line and for tests.

use std::{fmt::Write as _, ops::ControlFlow, path::Path};

use serde::Serialize;
use tributary_weights::{ChatInput, Model};

use crate::{Base, Codec, Document, Recipe, Step, TrainError, Trained, peft, train};

/// Name of the recipe in an adapter folder.
pub const RECIPE_FILE: &str = "recipe.json";
/// Name of the loss curve in an adapter folder.
pub const CURVE_FILE: &str = "loss.csv";

/// A loaded model's tokenizer and chat template as the trainer uses them.
#[derive(Debug)]
pub struct ModelCodec<'a> {
    model: &'a Model,
    end: u32,
}

#[derive(Serialize)]
struct Message<'a> {
    role: &'a str,
    content: &'a str,
}

impl<'a> ModelCodec<'a> {
    /// The codec of a model that can chat.
    ///
    /// # Errors
    /// [`TrainError::Base`] for a model without a chat template or without a token that ends an answer.
    pub fn new(model: &'a Model) -> Result<Self, TrainError> {
        if model.chat.is_none() {
            return Err(TrainError::Base(
                "it has no chat template, so there is no form to ask questions in".into(),
            ));
        }
        let end = model.tokenizer.eos().first().copied();
        let end = end.ok_or_else(|| TrainError::Base("it has no token that ends an answer".into()))?;
        Ok(Self { model, end })
    }
}

impl Codec for ModelCodec<'_> {
    fn prompt(&self, question: &str) -> Result<Vec<u32>, TrainError> {
        let Some(chat) = &self.model.chat else {
            return Err(TrainError::Base("it has no chat template".into()));
        };
        let messages = [Message { role: "user", content: question }];
        let input = ChatInput { messages: &messages, tools: None, add_generation_prompt: true };
        let text = chat.render(&input).map_err(|error| TrainError::Base(error.to_string()))?;
        self.model.tokenizer.encode_prompt(&text).map_err(|error| TrainError::Base(error.to_string()))
    }

    fn text(&self, text: &str) -> Result<Vec<u32>, TrainError> {
        self.model.tokenizer.encode(text).map_err(|error| TrainError::Base(error.to_string()))
    }

    fn end(&self) -> u32 {
        self.end
    }
}

/// Trains an adapter of `model` on `documents` and writes it to `folder` with its recipe and its loss curve.
///
/// The base is held dequantised while this runs: about 4 bytes a parameter, and as much again for a step.
///
/// # Errors
/// As [`train`], and [`TrainError::Io`] when the folder cannot be written.
pub fn run(
    model: &Model,
    documents: &[Document],
    recipe: &Recipe,
    folder: &Path,
    progress: impl FnMut(&Step) -> ControlFlow<()>,
) -> Result<Trained, TrainError> {
    recipe.check()?;
    // A folder that cannot be written is found out before the work, not after it.
    std::fs::create_dir_all(folder).map_err(TrainError::io(folder))?;
    let codec = ModelCodec::new(model)?;
    let base = Base::new(&model.config, &model.weights, recipe.max_tokens)?;
    let trained = train(&base, &codec, documents, recipe, progress)?;
    peft::save(&trained.weights, recipe.base_model.as_deref().unwrap_or(&model.name), folder)?;
    let path = folder.join(RECIPE_FILE);
    let json = serde_json::to_string_pretty(recipe).map_err(|error| TrainError::format(&path, error))?;
    std::fs::write(&path, json + "\n").map_err(TrainError::io(&path))?;
    let path = folder.join(CURVE_FILE);
    std::fs::write(&path, csv(&trained.curve)).map_err(TrainError::io(&path))?;
    Ok(trained)
}

/// The loss curve, a step a line.
#[must_use]
pub fn csv(curve: &[Step]) -> String {
    let mut out =
        "step,epoch,loss,gradient_norm,learning_rate,tokens,held_out_loss,held_out_accuracy,held_out_openings\n".to_owned();
    for step in curve {
        let Step { step: number, epoch, loss, gradient_norm, learning_rate, tokens, held_out, .. } = step;
        let _ = write!(out, "{number},{epoch},{loss:.5},{gradient_norm:.4},{learning_rate:.7},{tokens},");
        let _ = match held_out {
            Some(held_out) => {
                writeln!(out, "{:.5},{:.5},{:.3}", held_out.loss, held_out.accuracy, held_out.openings)
            }
            None => writeln!(out, ",,"),
        };
    }
    out
}
