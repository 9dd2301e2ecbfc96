//! The addresses of this machine.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv6Addr};

use if_addrs::{IfAddr, IfOperStatus, Interface};

use crate::agent::LocalAddress;
use crate::net::Family;

/// Which addresses of the machine an agent may use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Filter {
    /// Only these interfaces; all if empty.
    pub(crate) interfaces: Vec<Box<str>>,
    /// Only these addresses; all if empty.
    pub(crate) ips: Vec<IpAddr>,
}

/// The addresses of this machine whose interfaces are not known to be down.
///
/// # Errors
///
/// The system does not tell its interfaces.
pub fn local_addresses() -> io::Result<Vec<LocalAddress>> {
    Ok(Interfaces::look()?.pass(&Filter::default()))
}

/// The interfaces of this machine, as they were at one moment: each address,
/// and whether it is not known to be unusable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Interfaces(Vec<(LocalAddress, bool)>);

impl Interfaces {
    /// Asks the system.
    ///
    /// # Errors
    ///
    /// The system does not tell its interfaces.
    pub(crate) fn look() -> io::Result<Self> {
        let flags = ipv6_flags();
        let interfaces = if_addrs::get_if_addrs()?;
        Ok(Interfaces(interfaces.into_iter().map(|i| local_address(i, &flags)).collect()))
    }

    /// These, all of them usable.
    #[cfg(test)]
    pub(crate) fn of(addresses: impl Iterator<Item = LocalAddress>) -> Self {
        Interfaces(addresses.map(|address| (address, true)).collect())
    }

    /// The addresses that pass the filter.
    pub(crate) fn pass(&self, filter: &Filter) -> Vec<LocalAddress> {
        let passes = |(address, usable): &(LocalAddress, bool)| {
            let named =
                filter.interfaces.is_empty() || filter.interfaces.contains(&address.interface);
            let chosen =
                if filter.ips.is_empty() { *usable } else { filter.ips.contains(&address.ip) };
            named && chosen
        };
        let passing = self.0.iter().filter(|address| passes(address));
        passing.map(|(address, _)| address.clone()).collect()
    }
}

/// Adds the addresses that the filter names and no interface has: that they
/// can not be bound is then reported like any other failure.
pub(crate) fn add_missing(addresses: &mut Vec<LocalAddress>, filter: &Filter) {
    for &ip in &filter.ips {
        if filter.interfaces.is_empty() && !addresses.iter().any(|address| address.ip == ip) {
            addresses.push(LocalAddress {
                ip,
                interface: "".into(),
                index: 0,
                prefix: None,
                temporary: None,
                deprecated: None,
            });
        }
    }
}

/// The largest UDP payload that leaves the interface in one packet, where
/// the system says it.
pub(crate) fn max_payload(interface: &str, family: Family) -> Option<usize> {
    let mtu = std::fs::read_to_string(format!("/sys/class/net/{interface}/mtu")).ok()?;
    let mtu: usize = mtu.trim().parse().ok()?;
    let (ip_header, largest) = match family {
        Family::V4 => (20, u16::MAX as usize - 20 - UDP_HEADER),
        Family::V6 => (40, u16::MAX as usize - UDP_HEADER),
    };
    Some(mtu.checked_sub(ip_header + UDP_HEADER)?.min(largest))
}

/// RFC 768.
const UDP_HEADER: usize = 8;

/// The address, and whether it is not known to be unusable: its interface is
/// not down, and duplicate address detection has passed (RFC 4862 §5.4).
fn local_address(interface: Interface, flags: &Ipv6Flags) -> (LocalAddress, bool) {
    let (prefix, flags) = match &interface.addr {
        IfAddr::V4(v4) => (v4.prefixlen, None),
        IfAddr::V6(v6) => (v6.prefixlen, flags.get(&(v6.ip, interface.index.unwrap_or(0)))),
    };
    let is_set = |bit| flags.map(|flags| flags & bit != 0);
    let down = matches!(
        interface.oper_status,
        IfOperStatus::Down | IfOperStatus::NotPresent | IfOperStatus::LowerLayerDown
    );
    // An optimistic address may be used before that (RFC 4429 §3.1).
    let unsure = flags.is_some_and(|flags| {
        flags & IFA_F_DADFAILED != 0
            || (flags & IFA_F_TENTATIVE != 0 && flags & IFA_F_OPTIMISTIC == 0)
    });
    let address = LocalAddress {
        ip: interface.ip(),
        index: interface.index.unwrap_or(0),
        interface: interface.name.into(),
        prefix: Some(prefix),
        temporary: is_set(IFA_F_TEMPORARY),
        deprecated: is_set(IFA_F_DEPRECATED),
    };
    (address, !(down || unsure))
}

