//! Integration tests: the kernels compiled by the real compiler, and run on the CPU through everything above the driver.

mod choose;
mod company;
mod compile;
mod emulator;
mod engine;
mod failures;
mod fast;
mod floats;
mod forward;
mod model;
mod planner;
mod sanitized;
mod shadow;
mod slots;
