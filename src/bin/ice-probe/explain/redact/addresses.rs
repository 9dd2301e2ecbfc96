//! Stand-ins for addresses, of the same family and kind of network. What is in
//! one /24 of IPv4, or one /48 and /64 of IPv6, stays in one.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::explain::kinds::NetworkKind;

/// More addresses are not told apart.
const MAX_ADDRESSES: usize = 65_536;

/// Networks that nobody has (RFC 5737, RFC 2544), for public ones.
const DOCUMENTATION: [[u8; 3]; 3] = [[192, 0, 2], [198, 51, 100], [203, 0, 113]];
const BENCHMARKS: usize = 512;

/// Stand-ins of the first part of an address, and how many there are.
#[derive(Default)]
struct Numbers<K>(BTreeMap<K, usize>);

impl<K: Ord> Numbers<K> {
    /// The number of the key, from 0 on.
    fn of(&mut self, key: K) -> usize {
        let next = self.0.len();
        *self.0.entry(key).or_insert(next)
    }
}

/// The stand-ins so far.
#[derive(Default)]
pub(super) struct Addresses {
    known: BTreeMap<IpAddr, IpAddr>,
    /// /24 of IPv4, by the range that they are of.
    networks: BTreeMap<u8, Numbers<[u8; 3]>>,
    hosts: BTreeMap<[u8; 3], Numbers<u8>>,
    /// /48, then /64, then hosts of IPv6.
    sites: BTreeMap<NetworkKind, Numbers<[u16; 3]>>,
    links: BTreeMap<[u16; 3], Numbers<u16>>,
    interfaces: BTreeMap<[u16; 4], Numbers<[u16; 4]>>,
}

impl Addresses {
    /// What stands for an address.
    pub(super) fn of(&mut self, ip: IpAddr) -> IpAddr {
        if is_everybodys(ip) {
            return ip;
        }
        if let Some(known) = self.known.get(&ip) {
            return *known;
        }
        if self.known.len() >= MAX_ADDRESSES {
            return beyond(ip);
        }
        let stand_in = match ip {
            IpAddr::V4(ip) => self.v4(ip).into(),
            IpAddr::V6(ip) => match embedded(ip) {
                Some((prefix, v4)) => self.embed(prefix, v4).into(),
                None => self.v6(ip).into(),
            },
        };
        self.known.insert(ip, stand_in);
        stand_in
    }

    fn v4(&mut self, ip: Ipv4Addr) -> Ipv4Addr {
        let [a, b, c, d] = ip.octets();
        let network = [a, b, c];
        let range = range(ip);
        let number = self.networks.entry(range).or_default().of(network);
        let [first, second] = u16::try_from(number).unwrap_or(u16::MAX).to_be_bytes();
        let [a, b, c] = match range {
            10 => [10, first, second],
            172 => [172, 16 | first & 15, second],
            192 => [192, 168, second],
            100 => [100, 64 | first & 63, second],
            169 => [169, 254, second],
            _ => match DOCUMENTATION.get(number) {
                Some(network) => *network,
                None if number < BENCHMARKS => [198, 18 | first & 1, second],
                None => [240 | first >> 4, first, second],
            },
        };
        let host = self.hosts.entry(network).or_default().of(d) + 1;
        Ipv4Addr::new(a, b, c, host.to_le_bytes()[0])
    }

    fn v6(&mut self, ip: Ipv6Addr) -> Ipv6Addr {
        let [a, b, c, d, rest @ ..] = ip.segments();
        let number = |number: usize| u16::try_from(number + 1).unwrap_or(u16::MAX);
        let host = number(self.interfaces.entry([a, b, c, d]).or_default().of(rest));
        let kind = NetworkKind::of(ip.into());
        if kind == NetworkKind::LinkLocal {
            return Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, host);
        }
        let site = number(self.sites.entry(kind).or_default().of([a, b, c]));
        let link = number(self.links.entry([a, b, c]).or_default().of(d));
        match kind {
            NetworkKind::Private => Ipv6Addr::new(0xfd00, 0, site, link, 0, 0, 0, host),
            _ => Ipv6Addr::new(0x2001, 0xdb8, site, link, 0, 0, 0, host),
        }
    }

    fn embed(&mut self, prefix: [u16; 6], v4: Ipv4Addr) -> Ipv6Addr {
        let IpAddr::V4(v4) = self.of(v4.into()) else { return Ipv6Addr::UNSPECIFIED };
        let [a, b, c, d] = v4.octets();
        let [p, q, r, s, t, u] = prefix;
        let (high, low) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
        Ipv6Addr::new(p, q, r, s, t, u, high, low)
    }
}

/// What stands for addresses of which there are too many.
const fn beyond(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::new(240, 0, 0, 0)),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0xffff, 0, 0, 0, 0, 0xffff)),
    }
}

