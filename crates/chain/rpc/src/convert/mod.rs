//! Consensus types to JSON-RPC types.

mod block;
mod l1_info;
mod receipt;
mod transaction;

pub(crate) use block::{block_to_rpc, header_to_rpc, pooled_to_rpc, transaction_to_rpc};
pub(crate) use receipt::block_receipts;
pub use transaction::RpcTransaction;

/// A header as JSON-RPC shows it.
pub type RpcHeader = alloy_rpc_types_eth::Header;
/// A block as JSON-RPC shows it.
pub type RpcBlock = alloy_rpc_types_eth::Block<RpcTransaction>;
/// A receipt as JSON-RPC shows it, with the fields of the OP Stack.
pub type RpcReceipt = op_alloy_rpc_types::OpTransactionReceipt;
