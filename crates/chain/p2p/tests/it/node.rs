//! A node with a chain, an engine and peers.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use alloy_primitives::{Address, B256};
use alloy_rpc_types_engine::{ForkchoiceState, PayloadStatusEnum};
use tempfile::TempDir;
use tributary_builder::{BlockTime, DevConfig, DevSequencer, PayloadBuilder, PayloadConfig};
use tributary_engine_api::{ClientVersion, Engine, Version};
use tributary_evm::Executor;
use tributary_p2p::{Network, NetworkConfig, NodeKey, PeerAddress, PeerKind, PeerLimits, SequencerKey};
use tributary_pool::{Pool, PoolConfig};
use tributary_spec::ChainSpec;
use tributary_tree::{Chain, ChainConfig};

const SEQUENCER: &str = "59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d";

pub(crate) struct Node {
    pub(crate) chain: Chain,
    pub(crate) engine: Engine,
    pub(crate) network: Network,
    builder: PayloadBuilder,
    _folder: TempDir,
}

pub(crate) fn sequencer_key() -> SequencerKey {
    SEQUENCER.parse().unwrap()
}

/// A configuration on a free port of the loopback.
pub(crate) fn config() -> NetworkConfig {
    NetworkConfig {
        listen: ([127, 0, 0, 1], 0).into(),
        external: None,
        key: NodeKey::generate(),
        agent: "tributary/test".to_owned(),
        limits: PeerLimits::default(),
        peers: Vec::new(),
        signer: None,
        publish: None,
    }
}

impl Node {
    /// One that only serves and fetches.
    pub(crate) async fn start() -> Self {
        Self::with(config()).await
    }

    /// One that signs and publishes what it seals.
    pub(crate) async fn sequencer() -> Self {
        Self::with(NetworkConfig { publish: Some(sequencer_key()), ..config() }).await
    }

    /// One that follows the sequencer.
    pub(crate) async fn replica() -> Self {
        Self::with(NetworkConfig { signer: Some(sequencer_key().address()), ..config() }).await
    }

    pub(crate) async fn with(config: NetworkConfig) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let executor = Executor::new(ChainSpec::dev());
        let chain = Chain::open(executor.clone(), folder.path(), ChainConfig::default()).unwrap();
        let pool = Pool::open(executor.clone(), chain.clone(), PoolConfig::default()).unwrap();
        let builder = PayloadBuilder::new(executor, chain.clone(), pool, PayloadConfig::default());
        let client = ClientVersion {
            code: "TB".to_owned(),
            name: "Tributary".to_owned(),
            version: "test".to_owned(),
            commit: "00000000".to_owned(),
        };
        let engine = Engine::new(builder.clone(), client).unwrap();
        let network = Network::start(config, engine.clone()).await.unwrap();
        Self { chain, engine, network, builder, _folder: folder }
    }

    pub(crate) fn seal(&self, blocks: u64) {
        self.seal_for(DevConfig::default().fee_recipient, blocks);
    }

    /// With another coinbase it is another block, whatever the clock says.
    pub(crate) fn seal_for(&self, fee_recipient: Address, blocks: u64) {
        let config =
            DevConfig { block_time: BlockTime::PerTransaction, fee_recipient, ..DevConfig::default() };
        let sequencer = DevSequencer::new(self.builder.clone(), config).unwrap();
        for _ in 0..blocks {
            sequencer.seal().unwrap();
        }
    }

    pub(crate) fn address(&self) -> PeerAddress {
        self.network.enode().to_string().parse().unwrap()
    }

    pub(crate) fn call(&self, other: &Self) {
        self.network.add_peer(other.address(), PeerKind::Static);
    }

    /// A fork choice as a rollup node makes it.
    pub(crate) fn choose(&self, head: B256, finalized: B256) -> PayloadStatusEnum {
        let state = ForkchoiceState {
            head_block_hash: head,
            safe_block_hash: finalized,
            finalized_block_hash: finalized,
        };
        self.engine.forkchoice_updated(Version::V3, state, None).unwrap().payload_status.status
    }

    pub(crate) fn head(&self) -> B256 {
        self.chain.head().hash()
    }
}

/// Waits until something is so.
pub(crate) async fn eventually(what: &str, mut so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !so() {
        assert!(start.elapsed() < Duration::from_secs(60), "never: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A canonical block's hash.
pub(crate) fn hash_at(node: &Node, number: u64) -> B256 {
    node.chain.canonical_hash(number).unwrap().unwrap()
}

/// The chain of all these nodes.
pub(crate) fn spec() -> Arc<ChainSpec> {
    ChainSpec::dev()
}
