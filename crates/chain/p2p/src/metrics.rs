//! Figures of the network.

use metrics::{counter, gauge};

pub(crate) fn connected(peers: usize) {
    gauge!("tributary_p2p_peers").set(peers as f64);
}

pub(crate) fn misbehaved() {
    counter!("tributary_p2p_misbehaviour_total").increment(1);
}

pub(crate) fn gossip(outcome: &'static str) {
    counter!("tributary_p2p_gossip_blocks_total", "outcome" => outcome).increment(1);
}

pub(crate) fn served() {
    counter!("tributary_p2p_requests_served_total").increment(1);
}

pub(crate) fn fetched(blocks: usize) {
    counter!("tributary_p2p_blocks_fetched_total").increment(blocks as u64);
}
