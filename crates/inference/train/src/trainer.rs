use std::ops::ControlFlow;

use candle_core::backprop::GradStore;
use candle_nn::{AdamW, Optimizer, ParamsAdamW};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::{
    Base, Codec, Document, LoraWeights, Recipe, TrainError,
    examples::{self, Curriculum, Example},
    model::Batch,
    ops::CrossEntropy,
    quality::MIN_SPAN,
};

/// One held-out question is asked for every third document,
const HELD_OUT_STRIDE: usize = 3;
/// after every other epoch and the last.
const HELD_OUT_EPOCHS: usize = 2;

/// What one step did; the rows of `loss.csv`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// From 1.
    pub step: usize,
    /// Steps there will be.
    pub steps: usize,
    /// From 1.
    pub epoch: usize,
    /// Mean cross-entropy over the answer tokens of the step, in nats.
    pub loss: f64,
    /// Norm of all gradients together, before clipping.
    pub gradient_norm: f64,
    /// The learning rate used.
    pub learning_rate: f64,
    /// Tokens read, padding left out.
    pub tokens: usize,
    /// After every other epoch: how the held-out questions fare.
    pub held_out: Option<HeldOut>,
}

/// Held-out questions with the right answer fed in, token by token.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct HeldOut {
    /// Mean cross-entropy over their answer tokens, in nats.
    pub loss: f64,
    /// Share of answer tokens that were the most likely one.
    pub accuracy: f64,
    /// Share of answers whose first tokens all were: as many as the quality bar asks for, so a greedy answer passes it.
    pub openings: f64,
}

/// A trained adapter and how it came to be.
#[derive(Debug)]
pub struct Trained {
    /// The matrices.
    pub weights: LoraWeights,
    /// Every step.
    pub curve: Vec<Step>,
}

/// Trains an adapter on documents. `progress` sees every step and may stop the training.
///
/// # Errors
/// [`TrainError::Input`] for a recipe or documents that cannot be used, [`TrainError::Diverged`] when the loss is lost,
/// [`TrainError::Stopped`] when `progress` breaks.
pub fn train(
    base: &Base,
    codec: &dyn Codec,
    documents: &[Document],
    recipe: &Recipe,
    mut progress: impl FnMut(&Step) -> ControlFlow<()>,
) -> Result<Trained, TrainError> {
    recipe.check()?;
    if recipe.max_tokens > base.positions() {
        return Err(TrainError::Input(format!(
            "recipe: max_tokens exceeds the base's {} positions",
            base.positions()
        )));
    }
    let mut rng = ChaCha8Rng::seed_from_u64(recipe.seed);
    let curriculum = Curriculum::new(documents, recipe, codec, &mut rng)?;
    let held_out = examples::held_out(documents, recipe, codec, HELD_OUT_STRIDE)?;
    let mut run = Run::new(base, recipe, documents.len())?;
    let mut curve = Vec::with_capacity(run.steps);
    for epoch in 0..recipe.epochs {
        let batches = curriculum.epoch(epoch, recipe.batch, &mut rng);
        let last = batches.len() - 1;
        for (index, examples) in batches.iter().enumerate() {
            let mut step = run.step(examples, epoch)?;
            if index == last && ((epoch + 1) % HELD_OUT_EPOCHS == 0 || epoch + 1 == recipe.epochs) {
                step.held_out = run.judge(&held_out)?;
            }
            curve.push(step);
            if progress(&step).is_break() {
                return Err(TrainError::Stopped(step.step));
            }
        }
    }
    Ok(Trained { weights: run.weights, curve })
}

struct Run<'a> {
    base: &'a Base,
    recipe: &'a Recipe,
    weights: LoraWeights,
    optimizer: AdamW,
    step: usize,
    steps: usize,
}

impl<'a> Run<'a> {
    fn new(base: &'a Base, recipe: &'a Recipe, documents: usize) -> Result<Self, TrainError> {
        let weights = LoraWeights::new(&base.geometry(), recipe.rank, recipe.alpha, recipe.seed)?;
        let params = ParamsAdamW { weight_decay: recipe.weight_decay, ..ParamsAdamW::default() };
        let optimizer = AdamW::new(weights.vars(), params)?;
        let steps = documents.div_ceil(recipe.batch) * recipe.epochs;
        Ok(Self { base, recipe, weights, optimizer, step: 0, steps })
    }

