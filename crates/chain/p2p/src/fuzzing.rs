//! What peers send, for a fuzzer: the readers of this crate, and what must hold of what they read.

use std::sync::{Arc, LazyLock};

use crate::{
    PeerAddress, by_number, gossip,
    payload::{self, MAX_PAYLOAD},
    range,
};
use tributary_spec::ChainSpec;

static SPEC: LazyLock<Arc<ChainSpec>> = LazyLock::new(ChainSpec::dev);

/// A message on a topic of blocks, its signature taken as right.
pub fn gossip(message: &[u8]) {
    let unpacked = gossip::decompress(message, MAX_PAYLOAD).unwrap_or_else(|_| message.to_vec());
    let spec = &*SPEC;
    for with_root in [true, false] {
        let Ok((shape, payload)) = payload::decode(spec, with_root, &unpacked) else { continue };
        assert_eq!(shape.has_root(), with_root);
        if let Ok((block, _)) = payload.into_block(spec) {
            assert_eq!(payload::encode(spec, &block), unpacked, "the same block, other bytes");
        }
    }
}

/// A frame of either request protocol, or a peer's name.
pub fn requests(bytes: &[u8]) {
    range::fuzz(bytes);
    by_number::fuzz(bytes);
    if let Ok(text) = std::str::from_utf8(bytes)
        && let Ok(named) = text.parse::<PeerAddress>()
    {
        assert!(!named.peer.to_bytes().is_empty());
    }
}
