//! The types every chain crate speaks.

use alloy_consensus::transaction::{Recovered, SignerRecoverable};
use alloy_eips::Typed2718;
use alloy_primitives::{Address, B256, Sealable, Sealed};
use op_alloy_consensus::{OpReceipt, OpTxEnvelope};
use rayon::prelude::*;

use crate::RecoverError;

pub use alloy_consensus::Header;

/// A transaction of this chain, deposits included.
pub type Tx = OpTxEnvelope;
/// A receipt as it is stored: without its bloom.
pub type Receipt = OpReceipt;
/// A block: header and body.
pub type Block = alloy_consensus::Block<Tx>;
/// The body of a block.
pub type BlockBody = alloy_consensus::BlockBody<Tx>;
/// A header with its hash.
pub type SealedHeader = Sealed<Header>;

/// EIP-2718 type byte of the experimental post-exec transaction, which belongs to Lagoon.
const POST_EXEC_TX_TYPE: u8 = 0x7d;

/// From here on senders are recovered on several threads.
const PARALLEL_RECOVERY: usize = 16;

/// A block with its hash and the sender of each transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecoveredBlock {
    header: SealedHeader,
    body: BlockBody,
    senders: Vec<Address>,
}

impl RecoveredBlock {
    /// Hashes the header and recovers all senders.
    pub fn recover(block: Block) -> Result<Self, RecoverError> {
        let (header, body) = (block.header, block.body);
        Self::recover_sealed(header.seal_slow(), body)
    }

    /// Recovers all senders of a block whose hash is known.
    pub fn recover_sealed(header: SealedHeader, body: BlockBody) -> Result<Self, RecoverError> {
        let senders = if body.transactions.len() < PARALLEL_RECOVERY {
            body.transactions.iter().map(sender).collect::<Result<Vec<_>, _>>()?
        } else {
            body.transactions.par_iter().map(sender).collect::<Result<Vec<_>, _>>()?
        };
        Ok(Self { header, body, senders })
    }

    /// From parts that belong together: `senders` are those of the body's transactions, in order. An importer checks
    /// their number.
    pub fn new_unchecked(header: SealedHeader, body: BlockBody, senders: Vec<Address>) -> Self {
        Self { header, body, senders }
    }

    /// The header with its hash.
    pub const fn header(&self) -> &SealedHeader {
        &self.header
    }

    /// The block hash.
    pub const fn hash(&self) -> B256 {
        self.header.hash()
    }

    /// The block number.
    pub fn number(&self) -> u64 {
        self.header.number
    }

    /// The parent's hash.
    pub fn parent_hash(&self) -> B256 {
        self.header.parent_hash
    }

    /// The body.
    pub const fn body(&self) -> &BlockBody {
        &self.body
    }

    /// The transactions, in order.
    pub fn transactions(&self) -> &[Tx] {
        &self.body.transactions
    }

    /// The senders, in the transactions' order.
    pub fn senders(&self) -> &[Address] {
        &self.senders
    }

    /// Transactions with their senders.
    pub fn recovered(&self) -> impl ExactSizeIterator<Item = Recovered<&Tx>> {
        self.body
            .transactions
            .iter()
            .zip(&self.senders)
            .map(|(tx, sender)| Recovered::new_unchecked(tx, *sender))
    }

    /// The plain block, copied.
    pub fn to_block(&self) -> Block {
        Block::new(self.header.inner().clone(), self.body.clone())
    }

    /// Header, body and senders.
    pub fn into_parts(self) -> (SealedHeader, BlockBody, Vec<Address>) {
        (self.header, self.body, self.senders)
    }

    /// The block as consensus RLP, what `debug_getRawBlock` answers.
    pub fn rlp(&self) -> Vec<u8> {
        Block::rlp_encoded_from_parts(self.header.inner(), &self.body)
    }

    /// Length of [`rlp`](Self::rlp).
    pub fn rlp_length(&self) -> usize {
        Block::rlp_length_for(self.header.inner(), &self.body)
    }
}

/// The sender of a transaction; signatures with a high `s` and transactions of Lagoon are refused.
fn sender(tx: &Tx) -> Result<Address, RecoverError> {
    if tx.ty() == POST_EXEC_TX_TYPE {
        return Err(RecoverError::UnsupportedType { hash: tx.tx_hash(), ty: tx.ty() });
    }
    tx.recover_signer().map_err(|_| RecoverError::Signature { hash: tx.tx_hash() })
}
