//! Payment channels.

use alloy_primitives::{B256, U256};
use eyre::Result;
use tributary_abi::{ISettlement, address::SETTLEMENT};

use crate::wallet::Client;

/// Opens a channel whose vouchers this wallet signs itself.
pub(crate) async fn open_channel(client: &Client, agent: u64, deposit: U256) -> Result<B256> {
    let call = ISettlement::openCall { agentId: agent, signer: client.address() };
    let sent = client.send(SETTLEMENT, &call, deposit).await?;
    Ok(sent.event::<ISettlement::ChannelOpened>(SETTLEMENT)?.channel)
}

/// Asks for the end of a channel, or ends one whose delay has passed. Returns when it can be closed, or what was paid back.
pub(crate) async fn close_channel(client: &Client, channel: B256) -> Result<Closing> {
    let info = client.call(SETTLEMENT, &ISettlement::getChannelCall { channel }).await?;
    if info.status == 1 {
        let sent = client.send(SETTLEMENT, &ISettlement::requestCloseCall { channel }, U256::ZERO).await?;
        let event = sent.event::<ISettlement::CloseRequested>(SETTLEMENT)?;
        return Ok(Closing::From(event.closeAt));
    }
    let sent = client.send(SETTLEMENT, &ISettlement::closeCall { channel }, U256::ZERO).await?;
    Ok(Closing::Closed(sent.event::<ISettlement::ChannelClosed>(SETTLEMENT)?.paidBack))
}

/// How far the end of a channel has come.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Closing {
    /// It can be closed from this time on, in seconds.
    From(u64),
    /// It is closed, and this was paid back.
    Closed(u128),
}
