//! Whom this node knows, is connected to, and trusts how far.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use libp2p::{Multiaddr, PeerId, StreamProtocol, swarm::ConnectionId};

/// Misbehaviour that ends a peer's welcome.
const BAN_AT: u32 = 100;
/// How long it is not let in again.
const BAN: Duration = Duration::from_secs(600);
/// Penalties are forgiven at this rate.
const FORGIVEN_PER_SECOND: u32 = 1;
/// Peers that are remembered although nobody is connected and nobody asked for them: only those with penalties.
const MAX_REMEMBERED: usize = 1_024;
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_secs(30);

/// How a peer came to be known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PeerKind {
    /// It called.
    Basic,
    /// It was named; the connection is kept up.
    Static,
    /// As static, and never banned.
    Trusted,
}

/// A connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// The other end.
    pub remote: Multiaddr,
    /// The peer called.
    pub inbound: bool,
}

/// What is known of a peer.
#[derive(Clone, Debug)]
pub struct Peer {
    /// How it came to be known.
    pub kind: PeerKind,
    /// Where it can be reached.
    pub address: Option<Multiaddr>,
    /// What it calls itself.
    pub agent: Option<String>,
    /// What it speaks.
    pub protocols: Vec<StreamProtocol>,
    links: HashMap<ConnectionId, Link>,
    penalty: u32,
    penalised: Instant,
    banned_until: Option<Instant>,
    failures: u32,
    dial_at: Instant,
}

impl Peer {
    fn new(now: Instant) -> Self {
        Self {
            kind: PeerKind::Basic,
            address: None,
            agent: None,
            protocols: Vec::new(),
            links: HashMap::new(),
            penalty: 0,
            penalised: now,
            banned_until: None,
            failures: 0,
            dial_at: now,
        }
    }

    /// Whether there is a connection.
    pub fn is_connected(&self) -> bool {
        !self.links.is_empty()
    }

    /// One of its connections.
    pub fn link(&self) -> Option<&Link> {
        self.links.values().next()
    }

    fn is_banned(&self, now: Instant) -> bool {
        self.banned_until.is_some_and(|until| until > now)
    }

    fn penalty_now(&self, now: Instant) -> u32 {
        let seconds = now.saturating_duration_since(self.penalised).as_secs();
        self.penalty
            .saturating_sub(u32::try_from(seconds).unwrap_or(u32::MAX).saturating_mul(FORGIVEN_PER_SECOND))
    }
}

/// All peers.
#[derive(Debug, Default)]
pub(crate) struct PeerBook(HashMap<PeerId, Peer>);

impl PeerBook {
    pub(crate) fn get(&self, peer: &PeerId) -> Option<&Peer> {
        self.0.get(peer)
    }

    pub(crate) fn connected(&self) -> impl Iterator<Item = (&PeerId, &Peer)> {
        self.0.iter().filter(|(_, peer)| peer.is_connected())
    }

    fn entry(&mut self, peer: PeerId, now: Instant) -> &mut Peer {
        self.0.entry(peer).or_insert_with(|| Peer::new(now))
    }

    /// Somebody named the peer.
    pub(crate) fn name(&mut self, peer: PeerId, address: Option<Multiaddr>, kind: PeerKind, now: Instant) {
        let entry = self.entry(peer, now);
        entry.kind = kind;
        entry.address = address.or(entry.address.take());
        entry.banned_until = None;
        entry.penalty = 0;
        entry.failures = 0;
        entry.dial_at = now;
    }

    /// Takes trust back; the connection stays as long as it holds.
    pub(crate) fn distrust(&mut self, peer: &PeerId) {
        if let Some(entry) = self.0.get_mut(peer) {
            entry.kind = PeerKind::Basic;
        }
    }

    /// The connection is no longer wanted. False for trusted peers, which stay.
    pub(crate) fn remove(&mut self, peer: &PeerId) -> bool {
        match self.0.get_mut(peer) {
            Some(entry) if entry.kind == PeerKind::Trusted => false,
            Some(entry) => {
                entry.kind = PeerKind::Basic;
                entry.address = None;
                true
            }
            None => true,
        }
    }

    /// Whether a connection may be opened.
    pub(crate) fn is_welcome(&self, peer: &PeerId, now: Instant) -> bool {
        self.get(peer).is_none_or(|peer| !peer.is_banned(now))
    }

    pub(crate) fn connected_by(&mut self, peer: PeerId, id: ConnectionId, link: Link, now: Instant) {
        let entry = self.entry(peer, now);
        if !link.inbound {
            entry.address.get_or_insert_with(|| link.remote.clone());
        }
        entry.links.insert(id, link);
        entry.failures = 0;
    }

    pub(crate) fn disconnected(&mut self, peer: &PeerId, id: ConnectionId, now: Instant) {
        let Some(entry) = self.0.get_mut(peer) else { return };
        entry.links.remove(&id);
        if entry.links.is_empty() {
            entry.dial_at = now + FIRST_RETRY;
            entry.protocols.clear();
        }
        self.forget(now);
    }

