//! JSON-RPC for users, and the Engine API for the rollup node.

use std::sync::Arc;

use eyre::Result;
use tributary_builder::PendingBlocks;
use tributary_engine_api::{
    AuthServer, ClientVersion, Engine, MinerApiServer, PayloadWitness, PayloadWitnessApiServer,
};
use tributary_p2p::{AdminApiServer, AdminMethods, Network};
use tributary_rpc::{
    EthConfig, Modules, Namespace, NoPeers, Peers, RpcContext, RpcHandle, RpcParts, TributaryApi,
};

use super::{NodeCommand, chain::ChainParts, progress::Progress};
use crate::args::Layout;

/// What listens.
pub(super) struct Servers {
    rpc: RpcHandle,
    /// A chain that is sequenced here takes no orders.
    auth: Option<AuthServer>,
    network: Option<Network>,
}

impl Servers {
    pub(super) async fn start(
        node: &NodeCommand,
        chain: &ChainParts,
        tributary: Arc<dyn TributaryApi>,
        layout: &Layout,
    ) -> Result<Self> {
        let config = node.rpc.config()?;
        let engine = Engine::new(chain.builder.clone(), client())?;
        let network = network(node, &engine, layout).await?;
        let context = RpcContext::new(RpcParts {
            spec: Arc::clone(&chain.spec),
            chain: chain.chain.clone(),
            pool: chain.pool.clone(),
            executor: chain.executor.clone(),
            tributary,
            sequencer: node.forwarder()?,
            pending: node.rollup.compute_pending_block.then(|| PendingBlocks::new(chain.builder.clone())),
            peers: network
                .clone()
                .map_or_else(|| Arc::new(NoPeers) as Arc<dyn Peers>, |network| Arc::new(network)),
            config: EthConfig {
                min_suggested_priority_fee: node.rollup.min_suggested_priority_fee,
                tx_conditional: node.rollup.enable_tx_conditional,
                ..config.eth
            },
            client_version: concat!("tributary/v", env!("CARGO_PKG_VERSION")).to_owned(),
        });
        let mut modules = Modules::new(context)?;
        modules.extend(Namespace::Miner, MinerApiServer::into_rpc(engine.clone()))?;
        if let Some(network) = &network {
            modules.extend(
                Namespace::Admin,
                AdminMethods::new(network.clone(), chain.chain.clone()).into_rpc(),
            )?;
        }
        let witness = PayloadWitness::new(modules.context().clone());
        modules.extend(Namespace::Debug, witness.into_rpc())?;
        let rpc = RpcHandle::launch(&config, &modules).await?;
        let driven = !node.dev.dev && node.network.unsafe_block_signer.is_none();
        let progress = Progress {
            chain: chain.chain.clone(),
            network: network.clone(),
            driven: driven.then(|| engine.clone()),
        };
        tokio::spawn(progress.log());
        let auth = if node.dev.dev {
            None
        } else {
            Some(AuthServer::launch(node.auth.config(&layout.jwt_secret())?, engine, &modules).await?)
        };
        Ok(Self { rpc, auth, network })
    }

    pub(super) const fn rpc(&self) -> &RpcHandle {
        &self.rpc
    }

    /// The rollup node before the peers, so that the chain stands still; nobody is let in any more meanwhile.
    pub(super) async fn stop(self) {
        let (auth, network) = (self.auth, self.network);
        let chain = async {
            if let Some(auth) = auth {
                auth.stop().await;
            }
            if let Some(network) = network {
                network.stop().await;
            }
        };
        tokio::join!(chain, self.rpc.stop());
    }
}

/// The peers of every node that somebody else sequences for, and of dev nodes that were told of some.
async fn network(node: &NodeCommand, engine: &Engine, layout: &Layout) -> Result<Option<Network>> {
    if node.dev.dev && !node.network.wanted_in_dev() {
        return Ok(None);
    }
    Ok(Some(Network::start(node.network.config(layout)?, engine.clone()).await?))
}

fn client() -> ClientVersion {
    ClientVersion {
        code: "TB".to_owned(),
        name: "Tributary".to_owned(),
        version: concat!("v", env!("CARGO_PKG_VERSION")).to_owned(),
        commit: option_env!("TRIBUTARY_COMMIT").unwrap_or("00000000").to_owned(),
    }
}
