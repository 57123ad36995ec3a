#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

use std::{io::Read, sync::Arc};

use jsonrpsee::Methods;
use tempfile::TempDir;
use tributary_builder::{BlockTime, DevConfig, DevSequencer, PayloadBuilder, PayloadConfig};
use tributary_engine_api::{ClientVersion, Engine, EngineApiServer, MinerApiServer};
use tributary_evm::Executor;
use tributary_pool::{Pool, PoolConfig};
use tributary_rpc::{EthConfig, Modules, Namespace, NoPeers, NoWorker, RpcContext, RpcParts};
use tributary_spec::ChainSpec;
use tributary_tree::{Chain, ChainConfig};

const RECORDED: &[u8] = include_bytes!("../../testdata/opstack/genesis-isthmus-jovian.json.gz");

/// A node without sockets.
#[derive(Debug)]
pub struct Node {
    /// Its chain.
    pub chain: Chain,
    /// `engine_*` and `miner_*`.
    pub engine: Methods,
    /// What users call.
    pub modules: Modules,
    builder: PayloadBuilder,
    _folder: TempDir,
}

impl Node {
    /// On the genesis of the recorded devnet, whose blocks the corpus has.
    pub fn recorded() -> Self {
        let mut json = Vec::new();
        flate2::read::GzDecoder::new(RECORDED).read_to_end(&mut json).expect("the genesis unpacks");
        Self::open(Arc::new(ChainSpec::from_json(&json).expect("the genesis is one")))
    }

    /// On the dev chain, some blocks after genesis.
    pub fn dev(blocks: usize) -> Self {
        let node = Self::open(ChainSpec::dev());
        let config = DevConfig { block_time: BlockTime::PerTransaction, ..DevConfig::default() };
        let sequencer = DevSequencer::new(node.builder.clone(), config).expect("a dev chain");
        for _ in 0..blocks {
            sequencer.seal().expect("a block");
        }
        node
    }

    fn open(spec: Arc<ChainSpec>) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let executor = Executor::new(Arc::clone(&spec));
        let config = ChainConfig { sync: false, ..ChainConfig::default() };
        let chain = Chain::open(executor.clone(), folder.path(), config).expect("a chain");
        let pool = Pool::open(executor.clone(), chain.clone(), PoolConfig::default()).expect("a pool");
        let builder =
            PayloadBuilder::new(executor.clone(), chain.clone(), pool.clone(), PayloadConfig::default());
        let client = ClientVersion {
            code: "TB".to_owned(),
            name: "Tributary".to_owned(),
            version: "fuzz".to_owned(),
            commit: "00000000".to_owned(),
        };
        let engine = Engine::new(builder.clone(), client).expect("an engine");
        let mut modules = Modules::new(RpcContext::new(RpcParts {
            spec,
            chain: chain.clone(),
            pool,
            executor,
            tributary: Arc::new(NoWorker),
            sequencer: None,
            pending: None,
            peers: Arc::new(NoPeers),
            config: EthConfig::default(),
            client_version: "tributary/fuzz".to_owned(),
        }))
        .expect("methods");
        modules.extend(Namespace::Miner, MinerApiServer::into_rpc(engine.clone())).expect("no name twice");
        let mut calls = Methods::new();
        calls.merge(MinerApiServer::into_rpc(engine.clone())).expect("no name twice");
        calls.merge(EngineApiServer::into_rpc(engine)).expect("no name twice");
        Self { chain, engine: calls, modules, builder, _folder: folder }
    }

    /// The chain goes on: its head and the head's state can be read.
    pub fn check(&self) {
        let head = self.chain.head();
        let state = self.chain.state_at(head.hash()).expect("the head has a state");
        state.account(tributary_spec::predeploys::L1_BLOCK).expect("the state can be read");
    }
}
