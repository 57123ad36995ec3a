//! A trie of which only some nodes are at hand.

use super::WitnessError;
use crate::StateError;
use alloy_primitives::{B256, Bytes, keccak256};
use alloy_rlp::Decodable;
use alloy_trie::{
    EMPTY_ROOT_HASH, Nibbles, TrieMask,
    nodes::{BranchNodeRef, ExtensionNodeRef, LeafNodeRef, RlpNode, TrieNode},
};

/// Nibbles of a key.
const KEY: usize = 64;

/// Where nodes come from. `owner` is the hash of the account whose storage is meant, `None` the account trie.
pub(super) trait NodeSource {
    /// The node of a hash, which stands at `path`.
    fn node(&self, owner: Option<B256>, hash: B256, path: &Nibbles) -> Result<Bytes, StateError>;
}

/// One trie over a source of nodes.
pub(super) struct PartialTrie<'a, S> {
    root: Node,
    place: Place<'a, S>,
}

/// Which trie it is, and where its nodes come from.
struct Place<'a, S> {
    owner: Option<B256>,
    source: &'a S,
}

#[derive(Debug, Default)]
enum Node {
    #[default]
    Empty,
    /// Not opened: a hash, or the node itself where that is shorter.
    Folded(RlpNode),
    Open(Box<Open>),
}

#[derive(Debug)]
enum Open {
    Leaf { key: Nibbles, value: Vec<u8> },
    Extension { key: Nibbles, child: Node },
    Branch([Node; 16]),
}

impl<'a, S: NodeSource> PartialTrie<'a, S> {
    pub(super) fn new(owner: Option<B256>, root: B256, source: &'a S) -> Self {
        let root = if root == EMPTY_ROOT_HASH { Node::Empty } else { Node::Folded(RlpNode::word_rlp(&root)) };
        Self { root, place: Place { owner, source } }
    }

    /// The value of a key.
    pub(super) fn get(&mut self, key: B256) -> Result<Option<&[u8]>, StateError> {
        let key = Nibbles::unpack(key);
        let (mut node, mut depth) = (&mut self.root, 0);
        loop {
            let Some(open) = node.open(&key.slice(..depth), &self.place)? else { return Ok(None) };
            let rest = key.slice(depth..);
            match open {
                Open::Leaf { key, value } => return Ok((*key == rest).then_some(value.as_slice())),
                Open::Extension { key, child } if rest.starts_with(key) => {
                    depth += key.len();
                    node = child;
                }
                Open::Extension { .. } => return Ok(None),
                Open::Branch(children) => {
                    depth += 1;
                    node = &mut children[first(&rest)];
                }
            }
        }
    }

    /// Sets a key's value.
    pub(super) fn set(&mut self, key: B256, value: Vec<u8>) -> Result<(), StateError> {
        self.root.set(&Nibbles::unpack(key), 0, value, &self.place)
    }

    /// Removes a key, if it is there.
    pub(super) fn remove(&mut self, key: B256) -> Result<(), StateError> {
        self.root.remove(&Nibbles::unpack(key), 0, &self.place)
    }

    /// The root as things are now.
    pub(super) fn root(&self) -> B256 {
        match &self.root {
            Node::Empty => EMPTY_ROOT_HASH,
            Node::Folded(node) => node.as_hash().unwrap_or_else(|| keccak256(node)),
            Node::Open(open) => keccak256(open.rlp()),
        }
    }
}

impl<S: NodeSource> Place<'_, S> {
    fn decode(&self, bytes: &[u8], path: &Nibbles) -> Result<Node, StateError> {
        let malformed = |reason: String| {
            StateError::Witness(WitnessError::MalformedNode { owner: self.owner, path: *path, reason })
        };
        let mut rest = bytes;
        let node = TrieNode::decode(&mut rest).map_err(|error| malformed(error.to_string()))?;
        if !rest.is_empty() {
            return Err(malformed("bytes after the node".to_owned()));
        }
        Ok(Node::Open(Box::new(match node {
            TrieNode::EmptyRoot => return Err(malformed("empty".to_owned())),
            TrieNode::Leaf(leaf) if path.len() + leaf.key.len() == KEY => {
                Open::Leaf { key: leaf.key, value: leaf.value }
            }
            TrieNode::Extension(extension)
                if !extension.key.is_empty() && path.len() + extension.key.len() < KEY =>
            {
                Open::Extension { key: extension.key, child: Node::Folded(extension.child) }
            }
            TrieNode::Branch(branch) if path.len() < KEY => {
                let mut children: [Node; 16] = Default::default();
                for (nibble, child) in branch.as_ref().children() {
                    if let Some(child) = child {
                        children[usize::from(nibble)] = Node::Folded(child.clone());
                    }
                }
                Open::Branch(children)
            }
            _ => return Err(malformed("does not fit its depth".to_owned())),
        })))
    }
}

impl Node {
    /// The node itself; `None` if there is nothing.
    fn open<S: NodeSource>(
        &mut self,
        path: &Nibbles,
        place: &Place<'_, S>,
    ) -> Result<Option<&mut Open>, StateError> {
        if let Self::Folded(folded) = self {
            *self = match folded.as_hash() {
                Some(hash) => place.decode(&place.source.node(place.owner, hash, path)?, path)?,
                None => place.decode(folded, path)?,
            };
        }
        match self {
            Self::Open(open) => Ok(Some(open)),
            Self::Empty | Self::Folded(_) => Ok(None),
        }
    }

