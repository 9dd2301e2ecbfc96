//! Which addresses of this machine become host candidates, and in which
//! order (RFC 8445 §5.1.1.1, RFC 8421, RFC 8828).

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::net::{self, Family};

/// An address of this machine, with what the system says of it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct LocalAddress {
    /// The address.
    pub ip: IpAddr,
    /// The interface's name, empty if unknown.
    pub interface: Box<str>,
    /// The interface's index, 0 if unknown; the scope id of link-local IPv6.
    pub index: u32,
    /// The length of the network prefix, if known.
    pub prefix: Option<u8>,
    /// An IPv6 temporary address (RFC 8981); `None` where the system does not say.
    pub temporary: Option<bool>,
    /// A deprecated address (RFC 4862 §5.5.4); `None` where the system does not say.
    pub deprecated: Option<bool>,
}

/// What the user asks of local addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressRules {
    /// Loopback addresses qualify too.
    pub include_loopback: bool,
    /// IPv4 addresses qualify.
    pub ipv4: bool,
    /// IPv6 addresses qualify.
    pub ipv6: bool,
}

impl Default for AddressRules {
    fn default() -> Self {
        AddressRules { include_loopback: false, ipv4: true, ipv6: true }
    }
}

/// An address that qualifies, with its preference among the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ranked {
    /// The address.
    pub address: LocalAddress,
    /// The local preference of its candidates (RFC 8445 §5.1.2.1). The next
    /// address has one lower by [`Ranked::STEP`], so that reflexive candidates
    /// of one base, one a server, can have different ones between the two.
    pub local_preference: u16,
}

impl Ranked {
    /// The distance between the preferences of two neighbours in the order.
    pub const STEP: u16 = 32;

    /// The largest number of addresses that qualify: as many as differ in the
    /// 13 bits of a TCP candidate's preference (RFC 6544 §4.2).
    pub const MAX: usize = 256;

    /// The local preference of the server-reflexive candidate that the server
    /// of this index gave to a base of `local_preference`: two servers may see
    /// a base at two addresses, and candidates of one type must differ in it.
    /// Beyond [`Ranked::STEP`] servers it is the same.
    pub fn reflexive_preference(local_preference: u16, server: usize) -> u16 {
        let server = u16::try_from(server).unwrap_or(u16::MAX);
        local_preference.saturating_sub(server.min(Ranked::STEP - 1))
    }
}

/// The addresses to gather host candidates from, best first.
///
/// Loopback is left out, unless the rules include it or the machine has no
/// other address (RFC 8445 §5.1.1.1 forbids it; without it, two programs on
/// a machine without a network could not meet). A flag that the system does
/// not give keeps an address in.
pub fn qualify(addresses: &[LocalAddress], rules: &AddressRules) -> Vec<Ranked> {
    let wanted = wanted(addresses, rules);
    let loopback = loopback_interfaces(addresses);
    let is_loopback =
        |a: &LocalAddress| a.ip.is_loopback() || loopback.contains(&(&*a.interface, a.index));
    let (local, other): (Vec<_>, Vec<_>) = wanted.into_iter().partition(|a| is_loopback(a));

    let mut order = in_order(without_traceable(without_deprecated(other)));
    if rules.include_loopback || order.is_empty() {
        order.extend(in_order(local));
    }
    let preferences = (0..=u16::MAX).rev().step_by(usize::from(Ranked::STEP));
    order
        .into_iter()
        .take(Ranked::MAX)
        .zip(preferences)
        .map(|(address, local_preference)| Ranked { address: address.clone(), local_preference })
        .collect()
}

/// The addresses of the families asked for at which a socket can be bound and
/// reached, each once.
fn wanted<'a>(addresses: &'a [LocalAddress], rules: &AddressRules) -> Vec<&'a LocalAddress> {
    let is_wanted = |a: &LocalAddress| match a.ip {
        IpAddr::V4(ip) => rules.ipv4 && is_usable_v4(ip),
        IpAddr::V6(ip) => rules.ipv6 && is_usable_v6(ip),
    };
    let scope = |a: &LocalAddress| if net::is_link_local_v6(a.ip) { a.index } else { 0 };
    let mut wanted: Vec<&LocalAddress> = Vec::new();
    for address in addresses.iter().filter(|a| is_wanted(a)) {
        if !wanted.iter().any(|a| a.ip == address.ip && scope(a) == scope(address)) {
            wanted.push(address);
        }
    }
    wanted
}

fn is_usable_v4(ip: Ipv4Addr) -> bool {
    !(ip.is_unspecified() || ip.is_multicast() || ip.is_broadcast())
}

/// RFC 8445 §5.1.1.1 leaves out IPv4-compatible, IPv4-mapped and site-local
/// addresses. ::1 looks IPv4-compatible and is not.
fn is_usable_v6(ip: Ipv6Addr) -> bool {
    let is_v4_compatible = ip.segments()[..6] == [0; 6] && !ip.is_loopback();
    let is_site_local = ip.segments()[0] & 0xffc0 == 0xfec0;
    let is_v4_mapped = ip.to_ipv4_mapped().is_some();
    !(is_v4_compatible || is_site_local || is_v4_mapped || ip.is_multicast())
}

