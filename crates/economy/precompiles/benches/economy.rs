//! Placeholder until the bench below.
fn main() {}
