//! The TCP of one host: which socket, request or listener a segment is for,
//! and the calls that an application makes.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::net::SocketAddr;

use floe::timer::Time;

use super::event::{HostEvent, HostId, ListenerId, SocketId};
use super::listener::{Listener, Queued, Request, Verdict};
use super::segment::Segment;
use super::socket::{Outcome, Socket, State, Told};

type Tuple = (SocketAddr, SocketAddr);

/// The ports of connects that name none.
const EPHEMERAL: std::ops::Range<u16> = 32_768..61_000;

#[derive(Debug, Default)]
pub struct Effects {
    /// From, to, what.
    pub segments: Vec<(SocketAddr, SocketAddr, Segment)>,
    pub events: Vec<HostEvent>,
}

#[derive(Clone, Debug)]
pub struct Kernel {
    host: HostId,
    seed: u64,
    /// A bare SYN that reaches a socket in SYN_SENT is dropped, as hardened
    /// kernels do.
    pub refuses_crossing: bool,
    next: u32,
    sockets: BTreeMap<SocketId, Socket>,
    tuples: BTreeMap<Tuple, SocketId>,
    requests: BTreeMap<Tuple, Request>,
    listeners: BTreeMap<ListenerId, Listener>,
    /// In which accept queue a socket is.
    queued: BTreeMap<SocketId, ListenerId>,
}

impl Kernel {
    pub fn new(host: HostId, seed: u64) -> Self {
        Kernel {
            host,
            seed,
            refuses_crossing: false,
            next: 0,
            sockets: BTreeMap::new(),
            tuples: BTreeMap::new(),
            requests: BTreeMap::new(),
            listeners: BTreeMap::new(),
            queued: BTreeMap::new(),
        }
    }

    fn number(&mut self) -> u32 {
        self.next += 1;
        self.next
    }

    /// An initial sequence number as Linux draws it: of the addresses, and one
    /// more every 64 ns.
    fn iss(&self, (local, remote): Tuple, now: Time) -> u32 {
        let mut sum = self.seed ^ (self.host.0 as u64) << 32;
        for byte in format!("{local} {remote}").bytes() {
            sum = (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3).rotate_left(23);
        }
        ((sum >> 16) as u32).wrapping_add((now.as_nanos() >> 6) as u32)
    }

    pub fn listen(&mut self, local: SocketAddr, backlog: usize) -> Result<ListenerId, ErrorKind> {
        let overlaps = |l: &Listener| l.hears(local) || l.local == local;
        let wide = |l: &Listener| {
            local.ip().is_unspecified()
                && l.local.port() == local.port()
                && l.local.is_ipv4() == local.is_ipv4()
        };
        if self.listeners.values().any(|l| overlaps(l) || wide(l)) {
            return Err(ErrorKind::AddrInUse);
        }
        let id = ListenerId { host: self.host, number: self.number() };
        let listener = Listener { local, backlog, paused: false, queue: Default::default() };
        self.listeners.insert(id, listener);
        Ok(id)
    }

    pub fn connect(
        &mut self,
        mut local: SocketAddr,
        remote: SocketAddr,
        now: Time,
        effects: &mut Effects,
    ) -> Result<SocketId, ErrorKind> {
        if local.port() == 0 {
            local.set_port(self.free_port().ok_or(ErrorKind::AddrNotAvailable)?);
        }
        let tuple = (local, remote);
        if self.tuples.contains_key(&tuple) || self.requests.contains_key(&tuple) {
            return Err(ErrorKind::AddrNotAvailable);
        }
        let id = SocketId { host: self.host, number: self.number() };
        let mut out = Outcome::default();
        let socket = Socket::connect(local, remote, self.iss(tuple, now), now, &mut out);
        self.sockets.insert(id, socket);
        self.tuples.insert(tuple, id);
        self.finish(id, out, effects);
        Ok(id)
    }

    fn free_port(&mut self) -> Option<u16> {
        let size = u32::from(EPHEMERAL.end - EPHEMERAL.start);
        let first = (self.seed as u32).wrapping_add(self.next.wrapping_mul(7919)) % size;
        (0..size).map(|at| EPHEMERAL.start + ((first + at) % size) as u16).find(|port| {
            self.tuples.keys().all(|(local, _)| local.port() != *port)
                && self.requests.keys().all(|(local, _)| local.port() != *port)
                && self.listeners.values().all(|l| l.local.port() != *port)
        })
    }

