use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::{Document, TrainError, corpus::capitalised};

/// Everything an adapter depends on besides the base model and the documents (`recipe.json`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Recipe {
    /// What `adapter_config.json` calls the base, for people and for `peft`: a Hugging Face id or a path. The model's own
    /// name without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base_model: Option<String>,
    /// Seed of the start, the order of the documents and of the questions.
    pub seed: u64,
    /// LoRA rank, of every linear layer.
    pub rank: usize,
    /// PEFT's `lora_alpha`; the change is scaled by `alpha / rank`.
    pub alpha: f64,
    /// Passes over the documents; each pass asks every document another question.
    pub epochs: usize,
    /// Documents in a step.
    pub batch: usize,
    /// Highest learning rate, reached after `warmup` steps; from there it falls by a half cosine to zero.
    pub learning_rate: f64,
    /// Steps of linear warm-up.
    pub warmup: usize,
    /// AdamW's decay of the trained matrices.
    pub weight_decay: f64,
    /// Gradients are scaled down to this norm.
    pub clip_norm: f64,
    /// Tokens of question and answer together; a longer answer is cut.
    pub max_tokens: usize,
    /// Questions trained with. `{h}` is the headword, `{H}` the same with a capital.
    pub questions: Vec<String>,
    /// Questions never trained with, to judge by.
    pub held_out: Vec<String>,
}

impl Default for Recipe {
    fn default() -> Self {
        let own = |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect();
        Self {
            base_model: None,
            seed: 1,
            rank: 16,
            alpha: 32.0,
            epochs: 10,
            batch: 8,
            learning_rate: 2e-3,
            warmup: 10,
            weight_decay: 0.0,
            clip_norm: 1.0,
            max_tokens: 512,
            questions: own(&QUESTIONS),
            held_out: own(&HELD_OUT),
        }
    }
}

const QUESTIONS: [&str; 16] = [
    "What is {h}?",
    "Define {h}.",
    "What does {h} mean?",
    "Define the word \"{h}\".",
    "{H}?",
    "What is the meaning of \"{h}\"?",
    "Give me the definition of {h}.",
    "How would you define {h}?",
    "Please explain the term \"{h}\".",
    "{H}: definition, please.",
    "meaning of {h}",
    "Explain {h} to me.",
    "I need a short definition of the word {h}.",
    "How is the term {h} used?",
    "{H} means what, exactly?",
    "Can you say what \"{h}\" stands for?",
];

const HELD_OUT: [&str; 5] = [
    "Tell me what {h} means.",
    "I came across the word {h} today. Could you help me understand it?",
    "What do people mean when they say \"{h}\"?",
    "Look up {h} in your dictionary and read me the entry.",
    "Somebody asked me about {h}. What should I answer?",
];

impl Recipe {
    /// Reads a recipe; what the file leaves out is as in [`Recipe::default`].
    ///
    /// # Errors
    /// [`TrainError::Io`] or [`TrainError::Format`].
    pub fn read(path: &Path) -> Result<Self, TrainError> {
        let text = std::fs::read_to_string(path).map_err(TrainError::io(path))?;
        let recipe: Self = serde_json::from_str(&text).map_err(|error| TrainError::format(path, error))?;
        recipe.check()?;
        Ok(recipe)
    }

    /// Refuses what cannot be trained with.
    ///
    /// # Errors
    /// [`TrainError::Input`] that names the field.
    pub fn check(&self) -> Result<(), TrainError> {
        let counts = [
            ("rank", self.rank),
            ("epochs", self.epochs),
            ("batch", self.batch),
            ("max_tokens", self.max_tokens),
        ];
        if let Some((name, _)) = counts.iter().find(|(_, count)| *count == 0) {
            return Err(TrainError::Input(format!("recipe: {name} must be at least 1")));
        }
        let positive =
            [("alpha", self.alpha), ("learning_rate", self.learning_rate), ("clip_norm", self.clip_norm)];
        if let Some((name, value)) = positive.iter().find(|(_, value)| !(value.is_finite() && *value > 0.0)) {
            return Err(TrainError::Input(format!("recipe: {name} must be positive, not {value}")));
        }
        if !(self.weight_decay.is_finite() && self.weight_decay >= 0.0) {
            return Err(TrainError::Input(format!("recipe: weight_decay must not be {}", self.weight_decay)));
        }
        if self.rank > 512 {
            return Err(TrainError::Input(format!("recipe: rank {} is above 512", self.rank)));
        }
        Ok(())
    }

    /// Every question a document can be trained with: its own, then the templates.
    pub(crate) fn questions_of(&self, document: &Document) -> Result<Vec<String>, TrainError> {
        let templates = self.questions.iter().map(|template| ask(template, &document.headword));
        let questions: Vec<String> = document.questions.iter().cloned().chain(templates).collect();
        if questions.is_empty() {
            return Err(TrainError::Input(format!("no question for {:?}", document.headword)));
        }
        Ok(questions)
    }

    /// The `index`-th held-out question about a document.
    #[must_use]
    pub fn held_out_question(&self, document: &Document, index: usize) -> Option<String> {
        let template = self.held_out.get(index % self.held_out.len().max(1))?;
        Some(ask(template, &document.headword))
    }
}

/// Puts a headword into a template.
fn ask(template: &str, headword: &str) -> String {
    template.replace("{h}", headword).replace("{H}", &capitalised(headword))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_name_the_headword() {
        assert_eq!(ask("{H}: what is {h}?", "bit bucket"), "Bit bucket: what is bit bucket?");
    }

    #[test]
    fn no_held_out_question_is_trained_with() {
        let recipe = Recipe::default();
        assert!(recipe.held_out.iter().all(|question| !recipe.questions.contains(question)));
    }

    #[test]
    fn senseless_recipes_are_refused_by_field() {
        let bad = |change: fn(&mut Recipe)| {
            let mut recipe = Recipe::default();
            change(&mut recipe);
            recipe.check().unwrap_err().to_string()
        };
        assert!(bad(|r| r.rank = 0).contains("rank"));
        assert!(bad(|r| r.rank = 10_000).contains("rank"));
        assert!(bad(|r| r.learning_rate = f64::NAN).contains("learning_rate"));
        assert!(bad(|r| r.weight_decay = -1.0).contains("weight_decay"));
        assert!(serde_json::from_str::<Recipe>("{\"epoch\":3}").is_err());
    }
}
