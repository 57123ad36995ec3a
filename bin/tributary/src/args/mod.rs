//! One `Args` struct for each subsystem, under reth's flag names where reth has one.

mod auth;
mod chain;
mod da;
mod datadir;
mod dev;
mod duration;
mod given;
mod inference;
mod log;
mod metrics;
mod network;
mod payer;
mod rollup;
mod rpc;
mod settlement;
mod txpool;
mod wallet;

pub(crate) use self::{
    auth::AuthArgs,
    chain::ChainArgs,
    da::DaArgs,
    datadir::{DatadirArgs, Layout, data_home, make_folder},
    dev::DevArgs,
    given::Given,
    inference::{InferenceArgs, Payments},
    log::LogArgs,
    metrics::MetricsArgs,
    network::NetworkArgs,
    payer::{LedgerArgs, PayerArgs},
    rollup::{BuilderArgs, RollupArgs},
    rpc::RpcArgs,
    settlement::SettlementArgs,
    txpool::TxPoolArgs,
    wallet::WalletArgs,
};
