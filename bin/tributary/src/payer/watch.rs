//! Finds the receipt in an answer that passes through: in the JSON of a whole reply, or in an event of a stream.

use std::sync::Arc;

use tributary_api::types::Receipt;

use super::{Payer, Signed};

/// Most of an answer that is kept while its receipt is looked for.
const MAX_KEPT: usize = 8 * 1024 * 1024;

/// Looks through an answer; when it ends without a receipt the cap stays promised.
#[derive(Debug)]
pub(super) struct ReceiptWatch {
    payer: Arc<Payer>,
    signed: Signed,
    kept: Vec<u8>,
    lost: bool,
}

#[derive(serde::Deserialize)]
struct WithReceipt {
    tributary: Option<Box<Receipt>>,
}

impl ReceiptWatch {
    pub(super) const fn new(payer: Arc<Payer>, signed: Signed) -> Self {
        Self { payer, signed, kept: Vec::new(), lost: false }
    }

    pub(super) fn feed(&mut self, chunk: &[u8]) {
        if self.lost || self.kept.len() + chunk.len() > MAX_KEPT {
            self.lost = true;
            self.kept = Vec::new();
            return;
        }
        self.kept.extend_from_slice(chunk);
    }

    fn receipt(&self) -> Option<Receipt> {
        let found =
            |json: &[u8]| serde_json::from_slice::<WithReceipt>(json).ok()?.tributary.map(|found| *found);
        found(&self.kept).or_else(|| {
            self.kept.split(|b| *b == b'\n').rev().find_map(|line| found(line.strip_prefix(b"data: ")?))
        })
    }
}

impl Drop for ReceiptWatch {
    /// The answer ended, or the client hung up.
    fn drop(&mut self) {
        let (payer, signed) = (Arc::clone(&self.payer), self.signed);
        match self.receipt() {
            None => tracing::warn!(target: "tributary::proxy", "an answer ended without its receipt"),
            Some(receipt) => {
                tokio::spawn(async move {
                    if let Err(failure) = payer.settled(signed, &receipt).await {
                        tracing::error!(target: "tributary::proxy", %failure, "a receipt does not hold");
                    }
                });
            }
        }
    }
}
