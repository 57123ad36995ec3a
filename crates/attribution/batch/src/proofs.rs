//! The tree over a batch's records.

use alloy_primitives::{B256, keccak256};
use tributary_record::merkle::{Tree, TreeError, record_leaf};
use tributary_record::{BatchBytes, DEPTH_NARROW, DecodeError};

/// The records of a batch with what proves them.
#[derive(Debug, Clone)]
pub struct RecordTree {
    records: Vec<Vec<u8>>,
    tree: Tree,
}

impl RecordTree {
    /// The tree over the records of these batch bytes.
    ///
    /// # Errors
    /// When they are no batch.
    pub fn new(batch: &[u8]) -> Result<Self, DecodeError> {
        let (_, slices) = BatchBytes::split(batch)?;
        let leaves: Vec<B256> =
            slices.iter().zip(0u32..).map(|(slice, index)| record_leaf(index, keccak256(slice))).collect();
        let got = leaves.len();
        let tree = Tree::new(DEPTH_NARROW, leaves).map_err(|_| DecodeError::TooLong {
            what: "records",
            got,
            max: 1 << DEPTH_NARROW,
        })?;
        Ok(Self { records: slices.into_iter().map(<[u8]>::to_vec).collect(), tree })
    }

    /// recordsRoot.
    #[must_use]
    pub fn root(&self) -> B256 {
        self.tree.root()
    }

    /// The bytes of each record, as `publish` and `verifyShare` take them.
    #[must_use]
    pub fn records(&self) -> &[Vec<u8>] {
        &self.records
    }

    /// 16 siblings of a record, lowest first.
    ///
    /// # Errors
    /// When the batch has no such record.
    pub fn proof(&self, index: u32) -> Result<Vec<B256>, TreeError> {
        self.tree.proof(u64::from(index))
    }
}