/// `IFA_F_TEMPORARY` of linux/if_addr.h.
const IFA_F_TEMPORARY: u32 = 0x01;
/// `IFA_F_OPTIMISTIC` of linux/if_addr.h.
const IFA_F_OPTIMISTIC: u32 = 0x04;
/// `IFA_F_DADFAILED` of linux/if_addr.h.
const IFA_F_DADFAILED: u32 = 0x08;
/// `IFA_F_TENTATIVE` of linux/if_addr.h.
const IFA_F_TENTATIVE: u32 = 0x40;
/// `IFA_F_DEPRECATED` of linux/if_addr.h.
const IFA_F_DEPRECATED: u32 = 0x20;

/// The flags of each IPv6 address and interface index.
type Ipv6Flags = BTreeMap<(Ipv6Addr, u32), u32>;

/// Empty where the system has no such file: then the flags are unknown.
fn ipv6_flags() -> Ipv6Flags {
    let text = std::fs::read_to_string("/proc/net/if_inet6").unwrap_or_default();
    text.lines().filter_map(parse_if_inet6).collect()
}

/// A line of /proc/net/if_inet6: address, interface index, prefix length,
/// scope and flags, all in hexadecimal, and the name.
fn parse_if_inet6(line: &str) -> Option<((Ipv6Addr, u32), u32)> {
    let mut fields = line.split_ascii_whitespace();
    let address = u128::from_str_radix(fields.next()?, 16).ok()?;
    let index = u32::from_str_radix(fields.next()?, 16).ok()?;
    let flags = u32::from_str_radix(fields.nth(2)?, 16).ok()?;
    Some(((Ipv6Addr::from_bits(address), index), flags))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn if_inet6_is_read() {
        let line = "fd000000000000000000000000000002 04 40 00 21     eth0";
        let key = ("fd00::2".parse().unwrap(), 4);
        assert_eq!(parse_if_inet6(line), Some((key, IFA_F_TEMPORARY | IFA_F_DEPRECATED)));
        for bad in ["", "xyz 04 40 00 21 eth0", "00000000000000000000000000000001 01 80"] {
            assert_eq!(parse_if_inet6(bad), None);
        }
    }

    #[test]
    fn this_machine_has_a_loopback_address() {
        let all = local_addresses().unwrap();
        let loopback = all.iter().find(|address| address.ip.is_loopback()).unwrap();
        assert_ne!(loopback.index, 0);
        assert!(!loopback.interface.is_empty());
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn the_loopback_interface_takes_large_datagrams() {
        assert_eq!(max_payload("lo", Family::V4), Some(65_507));
        assert_eq!(max_payload("lo", Family::V6), Some(65_488));
        assert_eq!(max_payload("no such interface", Family::V4), None);
    }

    fn address(ip: &str, interface: &str) -> LocalAddress {
        LocalAddress {
            ip: ip.parse().unwrap(),
            interface: interface.into(),
            index: 1,
            prefix: Some(24),
            temporary: None,
            deprecated: None,
        }
    }

    #[test]
    fn filters_select() {
        let machine = Interfaces(vec![
            (address("127.0.0.1", "lo"), true),
            (address("192.0.2.1", "eth0"), true),
            (address("198.51.100.1", "eth1"), false),
        ]);
        let select = |interfaces: &[&str], ips: &[&str]| -> Vec<String> {
            let filter = Filter {
                interfaces: interfaces.iter().map(|&name| name.into()).collect(),
                ips: ips.iter().map(|ip| ip.parse().unwrap()).collect(),
            };
            let mut selected = machine.pass(&filter);
            add_missing(&mut selected, &filter);
            selected.iter().map(|address| format!("{}%{}", address.ip, address.interface)).collect()
        };
        assert_eq!(select(&[], &[]), ["127.0.0.1%lo", "192.0.2.1%eth0"]);
        assert_eq!(select(&["eth0"], &[]), ["192.0.2.1%eth0"]);
        assert_eq!(select(&["eth7"], &[]), [""; 0]);
        assert_eq!(select(&[], &["127.0.0.1"]), ["127.0.0.1%lo"]);
        assert_eq!(select(&[], &["198.51.100.1"]), ["198.51.100.1%eth1"]);
        assert_eq!(select(&[], &["203.0.113.9"]), ["203.0.113.9%"]);
        assert_eq!(select(&["eth0"], &["127.0.0.1"]), [""; 0]);
    }
}
