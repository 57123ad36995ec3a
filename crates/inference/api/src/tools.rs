//! Functions that a model may call: what it is told of them, how its calls are bound, and how they are found in what it writes.
//!
//! ```text
//! tools ─► template (or a system message) ─► answer ─► CallParser ─► tool_calls
//!   └────► tool_choice required, named: grammar ──┘
//! ```

mod parser;
mod scanner;
mod toolbox;

pub(crate) use parser::{CallParser, Piece};
pub(crate) use toolbox::{Toolbox, instructions};
