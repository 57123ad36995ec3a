//! Methods that geth does not have, or that few ask for.

use crate::{
    Lane, RpcContext, RpcError, RpcTransaction,
    convert::pooled_to_rpc,
    eth::{config::fork_config, many::CallBundles},
};
use alloy_eips::{BlockId, BlockNumberOrTag, Encodable2718, eip7910::EthConfig as ForkConfigs};
use alloy_primitives::{Address, B256, Bytes, U64, U256};
use alloy_rpc_types_eth::{Bundle, EthCallResponse, Index, StateContext, state::StateOverride};
use jsonrpsee::{
    core::{RpcResult, async_trait},
    proc_macros::rpc,
};
use serde::{Deserialize, Serialize};

/// An account as it is in the trie.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RpcAccount {
    /// Wei.
    pub balance: U256,
    /// Keccak of its code.
    pub code_hash: B256,
    /// Its next nonce.
    pub nonce: U64,
    /// Root of its storage.
    pub storage_root: B256,
}

/// An account with its code.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RpcAccountInfo {
    /// Wei.
    pub balance: U256,
    /// Its next nonce.
    pub nonce: U64,
    /// Its code.
    pub code: Bytes,
}

/// More reads.
#[rpc(server, namespace = "eth")]
pub trait EthExtraApi {
    /// The rules of the current, the next and the last scheduled fork (EIP-7910).
    #[method(name = "config")]
    async fn config(&self) -> RpcResult<ForkConfigs>;

    /// An account as it is in the trie; null if it is not there.
    #[method(name = "getAccount")]
    async fn account(&self, address: Address, block: Option<BlockId>) -> RpcResult<Option<RpcAccount>>;

    /// An account with its code.
    #[method(name = "getAccountInfo")]
    async fn account_info(&self, address: Address, block: Option<BlockId>) -> RpcResult<RpcAccountInfo>;

    /// Runs bundles of calls one on the other, on a block or in the middle of one.
    #[method(name = "callMany")]
    async fn call_many(
        &self,
        bundles: Vec<Bundle>,
        place: Option<StateContext>,
        overrides: Option<StateOverride>,
    ) -> RpcResult<Vec<Vec<EthCallResponse>>>;

    /// The transaction that an account sent with a nonce, from the chain or from the pool; null if there is none.
    #[method(name = "getTransactionBySenderAndNonce")]
    async fn transaction_by_sender_and_nonce(
        &self,
        sender: Address,
        nonce: U64,
    ) -> RpcResult<Option<RpcTransaction>>;

    /// The bytes of a transaction of a block, or null.
    #[method(name = "getRawTransactionByBlockHashAndIndex")]
    async fn raw_transaction_by_block_hash_and_index(
        &self,
        hash: B256,
        index: Index,
    ) -> RpcResult<Option<Bytes>>;

    /// The bytes of a transaction of a block, or null.
    #[method(name = "getRawTransactionByBlockNumberAndIndex")]
    async fn raw_transaction_by_block_number_and_index(
        &self,
        number: BlockNumberOrTag,
        index: Index,
    ) -> RpcResult<Option<Bytes>>;

    /// An uncle of a block: there are none.
    #[method(name = "getUncleByBlockHashAndIndex")]
    async fn uncle_by_block_hash_and_index(&self, hash: B256, index: Index) -> RpcResult<Option<()>>;

    /// An uncle of a block: there are none.
    #[method(name = "getUncleByBlockNumberAndIndex")]
    async fn uncle_by_block_number_and_index(
        &self,
        number: BlockNumberOrTag,
        index: Index,
    ) -> RpcResult<Option<()>>;
}

/// The methods.
#[derive(Debug)]
pub(crate) struct ExtraMethods(pub(crate) RpcContext);

#[async_trait]
impl EthExtraApiServer for ExtraMethods {
    async fn config(&self) -> RpcResult<ForkConfigs> {
        self.0.read(|context| Ok(fork_config(&context.executor, context.chain.head().timestamp))).await
    }

    async fn account(&self, address: Address, block: Option<BlockId>) -> RpcResult<Option<RpcAccount>> {
        self.0.read(move |context| context.trie_account(address, block.unwrap_or_default())).await
    }

    async fn account_info(&self, address: Address, block: Option<BlockId>) -> RpcResult<RpcAccountInfo> {
        self.0
            .read(move |context| {
                let (_, state) = context.state(block.unwrap_or_default())?;
                let account = state.account(address)?.unwrap_or_default();
                let code = state.account_code(address)?;
                Ok(RpcAccountInfo { balance: account.balance, nonce: U64::from(account.nonce), code })
            })
            .await
    }

