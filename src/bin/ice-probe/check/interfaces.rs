//! The addresses of this machine, and what may matter about them.

use std::net::IpAddr;
use std::path::Path;

use floe::agent::LocalAddress;
use floe::net::is_link_local_v6;

/// An address with what is known of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct View {
    pub(crate) address: LocalAddress,
    pub(crate) labels: Vec<&'static str>,
}

/// What one can see of an interface without asking it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Kind {
    is_bridge: bool,
    is_tunnel: bool,
    is_wireless: bool,
}

/// Looks at an address.
pub(crate) fn view(address: LocalAddress) -> View {
    let labels = labels(&address, kind(&address.interface));
    View { address, labels }
}

impl View {
    /// Whether it may lead anywhere.
    pub(crate) fn is_usable(&self) -> bool {
        !self.address.ip.is_loopback() && !is_link_local(self.address.ip)
    }
}

fn is_link_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(_) => is_link_local_v6(ip),
    }
}

fn labels(address: &LocalAddress, kind: Kind) -> Vec<&'static str> {
    let ip = address.ip;
    let name = |prefixes: &[&str]| prefixes.iter().any(|p| address.interface.starts_with(p));
    let is_vpn = kind.is_tunnel || name(&["tun", "tap", "wg", "ppp", "utun", "ipsec", "tailscale"]);
    let is_bridge = kind.is_bridge || name(&["docker", "virbr", "lxcbr", "br-"]);
    [
        (ip.is_loopback(), "loopback"),
        (is_link_local(ip), "link-local"),
        (is_private(ip), "private"),
        (is_shared(ip), "carrier-nat"),
        (is_vpn && !ip.is_loopback(), "vpn"),
        (is_bridge, "bridge"),
        (kind.is_wireless, "wireless"),
        (address.temporary == Some(true), "temporary"),
        (address.deprecated == Some(true), "deprecated"),
    ]
    .into_iter()
    .filter_map(|(holds, label)| holds.then_some(label))
    .collect()
}

/// RFC 1918 and RFC 4193.
pub(crate) fn is_private(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => v4.is_private(),
        IpAddr::V6(v6) => v6.is_unique_local(),
    }
}

/// RFC 6598: a carrier's NAT is before it.
pub(crate) fn is_shared(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V4(v4) if v4.octets()[0] == 100 && v4.octets()[1] & 0xc0 == 64)
}

/// As Linux tells it; other systems tell nothing.
fn kind(interface: &str) -> Kind {
    if interface.contains('/') || interface.is_empty() {
        return Kind::default();
    }
    let folder = Path::new("/sys/class/net").join(interface);
    let has = |name: &str| folder.join(name).exists();
    Kind {
        is_bridge: has("bridge"),
        is_tunnel: has("tun_flags"),
        is_wireless: has("wireless") || has("phy80211"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ip: &str, interface: &str) -> LocalAddress {
        LocalAddress {
            ip: ip.parse().unwrap(),
            interface: interface.into(),
            index: 0,
            prefix: None,
            temporary: Some(interface == "tmp0"),
            deprecated: None,
        }
    }

    #[test]
    fn addresses_are_labelled() {
        for (ip, interface, expected) in [
            ("127.0.0.1", "lo", &["loopback"][..]),
            ("192.0.2.7", "eth0", &[]),
            ("10.1.2.3", "eth0", &["private"]),
            ("100.64.0.1", "wwan0", &["carrier-nat"]),
            ("100.127.255.255", "wwan0", &["carrier-nat"]),
            ("100.128.0.1", "wwan0", &[]),
            ("10.8.0.2", "wg0", &["private", "vpn"]),
            ("172.17.0.1", "docker0", &["private", "bridge"]),
            ("fe80::1", "eth0", &["link-local"]),
            ("169.254.3.4", "eth0", &["link-local"]),
            ("fd00::1", "tun3", &["private", "vpn"]),
            ("2001:db8::1", "tmp0", &["temporary"]),
        ] {
            assert_eq!(labels(&at(ip, interface), Kind::default()), expected, "{ip} {interface}");
        }
        let all = Kind { is_bridge: true, is_tunnel: true, is_wireless: true };
        assert_eq!(labels(&at("192.0.2.7", "x"), all), ["vpn", "bridge", "wireless"]);
    }

    #[test]
    fn what_leads_nowhere_is_not_usable() {
        for (ip, is_usable) in [("127.0.0.1", false), ("fe80::1", false), ("10.0.0.1", true)] {
            assert_eq!(view(at(ip, "eth0")).is_usable(), is_usable, "{ip}");
        }
    }
}
