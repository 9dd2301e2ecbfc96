//! What kind of network an address is of.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The kinds of networks that matter to who connects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum NetworkKind {
    Unspecified,
    Loopback,
    LinkLocal,
    /// RFC 1918, and unique local addresses of IPv6 (RFC 4193).
    Private,
    /// Behind the NAT of a provider (RFC 6598).
    SharedByProvider,
    Multicast,
    Public,
}

impl NetworkKind {
    /// The kind of an address.
    pub(crate) fn of(ip: IpAddr) -> Self {
        match ip {
            IpAddr::V4(ip) => Self::of_v4(ip),
            IpAddr::V6(ip) => ip.to_ipv4_mapped().map_or_else(|| Self::of_v6(ip), Self::of_v4),
        }
    }

    fn of_v4(ip: Ipv4Addr) -> Self {
        let [first, second, ..] = ip.octets();
        match ip {
            _ if first == 0 => Self::Unspecified,
            _ if ip.is_loopback() => Self::Loopback,
            _ if ip.is_link_local() => Self::LinkLocal,
            _ if ip.is_private() => Self::Private,
            _ if first == 100 && second & 0xc0 == 64 => Self::SharedByProvider,
            _ if ip.is_multicast() || ip.is_broadcast() => Self::Multicast,
            _ => Self::Public,
        }
    }

    fn of_v6(ip: Ipv6Addr) -> Self {
        match ip {
            _ if ip.is_unspecified() => Self::Unspecified,
            _ if ip.is_loopback() => Self::Loopback,
            _ if ip.is_unicast_link_local() => Self::LinkLocal,
            _ if ip.is_unique_local() => Self::Private,
            _ if ip.is_multicast() => Self::Multicast,
            _ => Self::Public,
        }
    }

    /// In words that follow the address.
    pub(crate) const fn words(self) -> &'static str {
        match self {
            Self::Unspecified => "no address at all",
            Self::Loopback => "this machine only",
            Self::LinkLocal => "this link only",
            Self::Private => "private network",
            Self::SharedByProvider => "behind a provider's NAT (100.64.0.0/10)",
            Self::Multicast => "multicast",
            Self::Public => "public",
        }
    }
}

/// Whether others can reach it from another network.
pub(crate) fn is_public(ip: IpAddr) -> bool {
    NetworkKind::of(ip) == NetworkKind::Public
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_of_the_kind_that_their_network_is() {
        for (ip, kind) in [
            ("0.0.0.0", NetworkKind::Unspecified),
            ("127.8.0.1", NetworkKind::Loopback),
            ("169.254.1.1", NetworkKind::LinkLocal),
            ("10.1.2.3", NetworkKind::Private),
            ("172.31.0.1", NetworkKind::Private),
            ("172.32.0.1", NetworkKind::Public),
            ("100.64.0.1", NetworkKind::SharedByProvider),
            ("100.128.0.1", NetworkKind::Public),
            ("224.0.0.1", NetworkKind::Multicast),
            ("203.0.113.9", NetworkKind::Public),
            ("::", NetworkKind::Unspecified),
            ("::1", NetworkKind::Loopback),
            ("fe80::1", NetworkKind::LinkLocal),
            ("fd00::1", NetworkKind::Private),
            ("ff02::1", NetworkKind::Multicast),
            ("2001:db8::1", NetworkKind::Public),
            ("::ffff:10.0.0.1", NetworkKind::Private),
        ] {
            assert_eq!(NetworkKind::of(ip.parse().unwrap()), kind, "{ip}");
        }
    }
}
