//! Receipts, with what the OP Stack adds to them.

use super::{RpcReceipt, l1_info};
use alloy_consensus::{BlockHeader, ReceiptWithBloom, Transaction, TxReceipt};
use alloy_eips::Encodable2718;
use alloy_primitives::{Address, B256, TxKind, U256};
use alloy_rpc_types_eth::{Log, TransactionReceipt};
use op_alloy_consensus::OpReceipt;
use op_alloy_rpc_types::L1BlockInfo as RpcL1BlockInfo;
use op_revm::{L1BlockInfo, OpSpecId};
use tributary_spec::{Receipt, RecoveredBlock, SealedHeader, Tx};

/// 16 gas for each byte of the estimated size.
const GAS_PER_BYTE: u128 = 16;

/// Turns the receipts of one block into JSON-RPC's, first to last.
struct ReceiptBuilder<'a> {
    header: &'a SealedHeader,
    fork: OpSpecId,
    l1: Option<L1BlockInfo>,
    index: u64,
    log_index: u64,
    cumulative_gas: u64,
}

/// All receipts of a block.
pub(crate) fn block_receipts(
    block: &RecoveredBlock,
    receipts: &[Receipt],
    fork: OpSpecId,
) -> Vec<RpcReceipt> {
    let mut builder = ReceiptBuilder::new(block, fork);
    let pairs = block.recovered().zip(receipts);
    pairs.map(|(tx, receipt)| builder.build(tx.inner(), tx.signer(), receipt)).collect()
}

impl<'a> ReceiptBuilder<'a> {
    fn new(block: &'a RecoveredBlock, fork: OpSpecId) -> Self {
        let l1 = block
            .transactions()
            .first()
            .filter(|tx| tx.is_deposit())
            .and_then(|tx| l1_info::read(tx.input()));
        // A fork's first block still has the form, and the fee, of the fork before.
        let bedrock =
            l1.as_ref().is_some_and(|l1| l1.l1_blob_base_fee.is_none()) && fork >= OpSpecId::ECOTONE;
        let fork = if bedrock { OpSpecId::CANYON } else { fork };
        Self { header: block.header(), fork, l1, index: 0, log_index: 0, cumulative_gas: 0 }
    }

    /// The receipt of the next transaction.
    fn build(&mut self, tx: &Tx, from: Address, receipt: &Receipt) -> RpcReceipt {
        let gas_used = receipt.cumulative_gas_used().saturating_sub(self.cumulative_gas);
        let l1_block_info = self.l1_fields(tx);
        let bloom = receipt.bloom();
        let inner = TransactionReceipt {
            blob_gas_used: self.da_footprint(tx),
            transaction_hash: tx.tx_hash(),
            transaction_index: Some(self.index),
            block_hash: Some(self.header.hash()),
            block_number: Some(self.header.number()),
            gas_used,
            effective_gas_price: effective_gas_price(tx, self.header.base_fee_per_gas()),
            blob_gas_price: None,
            from,
            to: tx.to(),
            contract_address: created(tx, from, receipt),
            inner: ReceiptWithBloom::new(self.receipt_with_logs(tx.tx_hash(), receipt), bloom),
        };
        self.index += 1;
        self.cumulative_gas = receipt.cumulative_gas_used();
        RpcReceipt { inner, l1_block_info, op_gas_refund: None }
    }

    fn receipt_with_logs(&mut self, transaction_hash: B256, receipt: &Receipt) -> OpReceipt<Log> {
        let (header, index) = (self.header, self.index);
        receipt.clone().map_logs(|inner| {
            let log_index = self.log_index;
            self.log_index += 1;
            Log {
                inner,
                block_hash: Some(header.hash()),
                block_number: Some(header.number()),
                block_timestamp: Some(header.timestamp()),
                transaction_hash: Some(transaction_hash),
                transaction_index: Some(index),
                log_index: Some(log_index),
                removed: false,
            }
        })
    }

    /// What the transaction paid for its place on L1; nothing on a deposit.
    fn l1_fields(&self, tx: &Tx) -> RpcL1BlockInfo {
        let Some(l1) = self.l1.as_ref().filter(|_| !tx.is_deposit()) else {
            return RpcL1BlockInfo::default();
        };
        let encoded = tx.encoded_2718();
        let number = |value: U256| Some(value.saturating_to::<u128>());
        let ecotone = l1.l1_blob_base_fee.is_some();
        let overhead = if ecotone { U256::ZERO } else { l1.l1_fee_overhead.unwrap_or_default() };
        let operator_fee = [l1.operator_fee_scalar, l1.operator_fee_constant].map(Option::unwrap_or_default);
        let charged = operator_fee.iter().any(|part| !part.is_zero());
        let isthmus = l1.operator_fee_scalar.is_some() && charged;
        RpcL1BlockInfo {
            l1_gas_price: number(l1.l1_base_fee),
            l1_gas_used: number(l1.data_gas(&encoded, self.fork).saturating_add(overhead)),
            l1_fee: number(l1_info::l1_fee(l1, &encoded, self.fork)),
            l1_fee_scalar: (!ecotone).then(|| l1.l1_base_fee_scalar.saturating_to::<u128>() as f64 / 1e6),
            l1_base_fee_scalar: number(l1.l1_base_fee_scalar).filter(|_| ecotone),
            l1_blob_base_fee: l1.l1_blob_base_fee.and_then(number),
            l1_blob_base_fee_scalar: l1.l1_blob_base_fee_scalar.and_then(number),
            operator_fee_scalar: number(operator_fee[0]).filter(|_| isthmus),
            operator_fee_constant: number(operator_fee[1]).filter(|_| isthmus),
            da_footprint_gas_scalar: l1.da_footprint_gas_scalar,
        }
    }

    /// Since Jovian, `blobGasUsed` says how much of the block's room for data the transaction takes.
    fn da_footprint(&self, tx: &Tx) -> Option<u64> {
        let scalar = self.l1.as_ref()?.da_footprint_gas_scalar.filter(|_| !tx.is_deposit())?;
        let gas = self.l1.as_ref()?.data_gas(&tx.encoded_2718(), self.fork).saturating_to::<u128>();
        u64::try_from(gas / GAS_PER_BYTE * u128::from(scalar)).ok()
    }
}

fn effective_gas_price(tx: &Tx, base_fee: Option<u64>) -> u128 {
    if tx.is_deposit() { 0 } else { tx.effective_gas_price(base_fee) }
}

/// The address of a created contract. A deposit's nonce is in its receipt.
fn created(tx: &Tx, from: Address, receipt: &Receipt) -> Option<Address> {
    let nonce = match receipt {
        OpReceipt::Deposit(receipt) => receipt.deposit_nonce?,
        _ => tx.nonce(),
    };
    (tx.kind() == TxKind::Create).then(|| from.create(nonce))
}
