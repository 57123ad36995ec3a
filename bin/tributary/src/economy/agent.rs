//! Agents: register with a stake.

use alloy_primitives::{Address, U256};
use eyre::Result;
use tributary_abi::{IAgents, address::AGENTS};

use crate::wallet::Client;

/// Registers an agent with its owner's stake and returns its id.
pub(crate) async fn register_agent(
    client: &Client,
    kind: u8,
    uri: &str,
    operator: Address,
    stake: U256,
) -> Result<u64> {
    let call = IAgents::registerCall { kind, uri: uri.to_owned(), peerId: String::new(), operator };
    let sent = client.send(AGENTS, &call, stake).await?;
    Ok(sent.event::<IAgents::AgentRegistered>(AGENTS)?.id)
}
