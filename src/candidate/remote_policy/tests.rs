use std::net::{IpAddr, SocketAddr};

use super::AddressRefusal::{
    Broadcast, Denied, LinkLocal, Loopback, Metadata, Multicast, PortZero, PrivilegedPort,
    Unspecified,
};
use super::{AddressRefusal, OwnAddress, Prefix, RemotePolicy};
use crate::net::Protocol;

fn own(ips: &[&str]) -> Vec<OwnAddress> {
    let one = |text: &&str| match text.split_once('/') {
        Some((ip, len)) => OwnAddress { ip: ip.parse().unwrap(), prefix: len.parse().ok() },
        None => OwnAddress { ip: text.parse().unwrap(), prefix: None },
    };
    ips.iter().map(one).collect()
}

fn ip(policy: &RemotePolicy, ip: &str, ours: &[&str]) -> Result<(), AddressRefusal> {
    let ip: IpAddr = ip.parse().unwrap();
    policy.admits(SocketAddr::new(ip, 5000), Protocol::Udp, own(ours))
}

/// An ordinary machine.
const ORDINARY: &[&str] = &["192.168.1.5/24", "2001:db8::5/64"];

#[test]
fn what_the_default_refuses() {
    let table: &[(&str, Result<(), AddressRefusal>)] = &[
        ("192.0.2.1", Ok(())),
        ("2001:db8::1", Ok(())),
        ("10.0.0.1", Ok(())),
        ("172.16.0.1", Ok(())),
        ("192.168.1.1", Ok(())),
        ("192.168.1.5", Ok(())),
        ("100.64.0.1", Ok(())),
        ("fd00::1", Ok(())),
        ("0.0.0.0", Err(Unspecified)),
        ("0.1.2.3", Err(Unspecified)),
        ("::", Err(Unspecified)),
        ("::ffff:0.0.0.0", Err(Unspecified)),
        ("224.0.0.251", Err(Multicast)),
        ("239.255.255.255", Err(Multicast)),
        ("ff02::fb", Err(Multicast)),
        ("::ffff:224.0.0.1", Err(Multicast)),
        ("255.255.255.255", Err(Broadcast)),
        ("::ffff:255.255.255.255", Err(Broadcast)),
        ("192.168.1.255", Err(Broadcast)),
        ("192.168.2.255", Ok(())),
        ("127.0.0.1", Err(Loopback)),
        ("127.255.255.254", Err(Loopback)),
        ("::1", Err(Loopback)),
        ("::ffff:127.0.0.1", Err(Loopback)),
        ("169.254.0.1", Err(LinkLocal)),
        ("169.254.255.254", Err(LinkLocal)),
        ("fe80::1", Err(LinkLocal)),
        ("febf::1", Err(LinkLocal)),
        ("fec0::1", Ok(())),
        ("169.254.169.254", Err(Metadata)),
        ("169.254.170.2", Err(Metadata)),
        ("::ffff:169.254.169.254", Err(Metadata)),
        ("fd00:ec2::254", Err(Metadata)),
        ("fd20:ce::254", Err(Metadata)),
        ("fe80::a9fe:a9fe", Err(Metadata)),
        ("100.100.100.200", Err(Metadata)),
        ("168.63.129.16", Err(Metadata)),
        ("168.63.129.17", Ok(())),
        // An IPv4 address in the clothes of IPv6.
        ("64:ff9b::c000:201", Ok(())),
        ("64:ff9b::7f00:1", Err(Loopback)),
        ("64:ff9b::a9fe:a9fe", Err(Metadata)),
        ("64:ff9b::e000:fb", Err(Multicast)),
        ("2002:7f00:1::1", Err(Loopback)),
        ("2002:c000:201::1", Ok(())),
        ("::7f00:1", Err(Loopback)),
    ];
    let policy = RemotePolicy::default();
    for (address, expected) in table {
        assert_eq!(ip(&policy, address, ORDINARY), *expected, "{address}");
    }
}

#[test]
fn what_a_candidate_of_ours_lifts() {
    let table: &[(&str, &[&str], Result<(), AddressRefusal>)] = &[
        ("127.0.0.1", &["127.0.0.1"], Ok(())),
        ("127.0.0.9", &["127.0.0.1"], Ok(())),
        ("::ffff:127.0.0.1", &["127.0.0.1"], Ok(())),
        ("::1", &["::1"], Ok(())),
        ("::1", &["127.0.0.1"], Err(Loopback)),
        ("127.0.0.1", &["::1"], Err(Loopback)),
        ("169.254.7.7", &["192.168.1.5", "169.254.1.1"], Ok(())),
        ("169.254.7.7", &["fe80::5"], Err(LinkLocal)),
        ("fe80::7", &["fe80::5"], Ok(())),
        ("fe80::7", &["169.254.1.1"], Err(LinkLocal)),
        // A link-local address of ours is no reason to ask the metadata service.
        ("169.254.169.254", &["169.254.1.1"], Err(Metadata)),
        ("fe80::a9fe:a9fe", &["fe80::5"], Err(Metadata)),
        ("169.254.169.254", &["169.254.169.254"], Ok(())),
        ("100.100.100.200", &["100.100.100.200"], Ok(())),
        // Nothing of ours makes one host of many.
        ("0.0.0.0", &["127.0.0.1"], Err(Unspecified)),
        ("255.255.255.255", &["192.168.1.5"], Err(Broadcast)),
        ("224.0.0.1", &["192.168.1.5"], Err(Multicast)),
        ("10.255.255.255", &["10.0.0.1/8"], Err(Broadcast)),
        ("10.0.0.1", &["10.0.0.0/31"], Ok(())),
        ("192.0.2.1", &[], Ok(())),
    ];
    let policy = RemotePolicy::default();
    for (address, ours, expected) in table {
        assert_eq!(ip(&policy, address, ours), *expected, "{address} with {ours:?}");
    }
}

