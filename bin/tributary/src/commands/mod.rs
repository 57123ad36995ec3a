//! The commands that act on a running node, or on this machine.

mod adapter;
mod agent;
mod channel;
mod chat;
mod claim;
mod datanet;
mod db;
mod demo;
mod explain;
mod init;
mod model;
mod proxy;
mod stateless;
mod verify_answer;
mod wallet;

pub(crate) use self::model::{chain_name, model_path, open_model, served_name};
pub(crate) use self::{
    adapter::AdapterCommand, agent::AgentCommand, channel::ChannelCommand, chat::ChatCommand,
    claim::ClaimCommand, datanet::DatanetCommand, db::DbCommand, demo::DemoCommand, explain::ExplainCommand,
    init::InitCommand, model::ModelCommand, proxy::ProxyCommand, stateless::StatelessCommand,
    verify_answer::VerifyAnswerCommand, wallet::WalletCommand,
};

use alloy_primitives::{Address, B256, U64};
use eyre::{OptionExt, Result};

use crate::{payer::find_channel, wallet::Client};

/// What `tributary_workerStatus` says that commands need.
#[derive(Clone, Debug, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct WorkerStatus {
    pub(crate) operator: Address,
    pub(crate) agent_id: Option<U64>,
    pub(crate) payments: String,
    pub(crate) model: WorkerModel,
}

/// The base model that a worker serves.
#[derive(Clone, Debug, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct WorkerModel {
    pub(crate) name: String,
    pub(crate) weights_hash: B256,
    pub(crate) tokenizer_hash: B256,
    pub(crate) profile_hash: B256,
}

/// The node's worker.
pub(crate) async fn worker_status(client: &Client) -> Result<WorkerStatus> {
    client.rpc("tributary_workerStatus", serde_json::json!([])).await
}

/// The channel that was named, or this wallet's newest open one with the node's agent; `None` where nothing is paid.
pub(crate) async fn channel_for(client: &Client, named: Option<B256>) -> Result<Option<B256>> {
    if named.is_some() {
        return Ok(named);
    }
    let status = worker_status(client).await?;
    if status.payments == "off" {
        return Ok(None);
    }
    let agent =
        status.agent_id.ok_or_eyre("this node's operator has no agent yet: `tributary agent register`")?;
    find_channel(client, agent.to()).await
}