    fn set<S: NodeSource>(
        &mut self,
        key: &Nibbles,
        depth: usize,
        value: Vec<u8>,
        place: &Place<'_, S>,
    ) -> Result<(), StateError> {
        let rest = key.slice(depth..);
        let Some(open) = self.open(&key.slice(..depth), place)? else {
            *self = leaf(rest, value);
            return Ok(());
        };
        let (own, below, common) = match open {
            Open::Branch(children) => {
                return children[first(&rest)].set(key, depth + 1, value, place);
            }
            Open::Leaf { key: own, value: old } => {
                let common = own.common_prefix_length(&rest);
                if common == rest.len() {
                    *old = value;
                    return Ok(());
                }
                (*own, leaf(own.slice(common + 1..), std::mem::take(old)), common)
            }
            Open::Extension { key: own, child } => {
                let common = own.common_prefix_length(&rest);
                if common == own.len() {
                    return child.set(key, depth + common, value, place);
                }
                (*own, under(own.slice(common + 1..), std::mem::take(child)), common)
            }
        };
        let mut children: [Self; 16] = Default::default();
        children[first(&own.slice(common..))] = below;
        children[first(&rest.slice(common..))] = leaf(rest.slice(common + 1..), value);
        *self = under(rest.slice(..common), Self::Open(Box::new(Open::Branch(children))));
        Ok(())
    }

    fn remove<S: NodeSource>(
        &mut self,
        key: &Nibbles,
        depth: usize,
        place: &Place<'_, S>,
    ) -> Result<(), StateError> {
        let path = key.slice(..depth);
        let rest = key.slice(depth..);
        let Some(open) = self.open(&path, place)? else { return Ok(()) };
        match open {
            Open::Leaf { key: own, .. } => {
                if *own == rest {
                    *self = Self::Empty;
                }
            }
            Open::Extension { key: own, child } => {
                if rest.starts_with(own) {
                    child.remove(key, depth + own.len(), place)?;
                    let (own, child) = (*own, std::mem::take(child));
                    *self = under(own, child);
                }
            }
            Open::Branch(children) => {
                let gone = first(&rest);
                children[gone].remove(key, depth + 1, place)?;
                if !children[gone].is_empty() {
                    return Ok(());
                }
                let mut left = (0u8..).zip(children.iter_mut()).filter(|(_, child)| !child.is_empty());
                match (left.next(), left.next()) {
                    (None, _) => *self = Self::Empty,
                    (Some((nibble, only)), None) => {
                        // Whether it takes the branch's place or hangs on an extension depends on what it is.
                        let mut at = path;
                        at.push(nibble);
                        only.open(&at, place)?;
                        let only = std::mem::take(only);
                        *self = under(Nibbles::from_nibbles([nibble]), only);
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }

    const fn is_empty(&self) -> bool {
        matches!(self, Self::Empty)
    }

    /// How a parent names it.
    fn folded(&self) -> Option<RlpNode> {
        match self {
            Self::Empty => None,
            Self::Folded(node) => Some(node.clone()),
            Self::Open(open) => Some(RlpNode::from_rlp(&open.rlp())),
        }
    }
}

impl Open {
    fn rlp(&self) -> Vec<u8> {
        match self {
            Self::Leaf { key, value } => alloy_rlp::encode(LeafNodeRef::new(key, value)),
            Self::Extension { key, child } => {
                alloy_rlp::encode(ExtensionNodeRef::new(key, &child.folded().unwrap_or_default()))
            }
            Self::Branch(children) => {
                let mut mask = TrieMask::default();
                let stack: Vec<RlpNode> = (0u8..)
                    .zip(children)
                    .filter_map(|(nibble, child)| child.folded().inspect(|_| mask.set_bit(nibble)))
                    .collect();
                alloy_rlp::encode(BranchNodeRef::new(&stack, mask))
            }
        }
    }
}

fn leaf(key: Nibbles, value: Vec<u8>) -> Node {
    Node::Open(Box::new(Open::Leaf { key, value }))
}

/// `node` at the end of `key`: short ways are joined into one.
fn under(key: Nibbles, node: Node) -> Node {
    if key.is_empty() {
        return node;
    }
    let open = match node {
        Node::Empty => return Node::Empty,
        Node::Folded(folded) => Open::Extension { key, child: Node::Folded(folded) },
        Node::Open(open) => match *open {
            Open::Leaf { key: rest, value } => Open::Leaf { key: key.join(&rest), value },
            Open::Extension { key: rest, child } => Open::Extension { key: key.join(&rest), child },
            branch @ Open::Branch(_) => Open::Extension { key, child: Node::Open(Box::new(branch)) },
        },
    };
    Node::Open(Box::new(open))
}

/// The first nibble of a way that is not at its end: a branch or a difference lies before it.
fn first(rest: &Nibbles) -> usize {
    usize::from(rest.first().unwrap_or_default())
}
