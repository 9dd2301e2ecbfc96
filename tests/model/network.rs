//! Hosts, NATs and the links between them in virtual time: the calls that the
//! owners of hosts make, and the queue of what happens next.

use std::collections::{BTreeMap, VecDeque};
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use floe::timer::Time;

use super::dice::Dice;
use super::event::{Happened, HostEvent, HostId, ListenerId, SocketId};
use super::kernel::{Effects, Kernel};
use super::log::{Fate, Log, Record, Sender, What};
use super::nat::Nat;
use super::packet::{Body, Packet};
use super::segment::Segment;
use super::socket::{Outcome, Socket, State};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NatId(pub usize);

/// A network in which addresses are unique: the internet, or the inside of a NAT.
pub type Realm = Option<NatId>;

pub const INTERNET: Realm = None;

/// What the internet does to packets; the insides of NATs do neither.
#[derive(Clone, Copy, Debug, Default)]
pub struct Air {
    pub loss: f64,
    /// Each packet is late by up to this, which reorders them.
    pub jitter: Duration,
    /// Datagrams do not pass.
    pub blocks_udp: bool,
}

#[derive(Debug)]
pub(super) struct Interface {
    pub(super) ip: IpAddr,
    pub(super) realm: Realm,
    /// To or from the middle of the realm.
    pub(super) delay: Duration,
}

#[derive(Debug)]
pub(super) struct Host {
    pub(super) interfaces: Vec<Interface>,
    pub(super) kernel: Kernel,
}

#[derive(Debug)]
pub(super) struct Gateway {
    pub(super) nat: Nat,
    pub(super) outer: Realm,
    /// To or from the middle of the outer realm.
    pub(super) delay: Duration,
}

#[derive(Debug)]
pub(super) enum Happening {
    /// A packet is in the middle of a realm.
    Middle(Realm, Packet),
    /// A packet has reached a NAT from outside.
    Outside(NatId, Packet),
    Host(HostId, Packet),
}

pub struct Network {
    pub(super) now: Time,
    pub(super) air: Air,
    pub(super) hosts: Vec<Host>,
    pub(super) gateways: Vec<Gateway>,
    pub(super) log: Log,
    pub(super) dice: Dice,
    seed: u64,
    queue: BTreeMap<(Time, u64), Happening>,
    number: u64,
    told: VecDeque<Happened>,
    most: BTreeMap<(HostId, IpAddr), usize>,
}

impl Network {
    pub fn new(seed: u64) -> Self {
        Network {
            now: Time::ZERO,
            air: Air::default(),
            hosts: Vec::new(),
            gateways: Vec::new(),
            log: Log::default(),
            dice: Dice::new(seed),
            seed,
            queue: BTreeMap::new(),
            number: 0,
            told: VecDeque::new(),
            most: BTreeMap::new(),
        }
    }

    pub fn set_air(&mut self, air: Air) {
        self.air = air;
    }

    /// A NAT between `outer` and a realm of its own.
    pub fn add_nat(&mut self, nat: Nat, outer: Realm, delay: Duration) -> NatId {
        self.gateways.push(Gateway { nat, outer, delay });
        NatId(self.gateways.len() - 1)
    }

    pub fn nat(&mut self, id: NatId) -> &mut Nat {
        &mut self.gateways[id.0].nat
    }

    pub fn add_host(&mut self, ip: IpAddr, realm: Realm, delay: Duration) -> HostId {
        let id = HostId(self.hosts.len());
        let kernel = Kernel::new(id, self.seed);
        self.hosts.push(Host { interfaces: vec![Interface { ip, realm, delay }], kernel });
        id
    }

    /// Another address of a host, such as one of IPv6.
    pub fn add_address(&mut self, host: HostId, ip: IpAddr, realm: Realm, delay: Duration) {
        self.hosts[host.0].interfaces.push(Interface { ip, realm, delay });
    }

    /// The host's kernel opens no connection by crossing SYNs.
    pub fn refuse_crossing(&mut self, host: HostId) {
        self.hosts[host.0].kernel.refuses_crossing = true;
    }

    pub fn now(&self) -> Time {
        self.now
    }

    pub fn log(&self) -> &Log {
        &self.log
    }

