//! NAT Behavior Discovery (RFC 5780 §6): two addresses with the same two
//! ports, of which each answers for the others.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use crate::discovery::Change;
use crate::driver::transport::UdpSocket;

/// What a socket or listener says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// Where it is.
    pub(super) local: SocketAddr,
    /// Where both address and port are others (OTHER-ADDRESS), if there is such
    /// a place.
    pub(super) other: Option<SocketAddr>,
    /// Whoever asks here is where it says: a connection.
    pub(super) is_proven: bool,
}

impl Place {
    pub(super) fn new(local: SocketAddr, quads: &[Quad], is_proven: bool) -> Self {
        let other = quads.iter().find_map(|quad| quad.beside(local, Change::BOTH));
        Place { local, other, is_proven }
    }
}

/// Two addresses with two ports each. The second bit of a number is the
/// address, the first bit the port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Quad([SocketAddr; 4]);

impl Quad {
    fn number(&self, local: SocketAddr) -> Option<usize> {
        self.0.iter().position(|at| *at == local)
    }

    /// The address to answer from, where the request came to `local`
    /// (RFC 5780 §6.1, table 1).
    pub(super) fn beside(&self, local: SocketAddr, change: Change) -> Option<SocketAddr> {
        self.0.get(self.number(local)? ^ step(change)).copied()
    }
}

fn step(change: Change) -> usize {
    usize::from(change.ip) << 1 | usize::from(change.port)
}

/// The quads that the addresses make: each address is in one at most.
pub(super) fn quads(addresses: &[SocketAddr]) -> Vec<Quad> {
    let mut quads: Vec<Quad> = Vec::new();
    for (at, &first) in addresses.iter().enumerate() {
        let rest = addresses.get(at..).unwrap_or_default();
        let found = rest.iter().find_map(|&last| {
            let across = |ip, port| Some(SocketAddr::new(ip, port)).filter(|x| rest.contains(x));
            let fits = first.port() != last.port() && are_alike(first.ip(), last.ip());
            let beside = across(first.ip(), last.port()).zip(across(last.ip(), first.port()));
            beside.filter(|_| fits).map(|(port, ip)| Quad([first, port, ip, last]))
        });
        let is_taken = |quad: &Quad| quads.iter().any(|q| quad.0.iter().any(|x| q.0.contains(x)));
        quads.extend(found.filter(|quad| !is_taken(quad)));
    }
    quads
}

/// Whether who reaches one of them reaches the other: two addresses of a
/// family, and of a kind.
fn are_alike(one: IpAddr, other: IpAddr) -> bool {
    let kind = |ip: IpAddr| match ip {
        IpAddr::V4(v4) => (true, v4.is_loopback(), v4.is_private()),
        IpAddr::V6(v6) => (false, v6.is_loopback(), v6.is_unique_local()),
    };
    one != other && kind(one) == kind(other)
}

/// The sockets of a quad, as one of them sees the others.
#[derive(Clone, Debug)]
pub(super) struct Siblings {
    sockets: Arc<[Arc<UdpSocket>; 4]>,
    own: usize,
}

impl Siblings {
    /// Those of the socket at `local`, if it is in a quad.
    pub(super) fn of(
        local: SocketAddr,
        quads: &[Quad],
        sockets: &[Arc<UdpSocket>],
    ) -> Option<Self> {
        let (quad, own) = quads.iter().find_map(|quad| Some((quad, quad.number(local)?)))?;
        let find = |at: SocketAddr| sockets.iter().find(|socket| socket.local() == at).cloned();
        let [a, b, c, d] = quad.0.map(find);
        Some(Siblings { sockets: Arc::new([a?, b?, c?, d?]), own })
    }

    /// The one to answer from.
    pub(super) fn beside(&self, change: Change) -> Option<&UdpSocket> {
        self.sockets.get(self.own ^ step(change)).map(Arc::as_ref)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    const QUAD: [&str; 4] =
        ["192.0.2.1:3478", "192.0.2.2:3479", "192.0.2.1:3479", "192.0.2.2:3478"];

    /// RFC 5780 §6.1, table 1, asked at each of the four.
    #[test]
    fn answers_come_from_where_the_flags_say() {
        let found = quads(&at(&QUAD));
        let [quad] = found[..] else { panic!("{found:?}") };
        for asked in at(&QUAD) {
            let other_ip = at(&QUAD).into_iter().find(|x| x.ip() != asked.ip()).unwrap().ip();
            let other_port = if asked.port() == 3478 { 3479 } else { 3478 };
            for (change, ip, port) in [
                (Change::NONE, asked.ip(), asked.port()),
                (Change::IP, other_ip, asked.port()),
                (Change::PORT, asked.ip(), other_port),
                (Change::BOTH, other_ip, other_port),
            ] {
                assert_eq!(quad.beside(asked, change), Some(SocketAddr::new(ip, port)));
            }
            let place = Place::new(asked, &found, false);
            assert_eq!(place.other, Some(SocketAddr::new(other_ip, other_port)));
        }
        assert_eq!(quad.beside(at(&["192.0.2.3:3478"])[0], Change::NONE), None);
    }

    #[test]
    fn three_of_four_and_different_kinds_are_no_quad() {
        for left_out in 0..4 {
            let mut three = at(&QUAD);
            three.remove(left_out);
            assert!(quads(&three).is_empty());
        }
        for (one, other) in
            [("127.0.0.1", "192.0.2.1"), ("10.0.0.1", "192.0.2.1"), ("[::1]", "10.0.0.1")]
        {
            let all = [one, other].map(|ip| [1, 2].map(|port| format!("{ip}:{port}")));
            let all: Vec<SocketAddr> = all.iter().flatten().map(|at| at.parse().unwrap()).collect();
            assert!(quads(&all).is_empty(), "{one} {other}");
        }
    }

    #[test]
    fn every_address_is_in_one_quad() {
        let ips = ["192.0.2.1", "192.0.2.2", "192.0.2.3", "[2001:db8::1]", "[2001:db8::2]"];
        let all = ips.iter().flat_map(|ip| [1, 2].map(|port| format!("{ip}:{port}")));
        let all: Vec<SocketAddr> = all.map(|text| text.parse().unwrap()).collect();
        let found = quads(&all);
        assert_eq!(found.len(), 2);
        for at in all {
            assert!(found.iter().filter(|quad| quad.number(at).is_some()).count() <= 1);
        }
    }
}
