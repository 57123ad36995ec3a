//! From what a block did to its roots.

use alloy_consensus::{Eip2718EncodableReceipt, TxReceipt, proofs::ordered_trie_root_with_encoder};
use alloy_primitives::{B256, Bloom, keccak256};
use op_alloy_consensus::OpReceipt;
use revm::database::BundleState;
use tributary_spec::{ChainSpec, OpHardfork, Receipt, RecoveredBlock, predeploys::MESSAGE_PASSER};
use tributary_state::{HashedPostState, StateError, StateRef, TrieUpdates};

use crate::run::RunOutput;

/// A block that was executed, and everything it did. Share it behind an `Arc`.
#[derive(Debug, Clone)]
pub struct ExecutedBlock {
    /// The block.
    pub block: RecoveredBlock,
    /// Its receipts, in order.
    pub receipts: Vec<Receipt>,
    /// Changed accounts and slots under plain keys.
    pub bundle: BundleState,
    /// The same under hashed keys.
    pub hashed: HashedPostState,
    /// What that does to the stored trie.
    pub trie: TrieUpdates,
}

/// Roots and sums of an executed block.
pub(crate) struct Outcome {
    pub(crate) receipts: Vec<Receipt>,
    pub(crate) bundle: BundleState,
    pub(crate) hashed: HashedPostState,
    pub(crate) trie: TrieUpdates,
    pub(crate) gas_used: u64,
    pub(crate) da_footprint: u64,
    pub(crate) receipts_root: B256,
    pub(crate) logs_bloom: Bloom,
    pub(crate) state_root: B256,
    /// Storage root of the message passer, from Isthmus on.
    pub(crate) withdrawals_root: Option<B256>,
}

impl Outcome {
    pub(crate) fn compute(
        spec: &ChainSpec,
        timestamp: u64,
        state: &StateRef,
        run: RunOutput,
    ) -> Result<Self, StateError> {
        let hashed = HashedPostState::from_bundle(&run.bundle);
        let ((receipts_root, logs_bloom), root) =
            rayon::join(|| receipts_root(spec, timestamp, &run.receipts), || state.state_root(&hashed));
        let (state_root, trie) = root?;
        let isthmus = spec.forks().active(OpHardfork::Isthmus, timestamp);
        let withdrawals_root = isthmus.then(|| message_passer_root(state, &hashed, &trie)).transpose()?;
        Ok(Self {
            receipts: run.receipts,
            bundle: run.bundle,
            hashed,
            trie,
            gas_used: run.gas_used,
            da_footprint: run.da_footprint,
            receipts_root,
            logs_bloom,
            state_root,
            withdrawals_root,
        })
    }

    pub(crate) fn into_executed(self, block: RecoveredBlock) -> ExecutedBlock {
        ExecutedBlock {
            block,
            receipts: self.receipts,
            bundle: self.bundle,
            hashed: self.hashed,
            trie: self.trie,
        }
    }
}

fn message_passer_root(
    state: &StateRef,
    hashed: &HashedPostState,
    trie: &TrieUpdates,
) -> Result<B256, StateError> {
    match trie.leaves.get(&keccak256(MESSAGE_PASSER)) {
        Some(Some(leaf)) => Ok(leaf.storage_root),
        _ => state.storage_root(MESSAGE_PASSER, hashed),
    }
}

/// Root of the receipts and the union of their blooms.
///
/// From Regolith until Canyon the root is computed as if deposit receipts had no nonce, although they have one: a bug
/// that became consensus.
fn receipts_root(spec: &ChainSpec, timestamp: u64, receipts: &[Receipt]) -> (B256, Bloom) {
    let strip_nonce = spec.forks().active(OpHardfork::Regolith, timestamp)
        && !spec.forks().active(OpHardfork::Canyon, timestamp);
    let blooms: Vec<Bloom> = receipts.iter().map(TxReceipt::bloom).collect();
    let union = blooms.iter().fold(Bloom::ZERO, |all, bloom| all | *bloom);
    let with_bloom: Vec<(&Receipt, Bloom)> = receipts.iter().zip(blooms).collect();
    let root = ordered_trie_root_with_encoder(&with_bloom, |(receipt, bloom), out| match receipt {
        OpReceipt::Deposit(deposit) if strip_nonce => {
            let mut stripped = deposit.clone();
            stripped.deposit_nonce = None;
            Receipt::Deposit(stripped).eip2718_encode_with_bloom(bloom, out);
        }
        _ => receipt.eip2718_encode_with_bloom(bloom, out),
    });
    (root, union)
}
