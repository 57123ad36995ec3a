//! A walk on several threads: the sixteen subtries under the root are independent of each other.
//!
//! Each is walked with a builder of its own, which would put an extension over its branch; the branch itself is
//! taken from beneath it, as a proof of its path, and its hash joined with the others in the root. Only a large trie
//! is worth it, and in a large trie every child of the root is a branch; where one is not, one thread does it all.

use crate::{
    StateError,
    cursor::{Leaves, Seek},
    updates::NodeUpdates,
    walk::{Walk, Walked, branch_updates, under},
};
use alloy_primitives::{B256, keccak256, map::HashMap};
use alloy_rlp::Decodable;
use alloy_trie::{
    BranchNodeCompact, EMPTY_ROOT_HASH, HashBuilder, Nibbles,
    nodes::TrieNode,
    proof::{ProofNodes, ProofRetainer},
};
use rayon::prelude::*;

/// With fewer changed keys one thread is as fast.
const PARALLEL_KEYS: usize = 128;

/// A child of the root after its subtrie was walked.
enum Child {
    Absent,
    Branch {
        hash: B256,
        stored: bool,
        nodes: NodeUpdates,
    },
    /// A leaf or an extension: the root cannot take it by its hash.
    Other,
}

/// Walks a trie to the changed keys, on several threads if there are many. `make` begins a walk with a builder.
pub(crate) fn walk<'a, L, C, V>(
    keys: &[Nibbles],
    make: impl Fn(HashBuilder) -> Result<Walk<'a, L, C, V>, StateError> + Sync,
) -> Result<Walked, StateError>
where
    L: Leaves<V>,
    C: Seek<Nibbles, BranchNodeCompact>,
{
    if keys.len() >= PARALLEL_KEYS
        && let Some(walked) = parallel(keys, &make)?
    {
        return Ok(walked);
    }
    make(updating())?.run(keys)
}

fn updating() -> HashBuilder {
    HashBuilder::default().with_updates(true)
}

/// `None` if the trie's shape does not allow it.
fn parallel<'a, L, C, V>(
    keys: &[Nibbles],
    make: &(impl Fn(HashBuilder) -> Result<Walk<'a, L, C, V>, StateError> + Sync),
) -> Result<Option<Walked>, StateError>
where
    L: Leaves<V>,
    C: Seek<Nibbles, BranchNodeCompact>,
{
    let Some(root) = make(updating())?.root_node()? else { return Ok(None) };
    let children = (0..16u8)
        .into_par_iter()
        .map(|nibble| child(&root, nibble, keys, make))
        .collect::<Result<Vec<_>, StateError>>()?;

    let mut builder = updating();
    let mut all = NodeUpdates::default();
    for (nibble, child) in (0..16u8).zip(children) {
        match child {
            Child::Absent => {}
            Child::Branch { hash, stored, nodes } => {
                builder.add_branch(Nibbles::from_nibbles([nibble]), hash, stored);
                all.extend(nodes);
            }
            Child::Other => return Ok(None),
        }
    }
    let hash = builder.root();
    let visited = HashMap::from_iter([(Nibbles::new(), root)]);
    all.extend(branch_updates(visited, builder.split().1));
    Ok(Some(Walked { root: hash, nodes: all, proof: ProofNodes::default(), stored: true }))
}

fn child<'a, L, C, V>(
    root: &BranchNodeCompact,
    nibble: u8,
    keys: &[Nibbles],
    make: &impl Fn(HashBuilder) -> Result<Walk<'a, L, C, V>, StateError>,
) -> Result<Child, StateError>
where
    L: Leaves<V>,
    C: Seek<Nibbles, BranchNodeCompact>,
{
    let path = Nibbles::from_nibbles([nibble]);
    let keys = under(keys, &path);
    let stored = root.tree_mask.is_bit_set(nibble);
    if keys.is_empty() {
        return Ok(if root.hash_mask.is_bit_set(nibble) {
            Child::Branch { hash: root.hash_for_nibble(nibble), stored, nodes: NodeUpdates::default() }
        } else if root.state_mask.is_bit_set(nibble) {
            Child::Other
        } else {
            Child::Absent
        });
    }
    let builder = updating().with_proof_retainer(ProofRetainer::new(vec![path]));
    let walked = make(builder)?.run_under(path, keys, stored)?;
    if walked.root == EMPTY_ROOT_HASH {
        // Everything beneath is gone, nodes included.
        return Ok(if walked.nodes.is_empty() { Child::Absent } else { Child::Other });
    }
    let branch = walked
        .proof
        .get(&path)
        .filter(|rlp| matches!(TrieNode::decode(&mut &rlp[..]), Ok(TrieNode::Branch(_))));
    Ok(match branch {
        Some(rlp) if rlp.len() >= 32 => {
            Child::Branch { hash: keccak256(rlp), stored: walked.stored, nodes: walked.nodes }
        }
        _ => Child::Other,
    })
}
