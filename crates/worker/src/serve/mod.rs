//! The worker's side of a request: which model answers, whether it is paid for, and what is recorded of it.

mod base;
mod channels;
mod gate;
mod meter;
mod quotes;
mod receipt;
mod resolver;
mod terms;

pub use self::{
    base::{BaseModel, LocalBase},
    gate::{PaidGate, PaymentPolicy},
    resolver::ChainResolver,
};
