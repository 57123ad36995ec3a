//! What a peer sends on a topic of blocks. A payload that is a block is the same bytes again when it is written.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tributary_p2p::fuzzing;

fuzz_target!(|message: &[u8]| fuzzing::gossip(message));
