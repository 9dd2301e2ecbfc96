//! Two hosts, each behind a NAT of the kernel's, and a server between them:
//!
//! ```text
//!   host 10.1.0.2 ── NAT 203.0.113.1 ──┐
//!                                      wire ── server 203.0.113.10
//!   host 10.2.0.2 ── NAT 203.0.113.2 ──┘
//! ```
//!
//! Over IPv6 the networks are 2001:db8:1::/64, 2001:db8:2::/64 and, in the
//! middle, 2001:db8:ff::/64, with the same last numbers. A second NAT stands
//! between the first and the wire, at 100.64.N.1. Hosts that share a NAT are
//! both behind the first, each on an interface of its own.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use crate::harness::namespace::Namespace;
use crate::nat::Nat;
use crate::rules::rules;
use crate::stun_server::StunServer;
use crate::wire::{Port, Wire};

/// Where the STUN server listens.
pub(crate) const STUN: SocketAddrV4 =
    SocketAddrV4::new(Ipv4Addr::new(203, 0, 113, SERVER), STUN_PORTS[0]);

/// The ports of the STUN server, over UDP and TCP.
pub(crate) const STUN_PORTS: [u16; 2] = [3478, 3488];

/// The last number of the server's address.
const SERVER: u8 = 10;

/// The addresses in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    V4,
    V6,
}

/// What lies between two hosts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Cell {
    /// Each host's; of hosts that share one the first counts.
    pub(crate) nats: [Nat; 2],
    /// A second NAT between it and the wire.
    pub(crate) outer: [Option<Nat>; 2],
    /// Both hosts are behind one NAT.
    pub(crate) shared: bool,
    pub(crate) family: Family,
    /// Between any two of the NATs and the server.
    pub(crate) rtt: Duration,
    pub(crate) loss: f64,
    /// At most so much is added to a frame's way, at random.
    pub(crate) jitter: Duration,
    /// The chance that a frame is overtaken by those after it.
    pub(crate) reordering: f64,
    /// Bits a second, each way; none is no limit.
    pub(crate) rate: Option<u64>,
}

impl Cell {
    /// Over IPv4, each host behind a NAT of its own, 40 ms apart.
    pub(crate) const fn new(nats: [Nat; 2]) -> Self {
        Self {
            nats,
            outer: [None, None],
            shared: false,
            family: Family::V4,
            rtt: Duration::from_millis(40),
            loss: 0.0,
            jitter: Duration::ZERO,
            reordering: 0.0,
            rate: None,
        }
    }
}

/// The NATs, from one host to the other, and what is unusual between them.
impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [first, second] = self.nats;
        if self.shared {
            write!(f, "one {first}")?;
        } else {
            let [ours, theirs] =
                self.outer.map(|outer| outer.map_or(String::new(), |nat| format!("({nat})")));
            write!(f, "{first}{ours} x {second}{theirs}")?;
        }
        if self.family == Family::V6 {
            write!(f, " ipv6")?;
        }
        write!(f, " {} ms", self.rtt.as_millis())?;
        if self.loss > 0.0 {
            write!(f, " loss {}", self.loss)?;
        }
        if !self.jitter.is_zero() {
            write!(f, " jitter {} ms", self.jitter.as_millis())?;
        }
        if self.reordering > 0.0 {
            write!(f, " reordering {}", self.reordering)?;
        }
        self.rate.map_or(Ok(()), |rate| write!(f, " {rate} bit/s"))
    }
}

/// A laid-out cell.
#[derive(Debug)]
pub(crate) struct Lab {
    pub(crate) cell: Cell,
    pub(crate) hosts: [Namespace; 2],
    pub(crate) server: Namespace,
    pub(crate) wire: Wire,
    /// Those of the hosts, and the second ones.
    pub(crate) nats: [[Namespace; 2]; 2],
    _stun: StunServer,
    /// The next port that no trial has used.
    port: AtomicU16,
}

/// Below those that the kernel gives out by itself.
const FIRST_PORT: u16 = 8192;

