//! NATs in the terms of RFC 4787: how they map and what they let in.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

pub use floe::discovery::Dependence;
use floe::timer::Time;

type Part = Option<(IpAddr, u16)>;

/// The part of an endpoint outside that a mapping or a filter depends on.
fn part_of(of: Dependence, outside: SocketAddr) -> Part {
    match of {
        Dependence::Endpoint => None,
        Dependence::Address => Some((outside.ip(), 0)),
        Dependence::AddressAndPort => Some((outside.ip(), outside.port())),
    }
}

#[derive(Clone, Copy, Debug)]
pub struct Rules {
    pub mapping: Dependence,
    pub filtering: Dependence,
    /// A mapping or permission ends when it was not used from inside for so long.
    pub timeout: Duration,
    /// Packets from inside to an outside address of the NAT come back in.
    pub hairpin: bool,
    /// What nobody inside has asked for is let in to the NAT itself, and keeps
    /// a port of its own: an inside host that sends the other way is given
    /// another.
    pub poisonable: bool,
}

impl Rules {
    /// Endpoint-independent mapping, address and port-dependent filtering.
    pub const PORT_RESTRICTED: Rules = Rules {
        mapping: Dependence::Endpoint,
        filtering: Dependence::AddressAndPort,
        timeout: Duration::from_secs(120),
        hairpin: false,
        poisonable: false,
    };
    /// The same without an input filter.
    pub const POISONABLE: Rules = Rules { poisonable: true, ..Rules::PORT_RESTRICTED };
}

/// A NAT, or where `outside` is `None` a firewall, which filters and does not map.
#[derive(Clone, Debug)]
pub struct Nat {
    pub rules: Rules,
    pub outside: Option<IpAddr>,
    next_port: u16,
    mappings: Vec<Mapping>,
    /// What the NAT took for its own: from whom, to which port, and when last.
    strays: BTreeMap<(SocketAddr, SocketAddr), Time>,
}

/// So long Linux keeps a flow of UDP that was not answered.
const STRAY: Duration = Duration::from_secs(30);

#[derive(Clone, Debug)]
struct Mapping {
    inside: SocketAddr,
    part: Part,
    /// Towards this endpoint alone: a stray datagram has the port of all.
    flow: Option<SocketAddr>,
    outside: SocketAddr,
    used: Time,
    /// Who was sent to, as far as the filter looks, and when.
    permitted: BTreeMap<Part, Time>,
}

impl Nat {
    pub fn new(rules: Rules, outside: Option<IpAddr>, first_port: u16) -> Self {
        Nat {
            rules,
            outside,
            next_port: first_port.max(1024),
            mappings: Vec::new(),
            strays: BTreeMap::new(),
        }
    }

    /// Nothing is mapped any more; ports go on where they were.
    pub fn forget(&mut self) {
        self.mappings.clear();
        self.strays.clear();
    }

    /// A packet leaves: the source that the outside sees.
    pub fn outbound(&mut self, from: SocketAddr, to: SocketAddr, now: Time) -> SocketAddr {
        let Rules { mapping, filtering, timeout, .. } = self.rules;
        self.mappings.retain(|m| now - m.used <= timeout);
        let part = part_of(mapping, to);
        let find = |flow| {
            let is_it = |m: &Mapping| m.inside == from && m.part == part && m.flow == flow;
            self.mappings.iter().position(is_it)
        };
        let known = find(Some(to)).or_else(|| find(None));
        let mut at = known.unwrap_or_else(|| self.map(from, part, None, now));
        let Mapping { outside, permitted, .. } = &self.mappings[at];
        let taken = self.strays.get(&(to, *outside)).is_some_and(|seen| now - *seen <= STRAY);
        if taken && !permitted.contains_key(&part_of(filtering, to)) {
            at = self.map(from, part, Some(to), now);
        }
        let found = &mut self.mappings[at];
        found.used = now;
        found.permitted.insert(part_of(filtering, to), now);
        found.outside
    }

    fn map(
        &mut self,
        inside: SocketAddr,
        part: Part,
        flow: Option<SocketAddr>,
        used: Time,
    ) -> usize {
        let outside = match self.outside {
            Some(ip) => SocketAddr::new(ip, self.free_port()),
            None => inside,
        };
        let permitted = BTreeMap::new();
        self.mappings.push(Mapping { inside, part, flow, outside, used, permitted });
        self.mappings.len() - 1
    }

    /// A packet arrives from outside: the inside endpoint, if it is let in.
    pub fn inbound(&mut self, from: SocketAddr, to: SocketAddr, now: Time) -> Option<SocketAddr> {
        let Rules { filtering, timeout, poisonable, .. } = self.rules;
        let live = |used: Time| now - used <= timeout;
        let inside = self
            .mappings
            .iter()
            .filter(|m| m.outside == to && live(m.used))
            .find(|m| m.permitted.get(&part_of(filtering, from)).is_some_and(|used| live(*used)))
            .map(|m| m.inside);
        if inside.is_none() && poisonable && self.outside == Some(to.ip()) {
            self.strays.insert((from, to), now);
        }
        inside
    }