    /// A segment from `remote` has reached `local`.
    pub fn receive(
        &mut self,
        local: SocketAddr,
        remote: SocketAddr,
        segment: &Segment,
        now: Time,
        effects: &mut Effects,
    ) {
        let tuple = (local, remote);
        if let Some(id) = self.tuples.get(&tuple).copied() {
            let refuses = self.refuses_crossing && segment.is_bare_syn();
            self.drive(id, effects, |socket, out| {
                if !(refuses && socket.state == State::SynSent) {
                    socket.receive(now, segment, out);
                }
            });
        } else if self.requests.contains_key(&tuple) {
            self.receive_for_request(tuple, segment, now, effects);
        } else if let Some(id) = self.listener_for(local) {
            self.receive_for_listener(id, tuple, segment, now, effects);
        } else {
            answer(tuple, segment.refusal(), effects);
        }
    }

    fn listener_for(&self, local: SocketAddr) -> Option<ListenerId> {
        let mut hearing = self.listeners.iter().filter(|(_, l)| l.hears(local));
        hearing.next().map(|(id, _)| *id)
    }

    fn receive_for_listener(
        &mut self,
        id: ListenerId,
        tuple: Tuple,
        segment: &Segment,
        now: Time,
        effects: &mut Effects,
    ) {
        if segment.rst {
            return;
        }
        if segment.ack.is_some() {
            return answer(tuple, segment.refusal(), effects);
        }
        let waiting = self.requests.values().filter(|r| r.listener == id).count();
        let full = |l: &Listener| l.is_full() || waiting >= l.backlog.max(1);
        if !segment.syn || self.listeners.get(&id).is_none_or(full) {
            return;
        }
        let request = Request::new(id, self.iss(tuple, now), segment.seq, now);
        answer(tuple, Some(request.syn_ack()), effects);
        self.requests.insert(tuple, request);
    }

    fn receive_for_request(
        &mut self,
        tuple: Tuple,
        segment: &Segment,
        now: Time,
        effects: &mut Effects,
    ) {
        let Some(request) = self.requests.get_mut(&tuple) else { return };
        match request.receive(segment, now) {
            Verdict::Ignored => {}
            Verdict::Answer(with) => answer(tuple, Some(with), effects),
            Verdict::Reset(with) => {
                answer(tuple, with, effects);
                self.requests.remove(&tuple);
            }
            Verdict::Complete => {
                let id = request.listener;
                if self.listeners.get(&id).is_none_or(Listener::is_full) {
                    return;
                }
                let Some(request) = self.requests.remove(&tuple) else { return };
                let (ends, rtt) = ((request.iss, request.irs), now - request.began);
                let socket = SocketId { host: self.host, number: self.number() };
                self.sockets.insert(socket, Socket::accepted(tuple, ends, rtt));
                self.tuples.insert(tuple, socket);
                self.queued.insert(socket, id);
                if let Some(listener) = self.listeners.get_mut(&id) {
                    let queued = Queued { socket, remote: tuple.1, held: Vec::new() };
                    listener.queue.push_back(queued);
                }
                // What came with the ACK is for the child.
                self.drive(socket, effects, |s, out| s.receive(now, segment, out));
                self.accept_all(id, effects);
            }
        }
    }

    fn accept_all(&mut self, id: ListenerId, effects: &mut Effects) {
        while self.listeners.get(&id).is_some_and(|l| !l.paused)
            && self.accept(id, effects).is_some()
        {}
    }

    /// accept(): the oldest of the queue, of which `Accepted` is told as well.
    pub fn accept(&mut self, id: ListenerId, effects: &mut Effects) -> Option<SocketId> {
        let Queued { socket, remote, held } = self.listeners.get_mut(&id)?.queue.pop_front()?;
        self.queued.remove(&socket);
        effects.events.push(HostEvent::Accepted { listener: id, socket, remote });
        for told in held {
            self.tell(socket, told, effects);
        }
        Some(socket)
    }

    pub fn pause(&mut self, id: ListenerId, paused: bool, effects: &mut Effects) {
        if let Some(listener) = self.listeners.get_mut(&id) {
            listener.paused = paused;
        }
        self.accept_all(id, effects);
    }