    /// listen() on an address of the host or the unspecified one, with
    /// SO_REUSEADDR and SO_REUSEPORT as on every socket here.
    pub fn listen(
        &mut self,
        host: HostId,
        local: SocketAddr,
        backlog: usize,
    ) -> Result<ListenerId, ErrorKind> {
        if !local.ip().is_unspecified() && !self.has(host, local.ip()) {
            return Err(ErrorKind::AddrNotAvailable);
        }
        self.hosts[host.0].kernel.listen(local, backlog)
    }

    /// bind() and connect(); port 0 is any, the unspecified address the first
    /// one of the family. The SYN leaves at once.
    pub fn connect(
        &mut self,
        host: HostId,
        mut local: SocketAddr,
        remote: SocketAddr,
    ) -> Result<SocketId, ErrorKind> {
        if local.ip().is_unspecified() {
            let ips = self.hosts[host.0].interfaces.iter().map(|i| i.ip);
            let ip = ips.into_iter().find(|ip| ip.is_ipv4() == remote.is_ipv4());
            local.set_ip(ip.ok_or(ErrorKind::AddrNotAvailable)?);
        }
        if !self.has(host, local.ip()) || local.is_ipv4() != remote.is_ipv4() {
            return Err(ErrorKind::AddrNotAvailable);
        }
        let now = self.now;
        let socket =
            self.on(host, |kernel, effects| kernel.connect(local, remote, now, effects))?;
        let outstanding = self.outstanding(host, remote.ip());
        let most = self.most.entry((host, remote.ip())).or_default();
        *most = outstanding.max(*most);
        Ok(socket)
    }

    fn has(&self, host: HostId, ip: IpAddr) -> bool {
        self.hosts[host.0].interfaces.iter().any(|i| i.ip == ip)
    }

    /// How many bytes were taken; `WouldBlock` if none fit.
    pub fn send(&mut self, socket: SocketId, bytes: &[u8]) -> Result<usize, ErrorKind> {
        let now = self.now;
        let sent = self.drive(socket, |s, out| s.send(now, bytes, out));
        sent.unwrap_or(Err(ErrorKind::NotConnected))
    }

    /// close(): nothing in SYN_SENT, else a FIN after what was sent.
    pub fn close(&mut self, socket: SocketId) {
        let now = self.now;
        self.drive(socket, |s, out| s.close(now, out));
    }

    /// close() with SO_LINGER 0: nothing in SYN_SENT, else an RST.
    pub fn abort(&mut self, socket: SocketId) {
        self.drive(socket, Socket::abort);
    }

    /// The state by TCP_INFO; closed once the kernel has forgotten the socket.
    pub fn state(&self, socket: SocketId) -> State {
        self.socket(socket).map_or(State::Closed, |s| s.state)
    }

    /// The endpoints of a socket that the kernel has.
    pub fn endpoints(&self, socket: SocketId) -> Option<(SocketAddr, SocketAddr)> {
        self.socket(socket).map(|s| (s.local, s.remote))
    }

    /// Whether its SYN crossed the peer's.
    pub fn crossed(&self, socket: SocketId) -> bool {
        self.socket(socket).is_some_and(|s| s.crossed)
    }

    fn socket(&self, socket: SocketId) -> Option<&Socket> {
        self.hosts[socket.host.0].kernel.socket(socket)
    }

    /// All sockets that the kernel of `host` has.
    pub fn sockets(&self, host: HostId) -> impl Iterator<Item = (SocketId, &Socket)> {
        self.hosts[host.0].kernel.sockets()
    }

    /// Handshakes that listeners answer, and connections that nobody accepted.
    pub fn backlog(&self, host: HostId) -> (usize, usize) {
        self.hosts[host.0].kernel.backlog()
    }

    /// How many connects to `remote` are in SYN_SENT or SYN_RECV.
    pub fn outstanding(&self, host: HostId, remote: IpAddr) -> usize {
        let tries = |s: &Socket| matches!(s.state, State::SynSent | State::SynRecv);
        self.sockets(host).filter(|(_, s)| s.remote.ip() == remote && tries(s)).count()
    }

