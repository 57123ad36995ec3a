//! Formats, trees, fees and checks of records, from outside the crate.

mod attribution;
mod check;
mod codec;
mod fees;
mod golden;
mod ids;
mod merkle;
mod payouts;
mod voucher;
mod world;
