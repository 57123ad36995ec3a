//! The one check of records and batches: what the worker runs before it commits, a validator after, and a
//! contract to settle a dispute.
//!
//! ```text
//! bytes ─► decode ─► place ─► voucher ─► model, sources ─► fee ─► spans ─► shares ─► payees ─► sums ─► roots
//! ```
//! Everything that follows from the record, its predecessor and the chain is recomputed and compared. What
//! needs more (the contributions' tokens, the execution) is left to whoever has it.

mod batch;
mod fault;
mod record;
mod settle;

pub use batch::{BatchClaim, Checked, check_batch};
pub use fault::{CheckError, Fault};
pub use record::{BatchPlace, Prior, RecordContext, check_record};
pub use settle::{Settlement, settle};
