//! A small chain to write.

use alloy_consensus::{Header, Sealable};
use alloy_primitives::{Address, B256, Bytes, Log, LogData, TxKind, U256};
use op_alloy_consensus::{OpDepositReceipt, OpReceipt, OpTxEnvelope, TxDeposit};
use std::path::Path;
use tributary_spec::{BlockBody, Receipt, RecoveredBlock};
use tributary_store::{Identity, Store, StoreError, StoreOptions};

pub(crate) const IDENTITY: Identity = Identity { chain_id: 161_299, genesis_hash: B256::repeat_byte(0x11) };

pub(crate) fn open(path: &Path) -> Result<Store, StoreError> {
    open_as(path, &IDENTITY)
}

pub(crate) fn open_as(path: &Path, identity: &Identity) -> Result<Store, StoreError> {
    let options = StoreOptions {
        cache_bytes: 8 << 20,
        write_buffer_bytes: 8 << 20,
        max_open_files: 64,
        ..Default::default()
    };
    Store::open(path, identity, &options)
}

pub(crate) fn deposit(number: u64, index: u8) -> OpTxEnvelope {
    let tx = TxDeposit {
        source_hash: B256::with_last_byte(index),
        from: Address::repeat_byte(index),
        to: TxKind::Call(Address::repeat_byte(0xcc)),
        mint: u128::from(number),
        value: U256::from(number),
        gas_limit: 21_000,
        is_system_transaction: false,
        input: Bytes::from(vec![index; 5]),
    };
    OpTxEnvelope::Deposit(tx.seal_slow())
}

pub(crate) fn log(address: u8, topics: &[u8]) -> Log {
    let topics = topics.iter().map(|topic| B256::repeat_byte(*topic)).collect();
    Log {
        address: Address::repeat_byte(address),
        data: LogData::new_unchecked(topics, Bytes::from_static(b"data")),
    }
}

pub(crate) fn receipt(logs: Vec<Log>) -> Receipt {
    let inner = alloy_consensus::Receipt { status: true.into(), cumulative_gas_used: 21_000, logs };
    OpReceipt::Deposit(OpDepositReceipt { inner, deposit_nonce: Some(4), deposit_receipt_version: Some(1) })
}

pub(crate) fn block(number: u64, parent: B256, txs: u8) -> RecoveredBlock {
    let header = Header {
        number,
        parent_hash: parent,
        timestamp: number * 2,
        gas_limit: 30_000_000,
        ..Default::default()
    };
    let transactions = (0..txs).map(|index| deposit(number, index)).collect();
    let body = BlockBody { transactions, ommers: vec![], withdrawals: Some(Default::default()) };
    RecoveredBlock::recover_sealed(header.seal_slow(), body).unwrap()
}

/// Writes blocks `0..count`, each with two transactions and a log apiece.
pub(crate) fn write_chain(store: &Store, count: u64) -> Vec<RecoveredBlock> {
    let mut parent = B256::ZERO;
    (0..count)
        .map(|number| {
            let block = block(number, parent, 2);
            parent = block.hash();
            let mut batch = store.batch();
            batch.put_block(&block, &receipts(number)).unwrap();
            batch.set_head(tributary_store::BlockNumHash::new(number, block.hash())).unwrap();
            batch.commit(false).unwrap();
            block
        })
        .collect()
}

pub(crate) fn receipts(number: u64) -> Vec<Receipt> {
    vec![receipt(vec![log(1, &[number as u8, 7])]), receipt(vec![log(2, &[]), log(2, &[9])])]
}
