//! What is physically possible: the reference that agents are held to.
//!
//! Everybody sends from every base to every address that can be known there,
//! through fresh NATs and without loss, until nothing new is learnt.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use floe::net::Family;
use floe::timer::Time;

use crate::topology::{Arrival, RealmId, Topology};

/// Two NATs that map by port and let everybody in show each other a new
/// address with every packet, without end. Whatever is possible is so sooner.
const ROUNDS: usize = 8;

/// A socket, and which component it serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct End {
    pub realm: RealmId,
    pub local: SocketAddr,
}

/// Whether any two of the `ends` of a component can exchange a request and
/// its answer. `servers` are STUN servers that answer.
pub fn is_possible(topology: &Topology, ends: &[Vec<End>; 2], servers: &[SocketAddr]) -> bool {
    let mut net = topology.fresh();
    let signalled = [0, 1].map(|side| signalled(&mut net, &ends[side], servers));
    let mut known = [0, 1].map(|side: usize| {
        let theirs = &signalled[1 - side];
        ends[side].iter().map(|_| theirs.clone()).collect::<Vec<_>>()
    });
    // What is sent opens filters: only the second quiet round is conclusive.
    let mut quiet = 0;
    for _ in 0..ROUNDS {
        if quiet == 2 {
            break;
        }
        let mut learnt = false;
        for side in 0..2 {
            for (at, end) in ends[side].iter().enumerate() {
                for to in known[side][at].clone() {
                    if Family::of(to.ip()) != Family::of(end.local.ip()) {
                        continue;
                    }
                    let Some(arrival) = carry(&mut net, *end, to) else { continue };
                    let Some(heard) = position(&ends[1 - side], arrival) else { continue };
                    learnt |= known[1 - side][heard].insert(arrival.from);
                    if is_answered(&mut net, *end, to, arrival) {
                        return true;
                    }
                }
            }
        }
        quiet = if learnt { 0 } else { quiet + 1 };
    }
    false
}

/// The answer goes back to where the request came from, and has to come from
/// where the request went.
fn is_answered(net: &mut Topology, end: End, to: SocketAddr, request: Arrival) -> bool {
    let from = End { realm: request.realm, local: request.to };
    let answer = carry(net, from, request.from);
    answer == Some(Arrival { realm: end.realm, from: to, to: end.local })
}

/// Host candidates, and what servers see.
fn signalled(net: &mut Topology, ends: &[End], servers: &[SocketAddr]) -> BTreeSet<SocketAddr> {
    let mut candidates: BTreeSet<_> = ends.iter().map(|end| end.local).collect();
    for end in ends {
        for server in servers {
            if Family::of(server.ip()) == Family::of(end.local.ip())
                && let Some(arrival) = carry(net, *end, *server)
            {
                candidates.insert(arrival.from);
            }
        }
    }
    candidates
}

fn carry(net: &mut Topology, from: End, to: SocketAddr) -> Option<Arrival> {
    let aloft = net.ascend(from.realm, from.local, to, Time::ZERO)?;
    net.descend(aloft, Time::ZERO)
}

fn position(ends: &[End], arrival: Arrival) -> Option<usize> {
    ends.iter().position(|end| end.realm == arrival.realm && end.local == arrival.to)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nat::Dependence::{self, Address, AddressAndPort, Endpoint};
    use crate::nat::Rules;
    use crate::topology::INTERNET;

    /// Whether two hosts, each behind a NAT of its own, can meet.
    fn meet(one: (Dependence, Dependence), two: (Dependence, Dependence)) -> bool {
        let mut net = Topology::new();
        let server: SocketAddr = "198.51.100.1:3478".parse().unwrap();
        net.add_host(INTERNET, server.ip());
        let ends = [(1, one), (2, two)].map(|(n, (mapping, filtering))| {
            let rules = Rules { mapping, filtering, ..Rules::PORT_RESTRICTED };
            let outside = Some([203, 0, 113, n].into());
            let realm = net.add_realm(INTERNET, rules, outside, 40_000);
            let local = SocketAddr::from(([192, 168, n, 2], 5000));
            net.add_host(realm, local.ip());
            vec![End { realm, local }]
        });
        is_possible(&net, &ends, &[server])
    }

    /// The well-known table of hole punching.
    #[test]
    fn which_nats_can_be_passed() {
        let cone = (Endpoint, Endpoint);
        let restricted = (Endpoint, Address);
        let port_restricted = (Endpoint, AddressAndPort);
        let symmetric = (AddressAndPort, AddressAndPort);
        for one in [cone, restricted, port_restricted] {
            for two in [cone, restricted, port_restricted] {
                assert!(meet(one, two), "{one:?} {two:?}");
            }
        }
        assert!(meet(symmetric, cone));
        assert!(meet(symmetric, restricted));
        assert!(!meet(symmetric, port_restricted));
        assert!(!meet(symmetric, symmetric));
        assert!(meet((Address, Endpoint), (Address, Address)), "one address serves both");
    }

    #[test]
    fn without_a_server_only_one_side_may_be_hidden() {
        let mut net = Topology::new();
        let realm =
            net.add_realm(INTERNET, Rules::PORT_RESTRICTED, Some([203, 0, 113, 1].into()), 40_000);
        let hidden = End { realm, local: "192.168.1.2:5000".parse().unwrap() };
        let open = End { realm: INTERNET, local: "198.51.100.2:5000".parse().unwrap() };
        net.add_host(realm, hidden.local.ip());
        net.add_host(INTERNET, open.local.ip());
        assert!(is_possible(&net, &[vec![hidden], vec![open]], &[]));
        let other =
            net.add_realm(INTERNET, Rules::PORT_RESTRICTED, Some([203, 0, 113, 2].into()), 40_000);
        let second = End { realm: other, local: "192.168.2.2:5000".parse().unwrap() };
        net.add_host(other, second.local.ip());
        assert!(!is_possible(&net, &[vec![hidden], vec![second]], &[]));
    }
}
