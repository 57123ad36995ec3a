//! Moving the head and the labels.

use crate::{
    CanonEvent, Chain, Durability, TreeError,
    blocks::{Blocks, Place},
    chain::{Core, corrupt},
    metrics,
    node::{self, Node},
    writer::PRUNE_STEP,
};
use alloy_primitives::B256;
use std::sync::Arc;
use tributary_evm::ExecutedBlock;
use tributary_spec::SealedHeader;
use tributary_store::{BlockNumHash, Choice, Snapshot, StoreError};

/// What became of a fork choice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ForkchoiceStatus {
    /// The head is what was asked for.
    Valid,
    /// The head asked for is known to be invalid, and nothing changed.
    Invalid {
        /// The last valid block on its branch.
        latest_valid: B256,
        /// What is wrong.
        reason: String,
    },
    /// The head asked for is not known, and nothing changed.
    Syncing,
}

/// The way from the canonical chain to a new head.
pub(crate) struct Move {
    /// The last block that stays.
    pub(crate) ancestor: SealedHeader,
    /// Canonical blocks that go, oldest first.
    pub(crate) old: Vec<Arc<ExecutedBlock>>,
    /// Blocks that come, oldest first.
    pub(crate) new: Vec<Node>,
}

impl Chain {
    /// Makes a known block the head, and sets labels on its chain; `None` (or zero) leaves a label as it is. A head
    /// that is an ancestor of the present one moves the chain back.
    pub fn set_forkchoice(
        &self,
        head: B256,
        safe: Option<B256>,
        finalized: Option<B256>,
    ) -> Result<ForkchoiceStatus, TreeError> {
        let core = self.core();
        self.writer().check()?;
        {
            let mut logged = core.choosing.lock();
            let Some(target) = core.header(head)? else { return Ok(self.unknown_head(head)) };
            let choosing = match core.choose(&target, safe, finalized) {
                // The store has the way there, but goes back from it right now: when it has, memory has it.
                Err(TreeError::UnknownBlock(_)) => {
                    self.flush()?;
                    core.choose(&target, safe, finalized)?
                }
                choosing => choosing?,
            };
            if core.config.durability == Durability::Acknowledged && core.changes(&choosing) {
                self.log(&choosing, &mut logged)?;
            }
            core.carry_out(choosing);
        }
        self.writer().wake();
        self.writer().wait_for_room(core)?;
        Ok(ForkchoiceStatus::Valid)
    }

    fn unknown_head(&self, head: B256) -> ForkchoiceStatus {
        match self.known_invalid(head, B256::ZERO) {
            Some(invalid) => {
                ForkchoiceStatus::Invalid { latest_valid: invalid.latest_valid, reason: invalid.reason }
            }
            None => ForkchoiceStatus::Syncing,
        }
    }
}

/// A fork choice that can be carried out: the way there, and the labels after it.
pub(crate) struct Choosing {
    pub(crate) route: Move,
    pub(crate) safe: Option<SealedHeader>,
    pub(crate) finalized: Option<SealedHeader>,
}

impl Choosing {
    /// What is acknowledged with it.
    pub(crate) fn choice(&self) -> Choice {
        let head = self.route.new.last().map_or(&self.route.ancestor, Node::header);
        let hash = |label: &Option<SealedHeader>| label.as_ref().map(SealedHeader::hash).unwrap_or_default();
        Choice {
            head: BlockNumHash::new(head.number, head.hash()),
            safe: hash(&self.safe),
            finalized: hash(&self.finalized),
        }
    }
}

impl Core {
    /// Checks a fork choice. Nothing changes until it is carried out.
    pub(crate) fn choose(
        &self,
        head: &SealedHeader,
        safe: Option<B256>,
        finalized: Option<B256>,
    ) -> Result<Choosing, TreeError> {
        let blocks = self.blocks.read();
        let snapshot = self.store.snapshot();
        let route = route(&blocks, &snapshot, head)?;
        let (safe, finalized) = (asked(safe), asked(finalized));
        let finalized = match finalized {
            Some(hash) => Some(self.label(&route, &snapshot, &blocks, hash, "finalized")?),
            None => {
                check_finalized(&blocks, &route, head)?;
                blocks.finalized.clone()
            }
        };
        let safe = match safe {
            Some(hash) => Some(self.label(&route, &snapshot, &blocks, hash, "safe")?),
            // An ancestor of a safe block is safe.
            None => blocks.safe.clone().map(|safe| lower(safe, &route.ancestor)),
        };
        check_depth(&blocks, &snapshot, &route)?;
        Ok(Choosing { route, safe, finalized })
    }

    /// Whether the head or a label is another afterwards.
    fn changes(&self, choosing: &Choosing) -> bool {
        let blocks = self.blocks.read();
        let moves = !choosing.route.old.is_empty() || !choosing.route.new.is_empty();
        moves || blocks.safe != choosing.safe || blocks.finalized != choosing.finalized
    }

    /// Moves the head and the labels.
    pub(crate) fn carry_out(&self, choosing: Choosing) {
        let Choosing { route, safe, finalized } = choosing;
        let mut blocks = self.blocks.write();
        blocks.set_canonical(&route.ancestor, &route.new);
        blocks.safe = safe;
        blocks.finalized = finalized;
        metrics::moved(&blocks);
        drop(blocks);
        self.announce(route);
    }

