//! Blocks as the sequencer spreads them: signed, compressed, on a topic for each shape of payload.

mod message;
mod router;
mod seen;

pub use self::message::SequencerKey;
pub(crate) use self::{
    message::{MessageError, SignedBlock},
    router::{Gossip, Topics, decompress, router},
    seen::{Seen, SeenBlocks},
};