    fn free_port(&mut self) -> u16 {
        loop {
            let port = self.next_port;
            // Not the one after it: nobody is to guess it.
            self.next_port = port.checked_add(7919).unwrap_or(port % 7919 + 1024);
            if self.mappings.iter().all(|m| m.outside.port() != port) {
                return port;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn nat(mapping: Dependence, filtering: Dependence) -> Nat {
        let rules = Rules { mapping, filtering, ..Rules::PORT_RESTRICTED };
        Nat::new(rules, Some([203, 0, 113, 1].into()), 40_000)
    }

    /// RFC 4787 §4.1: sent to X:x, then Y:y, Y:z: which mappings are the same.
    #[test]
    fn mappings_depend_on_what_the_rfc_says() {
        use Dependence::{Address, AddressAndPort, Endpoint};
        for (mapping, other_port, other_address) in
            [(Endpoint, true, true), (Address, true, false), (AddressAndPort, false, false)]
        {
            let mut nat = nat(mapping, Endpoint);
            let inside = at("192.168.1.2:5000");
            let first = nat.outbound(inside, at("198.51.100.1:1"), Time::ZERO);
            assert_eq!(first.ip(), IpAddr::from([203, 0, 113, 1]));
            let mut same = |to| nat.outbound(inside, at(to), Time::ZERO) == first;
            assert!(same("198.51.100.1:1"));
            assert_eq!(same("198.51.100.1:2"), other_port, "{mapping:?}");
            assert_eq!(same("198.51.100.2:1"), other_address, "{mapping:?}");
        }
    }

    /// RFC 4787 §5.
    #[test]
    fn filters_depend_on_what_the_rfc_says() {
        use Dependence::{Address, AddressAndPort, Endpoint};
        for (filtering, other_port, other_address) in
            [(Endpoint, true, true), (Address, true, false), (AddressAndPort, false, false)]
        {
            let mut nat = nat(Endpoint, filtering);
            let inside = at("192.168.1.2:5000");
            let outside = nat.outbound(inside, at("198.51.100.1:1"), Time::ZERO);
            let mut passes = |from| nat.inbound(at(from), outside, Time::ZERO) == Some(inside);
            assert!(passes("198.51.100.1:1"));
            assert_eq!(passes("198.51.100.1:2"), other_port, "{filtering:?}");
            assert_eq!(passes("198.51.100.2:1"), other_address, "{filtering:?}");
        }
    }

    #[test]
    fn mappings_end_and_are_kept_from_inside_only() {
        let mut nat = nat(Dependence::Endpoint, Dependence::AddressAndPort);
        let (inside, peer) = (at("192.168.1.2:5000"), at("198.51.100.1:1"));
        let outside = nat.outbound(inside, peer, Time::ZERO);
        let after = |secs| Time::ZERO + Duration::from_secs(secs);
        assert_eq!(nat.inbound(peer, outside, after(120)), Some(inside));
        assert_eq!(nat.inbound(peer, outside, after(121)), None);
        assert_eq!(nat.outbound(inside, peer, after(120)), outside);
        assert_eq!(nat.inbound(peer, outside, after(240)), Some(inside));
        assert_ne!(nat.outbound(inside, peer, after(361)), outside);
    }

    /// What Linux does without an input filter.
    #[test]
    fn a_stray_datagram_takes_the_port_towards_its_sender() {
        let (inside, server) = (at("192.168.1.2:5000"), at("198.51.100.1:3478"));
        let (early, other) = (at("198.51.100.2:7000"), at("198.51.100.2:7001"));
        let after = |secs| Time::ZERO + Duration::from_secs(secs);
        for poisonable in [false, true] {
            let rules = Rules { poisonable, ..Rules::PORT_RESTRICTED };
            let mut nat = Nat::new(rules, Some([203, 0, 113, 1].into()), 40_000);
            let mapped = nat.outbound(inside, server, Time::ZERO);
            assert_eq!(nat.inbound(early, mapped, Time::ZERO), None);
            assert_eq!(nat.outbound(inside, early, after(1)) == mapped, !poisonable);
            assert_eq!(nat.inbound(early, mapped, after(1)).is_some(), !poisonable);
            assert_eq!(nat.outbound(inside, other, after(1)), mapped, "towards it alone");
            assert_eq!(nat.inbound(other, mapped, after(1)), Some(inside));
        }
        let mut nat = Nat::new(Rules::POISONABLE, Some([203, 0, 113, 1].into()), 40_000);
        let mapped = nat.outbound(inside, server, Time::ZERO);
        assert_eq!(nat.inbound(early, mapped, after(1)), None);
        assert_eq!(nat.outbound(inside, early, after(32)), mapped, "it is forgotten");
    }

    #[test]
    fn a_firewall_filters_and_does_not_map() {
        let mut wall = Nat::new(Rules::PORT_RESTRICTED, None, 0);
        let (inside, peer) = (at("[2001:db8:1::2]:5000"), at("[2001:db8:2::2]:5000"));
        assert_eq!(wall.inbound(peer, inside, Time::ZERO), None);
        assert_eq!(wall.outbound(inside, peer, Time::ZERO), inside);
        assert_eq!(wall.inbound(peer, inside, Time::ZERO), Some(inside));
    }
}