/// Addresses that everybody has.
fn is_everybodys(ip: IpAddr) -> bool {
    use NetworkKind::{Loopback, Multicast, Unspecified};
    /// The metadata service of clouds.
    const METADATA: IpAddr = IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254));
    matches!(NetworkKind::of(ip), Loopback | Multicast | Unspecified) || ip == METADATA
}

/// The IPv4 address in an IPv6 one (RFC 4291 §2.5.5.2, RFC 6052 §2.1), and what
/// stands before it.
fn embedded(ip: Ipv6Addr) -> Option<([u16; 6], Ipv4Addr)> {
    const MAPPED: [u16; 6] = [0, 0, 0, 0, 0, 0xffff];
    const NAT64: [u16; 6] = [0x64, 0xff9b, 0, 0, 0, 0];
    let [a, b, c, d, e, f, high, low] = ip.segments();
    let prefix = [a, b, c, d, e, f];
    let ([p, q], [r, s]) = (high.to_be_bytes(), low.to_be_bytes());
    (prefix == MAPPED || prefix == NAT64).then(|| (prefix, Ipv4Addr::new(p, q, r, s)))
}

/// The range of an address by its first number; 0 for public ones.
fn range(ip: Ipv4Addr) -> u8 {
    match NetworkKind::of(ip.into()) {
        NetworkKind::Private | NetworkKind::SharedByProvider | NetworkKind::LinkLocal => {
            ip.octets()[0]
        }
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stand_ins(addresses: &[&str]) -> Vec<IpAddr> {
        let mut all = Addresses::default();
        addresses.iter().map(|ip| all.of(ip.parse().unwrap())).collect()
    }

    #[test]
    fn the_same_is_the_same_and_others_are_others() {
        let ips = ["8.8.8.8", "8.8.4.4", "10.1.2.3", "8.8.8.8", "10.1.2.4", "2a00::1", "2a00::2"];
        let all = stand_ins(&ips);
        assert_eq!(all[0], all[3]);
        let mut distinct = all.clone();
        distinct.sort();
        distinct.dedup();
        assert_eq!(distinct.len(), all.len() - 1);
        assert!(ips.iter().zip(&all).all(|(ip, stand_in)| *ip != stand_in.to_string()));
    }

    #[test]
    fn family_and_kind_stay() {
        for ip in [
            "8.8.8.8",
            "10.1.2.3",
            "172.20.9.9",
            "192.168.77.3",
            "100.99.1.1",
            "169.254.7.7",
            "127.0.0.1",
            "::1",
            "fe80::77",
            "fd12:3456:789a:1::9",
            "2a00:1450::5",
            "0.0.0.0",
            "224.0.0.251",
            "255.255.255.255",
        ] {
            let before: IpAddr = ip.parse().unwrap();
            let after = stand_ins(&[ip])[0];
            assert_eq!(before.is_ipv4(), after.is_ipv4(), "{ip}");
            assert_eq!(NetworkKind::of(before), NetworkKind::of(after), "{ip} {after}");
        }
    }

    #[test]
    fn what_shares_a_network_still_does() {
        let share = |one: &str, other: &str| {
            let all = stand_ins(&[one, other]);
            match (all[0], all[1]) {
                (IpAddr::V4(a), IpAddr::V4(b)) => a.octets()[..3] == b.octets()[..3],
                (IpAddr::V6(a), IpAddr::V6(b)) => a.segments()[..4] == b.segments()[..4],
                _ => false,
            }
        };
        assert!(share("8.8.8.8", "8.8.8.9") && !share("8.8.8.8", "8.8.9.8"));
        assert!(share("10.0.5.1", "10.0.5.9") && !share("10.0.5.1", "10.0.6.1"));
        assert!(share("2a00:1:2:3::1", "2a00:1:2:3:9::1"));
        assert!(!share("2a00:1:2:3::1", "2a00:1:2:4::1"));
        let sites = stand_ins(&["2a00:1:2:3::1", "2a00:1:2:4::1", "2a00:1:3:4::1"]);
        let site = |at: usize| sites[at].to_string().split(':').take(3).collect::<String>();
        assert_eq!(site(0), site(1));
        assert_ne!(site(0), site(2));
    }

    #[test]
    fn an_embedded_address_is_that_of_its_own() {
        let all = stand_ins(&["8.8.8.8", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8"]);
        assert_eq!(all[1].to_string(), format!("::ffff:{}", all[0]));
        assert!(all[2].to_string().starts_with("64:ff9b::"));
    }

    #[test]
    fn no_more_are_told_apart_than_the_bound() {
        let mut all = Addresses::default();
        for number in 0..u32::try_from(MAX_ADDRESSES + 9).unwrap() {
            all.of(Ipv4Addr::from(0x0b00_0000 + number).into());
        }
        assert!(all.known.len() <= MAX_ADDRESSES);
    }
}
