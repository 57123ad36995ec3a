#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod best;
mod config;
mod error;
mod head;
mod journal;
mod pool;
mod sender;
mod set;
mod transaction;
mod validate;
mod window;

pub use best::BestTransactions;
pub use config::PoolConfig;
pub use error::{PoolError, Severity};
pub use head::Head;
pub use pool::{BySender, Pool, PoolContent, PoolStatus};
pub use transaction::{Origin, PooledTransaction};
pub use window::Window;
