//! A model's calls as clients see them, whole or piece by piece.

use crate::{
    tools::{CallParser, Piece, Toolbox},
    types::{Delta, FunctionCall, FunctionDelta, ToolCall, ToolCallDelta},
};
use alloy_primitives::{B256, Keccak256, hex};

/// Reads the calls of one answer.
pub(super) struct CallReader {
    toolbox: Toolbox,
    parser: CallParser,
    /// What names of calls are derived from.
    answer: B256,
    choice: u32,
    begun: usize,
    ended: usize,
    /// The call at hand is one too many.
    skipping: bool,
    broken: bool,
}

impl CallReader {
    pub(super) fn new(toolbox: &Toolbox, answer: B256, choice: u32) -> Self {
        Self {
            parser: toolbox.parser(),
            toolbox: toolbox.clone(),
            answer,
            choice,
            begun: 0,
            ended: 0,
            skipping: false,
            broken: false,
        }
    }

    /// What more text adds to the message.
    pub(super) fn push(&mut self, text: &str) -> Delta {
        let pieces = self.parser.push(text);
        self.delta(pieces)
    }

    /// What the end of the text adds.
    pub(super) fn finish(&mut self) -> Delta {
        let pieces = self.parser.finish();
        self.delta(pieces)
    }

    /// Why the answer ended, if it ended by itself: with calls, if there are whole ones.
    pub(super) fn finish_reason(&self) -> Option<&'static str> {
        (self.ended > 0 && self.ended == self.begun).then(|| self.toolbox.finish_reason())
    }

    fn id(&self) -> String {
        let mut hash = Keccak256::new();
        hash.update(self.answer);
        hash.update(self.choice.to_be_bytes());
        hash.update((self.begun as u64).to_be_bytes());
        format!("call_{}", hex::encode(&hash.finalize()[..12]))
    }

    fn delta(&mut self, pieces: Vec<Piece>) -> Delta {
        let (mut content, mut calls) = (String::new(), Vec::new());
        for piece in pieces {
            match piece {
                Piece::Text(text) => content.push_str(&text),
                Piece::Call(name) => {
                    self.skipping = !self.toolbox.takes(self.begun);
                    if !self.skipping {
                        let function = FunctionDelta { name: Some(name), arguments: Some(String::new()) };
                        let (id, kind) = (Some(self.id()), Some("function".to_owned()));
                        calls.push(ToolCallDelta { index: self.begun as u32, id, kind, function });
                        self.begun += 1;
                    }
                }
                Piece::Arguments(_) if self.skipping => {}
                Piece::Arguments(text) => {
                    let function = FunctionDelta { name: None, arguments: Some(text) };
                    let index = self.begun.saturating_sub(1) as u32;
                    calls.push(ToolCallDelta { index, function, ..ToolCallDelta::default() });
                }
                Piece::End if self.skipping => self.skipping = false,
                Piece::End => self.ended += 1,
                Piece::Malformed => self.broken = true,
            }
        }
        Delta {
            role: None,
            content: Some(content).filter(|content| !content.is_empty()),
            tool_calls: Some(calls).filter(|calls| !calls.is_empty()),
        }
    }

    /// A whole text: its words and its calls. Text that is no call after all is words.
    pub(super) fn whole(&mut self, text: &str) -> (Option<String>, Vec<ToolCall>) {
        let (mut content, mut calls) = (String::new(), Vec::<ToolCall>::new());
        for delta in [self.push(text), self.finish()] {
            content.push_str(&delta.content.unwrap_or_default());
            for added in delta.tool_calls.unwrap_or_default() {
                let FunctionDelta { name, arguments } = added.function;
                let arguments = arguments.unwrap_or_default();
                match (name, added.id) {
                    (Some(name), Some(id)) => calls.push(ToolCall {
                        id,
                        kind: "function".into(),
                        function: FunctionCall { name, arguments },
                    }),
                    _ => {
                        if let Some(call) = calls.last_mut() {
                            call.function.arguments.push_str(&arguments);
                        }
                    }
                }
            }
        }
        let is_json =
            |call: &ToolCall| serde_json::from_str::<serde::de::IgnoredAny>(&call.function.arguments).is_ok();
        if self.broken || !calls.iter().take(self.ended).all(is_json) {
            self.ended = 0;
            return (Some(text.to_owned()), Vec::new());
        }
        let silent = content.is_empty() && !calls.is_empty();
        ((!silent).then_some(content), calls)
    }
}
