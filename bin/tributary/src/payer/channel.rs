//! Which channel of a payer pays an agent.

use alloy_primitives::B256;
use eyre::Result;
use tributary_abi::{ISettlement, address::SETTLEMENT};

use crate::wallet::Client;

/// `Channel.status` of one that takes requests.
pub(super) const OPEN: u8 = 1;

/// The newest open channel of this wallet with an agent.
pub(crate) async fn find_channel(client: &Client, agent: u64) -> Result<Option<B256>> {
    let payer = client.address();
    let count = client.call(SETTLEMENT, &ISettlement::channelCountCall { payer }).await?;
    for index in (0..count).rev() {
        let call = ISettlement::channelOfCall { payer, agentId: agent, index };
        let channel = client.call(SETTLEMENT, &call).await?;
        // The index counts all channels of the payer: those with other agents have no entry under this one.
        let Ok(info) = client.call(SETTLEMENT, &ISettlement::getChannelCall { channel }).await else {
            continue;
        };
        if info.status == OPEN && info.agentId == agent {
            return Ok(Some(channel));
        }
    }
    Ok(None)
}
