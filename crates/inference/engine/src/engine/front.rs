//! What engines over several devices have in common: requests are handed out between them, and on from one that ends.
//!
//! ```text
//! submit ─► place ─┬─► engine 0: queue, pages, backend      place: by beginning, adapters, load
//!                  ├─► engine 1 ─── has a line ──► half of it goes where there is room
//!                  └─► engine 2 ─── ends: what waits there goes on to the others
//! ```
//! An answer depends on none of it.

use super::{
    handle::Shared,
    homes::{Homes, Why},
    standing::Standing,
    worker::Command,
};
use crate::{
    backend::Identity,
    kv::PrefixChain,
    request::GenerateRequest,
    schedule::{Sequence, Submission},
};
use alloy_primitives::B256;
use crossbeam_channel::Sender;
use parking_lot::Mutex;
use std::sync::{
    Arc, OnceLock, Weak,
    atomic::{AtomicU64, Ordering},
};

/// Shared by all engines of one handle.
pub(super) struct Front {
    pub(super) standing: Standing,
    /// Numbers of sequences: one of them may move from engine to engine.
    pub(super) ids: Arc<AtomicU64>,
    homes: Mutex<Homes>,
    peers: OnceLock<Vec<Peer>>,
    identity: OnceLock<Identity>,
}

/// Another engine, as long as there is a handle.
struct Peer {
    commands: Weak<Sender<Command>>,
    shared: Weak<Shared>,
}

/// What moves.
pub(super) enum Moved {
    New(Box<Submission>),
    Waiting(Box<Sequence>),
}

impl Front {
    pub(super) fn new(count: usize) -> Self {
        Self {
            standing: Standing::new(count),
            ids: Arc::default(),
            homes: Mutex::default(),
            peers: OnceLock::new(),
            identity: OnceLock::new(),
        }
    }

    /// Makes engines known to each other; called once.
    pub(super) fn connect<'a>(&self, all: impl Iterator<Item = (&'a Arc<Sender<Command>>, &'a Arc<Shared>)>) {
        let peer = |(commands, shared): (&Arc<_>, &Arc<_>)| Peer {
            commands: Arc::downgrade(commands),
            shared: Arc::downgrade(shared),
        };
        self.peers.get_or_init(|| all.map(peer).collect());
    }

    /// Whether there are several.
    pub(super) fn is_shared(&self) -> bool {
        self.standing.count() > 1
    }

    /// Whether what a backend computes is what the others compute, who came first decides.
    pub(super) fn agrees(&self, identity: &Identity) -> bool {
        !self.is_shared() || self.identity.get_or_init(|| *identity) == identity
    }

    /// Which engine a request goes to. None if none takes any.
    pub(super) fn place(
        &self,
        request: &GenerateRequest,
        page_tokens: usize,
        loads: &[Option<usize>],
        slack: usize,
    ) -> Option<(usize, Why)> {
        if let [load] = loads {
            return load.map(|_| (0, Why::Load));
        }
        let mut chain = PrefixChain::new(request, page_tokens);
        let pages: Vec<B256> =
            (0..).map_while(|page| chain.key(&request.prompt, page)).map(|key| key.0).collect();
        let adapters: Vec<B256> = request.adapters.parts().iter().map(|part| part.hash).collect();
        self.homes.lock().place(&pages, &adapters, loads, slack)
    }

    /// Gives something that waits at an engine to another one, to `to` if that is said. What there is nobody for comes back.
    pub(super) fn hand_on(&self, from: usize, to: Option<usize>, moved: Moved) -> Result<(), Moved> {
        let peers = self.peers.get().map_or(&[][..], Vec::as_slice);
        let takes = |number: usize| number != from && self.standing.lives(number);
        let open = |number: usize| {
            let peer = peers.get(number).filter(|_| takes(number))?;
            Some((peer.commands.upgrade()?, peer.shared.upgrade()?))
        };
        let target = match to {
            Some(to) => open(to),
            None => (0..peers.len()).filter_map(open).min_by_key(|(_, shared)| shared.live.len()),
        };
        match target {
            Some((commands, shared)) => {
                send(&commands, &shared, moved);
                Ok(())
            }
            None => Err(moved),
        }
    }

    /// Another engine that has room for more answers than it holds requests, and for how many: the one with most.
    pub(super) fn room(&self, from: usize) -> Option<(usize, usize)> {
        let peers = self.peers.get().map_or(&[][..], Vec::as_slice);
        let room = |(number, peer): (usize, &Peer)| {
            let shared = peer.shared.upgrade().filter(|_| number != from && self.standing.serves(number))?;
            let room = shared.rows.load(Ordering::Relaxed).saturating_sub(shared.live.len());
            (room > 0).then_some((number, room))
        };
        peers.iter().enumerate().filter_map(room).max_by_key(|(_, room)| *room)
    }
}

/// Who holds a request ends it when a step never does: from now on that is the other engine.
fn send(commands: &Sender<Command>, shared: &Arc<Shared>, mut moved: Moved) {
    let submission = match &mut moved {
        Moved::New(submission) => submission,
        Moved::Waiting(sequence) => &mut sequence.submission,
    };
    // It was let in once.
    if let Ok(ticket) = shared.live.enter(usize::MAX, &submission.events, &submission.cancelled) {
        submission.ticket = ticket;
    }
    // Without a receiver there is no handle, and nobody who waits.
    drop(commands.send(match moved {
        Moved::New(submission) => Command::Submit(submission),
        Moved::Waiting(sequence) => Command::Carry(sequence),
    }));
}
