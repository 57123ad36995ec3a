use alloy_primitives::{B256, Keccak256};
use llguidance::{
    api::{GrammarWithLexer, TopLevelGrammar},
    regex_to_lark,
};
use serde_json::{Value, json};
use tributary_engine::GRAMMAR_ENGINE;

/// What may stand between the parts of JSON: a space, or a line break with an indent. Without a bound a model that has lost its way
/// writes nothing but spaces.
const SPACES: &str = "[ ]|\\n[ ]{0,24}|\\n\\t{0,8}";

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
    /// Calls of functions, as a model writes them.
    Calls(Calls),
}

/// Calls of functions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Calls {
    /// What a model puts around a call.
    pub style: CallStyle,
    /// Names, and schemas of the arguments.
    pub functions: Vec<(String, Value)>,
    /// Whether there may be several.
    pub many: bool,
    /// What the answer may be instead.
    pub or: Option<Box<Shape>>,
}

/// How a model writes a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallStyle {
    /// `<tool_call>\n{"name": …, "arguments": …}\n</tool_call>`: Hermes, Qwen, SmolLM2.
    Tagged,
    /// `{"name": …, "parameters": …}`: Llama 3.
    Bare,
}

impl Shape {
    const fn kind(&self) -> &'static str {
        match self {
            Self::JsonObject => "json_object",
            Self::JsonSchema(_) => "json_schema",
            Self::Regex(_) => "regex",
            Self::Choice(_) => "choice",
            Self::Lark(_) => "lark",
            Self::Calls(_) => "calls",
        }
    }

    /// What was asked for, as text.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::JsonObject => String::new(),
            Self::JsonSchema(schema) => schema.to_string(),
            Self::Regex(text) | Self::Lark(text) => text.clone(),
            Self::Choice(choices) => json!(choices).to_string(),
            Self::Calls(calls) => calls.lark(),
        }
    }

    /// keccak(`GRAMMAR_ENGINE` ‖ 0 ‖ kind ‖ 0 ‖ text).
    pub fn hash(&self) -> B256 {
        let mut hash = Keccak256::new();
        for part in [GRAMMAR_ENGINE, "\0", self.kind(), "\0", &self.text()] {
            hash.update(part);
        }
        hash.finalize()
    }

    pub(crate) fn grammar(&self) -> TopLevelGrammar {
        match self {
            Self::JsonObject => TopLevelGrammar::from_json_schema(spaced(&json!({"type": "object"}))),
            Self::JsonSchema(schema) => TopLevelGrammar::from_json_schema(spaced(schema)),
            Self::Regex(text) => TopLevelGrammar::from_grammar(GrammarWithLexer::from_regex(text)),
            Self::Lark(text) => TopLevelGrammar::from_lark(text.clone()),
            Self::Choice(_) => {
                TopLevelGrammar::from_lark(format!("start: {0}\n{0}: {1}", self.name(), self.rule()))
            }
            Self::Calls(calls) => TopLevelGrammar::from_lark(calls.lark()),
        }
    }

    /// What Lark calls it. A name in capitals is a token's: one thing for the parser, where a rule is as many as it has alternatives.
    const fn name(&self) -> &'static str {
        if matches!(self, Self::Choice(_)) { "OTHER" } else { "other" }
    }

    /// What that name stands for; what is a grammar of its own matches nothing there.
    fn rule(&self) -> String {
        match self {
            Self::JsonObject => format!("%json {}", spaced(&json!({"type": "object"}))),
            Self::JsonSchema(schema) => format!("%json {}", spaced(schema)),
            Self::Regex(text) => format!("/{}/", regex_to_lark(text, "")),
            Self::Choice(choices) => {
                let quoted: Vec<String> = choices.iter().map(|choice| quoted(choice)).collect();
                quoted.join(" | ")
            }
            Self::Lark(_) | Self::Calls(_) => "/[]/".to_owned(),
        }
    }
}

impl Calls {
    fn lark(&self) -> String {
        let (open, arguments, close) = match self.style {
            CallStyle::Tagged => ("<tool_call>\n{\"name\": ", ", \"arguments\": ", "}\n</tool_call>"),
            CallStyle::Bare => ("{\"name\": ", ", \"parameters\": ", "}"),
        };
        let mut lines = Vec::new();
        let mut names = Vec::new();
        for (index, (name, schema)) in self.functions.iter().enumerate() {
            let head = quoted(&format!("{open}{}{arguments}", quoted(name)));
            lines.push(format!("call{index}: {head} arguments{index} {}", quoted(close)));
            // Each schema by itself: its references lead to places in it.
            lines.push(format!("arguments{index}: %json {}", spaced(schema)));
            names.push(format!("call{index}"));
        }
        let more = if self.many { " (\"\\n\" call)*" } else { "" };
        let mut start = format!("start: call{more}");
        if let Some(other) = &self.or {
            start.push_str(&format!(" | {}", other.name()));
            lines.push(format!("{}: {}", other.name(), other.rule()));
        }
        lines.insert(0, format!("call: {}", names.join(" | ")));
        lines.insert(0, start);
        lines.join("\n")
    }
}

/// A schema with its spaces bounded, unless it says itself what they are.
fn spaced(schema: &Value) -> Value {
    let mut schema = schema.clone();
    if let Some(fields) = schema.as_object_mut()
        && !fields.contains_key("x-guidance")
    {
        fields.insert("x-guidance".into(), json!({"whitespace_pattern": SPACES}));
    }
    schema
}

/// Text as Lark quotes it: as JSON does, and DEL is escaped as well.
fn quoted(text: &str) -> String {
    json!(text).to_string().replace('\u{7f}', "\\u007f")
}
