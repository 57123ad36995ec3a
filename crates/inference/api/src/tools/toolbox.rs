//! The functions of a request and what it says of their use.

use super::parser::CallParser;
use crate::{
    error::{ApiError, Result},
    fields::said,
    types::{Tool, ToolChoice},
};
use serde_json::{Value, json};
use tributary_grammar::{CallStyle, Calls, Shape};

/// Functions of a request, as OpenAI bounds them.
const MAX_TOOLS: usize = 128;

/// Functions, and which of them are called.
#[derive(Clone, Debug)]
pub(crate) struct Toolbox {
    style: CallStyle,
    functions: Vec<(String, Value)>,
    use_: Use,
    many: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Use {
    Auto,
    Required,
    Named,
}

impl Toolbox {
    /// What a request brings; none where nothing may be called.
    pub(crate) fn new(
        tools: Option<&[Value]>,
        choice: Option<&ToolChoice>,
        parallel: Option<bool>,
        style: CallStyle,
    ) -> Result<Option<Self>> {
        let tools = tools.unwrap_or_default();
        let use_ = match choice {
            None => Use::Auto,
            Some(ToolChoice::Mode(mode)) => match mode.as_str() {
                "none" => return Ok(None),
                "auto" => Use::Auto,
                "required" => Use::Required,
                _ => {
                    return Err(ApiError::invalid(
                        "tool_choice",
                        "`tool_choice` is none, auto, required or a function",
                    ));
                }
            },
            Some(ToolChoice::Named { kind, .. }) if kind != "function" => {
                return Err(ApiError::invalid("tool_choice", "only functions can be called"));
            }
            Some(ToolChoice::Named { .. }) => Use::Named,
        };
        if tools.is_empty() {
            return match use_ {
                Use::Auto => Ok(None),
                Use::Required | Use::Named => {
                    Err(ApiError::invalid("tool_choice", "`tool_choice` needs `tools`"))
                }
            };
        }
        if tools.len() > MAX_TOOLS {
            return Err(ApiError::invalid("tools", format!("a request has {MAX_TOOLS} tools at most")));
        }
        let mut functions = tools.iter().map(function).collect::<Result<Vec<_>>>()?;
        if let Some(ToolChoice::Named { function, .. }) = choice {
            functions.retain(|(name, _)| *name == function.name);
            if functions.is_empty() {
                return Err(ApiError::invalid(
                    "tool_choice",
                    "`tool_choice` names a function that is not in `tools`",
                ));
            }
        }
        let many = parallel.unwrap_or(true) && use_ != Use::Named;
        Ok(Some(Self { style, functions, use_, many }))
    }

    /// What binds the answer: nothing where the model decides by itself, and nothing else was asked for.
    pub(crate) fn shape(&self, or: Option<Shape>) -> Option<Shape> {
        if self.use_ == Use::Auto && or.is_none() {
            return None;
        }
        let or = or.filter(|_| self.use_ == Use::Auto).map(Box::new);
        let Self { style, functions, many, .. } = self.clone();
        Some(Shape::Calls(Calls { style, functions, many, or }))
    }

    /// Whether calls are bound to be made: the form of words, if one was asked for, has no place.
    pub(crate) fn is_bound(&self) -> bool {
        self.use_ != Use::Auto
    }

    /// OpenAI ends an answer that had to call one function like any other.
    pub(crate) fn finish_reason(&self) -> &'static str {
        if self.use_ == Use::Named { "stop" } else { "tool_calls" }
    }

    pub(crate) fn parser(&self) -> CallParser {
        let names = self.functions.iter().map(|(name, _)| name.clone()).collect();
        CallParser::new(self.style, names, self.is_bound())
    }

    /// Whether a call more may be made.
    pub(crate) const fn takes(&self, calls: usize) -> bool {
        calls == 0 || self.many
    }
}