    fn step(&mut self, examples: &[&Example], epoch: usize) -> Result<Step, TrainError> {
        self.step += 1;
        let batch = examples::batch(examples);
        let loss = self.loss(&batch)?;
        let value = f64::from(loss.to_scalar::<f32>()?);
        if !value.is_finite() {
            return Err(TrainError::Diverged { step: self.step, what: "the loss" });
        }
        let mut grads = loss.backward()?;
        let gradient_norm = self.clip(&mut grads)?;
        if !gradient_norm.is_finite() {
            return Err(TrainError::Diverged { step: self.step, what: "a gradient" });
        }
        let learning_rate = schedule(self.recipe, self.step, self.steps);
        self.optimizer.set_learning_rate(learning_rate);
        self.optimizer.step(&grads)?;
        Ok(Step {
            step: self.step,
            steps: self.steps,
            epoch: epoch + 1,
            loss: value,
            gradient_norm,
            learning_rate,
            tokens: examples.iter().map(|example| example.len()).sum(),
            held_out: None,
        })
    }

    fn loss(&self, batch: &Batch) -> Result<candle_core::Tensor, TrainError> {
        let logits = self.base.logits(batch, Some(&self.weights))?;
        Ok(logits.apply_op1(CrossEntropy { targets: batch.targets.clone() })?)
    }

    /// Scales all gradients so that their common norm is at most the recipe's; returns the norm before.
    fn clip(&self, grads: &mut GradStore) -> Result<f64, TrainError> {
        let vars = self.weights.vars();
        let mut squares = 0f64;
        for var in &vars {
            let Some(grad) = grads.get(var.as_tensor()) else {
                return Err(TrainError::Base("a trained matrix has no gradient".into()));
            };
            squares += f64::from(grad.sqr()?.sum_all()?.to_scalar::<f32>()?);
        }
        let norm = squares.sqrt();
        if norm.is_finite() && norm > self.recipe.clip_norm {
            for var in &vars {
                if let Some(grad) = grads.remove(var.as_tensor()) {
                    grads.insert(var.as_tensor(), (grad * (self.recipe.clip_norm / norm))?);
                }
            }
        }
        Ok(norm)
    }

    fn judge(&self, held_out: &[Example]) -> Result<Option<HeldOut>, TrainError> {
        judge(self.base, Some(&self.weights), held_out, self.recipe.batch)
    }
}

/// Asks the held-out question of every third document, the right answer fed in: the base alone, or with an adapter.
///
/// # Errors
/// As [`train`].
pub fn evaluate(
    base: &Base,
    weights: Option<&LoraWeights>,
    codec: &dyn Codec,
    documents: &[Document],
    recipe: &Recipe,
) -> Result<Option<HeldOut>, TrainError> {
    judge(base, weights, &examples::held_out(documents, recipe, codec, HELD_OUT_STRIDE)?, recipe.batch)
}

fn judge(
    base: &Base,
    weights: Option<&LoraWeights>,
    held_out: &[Example],
    batch: usize,
) -> Result<Option<HeldOut>, TrainError> {
    let (mut loss, mut right, mut openings, mut total) = (0f64, 0usize, 0usize, 0usize);
    for examples in held_out.chunks(batch) {
        let examples: Vec<&Example> = examples.iter().collect();
        let batch = examples::batch(&examples);
        let logits = base.logits(&batch, weights)?.detach();
        let chosen = logits.argmax(candle_core::D::Minus1)?.to_vec1::<u32>()?;
        let hits: Vec<bool> =
            chosen.iter().zip(&batch.targets).map(|(chosen, target)| chosen == target).collect();
        right += hits.iter().filter(|hit| **hit).count();
        let mut rest = hits.as_slice();
        for example in &examples {
            let (answer, others) = rest.split_at(example.answer_len());
            openings += usize::from(answer.iter().take(example.head_len() + MIN_SPAN).all(|hit| *hit));
            rest = others;
        }
        let mean = logits.apply_op1(CrossEntropy { targets: batch.targets })?.to_scalar::<f32>()?;
        loss += f64::from(mean) * hits.len() as f64;
        total += hits.len();
    }
    let (all, answers) = (total as f64, held_out.len() as f64);
    let found =
        HeldOut { loss: loss / all, accuracy: right as f64 / all, openings: openings as f64 / answers };
    Ok((total > 0).then_some(found))
}

/// Linear warm-up, then half a cosine down to zero.
fn schedule(recipe: &Recipe, step: usize, steps: usize) -> f64 {
    let warmup = recipe.warmup.min(steps / 2);
    if step <= warmup {
        return recipe.learning_rate * step as f64 / warmup as f64;
    }
    let done = (step - warmup) as f64 / (steps - warmup + 1) as f64;
    recipe.learning_rate * 0.5 * (1.0 + (std::f64::consts::PI * done).cos())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_learning_rate_rises_then_falls_to_nearly_nothing() {
        let recipe = Recipe { learning_rate: 1.0, warmup: 10, ..Recipe::default() };
        assert!((schedule(&recipe, 5, 100) - 0.5).abs() < 1e-12);
        assert!((schedule(&recipe, 10, 100) - 1.0).abs() < 1e-12);
        assert!(schedule(&recipe, 100, 100) < 0.001);
        assert!(schedule(&recipe, 1, 1) > 0.0);
    }
}
