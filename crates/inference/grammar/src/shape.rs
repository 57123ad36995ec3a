use alloy_primitives::{B256, Keccak256};
use llguidance::api::{GrammarWithLexer, TopLevelGrammar};
use serde_json::{Value, json};

/// What stands for the engine in every hash: masks may differ from version to version.
const ENGINE: &str = "llguidance 1.9.1";

/// What an answer has to look like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Any JSON object.
    JsonObject,
    /// JSON that a schema describes; its properties in the schema's order.
    JsonSchema(Value),
    /// Text that a regular expression matches as a whole.
    Regex(String),
    /// One of these.
    Choice(Vec<String>),
    /// A grammar in `llguidance`'s Lark.
    Lark(String),
}

impl Shape {
    const fn kind(&self) -> &'static str {
        match self {
            Self::JsonObject => "json_object",
            Self::JsonSchema(_) => "json_schema",
            Self::Regex(_) => "regex",
            Self::Choice(_) => "choice",
            Self::Lark(_) => "lark",
        }
    }

    /// What was asked for, as text.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::JsonObject => String::new(),
            Self::JsonSchema(schema) => schema.to_string(),
            Self::Regex(text) | Self::Lark(text) => text.clone(),
            Self::Choice(choices) => json!(choices).to_string(),
        }
    }

    /// keccak(engine ‖ 0 ‖ kind ‖ 0 ‖ text).
    pub fn hash(&self) -> B256 {
        let mut hash = Keccak256::new();
        for part in [ENGINE, "\0", self.kind(), "\0", &self.text()] {
            hash.update(part);
        }
        hash.finalize()
    }

    pub(crate) fn grammar(&self) -> TopLevelGrammar {
        match self {
            Self::JsonObject => TopLevelGrammar::from_json_schema(json!({"type": "object"})),
            Self::JsonSchema(schema) => TopLevelGrammar::from_json_schema(schema.clone()),
            Self::Regex(text) => TopLevelGrammar::from_grammar(GrammarWithLexer::from_regex(text)),
            Self::Lark(text) => TopLevelGrammar::from_lark(text.clone()),
            Self::Choice(choices) => {
                let quoted: Vec<String> = choices.iter().map(|choice| json!(choice).to_string()).collect();
                TopLevelGrammar::from_lark(format!("start: {}", quoted.join(" | ")))
            }
        }
    }
}
