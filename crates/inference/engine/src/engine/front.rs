//! What engines over several devices have in common: requests are handed out between them, and on from one that ends.
//!
//! ```text
//! submit ─► place ─┬─► engine 0: queue, pages, backend      place: by beginning, adapters, load
//!                  ├─► engine 1 ─── has a line ──► half of it goes where there is room and no line
//!                  └─► engine 2 ─── breaks or ends: what waits there goes on to the others
//! ```
//! An answer depends on none of it.

use super::{
    handle::Shared,
    homes::{Homes, Why},
    standing::{Outlook, Standing},
    worker::Command,
};
use crate::{
    backend::Identity,
    kv::PrefixChain,
    metrics,
    request::{GenerateError, GenerateRequest},
    schedule::{Sequence, Submission},
};
use alloy_primitives::B256;
use crossbeam_channel::{Receiver, Sender};
use parking_lot::Mutex;
use std::sync::{Arc, OnceLock, Weak, atomic::AtomicU64};

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

/// Who may be given what moves.
#[derive(Clone, Copy, Debug)]
pub(super) enum To {
    /// This one.
    This(usize),
    /// Whoever serves.
    Serving,
    /// Whoever has not ended, best one that serves.
    Anybody,
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

    /// Gives something that waits at an engine to another one: of those that may be meant the best to wait at, where there is least to do.
    /// What there is nobody for comes back.
    pub(super) fn hand_on(&self, from: usize, to: To, moved: Moved) -> Result<(), Moved> {
        let peers = self.peers.get().map_or(&[][..], Vec::as_slice);
        let open = |(number, peer): (usize, &Peer)| {
            let commands = peer.commands.upgrade().filter(|_| number != from)?;
            let shared = peer.shared.upgrade()?;
            let outlook = shared.outlook()?;
            let meant = match to {
                To::This(to) => to == number,
                To::Serving => outlook == Outlook::Serves,
                To::Anybody => true,
            };
            meant.then_some((outlook, commands, shared))
        };
        let open = peers.iter().enumerate().filter_map(open);
        match open.min_by_key(|(outlook, _, shared)| (*outlook, shared.live.len())) {
            Some((_, commands, shared)) => {
                send(&commands, &shared, moved);
                Ok(())
            }
            None => Err(moved),
        }
    }

    /// Whether another engine has not ended.
    pub(super) fn outlives(&self, from: usize) -> bool {
        (0..self.standing.count()).any(|number| number != from && self.standing.outlook(number).is_some())
    }

    /// Another engine that has room for more answers than it holds requests, and for how many: the one with most.
    pub(super) fn room(&self, from: usize) -> Option<(usize, usize)> {
        let peers = self.peers.get().map_or(&[][..], Vec::as_slice);
        let room = |(number, peer): (usize, &Peer)| {
            // Without a handle nothing can be sent, and nothing need be taken out of a line for it.
            let _commands = peer.commands.upgrade().filter(|_| number != from)?;
            let shared = peer.shared.upgrade()?;
            let room = if shared.outlook()? == Outlook::Serves { shared.room() } else { 0 };
            (room > 0).then_some((number, room))
        };
        peers.iter().enumerate().filter_map(room).max_by_key(|(_, room)| *room)
    }
}

impl Shared {
    /// Gives a request of an engine that ends to another one. Without one it fails, or is told by the end of its events.
    pub(super) fn hand_on(&self, moved: Moved) {
        match self.front.hand_on(self.number, To::Anybody, moved) {
            Ok(()) => metrics::handed_on(&self.labels, 1),
            Err(Moved::Waiting(sequence)) => sequence.fail(GenerateError::Stopped),
            Err(Moved::New(_)) => {}
        }
    }

    /// What comes to an engine that has ended goes on to the others, until there is no handle: who saw it serve may still send, and the
    /// watchdog keeps the channel open, so nobody else would tell.
    pub(super) fn pass_on(&self, commands: &Receiver<Command>) {
        while let Ok(command) = commands.recv() {
            if let Some(moved) = command.moved() {
                self.hand_on(moved);
            }
        }
    }

    /// Moves what nobody took from an engine's channel to other engines. What there is nobody for comes back, and whether it was told to
    /// drain.
    pub(super) fn rescue(&self, commands: &Receiver<Command>) -> (Vec<Moved>, bool) {
        let (mut back, mut drain) = (Vec::new(), false);
        while let Ok(command) = commands.try_recv() {
            drain |= matches!(command, Command::Drain);
            let Some(moved) = command.moved() else { continue };
            match self.front.hand_on(self.number, To::Anybody, moved) {
                Ok(()) => metrics::handed_on(&self.labels, 1),
                Err(moved) => back.push(moved),
            }
        }
        (back, drain)
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