/// The interfaces that carry a loopback address: whatever else is on them is
/// an address of a loopback interface too.
fn loopback_interfaces(addresses: &[LocalAddress]) -> BTreeSet<(&str, u32)> {
    let is_known = |a: &&LocalAddress| !a.interface.is_empty() || a.index != 0;
    let on_loopback = addresses.iter().filter(|a| a.ip.is_loopback()).filter(is_known);
    on_loopback.map(|a| (&*a.interface, a.index)).collect()
}

/// RFC 4862 §5.5.4: a deprecated address only where nothing else of its
/// family reaches as far.
fn without_deprecated(addresses: Vec<&LocalAddress>) -> Vec<&LocalAddress> {
    let is_current = |a: &LocalAddress, family| {
        a.deprecated != Some(true) && Family::of(a.ip) == family && !net::is_link_local_v6(a.ip)
    };
    let replaceable: BTreeSet<Family> = [Family::V4, Family::V6]
        .into_iter()
        .filter(|family| addresses.iter().any(|a| is_current(a, *family)))
        .collect();
    let is_replaced =
        |a: &LocalAddress| a.deprecated == Some(true) && replaceable.contains(&Family::of(a.ip));
    addresses.into_iter().filter(|a| !is_replaced(a)).collect()
}

/// RFC 8445 §5.1.1.1: where a temporary address exists, neither the stable
/// ones of its prefix nor link-local ones, which would tell the same thing.
fn without_traceable(addresses: Vec<&LocalAddress>) -> Vec<&LocalAddress> {
    let temporary = addresses.iter().filter(|a| a.temporary == Some(true));
    let hidden: BTreeSet<_> = temporary.filter_map(|a| network(a)).collect();
    let is_traceable = |a: &LocalAddress| {
        let is_stable = a.temporary == Some(false);
        let in_hidden = network(a).is_some_and(|network| hidden.contains(&network));
        (is_stable && in_hidden) || (net::is_link_local_v6(a.ip) && !hidden.is_empty())
    };
    addresses.into_iter().filter(|a| !is_traceable(a)).collect()
}

/// Interface and prefix of an IPv6 address; a prefix of unknown length is
/// taken as 64 bits, the only length that autoconfiguration uses (RFC 4291
/// §2.5.4).
fn network(address: &LocalAddress) -> Option<(&str, u32, u128)> {
    let IpAddr::V6(ip) = address.ip else { return None };
    let len = u32::from(address.prefix.unwrap_or(64)).min(128);
    let host_bits = u128::MAX.checked_shr(len).unwrap_or(0);
    Some((&address.interface, address.index, u128::from(ip) & !host_bits))
}

/// The order of preference: what reaches only one link comes last.
fn in_order(addresses: Vec<&LocalAddress>) -> Vec<&LocalAddress> {
    if addresses.len() <= 1 {
        return addresses;
    }
    let (link, other): (Vec<_>, Vec<_>) =
        addresses.into_iter().partition(|a| scope(a) == Scope::Link);
    let mut order = interleave(other);
    order.extend(interleave(link));
    order
}

/// Runs of IPv6 addresses with one IPv4 address after each, so that a family
/// that does not work delays the other little (RFC 8421 §4), and in a family
/// interface by interface.
fn interleave(addresses: Vec<&LocalAddress>) -> Vec<&LocalAddress> {
    let (v4, v6): (Vec<_>, Vec<_>) =
        addresses.into_iter().partition(|a| Family::of(a.ip) == Family::V4);
    // The sample formula of RFC 8421 puts the only IPv4 address after all
    // IPv6 addresses, however many those are; a run of at most 3 does not.
    let run = v6.len().div_ceil(v4.len().max(1)).clamp(1, 3);
    let (mut v4, mut v6) = (by_interface(v4).into_iter(), by_interface(v6).into_iter());
    let mut order = Vec::with_capacity(v4.len() + v6.len());
    while v4.len() + v6.len() > 0 {
        order.extend(v6.by_ref().take(run));
        order.extend(v4.next());
    }
    order
}

/// Wider scopes first; within a scope the first address of every interface,
/// then the second of each. An interface's temporary addresses come before its
/// others (RFC 6724 §5, rule 7); else the order is the system's.
fn by_interface(addresses: Vec<&LocalAddress>) -> Vec<&LocalAddress> {
    let mut order: Vec<_> = addresses.into_iter().enumerate().collect();
    order.sort_by_key(|(_, address)| address.temporary != Some(true));
    let mut counts = BTreeMap::new();
    let mut keyed: Vec<_> = order
        .into_iter()
        .map(|(listed, address)| {
            let scope = scope(address);
            let nth: &mut usize =
                counts.entry((scope, &address.interface, address.index)).or_default();
            *nth += 1;
            ((scope, *nth, listed), address)
        })
        .collect();
    keyed.sort_by_key(|(key, _)| *key);
    keyed.into_iter().map(|(_, address)| address).collect()
}

/// How far an address reaches, the farthest first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Scope {
    Global,
    Private,
    Link,
}

fn scope(address: &LocalAddress) -> Scope {
    match address.ip {
        IpAddr::V4(ip) if ip.is_link_local() => Scope::Link,
        IpAddr::V4(_) => Scope::Global,
        IpAddr::V6(_) if net::is_link_local_v6(address.ip) => Scope::Link,
        // Unique local addresses (RFC 4193) reach one site.
        IpAddr::V6(ip) if ip.segments()[0] & 0xfe00 == 0xfc00 => Scope::Private,
        IpAddr::V6(_) => Scope::Global,
    }
}

#[cfg(test)]
mod tests;
