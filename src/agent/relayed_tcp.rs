//! Relayed TCP candidates (RFC 6062, RFC 6544 §5.5): from the relayed address
//! the server connects to peers and takes their connections in, and each of
//! them is a stream of its own to the server.

use std::io;
use std::net::SocketAddr;

use crate::agent::base::BasePhase;
use crate::agent::relay::Phase;
use crate::agent::tcp::ConnectionChange;
use crate::agent::{BaseId, Core, DropReason, SocketOp};
use crate::candidate::TcpType;
use crate::check::ListState;
use crate::net::{Family, NotConnected, Protocol};
use crate::stun::Message;
use crate::tcp::{Key, Op};
use crate::timer::Time;
use crate::turn::{Cause, DataConnection, DataEvent, Handled};

/// The port of an active candidate (RFC 6544 §4.1).
pub(super) const ACTIVE_PORT: u16 = 9;

/// Streams to the server for one relayed base, those included that are not bound
/// to their peers yet. Who is permitted to connect may do so often.
const MAX_STREAMS: usize = 32;

/// A stream to the server that is becoming the connection to a peer.
#[derive(Debug)]
pub(super) struct DataLeg {
    /// The base that it is until then.
    pub(super) leg: BaseId,
    /// The relayed base that it will belong to.
    pub(super) relayed: BaseId,
    peer: SocketAddr,
    pub(super) connection: DataConnection,
}

impl Core {
    /// Which candidates an allocation gives: of TCP an active and a passive one.
    pub(super) fn relayed_types(&self, relay: usize) -> Vec<Option<TcpType>> {
        let wanted = self.config.transports;
        match self.relays.all.get(relay).map(|relay| relay.protocol) {
            Some(Protocol::Tcp) => [
                wanted.tcp_active.then_some(Some(TcpType::Active)),
                wanted.tcp_passive.then_some(Some(TcpType::Passive)),
            ]
            .into_iter()
            .flatten()
            .collect(),
            _ => vec![None],
        }
    }

