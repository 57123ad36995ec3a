//! From recorded answers to final batches.

mod poster;
mod sender;
mod step;

pub use self::{
    poster::{PostError, Poster, PosterConfig},
    sender::{SendError, Sender},
};
