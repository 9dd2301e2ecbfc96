//! Candidates as the check lists see them.

use std::net::SocketAddr;

use crate::candidate::{Candidate, ComponentId, Foundation, Kind, PairingClass};

/// A local candidate of a stream, numbered from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LocalId(pub u16);

/// A remote candidate of a stream, numbered from 0. The number of a candidate
/// that had to make room is used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RemoteId(pub u16);

/// All that the check engine knows of the path under a candidate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Path {
    /// The path delivers or breaks: no retransmission of checks over it. It is
    /// there only once it has been opened.
    pub reliable: bool,
    /// We can open it. Of reliable paths that only the peer can open no pairs
    /// are formed but by its checks (RFC 6544 §6.2).
    pub dials: bool,
    /// Which remote candidates it leads to.
    pub class: PairingClass,
    /// The path leads through a third party.
    pub indirect: bool,
}

/// A local candidate.
#[derive(Clone, Debug)]
pub struct Local {
    /// Its component.
    pub component: ComponentId,
    /// The base, by the agent's number for it.
    pub base: u32,
    /// The transport address.
    pub address: SocketAddr,
    /// The type.
    pub kind: Kind,
    /// The priority that was signalled, or of a peer-reflexive candidate the
    /// PRIORITY of the check that found it.
    pub priority: u32,
    /// The PRIORITY that checks from this base carry: what a peer-reflexive
    /// candidate found by them would have (RFC 8445 §7.1.1).
    pub reflexive_priority: u32,
    /// The foundation.
    pub foundation: Foundation,
    /// What the path is like.
    pub path: Path,
    /// The candidate for the address of the other side's NAT and the like
    /// (`raddr`), as signalled.
    pub related: Option<SocketAddr>,
}

/// A remote candidate.
#[derive(Clone, Debug)]
pub struct Remote {
    /// Its component.
    pub component: ComponentId,
    /// The transport address.
    pub address: SocketAddr,
    /// The type.
    pub kind: Kind,
    /// The priority.
    pub priority: u32,
    /// Which of our paths lead to it.
    pub class: PairingClass,
    /// The foundation; peer-reflexive candidates get one of their own.
    pub foundation: Foundation,
    /// The candidate as it was signalled; `None` while peer-reflexive.
    pub signalled: Option<Box<Candidate>>,
}

/// A local candidate with the bookkeeping of its check list.
#[derive(Debug)]
pub(super) struct LocalEntry {
    pub(super) local: Local,
    /// Pairs are formed with bases only (RFC 8445 §6.1.2.4).
    pub(super) pairable: bool,
    pub(super) foundation: u16,
    pub(super) pairs: u16,
    pub(super) ranked: u16,
}

/// A remote candidate with the bookkeeping of its check list.
#[derive(Debug)]
pub(super) struct RemoteEntry {
    pub(super) remote: Remote,
    pub(super) foundation: u16,
    pub(super) pairs: u16,
    /// A number that a newer candidate may take.
    pub(super) gone: bool,
}