    /// Its handshakes are forgotten, its queue is reset.
    pub fn close_listener(&mut self, id: ListenerId, effects: &mut Effects) {
        self.requests.retain(|_, request| request.listener != id);
        for queued in self.listeners.remove(&id).into_iter().flat_map(|l| l.queue) {
            self.queued.remove(&queued.socket);
            self.drive(queued.socket, effects, Socket::abort);
        }
    }

    /// Lets `act` change a socket, and passes on what comes of it.
    pub fn drive<T>(
        &mut self,
        id: SocketId,
        effects: &mut Effects,
        act: impl FnOnce(&mut Socket, &mut Outcome) -> T,
    ) -> Option<T> {
        let mut out = Outcome::default();
        let result = act(self.sockets.get_mut(&id)?, &mut out);
        self.finish(id, out, effects);
        Some(result)
    }

    fn finish(&mut self, id: SocketId, out: Outcome, effects: &mut Effects) {
        let Some(socket) = self.sockets.get(&id) else { return };
        let tuple = (socket.local, socket.remote);
        effects.segments.extend(out.segments.into_iter().map(|s| (tuple.0, tuple.1, s)));
        let (orphan, gone) = (socket.orphan, socket.state == State::Closed);
        for told in out.told.into_iter().filter(|_| !orphan) {
            let listener = self.queued.get(&id).and_then(|l| self.listeners.get_mut(l));
            match listener.and_then(|l| l.queue.iter_mut().find(|q| q.socket == id)) {
                Some(queued) => queued.held.push(told),
                None => self.tell(id, told, effects),
            }
        }
        if gone {
            self.sockets.remove(&id);
            self.tuples.remove(&tuple);
        }
    }

    fn tell(&self, socket: SocketId, told: Told, effects: &mut Effects) {
        let local = self.sockets.get(&socket).map(|s| s.local);
        effects.events.push(match (told, local) {
            (Told::Connected, Some(local)) => HostEvent::Connected { socket, local },
            (Told::Connected, None) => return,
            (Told::Failed(kind), _) => HostEvent::ConnectFailed { socket, kind },
            (Told::Received(bytes), _) => HostEvent::Received { socket, bytes },
            (Told::Writable, _) => HostEvent::Writable { socket },
            (Told::Ended, _) => HostEvent::Closed { socket },
            (Told::Reset(kind), _) => HostEvent::Reset { socket, kind },
        });
    }

    /// ICMP from the way to `remote`, about a segment with this number.
    pub fn unreachable(&mut self, tuple: Tuple, seq: u32, effects: &mut Effects) {
        if let Some(id) = self.tuples.get(&tuple).copied() {
            self.drive(id, effects, |socket, out| socket.unreachable(seq, out));
        }
    }

    pub fn deadline(&self) -> Option<Time> {
        let sockets = self.sockets.values().filter_map(Socket::deadline);
        sockets.chain(self.requests.values().map(|r| r.timer)).min()
    }

    pub fn expire(&mut self, now: Time, effects: &mut Effects) {
        let due = |s: &Socket| s.deadline().is_some_and(|timer| timer <= now);
        let due: Vec<_> = self.sockets.iter().filter(|(_, s)| due(s)).map(|(id, _)| *id).collect();
        for id in due {
            self.drive(id, effects, |socket, out| socket.expire(now, out));
        }
        self.requests.retain(|tuple, request| {
            if request.timer > now {
                return true;
            }
            let again = request.expire(now);
            let lives = again.is_some();
            answer(*tuple, again, effects);
            lives
        });
    }

    pub fn sockets(&self) -> impl Iterator<Item = (SocketId, &Socket)> {
        self.sockets.iter().map(|(id, socket)| (*id, socket))
    }

    pub fn socket(&self, id: SocketId) -> Option<&Socket> {
        self.sockets.get(&id)
    }

    /// The handshakes that listeners answer, and the connections nobody accepted.
    pub fn backlog(&self) -> (usize, usize) {
        (self.requests.len(), self.queued.len())
    }
}

fn answer((local, remote): Tuple, with: Option<Segment>, effects: &mut Effects) {
    effects.segments.extend(with.map(|segment| (local, remote, segment)));
}
