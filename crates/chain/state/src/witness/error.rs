//! What a witness can lack, or have wrong.

use alloy_primitives::B256;
use alloy_trie::Nibbles;

/// A witness that does not carry its block. The one who made it is at fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WitnessError {
    /// A node that is needed is not there.
    #[error("trie node {hash} is missing ({}, path {path:?})", trie_name(.owner))]
    MissingNode {
        /// Its hash.
        hash: B256,
        /// Hash of the account whose storage it belongs to; `None` for the account trie.
        owner: Option<B256>,
        /// Where it stands.
        path: Nibbles,
    },
    /// Bytes that are no node, or none that can stand there.
    #[error("trie node at {path:?} is malformed ({}): {reason}", trie_name(.owner))]
    MalformedNode {
        /// Hash of the account whose storage it belongs to; `None` for the account trie.
        owner: Option<B256>,
        /// Where it stands.
        path: Nibbles,
        /// What is wrong.
        reason: String,
    },
    /// Code that is needed is not there.
    #[error("code {0} is missing")]
    MissingCode(B256),
    /// Who has only some nodes cannot list what is in a trie.
    #[error("a witness cannot list the slots of an account")]
    NoList,
    /// A block hash is asked for, and the headers do not go back that far.
    #[error("the hash of block {0} is missing")]
    MissingBlockHash(u64),
}

fn trie_name(owner: &Option<B256>) -> String {
    owner.map_or_else(|| "account trie".to_owned(), |owner| format!("storage trie of {owner}"))
}