fn function(tool: &Value) -> Result<(String, Value)> {
    let tool: Tool = serde_json::from_value(tool.clone())
        .map_err(|error| ApiError::invalid("tools", format!("a tool of another shape: {}", said(&error))))?;
    if tool.kind != "function" {
        return Err(ApiError::invalid("tools", "only functions can be called"));
    }
    let name = tool.function.name;
    let letter = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.');
    if !(1..=64).contains(&name.len()) || !name.bytes().all(letter) {
        return Err(ApiError::invalid(
            "tools",
            "a function's name has between 1 and 64 letters, digits, _, - and .",
        ));
    }
    let nothing = || json!({"type": "object", "properties": {}, "additionalProperties": false});
    let schema = tool.function.parameters.filter(|schema| !schema.is_null()).unwrap_or_else(nothing);
    if !schema.is_object() {
        return Err(ApiError::invalid("tools", format!("the parameters of {name} are no schema")));
    }
    Ok((name, schema))
}

/// What a model whose template does not know of tools is told of them.
pub(crate) fn instructions(tools: &[Value]) -> String {
    let lines: Vec<String> = tools.iter().map(Value::to_string).collect();
    format!(
        "# Tools\n\nYou may call one or more functions to assist with the user query.\n\nYou are provided with function signatures \
         within <tools></tools> XML tags:\n<tools>\n{}\n</tools>\n\nFor each function call, return a json object with function name and \
         arguments within <tool_call></tool_call> XML tags:\n<tool_call>\n{{\"name\": <function-name>, \"arguments\": \
         <args-json-object>}}\n</tool_call>",
        lines.join("\n")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn make(tools: Value, choice: Value) -> Result<Option<Toolbox>> {
        let tools: Vec<Value> = serde_json::from_value(tools).unwrap();
        let choice: Option<ToolChoice> = serde_json::from_value(choice).unwrap();
        Toolbox::new(Some(&tools), choice.as_ref(), None, CallStyle::Tagged)
    }

    fn tool(name: &str) -> Value {
        json!({"type": "function", "function": {"name": name, "strict": true, "parameters": {"type": "object"}}})
    }

    fn named(name: &str) -> Value {
        json!({"type": "function", "function": {"name": name}})
    }

    #[test]
    fn choices() {
        let both = json!([tool("f"), tool("g")]);
        assert!(make(both.clone(), json!("none")).unwrap().is_none());
        assert!(make(json!([]), json!("auto")).unwrap().is_none());
        let auto = make(both.clone(), Value::Null).unwrap().unwrap();
        assert!(auto.shape(None).is_none() && !auto.is_bound() && auto.takes(3));
        assert!(matches!(auto.shape(Some(Shape::JsonObject)), Some(Shape::Calls(Calls { or: Some(_), .. }))));
        let required = make(both.clone(), json!("required")).unwrap().unwrap();
        assert!(required.is_bound() && required.finish_reason() == "tool_calls");
        let one = make(both, named("g")).unwrap().unwrap();
        let Some(Shape::Calls(calls)) = one.shape(None) else { panic!() };
        assert_eq!((calls.functions.len(), calls.functions[0].0.as_str(), calls.many), (1, "g", false));
        assert!(one.finish_reason() == "stop" && !one.takes(1));
    }

    #[test]
    fn what_is_no_tool_is_named() {
        for (tools, choice, field) in [
            (json!([tool("f")]), named("h"), "tool_choice"),
            (json!([]), json!("required"), "tool_choice"),
            (json!([]), named("f"), "tool_choice"),
            (json!([tool("f")]), json!("maybe"), "tool_choice"),
            (json!([tool("")]), Value::Null, "tools"),
            (json!([tool("a b")]), Value::Null, "tools"),
            (json!([tool("a\"")]), Value::Null, "tools"),
            (json!([{"type": "function"}]), Value::Null, "tools"),
            (json!([{"type": "retrieval", "function": {"name": "f"}}]), Value::Null, "tools"),
            (json!([{"type": "function", "function": {"name": "f", "parameters": 7}}]), Value::Null, "tools"),
            (json!(vec![tool("f"); 129]), Value::Null, "tools"),
        ] {
            match make(tools, choice).unwrap_err() {
                ApiError::Invalid { param: Some(param), .. } => assert_eq!(param, field),
                other => panic!("{other}"),
            }
        }
    }
}