    pub(crate) fn identified(&mut self, peer: &PeerId, agent: String, protocols: Vec<StreamProtocol>) {
        if let Some(entry) = self.0.get_mut(peer) {
            entry.agent = Some(agent.chars().take(128).collect());
            entry.protocols = protocols.into_iter().take(64).collect();
        }
    }

    /// A call failed: the next comes later.
    pub(crate) fn unreachable(&mut self, peer: &PeerId, now: Instant) {
        if let Some(entry) = self.0.get_mut(peer) {
            entry.failures = entry.failures.saturating_add(1);
            let wait = FIRST_RETRY.saturating_mul(1 << entry.failures.min(5)).min(LONGEST_RETRY);
            entry.dial_at = now + wait;
        }
    }

    /// Named peers that are not connected, and whose time has come.
    pub(crate) fn due_calls(&mut self, now: Instant) -> Vec<(PeerId, Multiaddr)> {
        let due = self.0.iter_mut().filter(|(_, peer)| {
            peer.kind > PeerKind::Basic && !peer.is_connected() && peer.dial_at <= now && !peer.is_banned(now)
        });
        due.filter_map(|(id, peer)| {
            let address = peer.address.clone()?;
            // Whatever becomes of the call, it is not repeated at once.
            peer.dial_at = now + FIRST_RETRY;
            Some((*id, address))
        })
        .collect()
    }

    /// Counts misbehaviour. True if the peer must go.
    pub(crate) fn punish(&mut self, peer: PeerId, penalty: u32, now: Instant) -> bool {
        let entry = self.entry(peer, now);
        entry.penalty = entry.penalty_now(now).saturating_add(penalty);
        entry.penalised = now;
        if entry.penalty < BAN_AT {
            return false;
        }
        if entry.kind < PeerKind::Trusted {
            entry.banned_until = Some(now + BAN);
        }
        entry.penalty = 0;
        true
    }

    /// Drops who is not connected, named or banned, and at last the banned, too.
    fn forget(&mut self, now: Instant) {
        self.0.retain(|_, peer| {
            peer.is_connected()
                || peer.kind > PeerKind::Basic
                || peer.is_banned(now)
                || peer.penalty_now(now) > 0
        });
        if self.0.len() > MAX_REMEMBERED {
            self.0.retain(|_, peer| peer.is_connected() || peer.kind > PeerKind::Basic);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link() -> Link {
        Link { remote: "/ip4/1.2.3.4/tcp/5".parse().unwrap(), inbound: true }
    }

    #[test]
    fn named_peers_are_called_again_and_again_but_less_often() {
        let (mut book, peer, start) = (PeerBook::default(), PeerId::random(), Instant::now());
        book.name(peer, Some("/ip4/1.2.3.4/tcp/5".parse().unwrap()), PeerKind::Static, start);
        assert_eq!(book.due_calls(start).len(), 1);
        assert!(book.due_calls(start).is_empty());
        for _ in 0..20 {
            book.unreachable(&peer, start);
        }
        assert!(book.due_calls(start + LONGEST_RETRY - Duration::from_millis(1)).is_empty());
        assert_eq!(book.due_calls(start + LONGEST_RETRY).len(), 1);
        assert!(book.remove(&peer));
        assert!(book.due_calls(start + LONGEST_RETRY * 2).is_empty());
    }

    #[test]
    fn misbehaviour_adds_up_is_forgiven_and_ends_in_a_ban() {
        let (mut book, peer, start) = (PeerBook::default(), PeerId::random(), Instant::now());
        assert!(!book.punish(peer, 60, start));
        assert!(!book.punish(peer, 60, start + Duration::from_secs(30)), "30 were forgiven");
        assert!(book.punish(peer, 60, start + Duration::from_secs(31)));
        assert!(!book.is_welcome(&peer, start + BAN));
        assert!(book.is_welcome(&peer, start + BAN + Duration::from_secs(32)));
    }

    #[test]
    fn trusted_peers_are_never_banned_nor_removed() {
        let (mut book, peer, now) = (PeerBook::default(), PeerId::random(), Instant::now());
        book.name(peer, None, PeerKind::Trusted, now);
        assert!(book.punish(peer, 1_000, now));
        assert!(book.is_welcome(&peer, now));
        assert!(!book.remove(&peer));
        book.distrust(&peer);
        assert!(book.remove(&peer));
    }

    #[test]
    fn strangers_who_left_are_forgotten() {
        let (mut book, now) = (PeerBook::default(), Instant::now());
        for number in 0..50 {
            let (peer, id) = (PeerId::random(), ConnectionId::new_unchecked(number));
            book.connected_by(peer, id, link(), now);
            book.disconnected(&peer, id, now);
        }
        assert!(book.0.is_empty());
    }
}
