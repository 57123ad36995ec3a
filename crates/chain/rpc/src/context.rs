//! What all methods share.

use crate::{
    EthConfig, Forwarder, Peers, TributaryApi, blocking::Lanes, debug::RecentNodes, eth::Backlog,
    eth::FeeCache, eth::Filters,
};
use std::{ops::Deref, sync::Arc};
use tributary_builder::PendingBlocks;
use tributary_evm::Executor;
use tributary_pool::Pool;
use tributary_spec::ChainSpec;
use tributary_tree::Chain;

/// The parts of the node that the methods speak to.
#[derive(Debug)]
pub struct RpcParts {
    /// The chain's constants.
    pub spec: Arc<ChainSpec>,
    /// Blocks and states.
    pub chain: Chain,
    /// Waiting transactions.
    pub pool: Pool,
    /// The EVM.
    pub executor: Executor,
    /// The economy's reads.
    pub tributary: Arc<dyn TributaryApi>,
    /// Where transactions are sent on to, if this node does not make blocks.
    pub sequencer: Option<Forwarder>,
    /// Blocks for `pending`; without them it is the head.
    pub pending: Option<PendingBlocks>,
    /// The network.
    pub peers: Arc<dyn Peers>,
    /// Limits.
    pub config: EthConfig,
    /// `web3_clientVersion`.
    pub client_version: String,
}

/// The parts, and what the methods remember between calls. Clones share.
#[derive(Clone, Debug)]
pub struct RpcContext(Arc<Shared>);

/// The parts, and what is remembered.
#[derive(Debug)]
pub struct Shared {
    parts: RpcParts,
    pub(crate) lanes: Lanes,
    pub(crate) fees: FeeCache,
    pub(crate) filters: Filters,
    pub(crate) backlog: Backlog,
    pub(crate) nodes: RecentNodes,
}

impl RpcContext {
    /// Joins the parts.
    pub fn new(parts: RpcParts) -> Self {
        let lanes = Lanes::new(&parts.config);
        Self(Arc::new(Shared {
            parts,
            lanes,
            fees: FeeCache::default(),
            filters: Filters::default(),
            backlog: Backlog::default(),
            nodes: RecentNodes::default(),
        }))
    }
}

impl Deref for RpcContext {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

impl Deref for Shared {
    type Target = RpcParts;

    fn deref(&self) -> &RpcParts {
        &self.parts
    }
}