    /// The header of a label, which must be on the new chain.
    fn label(
        &self,
        route: &Move,
        snapshot: &Snapshot,
        blocks: &Blocks,
        hash: B256,
        label: &'static str,
    ) -> Result<SealedHeader, TreeError> {
        if let Some(node) = route.new.iter().find(|node| node.header().hash() == hash) {
            return Ok(node.header().clone());
        }
        let header = match blocks.node(hash) {
            Some(node) => Some(node.header().clone()),
            None => match snapshot.number(hash)? {
                Some(number) => snapshot.header(number)?,
                None => None,
            },
        };
        let inconsistent = TreeError::InconsistentLabel { label, hash };
        let header =
            header.filter(|header| header.number <= route.ancestor.number).ok_or(inconsistent.clone())?;
        let block = BlockNumHash::new(header.number, hash);
        if blocks.is_canonical(snapshot, block)? { Ok(header) } else { Err(inconsistent) }
    }

    fn announce(&self, route: Move) {
        let new: Vec<_> = route.new.iter().map(|node| node.executed().clone()).collect();
        let event = match (route.old.is_empty(), new.is_empty()) {
            (true, true) => return,
            (true, false) => CanonEvent::Commit { new },
            (false, _) => {
                let (undone, done) = (route.old.len(), new.len());
                tracing::info!(ancestor = route.ancestor.number, undone, done, "Chain reorganised");
                CanonEvent::Reorg { old: route.old, new }
            }
        };
        metrics::announced(&event);
        // Nobody listening is no error.
        let _ = self.events.send(event);
    }
}

/// Zero means "leave as it is", as in the Engine API.
fn asked(label: Option<B256>) -> Option<B256> {
    label.filter(|hash| !hash.is_zero())
}

fn lower(label: SealedHeader, ancestor: &SealedHeader) -> SealedHeader {
    if label.number > ancestor.number { ancestor.clone() } else { label }
}

pub(crate) fn route(blocks: &Blocks, snapshot: &Snapshot, head: &SealedHeader) -> Result<Move, TreeError> {
    let mut new = Vec::new();
    let mut at = BlockNumHash::new(head.number, head.hash());
    while !blocks.is_canonical(snapshot, at)? {
        let node = blocks.node(at.hash).ok_or(TreeError::UnknownBlock(at.hash))?;
        let parent = node.header().parent_hash;
        new.push(node.clone());
        let number = at.number.checked_sub(1).ok_or(TreeError::UnknownBlock(parent))?;
        at = BlockNumHash::new(number, parent);
    }
    new.reverse();
    let ancestor = match blocks.place(at.number) {
        Place::Memory(node) => node.header().clone(),
        _ => snapshot.header(at.number)?.ok_or_else(|| corrupt("a canonical header is missing"))?,
    };
    let old = (at.number + 1..=blocks.head.number)
        .map(|number| canonical_block(blocks, snapshot, number))
        .collect::<Result<_, _>>()?;
    Ok(Move { ancestor, old, new })
}

fn canonical_block(
    blocks: &Blocks,
    snapshot: &Snapshot,
    number: u64,
) -> Result<Arc<ExecutedBlock>, TreeError> {
    if let Place::Memory(node) = blocks.place(number) {
        return Ok(node.executed().clone());
    }
    let block = snapshot.block(number)?.ok_or_else(|| corrupt("a canonical block is missing"))?;
    let receipts = snapshot.receipts(number)?.ok_or_else(|| corrupt("a canonical block has no receipts"))?;
    Ok(Arc::new(node::stored(block, receipts)))
}

/// The finalized block stays where it is, so the new chain must contain it.
fn check_finalized(blocks: &Blocks, route: &Move, head: &SealedHeader) -> Result<(), TreeError> {
    match &blocks.finalized {
        Some(finalized) if finalized.number > route.ancestor.number => {
            Err(TreeError::UndoesFinalized { head: head.hash(), finalized: finalized.number })
        }
        _ => Ok(()),
    }
}

/// What is written must be undone with reverse diffs, of which old ones are dropped.
fn check_depth(blocks: &Blocks, snapshot: &Snapshot, route: &Move) -> Result<(), TreeError> {
    let ancestor = route.ancestor.number;
    if ancestor >= blocks.persisted.number {
        return Ok(());
    }
    let above_finalized = blocks.finalized.as_ref().is_some_and(|finalized| finalized.number <= ancestor);
    let oldest = match lowest(snapshot)? {
        0 => 0,
        // None above the finalized block goes. Else the writer may drop more before it learns of this.
        oldest if above_finalized => oldest,
        oldest => oldest + 2 * PRUNE_STEP,
    };
    if ancestor < oldest { Err(TreeError::TooDeep { ancestor, oldest }) } else { Ok(()) }
}

/// The lowest block that the store can go back to.
pub(crate) fn lowest(snapshot: &Snapshot) -> Result<u64, StoreError> {
    Ok(snapshot.oldest_diff()?.saturating_sub(1))
}
