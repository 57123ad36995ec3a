//! Ordered reads of leaves and nodes.

use crate::{AccountLeaf, StoreError, codec};
use alloy_primitives::{B256, U256};
use alloy_trie::{BranchNodeCompact, Nibbles};
use rocksdb::DBRawIterator;

/// Rows of a table that begin with a prefix.
pub(crate) struct Rows<'a> {
    rows: DBRawIterator<'a>,
    /// The prefix, and behind it the key last sought.
    key: Vec<u8>,
    prefix: usize,
}

impl<'a> Rows<'a> {
    pub(crate) fn new(rows: DBRawIterator<'a>, prefix: &[u8]) -> Self {
        let mut key = Vec::with_capacity(96);
        key.extend_from_slice(prefix);
        Self { rows, key, prefix: prefix.len() }
    }

    fn seek(&mut self, key: &[u8]) -> Result<(), StoreError> {
        self.key.truncate(self.prefix);
        self.key.extend_from_slice(key);
        self.rows.seek(&self.key);
        Ok(self.rows.status()?)
    }

    fn advance(&mut self) -> Result<(), StoreError> {
        if self.rows.valid() {
            self.rows.next();
        }
        Ok(self.rows.status()?)
    }

    fn current(&self) -> Option<(&[u8], &[u8])> {
        let (key, value) = (self.rows.key()?, self.rows.value()?);
        let (prefix, rest) = key.split_at_checked(self.prefix)?;
        (prefix == &self.key[..self.prefix]).then_some((rest, value))
    }
}

macro_rules! cursors {
    ($($(#[$doc:meta])* $name:ident: $key:ty => $value:ty, $seek:expr, $decode:expr;)*) => {$(
        $(#[$doc])*
        pub struct $name<'a>(Rows<'a>);

        impl<'a> $name<'a> {
            pub(crate) const fn new(rows: Rows<'a>) -> Self {
                Self(rows)
            }

            /// The first entry at or after `key`.
            pub fn seek(&mut self, key: &$key) -> Result<Option<($key, $value)>, StoreError> {
                let seek: fn(&$key) -> Vec<u8> = $seek;
                self.0.seek(&seek(key))?;
                self.current()
            }

            /// The entry after the one last given.
            #[expect(clippy::should_implement_trait, reason = "it can fail, and its entries are sought too")]
            pub fn next(&mut self) -> Result<Option<($key, $value)>, StoreError> {
                self.0.advance()?;
                self.current()
            }

            fn current(&self) -> Result<Option<($key, $value)>, StoreError> {
                self.0.current().map($decode).transpose()
            }
        }

        impl std::fmt::Debug for $name<'_> {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(stringify!($name))
            }
        }
    )*};
}

cursors! {
    /// Account leaves by hashed address.
    AccountCursor: B256 => AccountLeaf,
    |hashed| hashed.to_vec(),
    |(key, value)| Ok((hash(key)?, codec::decode_leaf(value)?));
    /// Slots of one account by hashed key.
    SlotCursor: B256 => U256,
    |slot| slot.to_vec(),
    |(key, value)| Ok((hash(key)?, codec::decode_value(value)?));
    /// Nodes of the account trie by path.
    AccountNodeCursor: Nibbles => BranchNodeCompact,
    |path| path.to_vec(),
    |(key, value)| Ok((codec::decode_path(key)?, codec::decode_node(value)?));
    /// Nodes of one storage trie by path.
    StorageNodeCursor: Nibbles => BranchNodeCompact,
    |path| path.to_vec(),
    |(key, value)| Ok((codec::decode_path(key)?, codec::decode_node(value)?));
}

fn hash(key: &[u8]) -> Result<B256, StoreError> {
    B256::try_from(key).map_err(|_| StoreError::corrupt("key of a leaf is not 32 bytes long"))
}
