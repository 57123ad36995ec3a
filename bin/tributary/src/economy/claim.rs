//! What an account may claim, and claiming it.

use alloy_primitives::{Address, B256, U64, U128, U256};
use eyre::Result;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tributary_abi::{
    IAgents, ISettlement,
    address::{AGENTS, SETTLEMENT},
};

use crate::wallet::Client;

/// An answer of `tributary_getClaim`.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ClaimProof {
    pub(crate) agent_id: U64,
    pub(crate) seq: U64,
    pub(crate) index: U64,
    pub(crate) cumulative: U128,
    pub(crate) proof: Vec<B256>,
}

/// A claim that was paid.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Claimed {
    pub(crate) account: Address,
    pub(crate) agent_id: u64,
    pub(crate) amount: u128,
    pub(crate) transaction: B256,
    /// What claiming cost, when the account claimed for itself.
    pub(crate) cost: U256,
}

/// Claims that would pay something now.
pub(crate) async fn pending_claims(client: &Client, account: Address) -> Result<Vec<(ClaimProof, u128)>> {
    let proofs: Vec<ClaimProof> = client.rpc("tributary_getClaim", json!([account])).await?;
    let mut pending = Vec::new();
    for proof in proofs {
        let call = ISettlement::claimedOfCall { agentId: proof.agent_id.to(), account };
        let claimed = client.call(SETTLEMENT, &call).await?;
        let due = proof.cumulative.to::<u128>().saturating_sub(claimed);
        if due > 0 {
            pending.push((proof, due));
        }
    }
    Ok(pending)
}

/// Claims everything that this wallet may.
pub(crate) async fn claim_all(client: &Client) -> Result<Vec<Claimed>> {
    let account = client.address();
    let mut claimed = Vec::new();
    for (proof, _) in pending_claims(client, account).await? {
        let call = ISettlement::claimCall {
            agentId: proof.agent_id.to(),
            seq: proof.seq.to(),
            index: proof.index.to(),
            account,
            cumulative: U256::from(proof.cumulative),
            proof: proof.proof,
        };
        let sent = client.send(SETTLEMENT, &call, U256::ZERO).await?;
        let event = sent.event::<ISettlement::Claimed>(SETTLEMENT)?;
        claimed.push(Claimed {
            account,
            agent_id: proof.agent_id.to(),
            amount: event.amount,
            transaction: sent.hash,
            cost: sent.cost,
        });
    }
    Ok(claimed)
}

/// What a stake earned and was paid.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Collected {
    pub(crate) amount: u128,
    /// What asking for it cost.
    pub(crate) cost: U256,
    pub(crate) block: u64,
}

/// Collects what this wallet's stake in an agent earned.
pub(crate) async fn collect(client: &Client, agent: u64) -> Result<Option<Collected>> {
    let position =
        client.call(AGENTS, &IAgents::positionCall { id: agent, account: client.address() }).await?;
    if position.earned == 0 {
        return Ok(None);
    }
    let sent = client.send(AGENTS, &IAgents::collectCall { id: agent }, U256::ZERO).await?;
    let event = sent.event::<IAgents::Collected>(AGENTS)?;
    Ok(Some(Collected { amount: event.amount, cost: sent.cost, block: sent.block }))
}