    /// Whom a passive relayed base has to let in, though it has no pairs with
    /// them: the peer's candidates that may open connections, for as long as
    /// they are being tried (RFC 6544 §5.5).
    pub(super) fn remotes_that_may_connect(
        &self,
        base: BaseId,
    ) -> impl Iterator<Item = SocketAddr> + '_ {
        let base = self.base(base).filter(|base| base.tcp_type == Some(TcpType::Passive));
        base.into_iter()
            .flat_map(move |base| {
                let is_tried = |list: u16| self.checks.list_state(list) == Some(ListState::Running);
                let lists =
                    base.seats.iter().map(|seat| seat.list).filter(move |list| is_tried(*list));
                lists.flat_map(|list| self.checks.remotes(list)).map(|(_, remote)| remote).filter(
                    move |remote| {
                        remote.component == base.component
                            && remote.class.tcp_type().is_some()
                            && Family::of(remote.address.ip()) == Family::of(base.ip)
                    },
                )
            })
            .map(|remote| remote.address)
    }

    /// What is done for a connection from a relayed base: the server is asked.
    /// False where the base is none.
    pub(super) fn do_by_relay(&mut self, op: Op, now: Time) -> bool {
        let base = BaseId(op.key().base);
        let Some(at) = self.relays.all.iter().position(|relay| relay.bases.contains(&base)) else {
            return false;
        };
        match op {
            Op::Connect(key, _) => {
                self.relays.all[at].client.connect_peer(key.remote, now, &mut self.rng);
                self.read_relay_events(at, now);
            }
            // How far the server is with it, nobody can say.
            Op::Inspect(_) => {}
            Op::Disconnect { key, abort } => {
                let is_its = |data: &DataLeg| (data.relayed.0, data.peer) == (key.base, key.remote);
                self.close_data_legs(at, is_its, now);
                let to = key.remote;
                self.socket_ops.push_back(SocketOp::Disconnect { base, to, abort });
            }
        }
        true
    }

    /// The server could not connect to the peer, or does not want to.
    pub(super) fn connect_refused(&mut self, at: usize, peer: SocketAddr, cause: Cause, now: Time) {
        let Some(base) = self.typed_base(at, TcpType::Active, peer) else { return };
        let key = Key::new(base.0, peer);
        if matches!(cause, Cause::Forbidden | Cause::Family | Cause::Unsupported) {
            self.tcp.drop_entry(key, true);
            return self.checks.path_failed(base.0, key.remote, NotConnected::RefusedByRelay, now);
        }
        self.refuse_connect(key, io::ErrorKind::ConnectionRefused, now);
    }

    fn refuse_connect(&mut self, key: Key, error: io::ErrorKind, now: Time) {
        self.note_connection(key, ConnectionChange::Refused { error }, now);
        self.tcp.connect_failed(key, error, now, &mut self.rng);
    }

    fn typed_base(&self, at: usize, tcp_type: TcpType, peer: SocketAddr) -> Option<BaseId> {
        let is_it = |id: &BaseId| self.base(*id).is_some_and(|b| b.tcp_type == Some(tcp_type));
        self.relayed_bases(at, peer.ip()).find(is_it)
    }

    /// There is a connection between the server and a peer: a stream to the
    /// server is opened for it (RFC 6062 §4.3, §4.4), to where the control
    /// connection leads.
    pub(super) fn open_data_leg(
        &mut self,
        at: usize,
        tcp_type: TcpType,
        (peer, number): (SocketAddr, u32),
    ) {
        let peer = crate::net::canonical(peer);
        let Some(relayed) = self.typed_base(at, tcp_type, peer) else { return };
        let key = Key::new(relayed.0, peer);
        let is_wanted = tcp_type == TcpType::Passive || self.tcp.is_ours(key);
        let relay = &self.relays.all[at];
        let is_known = relay.data.iter().any(|data| (data.relayed, data.peer) == (relayed, peer));
        let open = self.tcp.of_base(relayed.0).filter(|key| self.tcp.is_open(*key)).count();
        let is_full = open + relay.data.len() >= MAX_STREAMS;
        if !is_wanted || is_known || is_full || relay.phase != Phase::Open {
            // Nobody claims it, so the server gives it up in time.
            return;
        }
        let place = (relay.stream, relay.component);
        let server = (relay.server, relay.name.clone());
        let (to, connection) = (Box::from([relay.address]), relay.client.data_connection(number));
        let seats = self.base(relayed).into_iter().flat_map(|base| &base.seats);
        let lists = seats.map(|seat| seat.list).collect();
        let leg = self.connect_server(place, server, to, lists);
        self.relays.all[at].data.push(DataLeg { leg, relayed, peer, connection });
    }

    /// The relay and the index of a stream that is being bound.
    pub(super) fn data_leg(&self, leg: BaseId) -> Option<(usize, usize)> {
        let relays = self.relays.all.iter().enumerate();
        relays
            .into_iter()
            .find_map(|(at, relay)| Some((at, relay.data.iter().position(|data| data.leg == leg)?)))
    }

    /// Its connection is open. False where it is no such stream.
    pub(super) fn data_leg_connected(&mut self, leg: BaseId, now: Time) -> bool {
        let Some((at, data)) = self.data_leg(leg) else { return false };
        self.relays.all[at].data[data].connection.start(now, &mut self.rng);
        true
    }

    /// It came to nothing. False where it is no such stream.
    pub(super) fn data_leg_failed(&mut self, leg: BaseId, kind: io::ErrorKind, now: Time) -> bool {
        let Some((at, data)) = self.data_leg(leg) else { return false };
        let DataLeg { relayed, peer, .. } = self.relays.all[at].data.remove(data);
        // A socket that never was has nothing to close.
        self.bases.retain(|base| base.id != leg || base.phase != BasePhase::Binding);
        self.close_base(leg, now);
        self.refuse_connect(Key::new(relayed.0, peer), kind, now);
        true
    }

    pub(super) fn close_data_legs(
        &mut self,
        at: usize,
        is_meant: impl Fn(&DataLeg) -> bool,
        now: Time,
    ) {
        let data = &mut self.relays.all[at].data;
        let closed: Vec<BaseId> = data.extract_if(.., |d| is_meant(d)).map(|d| d.leg).collect();
        closed.into_iter().for_each(|leg| self.close_base(leg, now));
    }

    /// A message of the server on such a stream.
    pub(super) fn read_data_leg(
        &mut self,
        (at, data): (usize, usize),
        message: &Message<'_>,
        now: Time,
    ) -> Result<(), DropReason> {
        let connection = &mut self.relays.all[at].data[data].connection;
        let handled = connection.handle_message(message, now, &mut self.rng);
        // What follows on the stream may be the peer's already.
        self.advance_data_legs(at, now);
        match handled {
            Handled::Used => Ok(()),
            Handled::Late => Err(DropReason::LateServerResponse),
            Handled::Foreign => Err(DropReason::UnknownTransaction),
        }
    }

    /// Does what is due for the streams of an allocation.
    pub(super) fn advance_data_legs(&mut self, at: usize, now: Time) {
        let mut news = Vec::new();
        for data in &mut self.relays.all[at].data {
            data.connection.handle_timeout(now, &mut self.rng);
            news.extend(data.connection.poll_event().map(|event| (data.leg, event)));
        }
        for (leg, event) in news {
            match event {
                DataEvent::Bound => self.carry(leg),
                DataEvent::Refused(_) => {
                    self.data_leg_failed(leg, io::ErrorKind::ConnectionRefused, now);
                }
            }
        }
    }

    /// The stream is to be the connection to its peer from now on.
    fn carry(&mut self, leg: BaseId) {
        let Some((at, data)) = self.data_leg(leg) else { return };
        let DataLeg { relayed, peer, .. } = self.relays.all[at].data.remove(data);
        self.bases.retain(|base| base.id != leg);
        self.socket_ops.push_back(SocketOp::Carry { leg, base: relayed, to: peer });
    }

    /// It is. False where the base is none that a server relays.
    pub(super) fn carried(&mut self, base: BaseId, peer: SocketAddr, now: Time) -> bool {
        if !self.relays.all.iter().any(|relay| relay.bases.contains(&base)) {
            return false;
        }
        let key = Key::new(base.0, peer);
        match self.tcp.is_ours(key) {
            true => self.tcp.connected(key, now, &mut self.rng),
            false => {
                self.note_connection(key, ConnectionChange::Accepted, now);
                self.tcp.accepted(key, now, &mut self.rng);
            }
        }
        if !self.tcp.is_open(key) {
            let abort = true;
            self.socket_ops.push_back(SocketOp::Disconnect { base, to: peer, abort });
        }
        true
    }
}
