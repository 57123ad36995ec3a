//! The trace from outside the crate: indexed against naive, and by the letter of the protocol.

mod cases;
mod equal;
mod golden;
mod support;
