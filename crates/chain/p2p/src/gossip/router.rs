//! gossipsub with op-node's parameters.

use std::{
    collections::{HashMap, HashSet},
    io,
    time::Duration,
};

use libp2p::gossipsub::{
    self, Behaviour, ConfigBuilder, DataTransform, IdentTopic, Message, MessageAuthenticity, MessageId,
    PeerScoreParams, PeerScoreThresholds, RawMessage, TopicHash, TopicScoreParams, ValidationMode,
    WhitelistSubscriptionFilter,
};
use sha2::{Digest, Sha256};

use crate::{
    NetworkError,
    payload::{MAX_PAYLOAD, Shape},
};

/// The router's type.
pub(crate) type Gossip = Behaviour<Snappy, WhitelistSubscriptionFilter>;

const HEARTBEAT: Duration = Duration::from_millis(500);
/// A message that is known is not looked at again for so long.
const SEEN_TTL: Duration = Duration::from_secs(130);
const VALID_SNAPPY: [u8; 4] = [1, 0, 0, 0];

/// The topics of a chain.
#[derive(Debug, Clone)]
pub(crate) struct Topics([IdentTopic; 4]);

impl Topics {
    pub(crate) fn new(chain_id: u64) -> Self {
        Self(Shape::ALL.map(|shape| IdentTopic::new(format!("/optimism/{chain_id}/{}/blocks", shape as u8))))
    }

    pub(crate) fn of(&self, shape: Shape) -> &IdentTopic {
        &self.0[shape as usize]
    }

    pub(crate) fn shape(&self, topic: &TopicHash) -> Option<Shape> {
        Shape::ALL.into_iter().find(|shape| self.of(*shape).hash() == *topic)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &IdentTopic> {
        self.0.iter()
    }
}

/// Messages are compressed on the wire, and identified by what is inside.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Snappy;

impl DataTransform for Snappy {
    fn inbound_transform(&self, raw: RawMessage) -> io::Result<Message> {
        let data = decompress(&raw.data, MAX_PAYLOAD)?;
        Ok(Message { source: raw.source, data, sequence_number: raw.sequence_number, topic: raw.topic })
    }

    fn outbound_transform(&self, _topic: &TopicHash, data: Vec<u8>) -> io::Result<Vec<u8>> {
        snap::raw::Encoder::new().compress_vec(&data).map_err(io::Error::other)
    }
}

/// Decompresses what says that it becomes no larger than it may.
pub(crate) fn decompress(bytes: &[u8], most: usize) -> io::Result<Vec<u8>> {
    let length = snap::raw::decompress_len(bytes).map_err(io::Error::other)?;
    if length > most {
        return Err(io::Error::other(format!("{length} bytes when decompressed")));
    }
    snap::raw::Decoder::new().decompress_vec(bytes).map_err(io::Error::other)
}

fn message_id(message: &Message) -> MessageId {
    let topic = message.topic.as_str();
    let mut hash = Sha256::new();
    hash.update(VALID_SNAPPY);
    hash.update((topic.len() as u64).to_le_bytes());
    hash.update(topic);
    hash.update(&message.data);
    MessageId::new(&hash.finalize()[..20])
}

/// The router, subscribed to all topics.
pub(crate) fn router(topics: &Topics, block_time: Duration) -> Result<Gossip, NetworkError> {
    let failed = |error: String| NetworkError::Setup(format!("gossipsub: {error}"));
    let config = ConfigBuilder::default()
        .mesh_n(8)
        .mesh_n_low(6)
        .mesh_n_high(12)
        .gossip_lazy(6)
        .heartbeat_interval(HEARTBEAT)
        .fanout_ttl(Duration::from_secs(24))
        .history_length(12)
        .history_gossip(3)
        .duplicate_cache_time(SEEN_TTL)
        .max_transmit_size(MAX_PAYLOAD)
        .validation_mode(ValidationMode::Anonymous)
        .validate_messages()
        .message_id_fn(message_id)
        .build()
        .map_err(|error| failed(error.to_string()))?;
    let filter = WhitelistSubscriptionFilter(topics.iter().map(IdentTopic::hash).collect::<HashSet<_>>());
    let mut router = Behaviour::new_with_subscription_filter_and_transform(
        MessageAuthenticity::Anonymous,
        config,
        filter,
        Snappy,
    )
    .map_err(|error| failed(error.to_owned()))?;
    router.with_peer_score(score_params(topics, block_time), thresholds()).map_err(failed)?;
    for topic in topics.iter() {
        router.subscribe(topic).map_err(|error| failed(error.to_string()))?;
    }
    Ok(router)
}

/// Who sends invalid blocks, or behaves against the protocol, is left alone; slowness costs nothing, since a chain's topic is silent
/// whenever its sequencer is.
fn score_params(topics: &Topics, slot: Duration) -> PeerScoreParams {
    let decay = |slots: f64| gossipsub::score_parameter_decay(slot.mul_f64(slots));
    let topic = TopicScoreParams {
        topic_weight: 1.0,
        time_in_mesh_weight: 0.0,
        first_message_deliveries_weight: 0.5,
        first_message_deliveries_cap: 20.0,
        first_message_deliveries_decay: decay(100.0),
        mesh_message_deliveries_weight: 0.0,
        mesh_failure_penalty_weight: 0.0,
        invalid_message_deliveries_weight: -20.0,
        invalid_message_deliveries_decay: decay(3_000.0),
        ..TopicScoreParams::default()
    };
    PeerScoreParams {
        topics: topics.iter().map(|name| (name.hash(), topic.clone())).collect::<HashMap<_, _>>(),
        topic_score_cap: 40.0,
        app_specific_weight: 1.0,
        // Nodes behind one address are common, and on a test network the rule.
        ip_colocation_factor_weight: 0.0,
        behaviour_penalty_weight: -10.0,
        behaviour_penalty_threshold: 6.0,
        behaviour_penalty_decay: decay(60.0),
        decay_interval: slot.max(Duration::from_secs(1)),
        ..PeerScoreParams::default()
    }
}

fn thresholds() -> PeerScoreThresholds {
    PeerScoreThresholds {
        gossip_threshold: -10.0,
        publish_threshold: -40.0,
        graylist_threshold: -40.0,
        accept_px_threshold: 20.0,
        opportunistic_graft_threshold: 0.05,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bomb_is_not_unpacked() {
        let bomb = snap::raw::Encoder::new().compress_vec(&vec![0; MAX_PAYLOAD + 1]).unwrap();
        assert!(bomb.len() < MAX_PAYLOAD);
        assert!(decompress(&bomb, MAX_PAYLOAD).is_err());
        assert!(decompress(&[0xff; 12], MAX_PAYLOAD).is_err());
    }

    #[test]
    fn topics_are_op_nodes() {
        let topics = Topics::new(901);
        assert_eq!(topics.of(Shape::V4).to_string(), "/optimism/901/3/blocks");
        assert_eq!(topics.shape(&topics.of(Shape::V2).hash()), Some(Shape::V2));
        assert_eq!(topics.shape(&IdentTopic::new("/optimism/10/3/blocks").hash()), None);
    }
}
