//! From engine events to replies, whole or streamed.

mod calls;
mod chat;
mod completion;
mod prompt;
mod stream;
mod whole;

pub(crate) use chat::{ChatFormat, Dress, whole_chat};
pub(crate) use completion::{CompletionDress, CompletionFormat, whole_completion};
pub(crate) use stream::stream;

use crate::types::{Receipt, Usage};
use tributary_engine::{FinishReason, TokenEvent};

/// OpenAI's name of a reason; it knows no other than these two.
pub(crate) const fn finish_reason(reason: FinishReason) -> &'static str {
    match reason {
        FinishReason::Stop => "stop",
        FinishReason::Length | FinishReason::Cancelled | FinishReason::Deadline => "length",
    }
}

/// What a streamed chunk says.
pub(crate) enum Part<'a> {
    /// An answer begins.
    Opening { index: u32 },
    /// A token came; `offset` characters of text came before it.
    Token { index: u32, event: &'a TokenEvent, offset: usize },
    /// An answer ended; the only one's receipt belongs to the whole reply.
    End { index: u32, tail: String, reason: FinishReason, receipt: Option<Box<Receipt>>, only: bool },
    /// All of them ended.
    Usage { usage: Option<Usage>, receipt: Option<Box<Receipt>> },
}

/// A kind of chunk. Serialising fails for no value of it; an empty string would only be skipped.
pub(crate) trait Format: Send + Sync + 'static {
    /// The chunk's JSON; none when the part needs no chunk.
    fn chunk(&self, part: Part<'_>) -> Option<String>;
}
