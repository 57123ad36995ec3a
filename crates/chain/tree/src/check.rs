//! The whole database against itself.

use crate::{TreeError, chain::corrupt};
use tributary_state::{StateReport, verify_state};
use tributary_store::{IndexReport, Store, verify_index};

/// What a check of the database saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VerifyReport {
    /// Blocks and indexes.
    pub index: IndexReport,
    /// Leaves and trie nodes.
    pub state: StateReport,
}

/// Checks blocks, indexes, leaves, trie nodes, and that the leaves give the head's state root. Nothing may write
/// meanwhile. `progress` is called with a stage, what is done of it, and of how much if that is known.
pub fn verify(
    store: &Store,
    mut progress: impl FnMut(&str, u64, Option<u64>),
) -> Result<VerifyReport, TreeError> {
    let snapshot = store.snapshot();
    let index = verify_index(&snapshot, |done, of| progress("blocks", done, Some(of)))?;
    let state = verify_state(store, |done| progress("accounts", done, None))?;
    let head = snapshot.head()?.ok_or_else(|| corrupt("there is no head"))?;
    let header = snapshot.header(head.number)?.ok_or_else(|| corrupt("the head has no header"))?;
    if header.state_root != state.root {
        let (root, claimed) = (state.root, header.state_root);
        return Err(corrupt(&format!("the state's root is {root}, the head's header says {claimed}")));
    }
    Ok(VerifyReport { index, state })
}