#[test]
fn the_longest_prefix_decides() {
    let prefixes = |list: &[&str]| list.iter().map(|text| text.parse().unwrap()).collect();
    type Row<'a> = (&'a [&'a str], &'a [&'a str], &'a str, Result<(), AddressRefusal>);
    let table: &[Row<'_>] = &[
        (&[], &["0.0.0.0/0"], "192.0.2.1", Err(Denied)),
        (&[], &["0.0.0.0/0"], "2001:db8::1", Ok(())),
        (&["10.0.0.0/8"], &["0.0.0.0/0"], "10.1.1.1", Ok(())),
        (&["10.0.0.0/8"], &["10.0.0.5"], "10.0.0.5", Err(Denied)),
        (&["10.0.0.0/8"], &["10.0.0.5"], "10.0.0.6", Ok(())),
        (&["192.0.2.0/24"], &["192.0.2.0/24"], "192.0.2.1", Err(Denied)),
        (&["0.0.0.0/0", "::/0"], &[], "127.0.0.1", Err(Loopback)),
        (&["0.0.0.0/0", "::/0"], &[], "::1", Err(Loopback)),
        (&["127.0.0.0/8"], &[], "127.0.0.1", Ok(())),
        (&["127.0.0.1"], &[], "127.0.0.2", Err(Loopback)),
        (&["169.254.0.0/16"], &[], "169.254.1.1", Ok(())),
        (&["169.254.0.0/16"], &[], "169.254.169.254", Err(Metadata)),
        (&["100.64.0.0/10"], &[], "100.100.100.200", Err(Metadata)),
        (&["100.100.100.200"], &[], "100.100.100.200", Ok(())),
        (&["169.254.169.254"], &[], "169.254.169.254", Ok(())),
        (&["0.0.0.0/0", "255.255.255.255"], &[], "255.255.255.255", Err(Broadcast)),
        (&["192.168.1.0/24"], &[], "192.168.1.255", Err(Broadcast)),
        (&["192.168.1.255"], &[], "192.168.1.255", Ok(())),
        (&["::/0", "::"], &[], "::", Err(Unspecified)),
        (&["224.0.0.0/4"], &[], "224.0.0.1", Err(Multicast)),
        (&[], &["10.0.0.0/8"], "::ffff:10.0.0.1", Err(Denied)),
        (&[], &["10.0.0.0/8"], "64:ff9b::a00:1", Err(Denied)),
    ];
    for (allow, deny, address, expected) in table {
        let policy = RemotePolicy {
            allow: prefixes(allow),
            deny: prefixes(deny),
            ..RemotePolicy::default()
        };
        assert_eq!(ip(&policy, address, ORDINARY), *expected, "{address}: +{allow:?} -{deny:?}");
    }
}

#[test]
fn ports() {
    let table = [
        (Protocol::Udp, 0, Err(PortZero)),
        (Protocol::Tcp, 0, Err(PortZero)),
        (Protocol::Udp, 1, Ok(())),
        (Protocol::Udp, 53, Ok(())),
        (Protocol::Udp, 65_535, Ok(())),
        (Protocol::Tcp, 1, Err(PrivilegedPort)),
        (Protocol::Tcp, 22, Err(PrivilegedPort)),
        (Protocol::Tcp, 25, Err(PrivilegedPort)),
        (Protocol::Tcp, 80, Ok(())),
        (Protocol::Tcp, 443, Ok(())),
        (Protocol::Tcp, 444, Err(PrivilegedPort)),
        (Protocol::Tcp, 1023, Err(PrivilegedPort)),
        (Protocol::Tcp, 1024, Ok(())),
        (Protocol::Tcp, 65_535, Ok(())),
    ];
    let ip: IpAddr = "192.0.2.1".parse().unwrap();
    let mut policy = RemotePolicy::default();
    for (protocol, port, expected) in table {
        let result = policy.admits(SocketAddr::new(ip, port), protocol, []);
        assert_eq!(result, expected, "{protocol} {port}");
    }
    policy.tcp_ports = vec![22];
    let tcp = |port| policy.admits(SocketAddr::new(ip, port), Protocol::Tcp, []);
    assert_eq!((tcp(22), tcp(443)), (Ok(()), Err(PrivilegedPort)));
    assert_eq!(policy.admits_ip(ip, []), Ok(()), "of an active candidate the port means nothing");
}

#[test]
fn prefixes_are_read() {
    let prefix = |text: &str| text.parse::<Prefix>();
    for text in ["192.0.2.0/24", "0.0.0.0/0", "::/0", "2001:db8::/32", "192.0.2.1/32"] {
        assert_eq!(prefix(text).unwrap().to_string(), text);
    }
    assert_eq!(prefix("192.0.2.1"), prefix("192.0.2.1/32"));
    for wrong in ["", "/", "192.0.2.0/33", "::/129", "192.0.2.0/", "192.0.2.0/+8", "a/8", "1/8"] {
        assert!(prefix(wrong).is_err(), "{wrong:?}");
    }
    let network = prefix("192.0.2.129/25").unwrap();
    let has = |ip: &str| network.contains(ip.parse().unwrap());
    assert!(has("192.0.2.128") && has("192.0.2.255") && has("::ffff:192.0.2.200"));
    assert!(!has("192.0.2.127") && !has("::c000:281"));
}

#[test]
fn every_reason_has_a_word_of_its_own() {
    let words: std::collections::BTreeSet<_> =
        AddressRefusal::ALL.iter().map(|refusal| refusal.word()).collect();
    assert_eq!(words.len(), AddressRefusal::ALL.len());
}
