//! NATs and firewalls as TCP and UDP meet them, in the terms of RFC 4787 and
//! RFC 5382: how they map, what they let in, and what they answer to the rest.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

pub use floe::discovery::Dependence;

use super::packet::{Body, Packet, Protocol};

type Part = Option<(IpAddr, u16)>;

/// The part of an endpoint outside that a mapping or a filter depends on.
fn part_of(of: Dependence, outside: SocketAddr) -> Part {
    match of {
        Dependence::Endpoint => None,
        Dependence::Address => Some((outside.ip(), 0)),
        Dependence::AddressAndPort => Some((outside.ip(), outside.port())),
    }
}

/// Which outside port a mapping gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Ports {
    /// The inside one, where nobody else has it.
    Preserved,
    Other,
}

/// What a NAT does with a packet that it does not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Answer {
    Drop,
    /// An RST, in the name of the inside host; UDP is dropped.
    Reset,
    /// ICMP host unreachable, for TCP; UDP is dropped.
    Unreachable,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    pub mapping: Dependence,
    pub ports: Ports,
    pub filtering: Dependence,
    /// To what the filter does not let in.
    pub unsolicited: Answer,
    /// To a SYN without ACK from outside that the filter would let in: hostile
    /// to simultaneous open.
    pub bare_syn: Option<Answer>,
    /// Packets from inside to an outside address of the NAT come back in.
    pub hairpin: bool,
    /// A datagram that was not let in keeps its pair of endpoints busy: what
    /// leaves for there afterwards is mapped to another port.
    pub poisonable: bool,
}

impl Rules {
    /// Endpoint-independent mapping, address and port-dependent filtering.
    pub const PORT_RESTRICTED: Rules = Rules {
        mapping: Dependence::Endpoint,
        ports: Ports::Preserved,
        filtering: Dependence::AddressAndPort,
        unsolicited: Answer::Drop,
        bare_syn: None,
        hairpin: false,
        poisonable: false,
    };
    pub const ADDRESS_RESTRICTED: Rules =
        Rules { filtering: Dependence::Address, ..Rules::PORT_RESTRICTED };
    pub const FULL_CONE: Rules =
        Rules { filtering: Dependence::Endpoint, ..Rules::PORT_RESTRICTED };
    pub const SYMMETRIC: Rules = Rules {
        mapping: Dependence::AddressAndPort,
        ports: Ports::Other,
        ..Rules::PORT_RESTRICTED
    };

    pub const fn answering(self, unsolicited: Answer) -> Rules {
        Rules { unsolicited, ..self }
    }

    /// Simultaneous open fails through it.
    pub const fn hostile(self, answer: Answer) -> Rules {
        Rules { bare_syn: Some(answer), ..self }
    }
}

/// What becomes of a packet from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Pass(SocketAddr),
    Answer(Answer),
}

#[derive(Clone, Debug)]
struct Binding {
    protocol: Protocol,
    inside: SocketAddr,
    part: Part,
    outside: SocketAddr,
}

/// One remote that an inside endpoint talks to, as a connection tracker sees it.
#[derive(Clone, Copy, Debug)]
struct Flow {
    outside: SocketAddr,
    /// Something came from outside.
    replied: bool,
}

type FlowKey = (Protocol, SocketAddr, SocketAddr);

/// A NAT, or where `outside` is `None` a firewall, which filters and does not map.
#[derive(Clone, Debug)]
pub struct Nat {
    pub rules: Rules,
    pub outside: Option<IpAddr>,
    next_port: u16,
    bindings: Vec<Binding>,
    /// By protocol, inside endpoint and remote.
    flows: BTreeMap<FlowKey, Flow>,
    /// The addresses that inside endpoints have sent to.
    permitted: BTreeSet<(Protocol, SocketAddr, IpAddr)>,
    poisoned: BTreeSet<(SocketAddr, SocketAddr)>,
}

impl Nat {
    pub fn new(rules: Rules, outside: Option<IpAddr>, first_port: u16) -> Self {
        Nat {
            rules,
            outside,
            next_port: first_port.max(1024),
            bindings: Vec::new(),
            flows: BTreeMap::new(),
            permitted: BTreeSet::new(),
            poisoned: BTreeSet::new(),
        }
    }

    /// Nothing is mapped any more; ports go on where they were.
    pub fn forget(&mut self) {
        *self = Nat::new(self.rules, self.outside, self.next_port);
    }

