//! Bases: the sockets that the core asked for, what servers relay for us, and
//! the candidates that ICE sessions have on them.

use std::net::{IpAddr, SocketAddr};

use crate::agent::{BaseId, Core, Happened, SocketOp, StreamId};
use crate::candidate::{ComponentId, TcpType};
use crate::check::LocalId;
use crate::stun::CheckTemplate;
use crate::timer::Time;

/// What a base is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Candidates of this machine.
    Candidates,
    /// One pair alone: a port that nobody but a STUN server has heard of, until
    /// something comes through on it.
    Fresh,
    /// Nothing but the way to a TURN server: a connection to it, or a port for a
    /// second allocation.
    Leg,
    /// What a server relays: it has no socket, and another base under it.
    Relayed,
}

/// A socket of a stream's component, or what stands for one.
#[derive(Debug)]
pub(super) struct Base {
    pub(super) id: BaseId,
    pub(super) purpose: Purpose,
    pub(super) stream: StreamId,
    pub(super) component: ComponentId,
    /// Which way its connections are opened; `None` for UDP.
    pub(super) tcp_type: Option<TcpType>,
    /// The address that it was asked for, or that is relayed; unspecified where
    /// the system chooses.
    pub(super) ip: IpAddr,
    /// The length of its network's prefix, if known.
    pub(super) prefix: Option<u8>,
    /// The scope of a link-local IPv6 address, else 0.
    pub(super) scope: u32,
    pub(super) phase: BasePhase,
    /// The sessions that use it: the stream's current one, the one before, or
    /// both. A base that none uses is closed.
    pub(super) seats: Vec<Seat>,
}

/// The life of a base. One that is closed is forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BasePhase {
    /// The driver was asked for it.
    Binding,
    /// It is bound to this address.
    Open(SocketAddr),
    /// It is of no use any more, and closed when it is bound.
    Abandoned,
}

/// A base as one session has it.
#[derive(Debug)]
pub(super) struct Seat {
    /// The session's check list.
    pub(super) list: u16,
    pub(super) local_preference: u16,
    /// The host candidate; `None` while the base is being bound.
    pub(super) local: Option<LocalId>,
    /// The checks that leave from here.
    pub(super) template: Option<CheckTemplate>,
}

impl Seat {
    pub(super) fn new(list: u16, local_preference: u16) -> Self {
        Seat { list, local_preference, local: None, template: None }
    }
}

impl Base {
    /// The address that it is bound to.
    pub(super) fn address(&self) -> Option<SocketAddr> {
        match self.phase {
            BasePhase::Open(address) => Some(address),
            BasePhase::Binding | BasePhase::Abandoned => None,
        }
    }

    pub(super) fn is_open(&self) -> bool {
        self.address().is_some()
    }

    pub(super) fn seat(&self, list: u16) -> Option<&Seat> {
        self.seats.iter().find(|seat| seat.list == list)
    }

    /// Its host candidate in a session.
    pub(super) fn local(&self, list: u16) -> Option<LocalId> {
        self.seat(list)?.local
    }
}

impl Core {
    fn base_index(&self, id: BaseId) -> Option<usize> {
        self.bases.binary_search_by_key(&id, |base| base.id).ok()
    }

    pub(super) fn base(&self, id: BaseId) -> Option<&Base> {
        self.base_index(id).map(|at| &self.bases[at])
    }

    pub(super) fn base_mut(&mut self, id: BaseId) -> Option<&mut Base> {
        self.base_index(id).map(|at| &mut self.bases[at])
    }

    pub(super) fn open_base(&self, id: BaseId) -> Option<&Base> {
        self.base(id).filter(|base| base.is_open())
    }

    /// Asks for a socket.
    pub(super) fn bind(&mut self, base: Base) {
        let Base { id, ip, scope, stream, component, .. } = base;
        self.socket_ops.push_back(match base.tcp_type {
            None => SocketOp::BindUdp { base: id, ip, scope, stream, component },
            Some(tcp_type) => {
                SocketOp::BindTcp { base: id, ip, scope, stream, component, tcp_type }
            }
        });
        self.bases.push(base);
    }

    /// The number of the next base.
    pub(super) fn next_base(&mut self) -> BaseId {
        let id = BaseId(self.next_base);
        self.next_base = self.next_base.saturating_add(1);
        id
    }

    /// Gives a socket back, or will when it is there.
    pub(super) fn close_base(&mut self, id: BaseId, now: Time) {
        let Some(at) = self.base_index(id) else { return };
        match self.bases[at].phase {
            BasePhase::Binding => self.bases[at].phase = BasePhase::Abandoned,
            BasePhase::Abandoned => {}
            BasePhase::Open(_) => {
                self.write_early(|outgoing| outgoing.base == id);
                self.bases.remove(at);
                self.relays.all.iter_mut().for_each(|relay| relay.bases.retain(|base| *base != id));
                for base in self.release_relays(|relay| relay.leg == id, now) {
                    self.checks.base_lost(base.0, now);
                    self.close_base(base, now);
                }
                for relay in 0..self.relays.all.len() {
                    self.close_data_legs(relay, |data| data.relayed == id, now);
                }
                self.tcp.close_base(id.0);
                self.socket_ops.push_back(SocketOp::Close { base: id });
                self.log.add(now, || Happened::SocketClosed { base: id });
            }
        }
    }

    /// A session is no more: its seats are free, and sockets that only it
    /// used are closed.
    pub(super) fn vacate(&mut self, list: u16, now: Time) {
        let mut unused = Vec::new();
        for base in &mut self.bases {
            let before = base.seats.len();
            base.seats.retain(|seat| seat.list != list);
            if base.seats.is_empty() && before > 0 {
                unused.push(base.id);
            }
        }
        unused.into_iter().for_each(|id| self.close_base(id, now));
    }

    pub(super) fn forget_templates(&mut self) {
        for seat in self.bases.iter_mut().flat_map(|base| &mut base.seats) {
            seat.template = None;
        }
    }
}
