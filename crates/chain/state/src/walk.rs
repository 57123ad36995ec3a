//! Rebuilds the changed part of a trie.
//!
//! ```text
//! subtree(path, keys): keys = the changed keys under path
//!   no stored node there ──▶ every leaf under path
//!   stored node `at`     ──▶ for each child:  unchanged and hashed ──▶ its hash
//!                                             otherwise            ──▶ subtree(child)
//! ```
//! A branch is stored if one of its children is a hashed or a stored branch, and then all its ancestors are. So a
//! subtree without a stored node is small: a few leaves.

use crate::{
    StateError,
    cursor::{Leaves, Seek, lowest},
    source::Nodes,
    updates::NodeUpdates,
};
use alloy_primitives::{B256, map::HashMap};
use alloy_trie::{BranchNodeCompact, HashBuilder, Nibbles, proof::ProofNodes};

/// A walk over one trie.
pub(crate) struct Walk<'a, L, C, V> {
    leaves: L,
    nodes: Nodes<'a, C>,
    builder: HashBuilder,
    visited: HashMap<Nibbles, BranchNodeCompact>,
    encode: fn(&V, &mut Vec<u8>),
    value: Vec<u8>,
}

/// What a walk found.
pub(crate) struct Walked {
    pub(crate) root: B256,
    pub(crate) nodes: NodeUpdates,
    pub(crate) proof: ProofNodes,
    /// The topmost path walked has a stored node now.
    pub(crate) stored: bool,
}

impl<'a, V, L, C> Walk<'a, L, C, V>
where
    L: Leaves<V>,
    C: Seek<Nibbles, BranchNodeCompact>,
{
    /// `encode` makes the value of a leaf; `builder` may retain a proof.
    pub(crate) fn new(
        leaves: L,
        nodes: Nodes<'a, C>,
        encode: fn(&V, &mut Vec<u8>),
        builder: HashBuilder,
    ) -> Self {
        Self { leaves, nodes, builder, visited: HashMap::default(), encode, value: Vec::with_capacity(128) }
    }

    /// The branch at the root, if it is stored.
    pub(crate) fn root_node(&mut self) -> Result<Option<BranchNodeCompact>, StateError> {
        Ok(self.nodes.top(&Nibbles::new())?.filter(|(path, _)| path.is_empty()).map(|(_, node)| node))
    }

    /// Walks to the changed keys, which are sorted.
    pub(crate) fn run(self, keys: &[Nibbles]) -> Result<Walked, StateError> {
        self.run_under(Nibbles::new(), keys, true)
    }

    /// Walks to the changed keys under a path, as if there were no others in the trie.
    pub(crate) fn run_under(
        mut self,
        path: Nibbles,
        keys: &[Nibbles],
        stored: bool,
    ) -> Result<Walked, StateError> {
        self.subtree(path, keys, stored)?;
        let root = self.builder.root();
        let proof = self.builder.take_proof_nodes();
        let (_, built) = self.builder.split();
        let stored = built.contains_key(&path);
        Ok(Walked { root, nodes: branch_updates(self.visited, built), proof, stored })
    }

    fn subtree(&mut self, path: Nibbles, keys: &[Nibbles], stored: bool) -> Result<(), StateError> {
        let top = if stored { self.nodes.top(&path)? } else { None };
        let Some((at, node)) = top else {
            return self.add_tail(&path);
        };
        // A changed key that leaves the path before the node's is a new leaf beside it.
        let beside = keys.iter().any(|key| !key.starts_with(&at));
        if beside {
            self.add_leaves(&path, &path, Some(&at))?;
        }
        self.children(at, &node, keys)?;
        self.visited.insert(at, node);
        match at.increment() {
            Some(after) if beside && after.starts_with(&path) => self.add_leaves(&after, &path, None),
            _ => Ok(()),
        }
    }

    fn children(
        &mut self,
        at: Nibbles,
        node: &BranchNodeCompact,
        keys: &[Nibbles],
    ) -> Result<(), StateError> {
        for nibble in 0..16 {
            let mut child = at;
            child.push(nibble);
            let keys = under(keys, &child);
            let stored = node.tree_mask.is_bit_set(nibble);
            if !keys.is_empty() {
                self.subtree(child, keys, stored)?;
            } else if node.hash_mask.is_bit_set(nibble) {
                self.builder.add_branch(child, node.hash_for_nibble(nibble), stored);
            } else if node.state_mask.is_bit_set(nibble) {
                self.subtree(child, keys, stored)?;
            }
        }
        Ok(())
    }

    /// Adds every leaf under a path.
    fn add_tail(&mut self, path: &Nibbles) -> Result<(), StateError> {
        let Some(leaves) = self.leaves.under(path)? else { return self.add_leaves(path, path, None) };
        for (key, value) in leaves {
            self.value.clear();
            (self.encode)(&value, &mut self.value);
            self.builder.add_leaf(Nibbles::unpack(key), &self.value);
        }
        Ok(())
    }

    /// Adds every leaf under `within`, from `from` on and before `until`.
    fn add_leaves(
        &mut self,
        from: &Nibbles,
        within: &Nibbles,
        until: Option<&Nibbles>,
    ) -> Result<(), StateError> {
        let mut entry = self.leaves.seek(&lowest(from))?;
        while let Some((key, value)) = entry {
            let key = Nibbles::unpack(key);
            if !key.starts_with(within) || until.is_some_and(|until| key >= *until) {
                break;
            }
            self.value.clear();
            (self.encode)(&value, &mut self.value);
            self.builder.add_leaf(key, &self.value);
            entry = self.leaves.next()?;
        }
        Ok(())
    }
}

/// The keys that begin with `prefix`.
pub(crate) fn under<'k>(keys: &'k [Nibbles], prefix: &Nibbles) -> &'k [Nibbles] {
    let start = keys.partition_point(|key| key < prefix);
    let length = keys[start..].partition_point(|key| key.starts_with(prefix));
    &keys[start..start + length]
}

/// Nodes that were built and are not stored so; nodes that were stored and were not built.
pub(crate) fn branch_updates(
    visited: HashMap<Nibbles, BranchNodeCompact>,
    built: HashMap<Nibbles, BranchNodeCompact>,
) -> NodeUpdates {
    let mut updates = NodeUpdates::default();
    for path in visited.keys().filter(|path| !built.contains_key(*path)) {
        updates.insert(*path, None);
    }
    for (path, mut node) in built {
        // The root's own hash is the header's business.
        node.root_hash = None;
        if visited.get(&path) != Some(&node) {
            updates.insert(path, Some(node));
        }
    }
    updates
}