    /// A packet leaves: the source that the outside sees. An RST or ICMP that
    /// belongs to nothing does not.
    pub fn outbound(&mut self, packet: &Packet) -> Option<SocketAddr> {
        let protocol = packet.protocol();
        let key = (protocol, packet.from, packet.to);
        if let Some(Flow { outside, replied }) = self.flows.get(&key).copied() {
            if packet.is_rst() && !replied {
                self.flows.remove(&key);
            }
            return Some(outside);
        }
        if packet.is_rst() || matches!(packet.body, Body::Unreachable { .. }) {
            // It may answer something that the filter let in.
            let known = |b: &&Binding| b.protocol == protocol && b.inside == packet.from;
            return self.bindings.iter().find(known).map(|b| b.outside);
        }
        let mut outside = self.bind(protocol, packet.from, packet.to);
        if protocol == Protocol::Udp && self.poisoned.contains(&(packet.to, outside)) {
            outside.set_port(self.free_port(protocol));
        }
        self.flows.insert(key, Flow { outside, replied: false });
        self.permitted.insert((protocol, packet.from, packet.to.ip()));
        Some(outside)
    }

    fn bind(&mut self, protocol: Protocol, from: SocketAddr, to: SocketAddr) -> SocketAddr {
        let Some(ip) = self.outside else {
            let known = |b: &Binding| b.protocol == protocol && b.inside == from;
            if !self.bindings.iter().any(known) {
                self.bindings.push(Binding { protocol, inside: from, part: None, outside: from });
            }
            return from;
        };
        let part = part_of(self.rules.mapping, to);
        let is = |b: &&Binding| b.protocol == protocol && b.inside == from && b.part == part;
        if let Some(known) = self.bindings.iter().find(is) {
            return known.outside;
        }
        let port = match self.rules.ports {
            Ports::Preserved if self.is_free(protocol, from.port()) => from.port(),
            _ => self.free_port(protocol),
        };
        let outside = SocketAddr::new(ip, port);
        self.bindings.push(Binding { protocol, inside: from, part, outside });
        outside
    }

    /// A packet arrives from outside.
    pub fn inbound(&mut self, packet: &Packet) -> Verdict {
        let (protocol, from, to) = (packet.protocol(), packet.from, packet.to);
        let is = |(key, flow): &(&FlowKey, &Flow)| {
            key.0 == protocol && key.2 == from && flow.outside == to
        };
        let flow = self.flows.iter().find(is).map(|(key, flow)| (*key, *flow));
        let Some(inside) = flow.map(|(key, _)| key.1).or_else(|| self.filter(packet)) else {
            if protocol == Protocol::Udp && self.rules.poisonable && self.outside == Some(to.ip()) {
                self.poisoned.insert((from, to));
            }
            return Verdict::Answer(self.rules.unsolicited);
        };
        if packet.is_bare_syn()
            && let Some(answer) = self.rules.bare_syn
        {
            return Verdict::Answer(answer);
        }
        let key = (protocol, inside, from);
        if packet.is_rst() && flow.is_none_or(|(_, flow)| !flow.replied) {
            // A connection whose first answer is an RST is forgotten at once.
            self.flows.remove(&key);
        } else if !matches!(packet.body, Body::Unreachable { .. }) {
            self.flows.insert(key, Flow { outside: to, replied: true });
        }
        Verdict::Pass(inside)
    }

    /// The inside endpoint of a packet of no flow, if the filter lets it in.
    fn filter(&self, packet: &Packet) -> Option<SocketAddr> {
        let (protocol, from) = (packet.protocol(), packet.from);
        let mut bound =
            self.bindings.iter().filter(|b| b.protocol == protocol && b.outside == packet.to);
        let passes = |b: &&Binding| match self.rules.filtering {
            Dependence::Endpoint => true,
            Dependence::Address => self.permitted.contains(&(protocol, b.inside, from.ip())),
            Dependence::AddressAndPort => false,
        };
        bound.find(passes).map(|b| b.inside)
    }

    fn is_free(&self, protocol: Protocol, port: u16) -> bool {
        let binds = |b: &Binding| b.protocol == protocol && b.outside.port() == port;
        let flows =
            |(key, flow): (&FlowKey, &Flow)| key.0 == protocol && flow.outside.port() == port;
        !self.bindings.iter().any(binds) && !self.flows.iter().any(flows)
    }

    /// A port that nobody has; where all are taken, one that somebody has.
    fn free_port(&mut self, protocol: Protocol) -> u16 {
        for _ in 0..u16::MAX {
            let port = self.next_port;
            // Not the one after it: nobody is to guess it.
            self.next_port = port.checked_add(7919).unwrap_or(port % 7919 + 1024);
            if self.is_free(protocol, port) {
                return port;
            }
        }
        self.next_port
    }
}
