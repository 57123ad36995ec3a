//! Agents: register with a stake, find by operator.

use alloy_primitives::{Address, U256};
use eyre::Result;
use tributary_abi::{IAgents, address::AGENTS};

use crate::wallet::Client;

/// Kind of an agent that serves.
const OPERATOR: u8 = 0;

/// The newest active serving agent of an operator key.
pub(crate) async fn find_agent(client: &Client, operator: Address) -> Result<Option<IAgents::Agent>> {
    let head = client.block_number().await?;
    let count = client.call(AGENTS, &IAgents::countCall {}).await?;
    for id in (1..=count).rev() {
        let agent = client.call(AGENTS, &IAgents::getCall { id }).await?;
        let active = agent.retiredFrom == 0 || agent.retiredFrom > head;
        if agent.operator == operator && agent.kind == OPERATOR && active {
            return Ok(Some(agent));
        }
    }
    Ok(None)
}

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
