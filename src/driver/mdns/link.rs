//! The links that names are asked for and answered on.

use std::net::IpAddr;

use crate::agent::LocalAddress;
use crate::candidate::Prefix;
use crate::net;

/// A link of this machine: multicast over IPv4 takes an address of ours to
/// name it, over IPv6 the index of its interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Link {
    /// Our address on it.
    pub(super) ip: IpAddr,
    /// The interface's index, 0 if unknown.
    pub(super) index: u32,
    prefix: Option<u8>,
}

impl Link {
    /// The link of an address.
    pub(super) fn of(address: &LocalAddress) -> Self {
        Link { ip: address.ip.to_canonical(), index: address.index, prefix: address.prefix }
    }

    pub(super) fn is_v6(&self) -> bool {
        self.ip.is_ipv6()
    }

    /// Both are the same as far as multicast is concerned.
    pub(super) fn is_same(&self, other: &Link) -> bool {
        match self.is_v6() {
            true => other.is_v6() && self.index == other.index,
            false => self.ip == other.ip,
        }
    }

    /// Whether a sender is on the link, as far as that can be told (RFC 6762
    /// §11: what comes from elsewhere is not believed).
    pub(super) fn has(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        if ip.is_ipv6() != self.is_v6() {
            return false;
        }
        let network = self.prefix.and_then(|len| Prefix::new(self.ip, len));
        net::is_link_local_v6(ip) || network.is_none_or(|network| network.contains(ip))
    }
}
