//! Ordered reads through layers down to the store.

use crate::StateError;
use alloy_primitives::{B256, U256};
use alloy_trie::{BranchNodeCompact, Nibbles};
use std::sync::Arc;
use tributary_store::{AccountCursor, AccountLeaf, AccountNodeCursor, SlotCursor, StorageNodeCursor};

/// Entries in order of their keys.
pub(crate) trait Seek<K, V> {
    /// The first entry at or after `key`.
    fn seek(&mut self, key: &K) -> Result<Option<(K, V)>, StateError>;

    /// The entry after the one last given.
    fn next(&mut self) -> Result<Option<(K, V)>, StateError>;
}

/// More changed leaves than this under one path are not given at once.
const LONGEST_TAIL: usize = 64;

/// Leaves in order of their hashed keys.
pub(crate) trait Leaves<V>: Seek<B256, V> {
    /// Every leaf under a path; `None` if there are many. Afterwards the cursor must be sought anew.
    fn under(&mut self, path: &Nibbles) -> Result<Option<Vec<(B256, V)>>, StateError>;
}

/// Leaves that readers share.
pub(crate) type SharedLeaves<V> = Arc<[(B256, V)]>;

/// Leaves of the store, some of which it has in memory.
pub(crate) trait StoredLeaves<V>: Seek<B256, V> {
    /// Every leaf under a path; `None` if there are many.
    fn under(&mut self, path: &Nibbles) -> Result<Option<SharedLeaves<V>>, StateError>;
}

impl StoredLeaves<AccountLeaf> for AccountCursor<'_> {
    fn under(&mut self, path: &Nibbles) -> Result<Option<SharedLeaves<AccountLeaf>>, StateError> {
        Ok(Self::under(self, path)?)
    }
}

impl StoredLeaves<U256> for SlotCursor<'_> {
    fn under(&mut self, path: &Nibbles) -> Result<Option<SharedLeaves<U256>>, StateError> {
        Ok(Self::under(self, path)?)
    }
}

macro_rules! store_cursors {
    ($($cursor:ident: $key:ty => $value:ty;)*) => {$(
        impl Seek<$key, $value> for $cursor<'_> {
            fn seek(&mut self, key: &$key) -> Result<Option<($key, $value)>, StateError> {
                Ok(Self::seek(self, key)?)
            }

            fn next(&mut self) -> Result<Option<($key, $value)>, StateError> {
                Ok(Self::next(self)?)
            }
        }
    )*};
}

store_cursors! {
    AccountCursor: B256 => AccountLeaf;
    SlotCursor: B256 => U256;
    AccountNodeCursor: Nibbles => BranchNodeCompact;
    StorageNodeCursor: Nibbles => BranchNodeCompact;
}

/// What a layer says of a key: a value, or that there is none.
pub(crate) trait Entry {
    type Value;

    fn value(&self) -> Option<Self::Value>;
}

impl<T: Clone> Entry for Option<T> {
    type Value = T;

    fn value(&self) -> Option<T> {
        self.clone()
    }
}

impl Entry for U256 {
    type Value = Self;

    fn value(&self) -> Option<Self> {
        (!self.is_zero()).then_some(*self)
    }
}

/// Sorted entries of one layer, and how far they are read.
struct Overlay<'a, K, E> {
    entries: &'a [(K, E)],
    at: usize,
}

/// Where the cursor beneath the layers stands.
enum Below<K, V> {
    /// Its entry was given; it has to move before it is read again.
    Given,
    At(Option<(K, V)>),
}

/// Layers, newest first, over a cursor of the store.
pub(crate) struct Merged<'a, K, E: Entry, C> {
    overlays: Vec<Overlay<'a, K, E>>,
    store: Option<C>,
    below: Below<K, E::Value>,
}

impl<'a, K: Ord + Copy, E: Entry, C: Seek<K, E::Value>> Merged<'a, K, E, C> {
    /// `store` is `None` where a layer has wiped everything beneath.
    pub(crate) fn new(overlays: impl IntoIterator<Item = &'a [(K, E)]>, store: Option<C>) -> Self {
        let overlays = overlays
            .into_iter()
            .filter(|entries| !entries.is_empty())
            .map(|entries| Overlay { entries, at: 0 })
            .collect();
        Self { overlays, store, below: Below::At(None) }
    }

    /// Gives the least key that has a value, and passes it.
    fn settle(&mut self) -> Result<Option<(K, E::Value)>, StateError> {
        loop {
            let stored = self.stored_key()?;
            let layered =
                self.overlays.iter().filter_map(|layer| layer.entries.get(layer.at)).map(|(key, _)| *key);
            let Some(key) = layered.chain(stored).min() else { return Ok(None) };
            let mut value: Option<Option<E::Value>> = None;
            for layer in &mut self.overlays {
                if let Some((_, entry)) = layer.entries.get(layer.at).filter(|(at, _)| *at == key) {
                    layer.at += 1;
                    value = value.or_else(|| Some(entry.value()));
                }
            }
            if stored == Some(key)
                && let Below::At(Some((_, stored))) = std::mem::replace(&mut self.below, Below::Given)
            {
                value = value.or(Some(Some(stored)));
            }
            if let Some(Some(value)) = value {
                return Ok(Some((key, value)));
            }
        }
    }

