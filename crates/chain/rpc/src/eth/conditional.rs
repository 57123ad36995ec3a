//! `eth_sendRawTransactionConditional`: a transaction that holds only while the chain is as its sender believes.
//!
//! <https://docs.optimism.io/stack/features/send-raw-transaction-conditional>. State is checked when the transaction comes,
//! number and time of the block also when it is included.

use crate::{RpcContext, RpcError};
use alloy_eips::BlockId;
use alloy_primitives::{B256, Bytes, U256};
use alloy_rpc_types_eth::erc4337::{AccountStorage, TransactionConditional};
use jsonrpsee::{
    core::{RpcResult, async_trait},
    proc_macros::rpc,
    rpc_params,
};
use tributary_pool::Window;

/// Slots and roots that one condition may name.
const MAX_COST: usize = 1_000;

mod code {
    pub(super) const REJECTED: i32 = -32003;
    pub(super) const TOO_COSTLY: i32 = -32005;
}

/// Conditional transactions.
#[rpc(server, namespace = "eth")]
pub(crate) trait ConditionalApi {
    /// Puts a signed transaction into the pool if its condition holds.
    #[method(name = "sendRawTransactionConditional")]
    async fn send_raw_transaction_conditional(
        &self,
        bytes: Bytes,
        condition: TransactionConditional,
    ) -> RpcResult<B256>;
}

/// The methods.
#[derive(Debug)]
pub(crate) struct ConditionalMethods(pub(crate) RpcContext);

#[async_trait]
impl ConditionalApiServer for ConditionalMethods {
    async fn send_raw_transaction_conditional(
        &self,
        bytes: Bytes,
        condition: TransactionConditional,
    ) -> RpcResult<B256> {
        if let Some(sequencer) = &self.0.sequencer {
            let params = rpc_params![&bytes, &condition];
            return Ok(sequencer.forward("eth_sendRawTransactionConditional", params).await?);
        }
        self.0.read(move |context| context.send_conditional(&bytes, &condition)).await
    }
}

impl RpcContext {
    fn send_conditional(&self, bytes: &[u8], condition: &TransactionConditional) -> Result<B256, RpcError> {
        let window = Window {
            number_min: condition.block_number_min,
            number_max: condition.block_number_max,
            time_min: condition.timestamp_min,
            time_max: condition.timestamp_max,
        };
        let cost = cost(condition);
        if cost > MAX_COST {
            let message = format!("conditional cost, {cost}, exceeded max: {MAX_COST}");
            return Err(RpcError::Conditional { code: code::TOO_COSTLY, message });
        }
        if !window.is_possible() {
            return Err(rejected("no block can satisfy the bounds".to_owned()));
        }
        let (head, state) = self.state(BlockId::latest())?;
        if !window.admits(head.number, head.timestamp) {
            return Err(rejected(format!("block {} is outside the bounds", head.number)));
        }
        for (address, expected) in &condition.known_accounts {
            match expected {
                AccountStorage::RootHash(root) => {
                    let found = state.storage_root(*address, &Default::default())?;
                    if found != *root {
                        return Err(rejected(format!("storage root of {address} is {found}, not {root}")));
                    }
                }
                AccountStorage::Slots(slots) => {
                    for (slot, value) in slots {
                        let found = B256::from(state.storage(*address, B256::from(U256::from(*slot)))?);
                        if found != *value {
                            return Err(rejected(format!(
                                "slot {slot} of {address} is {found}, not {value}"
                            )));
                        }
                    }
                }
            }
        }
        Ok(self.pool.add(self.check_sent(bytes)?.within(window))?)
    }
}

fn cost(condition: &TransactionConditional) -> usize {
    let accounts = condition.known_accounts.values().map(|account| match account {
        AccountStorage::RootHash(_) => 1,
        AccountStorage::Slots(slots) => slots.len(),
    });
    accounts.sum()
}

fn rejected(why: String) -> RpcError {
    RpcError::Conditional { code: code::REJECTED, message: format!("failed conditional check: {why}") }
}
