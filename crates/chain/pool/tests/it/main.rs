//! The pool on a chain that moves.

mod chain;
mod journal;
mod moves;
mod rules;
