//! Requests of peers, answers of peers, and names of peers.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tributary_p2p::fuzzing;

fuzz_target!(|bytes: &[u8]| fuzzing::requests(bytes));
