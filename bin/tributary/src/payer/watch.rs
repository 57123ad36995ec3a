//! Finds the receipt in an answer that passes through: in the JSON of a whole reply, or in an event of a stream.

use serde_json::Value;
use tributary_api::types::Receipt;

use super::{NO_RECEIPT, Signed};

/// Most of an answer that is kept while its receipt is looked for.
const MAX_KEPT: usize = 8 * 1024 * 1024;

/// Looks through an answer; one that breaks off without a receipt leaves its cap promised.
#[derive(Debug)]
pub(super) struct ReceiptWatch {
    signed: Option<Signed>,
    kept: Vec<u8>,
    lost: bool,
}

#[derive(serde::Deserialize)]
struct Seen {
    tributary: Option<Box<Receipt>>,
    error: Option<Value>,
}

impl ReceiptWatch {
    pub(super) const fn new(signed: Signed) -> Self {
        Self { signed: Some(signed), kept: Vec::new(), lost: false }
    }

    pub(super) fn feed(&mut self, chunk: &[u8]) {
        if self.lost || self.kept.len() + chunk.len() > MAX_KEPT {
            self.lost = true;
            self.kept = Vec::new();
            return;
        }
        self.kept.extend_from_slice(chunk);
    }

    /// The answer came to its end.
    pub(super) async fn finish(mut self) {
        let Some(signed) = self.signed.take() else { return };
        let seen = seen(&self.kept);
        let receipt = seen.iter().rev().find_map(|seen| seen.tributary.as_deref());
        let done = match receipt {
            Some(receipt) => signed.settle(receipt).await,
            // What failed half-way was not recorded; what was too long to be kept may have had one.
            None if self.lost || seen.iter().any(|seen| seen.error.is_some()) => Ok(()),
            None => signed.catch(NO_RECEIPT.to_owned()).await,
        };
        report(done);
    }
}

impl Drop for ReceiptWatch {
    /// The client hung up, or the API did.
    fn drop(&mut self) {
        let Some(signed) = self.signed.take() else { return };
        let receipt = seen(&self.kept).into_iter().rev().find_map(|seen| seen.tributary);
        match receipt {
            None => tracing::warn!(target: "tributary::proxy", "an answer broke off without its receipt"),
            Some(receipt) => drop(tokio::spawn(async move { report(signed.settle(&receipt).await) })),
        }
    }
}

/// The JSON of an answer, or of each of its events.
fn seen(kept: &[u8]) -> Vec<Seen> {
    match serde_json::from_slice(kept) {
        Ok(whole) => vec![whole],
        Err(_) => kept
            .split(|byte| *byte == b'\n')
            .filter_map(|line| serde_json::from_slice(line.strip_prefix(b"data: ")?).ok())
            .collect(),
    }
}

fn report(done: eyre::Result<()>) {
    if let Err(failure) = done {
        tracing::error!(target: "tributary::proxy", %failure, "a receipt does not hold");
    }
}
