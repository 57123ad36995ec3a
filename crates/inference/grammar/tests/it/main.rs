//! Grammars as an engine uses them: masks, choices, the end; and what clients may try.

mod choices;
mod errors;
mod hostile;
mod shapes;
mod walk;