    fn stored_key(&mut self) -> Result<Option<K>, StateError> {
        if matches!(self.below, Below::Given) {
            self.below = Below::At(self.store.as_mut().map_or(Ok(None), Seek::next)?);
        }
        match &self.below {
            Below::At(Some((key, _))) => Ok(Some(*key)),
            _ => Ok(None),
        }
    }
}

impl<K: Ord + Copy, E: Entry, C: Seek<K, E::Value>> Seek<K, E::Value> for Merged<'_, K, E, C> {
    fn seek(&mut self, key: &K) -> Result<Option<(K, E::Value)>, StateError> {
        for layer in &mut self.overlays {
            layer.at = layer.entries.partition_point(|(at, _)| at < key);
        }
        self.below = Below::At(self.store.as_mut().map_or(Ok(None), |store| store.seek(key))?);
        self.settle()
    }

    fn next(&mut self) -> Result<Option<(K, E::Value)>, StateError> {
        self.settle()
    }
}

impl<E: Entry, C: StoredLeaves<E::Value>> Leaves<E::Value> for Merged<'_, B256, E, C>
where
    E::Value: Clone,
{
    fn under(&mut self, path: &Nibbles) -> Result<Option<Vec<(B256, E::Value)>>, StateError> {
        let stored = match &mut self.store {
            Some(store) => StoredLeaves::under(store, path)?,
            None => Some(Arc::default()),
        };
        // Where the store's cursor stands now is nobody's business.
        self.below = Below::At(None);
        let Some(stored) = stored else { return Ok(None) };
        let mut leaves = stored.to_vec();
        let low = lowest(path);
        for layer in self.overlays.iter().rev() {
            let from = layer.entries.partition_point(|(at, _)| *at < low);
            let inside = layer.entries[from..].iter();
            let inside = inside.take_while(|(at, _)| Nibbles::unpack(at).starts_with(path));
            for (count, (key, entry)) in inside.enumerate() {
                if count == LONGEST_TAIL {
                    return Ok(None);
                }
                match (leaves.binary_search_by(|(at, _)| at.cmp(key)), entry.value()) {
                    (Ok(at), Some(value)) => leaves[at].1 = value,
                    (Ok(at), None) => drop(leaves.remove(at)),
                    (Err(at), Some(value)) => leaves.insert(at, (*key, value)),
                    (Err(_), None) => {}
                }
            }
        }
        Ok(Some(leaves))
    }
}

/// The lowest key that begins with `path`.
pub(crate) fn lowest(path: &Nibbles) -> B256 {
    let mut key = B256::ZERO;
    let packed = path.pack();
    key[..packed.len()].copy_from_slice(&packed);
    key
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    struct Map(BTreeMap<u8, U256>, Option<u8>);

    impl Seek<u8, U256> for Map {
        fn seek(&mut self, key: &u8) -> Result<Option<(u8, U256)>, StateError> {
            let found = self.0.range(key..).next().map(|(key, value)| (*key, *value));
            self.1 = found.map(|(key, _)| key);
            Ok(found)
        }

        fn next(&mut self) -> Result<Option<(u8, U256)>, StateError> {
            match self.1.and_then(|key| key.checked_add(1)) {
                Some(key) => Seek::seek(self, &key),
                None => Ok(None),
            }
        }
    }

    fn entries() -> impl Strategy<Value = BTreeMap<u8, u8>> {
        proptest::collection::btree_map(0u8..20, 0u8..3, 0..12)
    }

    proptest! {
        #[test]
        fn merged_layers_read_like_the_maps_applied(
            base in entries(), layers in proptest::collection::vec(entries(), 0..4), from in 0u8..22
        ) {
            let mut expected: BTreeMap<u8, U256> =
                base.iter().filter(|(_, v)| **v != 0).map(|(k, v)| (*k, U256::from(*v))).collect();
            let store = Map(expected.clone(), None);
            for (key, value) in layers.iter().rev().flatten() {
                expected.insert(*key, U256::from(*value));
            }
            let layers: Vec<Vec<(u8, U256)>> =
                layers.iter().map(|layer| layer.iter().map(|(k, v)| (*k, U256::from(*v))).collect()).collect();
            let expected: Vec<_> = expected.range(from..).filter(|(_, v)| !v.is_zero()).map(|(k, v)| (*k, *v)).collect();

            let mut merged = Merged::new(layers.iter().map(Vec::as_slice), Some(store));
            for _ in 0..2 {
                let mut found = Vec::new();
                let mut entry = merged.seek(&from).unwrap();
                while let Some(pair) = entry {
                    found.push(pair);
                    entry = merged.next().unwrap();
                }
                prop_assert_eq!(&found, &expected);
            }
        }
    }
}