impl Lab {
    /// Lays out `cell`; the calling test has entered its own namespaces.
    pub(crate) fn new(cell: &Cell) -> Self {
        let plan = Plan { family: cell.family };
        let mut hosts = ["host-1", "host-2"].map(|name| plan.draft(name));
        let mut nats = ["nat-1", "nat-2"].map(|name| plan.draft(name));
        let mut outer = ["outer-1", "outer-2"].map(|name| plan.draft(name));
        let [mut server, mut wire] = ["server", "wire"].map(|name| plan.draft(name));
        let mut public = vec![];
        for (side, number) in [(0, 1), (1, 2)] {
            let first = if cell.shared { 0 } else { side };
            plan.private(&mut hosts[side], &mut nats[first], ["lan1", "lan2"][side], number);
            if cell.shared && side == 1 {
                continue;
            }
            let (outermost, nat) = if let Some(nat) = cell.outer[side] {
                let address = plan.between(&mut nats[side], &mut outer[side], number);
                nats[side].namespace.nft(&rules(&cell.nats[side], address));
                (&mut outer[side], nat)
            } else {
                (&mut nats[side], cell.nats[side])
            };
            outermost.namespace.nft(&rules(&nat, plan.public(number)));
            let port = ["to-nat-1", "to-nat-2"][side];
            plan.on_the_wire(outermost, "wan", &mut wire, port, number);
            public.push(port);
        }
        plan.on_the_wire(&mut server, "eth0", &mut wire, "to-server", SERVER);
        public.push("to-server");
        // What is joined to another goes first.
        let hosts = hosts.map(Draft::lay_out);
        let nats = nats.map(Draft::lay_out);
        let outer = outer.map(Draft::lay_out);
        let [server, wire] = [server, wire].map(Draft::lay_out);
        let port = |interface: &'static str| Port {
            interface,
            // A round trip crosses the wire twice, two ports each time.
            delay: cell.rtt / 4,
            loss: cell.loss,
            jitter: cell.jitter / 2,
            reordering: cell.reordering,
            rate: cell.rate,
        };
        let ports: Vec<Port> = public.into_iter().map(port).collect();
        let stun = STUN_PORTS.map(|port| SocketAddr::new(plan.public(SERVER), port));
        Self {
            cell: *cell,
            _stun: StunServer::start(&server, &stun),
            wire: Wire::start(&wire, &ports, 0),
            hosts,
            server,
            nats: [nats, outer],
            port: AtomicU16::new(FIRST_PORT),
        }
    }

    /// The address of a host inside its network.
    pub(crate) fn host_address(&self, host: usize) -> IpAddr {
        let number = [1, 2][host];
        match self.cell.family {
            Family::V4 => Ipv4Addr::new(10, number, 0, 2).into(),
            Family::V6 => Ipv6Addr::new(0x2001, 0xdb8, number.into(), 0, 0, 0, 0, 2).into(),
        }
    }

    /// A port that neither host has used, nor any NAT mapped.
    pub(crate) fn fresh_port(&self) -> u16 {
        self.port.fetch_add(1, Ordering::Relaxed)
    }

    /// The STUN server's addresses.
    pub(crate) fn stun(&self) -> [SocketAddr; 2] {
        let plan = Plan { family: self.cell.family };
        STUN_PORTS.map(|port| SocketAddr::new(plan.public(SERVER), port))
    }

    /// Gives the server an address beside its own, which the NATs know of, too.
    pub(crate) fn give_server_another(&self) -> IpAddr {
        let plan = Plan { family: self.cell.family };
        let other = plan.public(SERVER + 1);
        self.server.ip(&plan.address(&other.to_string(), "eth0"));
        let [nats, outer] = &self.nats;
        let sides = if self.cell.shared { 1 } else { 2 };
        for side in 0..sides {
            let nat = if self.cell.outer[side].is_some() { &outer[side] } else { &nats[side] };
            let hardware = format!("02:00:00:00:00:{SERVER:02x}");
            nat.ip(&format!("neighbour add {other} lladdr {hardware} dev wan nud permanent"));
        }
        other
    }

    /// The NAT next to a host.
    pub(crate) fn nat(&self, host: usize) -> &Namespace {
        let [nats, _] = &self.nats;
        &nats[if self.cell.shared { 0 } else { host }]
    }

    /// Takes a host's address away, and gives it 10.N.0.`last`.
    pub(crate) fn move_host(&self, host: usize, last: u8) {
        let (host, number) = (&self.hosts[host], host + 1);
        host.ip_all(&[
            "address flush dev eth0".to_owned(),
            format!("address add 10.{number}.0.{last}/24 dev eth0"),
            format!("route add default via 10.{number}.0.1"),
        ]);
    }
}

/// One segment at most: a frame on the wire is what a capture on a real one
/// would show.
fn up(interface: &str) -> String {
    format!("link set {interface} gso_max_segs 1 up")
}

/// A namespace, and what `ip` is to be told in it.
struct Draft {
    namespace: Namespace,
    lines: Vec<String>,
}

impl Draft {
    fn lay_out(self) -> Namespace {
        // A second NAT that the cell is without has loopback alone.
        if self.lines.len() > 1 {
            self.namespace.ip_all(&self.lines);
        }
        self.namespace
    }
}