    /// The most that there were at once.
    pub fn most_outstanding(&self, host: HostId, remote: IpAddr) -> usize {
        self.most.get(&(host, remote)).copied().unwrap_or(0)
    }

    /// While paused, connections stay in the accept queue.
    pub fn pause_accepting(&mut self, listener: ListenerId, paused: bool) {
        self.on(listener.host, |kernel, effects| kernel.pause(listener, paused, effects));
    }

    /// accept() on a paused listener; tells `Accepted` as well.
    pub fn accept(&mut self, listener: ListenerId) -> Option<SocketId> {
        self.on(listener.host, |kernel, effects| kernel.accept(listener, effects))
    }

    /// close() on a listener: what waits in its queue is reset.
    pub fn close_listener(&mut self, listener: ListenerId) {
        self.on(listener.host, |kernel, effects| kernel.close_listener(listener, effects));
    }

    /// A datagram from `from`, which needs no socket.
    pub fn send_udp(&mut self, host: HostId, from: SocketAddr, to: SocketAddr, bytes: &[u8]) {
        self.emit(host, from, to, Body::Datagram(bytes.to_vec()));
    }

    /// A segment as from a raw socket, which the kernel of `host` knows nothing of.
    pub fn inject(&mut self, host: HostId, from: SocketAddr, to: SocketAddr, segment: Segment) {
        self.emit(host, from, to, Body::Segment(segment));
    }

    fn drive<T>(
        &mut self,
        socket: SocketId,
        act: impl FnOnce(&mut Socket, &mut Outcome) -> T,
    ) -> Option<T> {
        self.on(socket.host, |kernel, effects| kernel.drive(socket, effects, act))
    }

    /// Lets `act` change a kernel, and sends and tells what comes of it.
    pub(super) fn on<T>(
        &mut self,
        host: HostId,
        act: impl FnOnce(&mut Kernel, &mut Effects) -> T,
    ) -> T {
        let mut effects = Effects::default();
        let result = act(&mut self.hosts[host.0].kernel, &mut effects);
        for (from, to, segment) in effects.segments {
            self.emit(host, from, to, Body::Segment(segment));
        }
        let at = self.now;
        self.told.extend(effects.events.into_iter().map(|event| Happened { at, host, event }));
        result
    }

    pub(super) fn tell(&mut self, host: HostId, event: HostEvent) {
        self.told.push_back(Happened { at: self.now, host, event });
    }

    /// A packet with its record.
    pub(super) fn packet(
        &mut self,
        by: Sender,
        (from, to): (SocketAddr, SocketAddr),
        body: Body,
    ) -> Packet {
        let (sent, what) = (self.now, What::of(&body));
        let fate = Fate::UnderWay;
        let number = self.log.add(Record { sent, by, from, to, seen_from: None, what, fate });
        Packet { number, from, to, body }
    }

    pub(super) fn push(&mut self, delay: Duration, happening: Happening) {
        self.number += 1;
        self.queue.insert((self.now + delay, self.number), happening);
    }

    /// When something happens next; at once if there are events to be taken.
    pub fn next_event_time(&self) -> Option<Time> {
        let told = (!self.told.is_empty()).then_some(self.now);
        let timers = self.hosts.iter().filter_map(|host| host.kernel.deadline());
        let queued = self.queue.keys().next().map(|(time, _)| *time);
        told.into_iter().chain(timers).chain(queued).min()
    }

    /// Lets time pass up to and with `to`. Returns what the owners of hosts are
    /// told, in order.
    pub fn advance(&mut self, to: Time) -> Vec<Happened> {
        loop {
            let timers = self.hosts.iter().filter_map(|host| host.kernel.deadline());
            let queued = self.queue.keys().next().map(|(time, _)| *time);
            let Some(next) = timers.chain(queued).min().filter(|next| *next <= to) else { break };
            self.now = self.now.max(next);
            while let Some(entry) = self.queue.first_entry().filter(|e| e.key().0 <= self.now) {
                let happening = entry.remove();
                self.happen(happening);
            }
            for host in 0..self.hosts.len() {
                let now = self.now;
                self.on(HostId(host), |kernel, effects| kernel.expire(now, effects));
            }
        }
        self.now = self.now.max(to);
        self.told.drain(..).collect()
    }
}
