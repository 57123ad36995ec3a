//! From recorded answers to final batches.

mod poster;
mod sender;
mod step;

pub use self::{
    poster::{PostError, Poster, PosterConfig, Posting},
    sender::{SendError, Sender},
};