/// How a family of addresses is laid out.
#[derive(Clone, Copy)]
struct Plan {
    family: Family,
}

impl Plan {
    /// A namespace in which only this family is in use.
    fn draft(self, name: &'static str) -> Draft {
        let namespace = Namespace::bare(name);
        let mut settings = vec![];
        match self.family {
            Family::V4 => settings.extend([
                ("ipv6.conf.all.disable_ipv6", "1"),
                ("ipv6.conf.default.disable_ipv6", "1"),
            ]),
            Family::V6 => settings.extend([
                ("ipv6.conf.all.accept_dad", "0"),
                ("ipv6.conf.default.accept_dad", "0"),
                ("ipv6.conf.all.router_solicitations", "0"),
                ("ipv6.conf.default.router_solicitations", "0"),
            ]),
        }
        if name.starts_with("nat") || name.starts_with("outer") {
            let forward = match self.family {
                Family::V4 => "ipv4.ip_forward",
                Family::V6 => "ipv6.conf.all.forwarding",
            };
            settings.push((forward, "1"));
        }
        if name.starts_with("host") {
            // One connection teaches the next one nothing.
            settings.push(("ipv4.tcp_no_metrics_save", "1"));
        }
        namespace.sysctls(&settings);
        Draft { namespace, lines: vec!["link set lo up".to_owned()] }
    }

    /// An address on the wire.
    fn public(self, last: u8) -> IpAddr {
        match self.family {
            Family::V4 => Ipv4Addr::new(203, 0, 113, last).into(),
            Family::V6 => Ipv6Addr::new(0x2001, 0xdb8, 0xff, 0, 0, 0, 0, last.into()).into(),
        }
    }

    /// The network between a host and its NAT.
    fn private(self, host: &mut Draft, nat: &mut Draft, lan: &str, number: u8) {
        let network = match self.family {
            Family::V4 => format!("10.{number}.0."),
            Family::V6 => format!("2001:db8:{number}::"),
        };
        host.lines.extend([
            Namespace::pair("eth0", &nat.namespace, lan),
            up("eth0"),
            self.address(&format!("{network}2"), "eth0"),
            format!("route add default via {network}1"),
        ]);
        nat.lines.extend([up(lan), self.address(&format!("{network}1"), lan)]);
    }

    /// An address, of use at once: of IPv6 even before anybody has looked for a
    /// duplicate.
    fn address(self, ip: &str, interface: &str) -> String {
        match self.family {
            Family::V4 => format!("address add {ip}/24 dev {interface}"),
            Family::V6 => format!("address add {ip}/64 dev {interface} nodad"),
        }
    }

    /// The network between two NATs; gives the inner one's address in it.
    fn between(self, inner: &mut Draft, outer: &mut Draft, number: u8) -> IpAddr {
        assert_eq!(self.family, Family::V4, "a second NAT is for IPv4");
        let address = Ipv4Addr::new(100, 64, number, 2);
        inner.lines.extend([
            Namespace::pair("wan", &outer.namespace, "lan"),
            up("wan"),
            format!("address add {address}/24 dev wan"),
            format!("route add default via 100.64.{number}.1"),
        ]);
        outer.lines.extend([up("lan"), format!("address add 100.64.{number}.1/24 dev lan")]);
        address.into()
    }

    /// Addresses an interface on the wire and makes its neighbours known, so
    /// that address resolution adds no round trip to what is measured.
    fn on_the_wire(self, end: &mut Draft, interface: &str, wire: &mut Draft, port: &str, last: u8) {
        let hardware = |last: u8| format!("02:00:00:00:00:{last:02x}");
        wire.lines.push(up(port));
        let lines = &mut end.lines;
        lines.extend([
            Namespace::pair(interface, &wire.namespace, port),
            format!("link set {interface} address {}", hardware(last)),
            up(interface),
            self.address(&self.public(last).to_string(), interface),
        ]);
        for other in [1, 2, SERVER].into_iter().filter(|&other| other != last) {
            lines.push(format!(
                "neighbour add {} lladdr {} dev {interface} nud permanent",
                self.public(other),
                hardware(other)
            ));
            if self.family == Family::V6 && other != SERVER {
                let other_lan = format!("2001:db8:{other}::/64");
                lines.push(format!("route add {other_lan} via {}", self.public(other)));
            }
        }
        if last != SERVER && self.family == Family::V4 {
            // A private address of the other side is lost in the network, as
            // it would be in a provider's.
            lines.push("route add blackhole default".to_owned());
        }
    }
}