    async fn call_many(
        &self,
        bundles: Vec<Bundle>,
        place: Option<StateContext>,
        overrides: Option<StateOverride>,
    ) -> RpcResult<Vec<Vec<EthCallResponse>>> {
        let bundles = CallBundles { bundles, context: place.unwrap_or_default(), overrides };
        self.0.run(Lane::Call, move |context| context.call_many(bundles)).await
    }

    async fn transaction_by_sender_and_nonce(
        &self,
        sender: Address,
        nonce: U64,
    ) -> RpcResult<Option<RpcTransaction>> {
        self.0.read(move |context| context.sent_by(sender, nonce.to())).await
    }

    async fn raw_transaction_by_block_hash_and_index(
        &self,
        hash: B256,
        index: Index,
    ) -> RpcResult<Option<Bytes>> {
        self.0.read(move |context| context.raw_transaction_in(BlockId::hash(hash), index.0)).await
    }

    async fn raw_transaction_by_block_number_and_index(
        &self,
        number: BlockNumberOrTag,
        index: Index,
    ) -> RpcResult<Option<Bytes>> {
        self.0.read(move |context| context.raw_transaction_in(BlockId::Number(number), index.0)).await
    }

    async fn uncle_by_block_hash_and_index(&self, _: B256, _: Index) -> RpcResult<Option<()>> {
        Ok(None)
    }

    async fn uncle_by_block_number_and_index(&self, _: BlockNumberOrTag, _: Index) -> RpcResult<Option<()>> {
        Ok(None)
    }
}

impl RpcContext {
    fn trie_account(&self, address: Address, id: BlockId) -> Result<Option<RpcAccount>, RpcError> {
        let (_, state) = self.state(id)?;
        let Some(account) = state.account(address)? else { return Ok(None) };
        Ok(Some(RpcAccount {
            balance: account.balance,
            code_hash: account.code_hash,
            nonce: U64::from(account.nonce),
            storage_root: state.storage_root(address, &Default::default())?,
        }))
    }

    fn raw_transaction_in(&self, id: BlockId, index: usize) -> Result<Option<Bytes>, RpcError> {
        let block = self.block(id)?;
        Ok(block.and_then(|block| block.transactions().get(index).map(|tx| tx.encoded_2718().into())))
    }

    /// The block in which an account's nonce passed `nonce` is found by bisection: nonces only grow.
    fn sent_by(&self, sender: Address, nonce: u64) -> Result<Option<RpcTransaction>, RpcError> {
        let waiting = self.pool.content_from(sender);
        let halves = [&waiting.pending, &waiting.queued];
        if let Some(tx) = halves.into_iter().find_map(|half| half.get(&sender)?.get(&nonce)) {
            return Ok(Some(pooled_to_rpc(tx)));
        }
        let passed = |number: u64| -> Result<bool, RpcError> {
            let (_, state) = self.state(BlockId::number(number))?;
            Ok(state.account(sender)?.unwrap_or_default().nonce > nonce)
        };
        let mut high = self.chain.head().number;
        if !passed(high)? || passed(0)? {
            return Ok(None);
        }
        let mut low = 0;
        while low + 1 < high {
            let middle = low + (high - low) / 2;
            if passed(middle)? {
                high = middle;
            } else {
                low = middle;
            }
        }
        let id = BlockId::number(high);
        let Some(block) = self.block(id)? else { return Ok(None) };
        let receipts = self.receipts(block.hash())?.unwrap_or_default();
        let own = block.recovered().enumerate().find(|(index, tx)| {
            let deposited = receipts.get(*index).and_then(deposit_nonce);
            let own = deposited.unwrap_or_else(|| alloy_consensus::Transaction::nonce(*tx.inner()));
            tx.signer() == sender && own == nonce
        });
        match own {
            Some((index, _)) => self.rpc_transaction_in(BlockId::hash(block.hash()), index),
            None => Ok(None),
        }
    }
}

/// A deposit has the nonce that its sender had.
fn deposit_nonce(receipt: &tributary_spec::Receipt) -> Option<u64> {
    match receipt {
        op_alloy_consensus::OpReceipt::Deposit(deposit) => deposit.deposit_nonce,
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_shown_as_reth_shows_it() {
        let account = RpcAccount {
            balance: U256::from(5),
            code_hash: alloy_primitives::KECCAK256_EMPTY,
            nonce: U64::from(1),
            storage_root: B256::ZERO,
        };
        let json = serde_json::to_value(&account).unwrap();
        assert_eq!((&json["balance"], &json["nonce"]), (&"0x5".into(), &"0x1".into()));
        assert!(json["codeHash"].is_string() && json["storageRoot"].is_string());
    }
}
