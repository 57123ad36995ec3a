#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod accept;
mod file;
mod unread;

pub use accept::{accept, expect_reading};
pub use file::{FileError, read, read_beneath};
pub use unread::Unread;
