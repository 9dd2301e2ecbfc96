use super::*;

/// `interface/ip[/prefix] [flags]`, flags out of `temporary`, `stable`,
/// `deprecated`, `current`.
fn local(text: &str) -> LocalAddress {
    let mut words = text.split(' ');
    let mut parts = words.next().unwrap().split('/');
    let interface = parts.next().unwrap();
    let ip = parts.next().unwrap().parse().unwrap();
    let mut address = LocalAddress {
        ip,
        interface: interface.into(),
        index: interface.bytes().map(u32::from).sum(),
        prefix: parts.next().map(|len| len.parse().unwrap()),
        temporary: None,
        deprecated: None,
    };
    for word in words {
        match word {
            "temporary" => address.temporary = Some(true),
            "stable" => address.temporary = Some(false),
            "deprecated" => address.deprecated = Some(true),
            "current" => address.deprecated = Some(false),
            _ => panic!("unknown flag {word}"),
        }
    }
    address
}

fn order(texts: &[&str], rules: &AddressRules) -> Vec<String> {
    let addresses: Vec<_> = texts.iter().map(|text| local(text)).collect();
    qualify(&addresses, rules).iter().map(|r| r.address.ip.to_string()).collect()
}

fn by_default(texts: &[&str]) -> Vec<String> {
    order(texts, &AddressRules::default())
}

const WITH_LOOPBACK: AddressRules = AddressRules { include_loopback: true, ipv4: true, ipv6: true };

#[test]
fn loopback_only_when_asked_for_or_alone() {
    let all = ["lo/127.0.0.1/8", "lo/::1/128", "eth0/192.0.2.1/24"];
    assert_eq!(by_default(&all), ["192.0.2.1"]);
    assert_eq!(order(&all, &WITH_LOOPBACK), ["192.0.2.1", "::1", "127.0.0.1"]);
    assert_eq!(by_default(&all[..2]), ["::1", "127.0.0.1"]);
    let ipv4 = AddressRules { ipv6: false, ..AddressRules::default() };
    assert_eq!(order(&all[..2], &ipv4), ["127.0.0.1"]);
}

#[test]
fn another_address_of_a_loopback_interface_counts_as_loopback() {
    let all = ["lo/127.0.0.1/8", "lo/10.255.255.254/32", "eth0/192.0.2.1/24"];
    assert_eq!(by_default(&all), ["192.0.2.1"]);
    assert_eq!(order(&all, &WITH_LOOPBACK), ["192.0.2.1", "127.0.0.1", "10.255.255.254"]);
    let mut unnamed = all.map(local);
    for address in &mut unnamed {
        (address.interface, address.index) = ("".into(), 0);
    }
    assert_eq!(qualify(&unnamed, &AddressRules::default()).len(), 2);
}

#[test]
fn addresses_that_nothing_can_reach_never_qualify() {
    let unusable = [
        "eth0/0.0.0.0",
        "eth0/224.0.0.1",
        "eth0/255.255.255.255",
        "eth0/::",
        "eth0/ff02::1",
        "eth0/fec0::1",
        "eth0/feff::1",
        "eth0/::192.0.2.1",
        "eth0/::ffff:192.0.2.1",
    ];
    assert_eq!(order(&unusable, &WITH_LOOPBACK), [""; 0]);
    assert_eq!(by_default(&["eth0/fe80::1", "eth0/fc00::1"]), ["fc00::1", "fe80::1"]);
}

#[test]
fn families_are_switched_off() {
    let both = ["eth0/2001:db8::1/64", "eth0/192.0.2.1/24"];
    assert_eq!(by_default(&both), ["2001:db8::1", "192.0.2.1"]);
    for (ipv4, ipv6, expected) in [(true, false, "192.0.2.1"), (false, true, "2001:db8::1")] {
        let rules = AddressRules { include_loopback: false, ipv4, ipv6 };
        assert_eq!(order(&both, &rules), [expected]);
    }
}

#[test]
fn a_temporary_address_hides_the_stable_one_of_its_prefix_and_link_local() {
    let all = [
        "eth0/2001:db8:0:1::1/64 stable",
        "eth0/2001:db8:0:1:abcd::1/64 temporary",
        "eth0/2001:db8:0:2::1/64 stable",
        "eth1/2001:db8:0:1::2/64 stable",
        "eth0/fe80::1/64 stable",
        "eth1/fe80::2/64 stable",
    ];
    assert_eq!(by_default(&all), ["2001:db8:0:1:abcd::1", "2001:db8:0:1::2", "2001:db8:0:2::1"]);
}

#[test]
fn a_flag_that_is_unknown_hides_nothing() {
    let all = ["eth0/2001:db8::1/64", "eth0/2001:db8::2/64", "eth0/fe80::1/64"];
    assert_eq!(by_default(&all), ["2001:db8::1", "2001:db8::2", "fe80::1"]);
    let half = ["eth0/2001:db8::1/64", "eth0/2001:db8::2/64 temporary"];
    assert_eq!(by_default(&half), ["2001:db8::2", "2001:db8::1"]);
}

#[test]
fn an_unknown_prefix_counts_as_64_bits() {
    let all =
        ["eth0/2001:db8::1 stable", "eth0/2001:db8::2 temporary", "eth0/2001:db8:0:1::1 stable"];
    assert_eq!(by_default(&all), ["2001:db8::2", "2001:db8:0:1::1"]);
}

#[test]
fn a_prefix_of_any_length_is_compared() {
    for len in [0, 1, 127, 128, 255] {
        let stable = format!("eth0/2001:db8::1/{len} stable");
        let temporary = format!("eth0/2001:db8::2/{len} temporary");
        let kept = by_default(&[&stable, &temporary]);
        assert_eq!(kept.len(), if len >= 127 { 2 } else { 1 }, "{len}: {kept:?}");
    }
}

#[test]
fn deprecated_only_where_nothing_else_reaches_as_far() {
    let all = [
        "eth0/2001:db8::1/64 deprecated",
        "eth0/2001:db8::2/64 current",
        "eth0/fe80::1/64 current",
        "eth0/192.0.2.1/24",
    ];
    assert_eq!(by_default(&all), ["2001:db8::2", "192.0.2.1", "fe80::1"]);
    let alone = [all[0], all[2], all[3]];
    assert_eq!(by_default(&alone), ["2001:db8::1", "192.0.2.1", "fe80::1"]);
}

#[test]
fn a_deprecated_temporary_address_hides_nothing() {
    let all = ["eth0/2001:db8::1/64 temporary deprecated", "eth0/2001:db8::2/64 stable current"];
    assert_eq!(by_default(&all), ["2001:db8::2"]);
}

#[test]
fn families_and_interfaces_take_turns() {
    let all = [
        "eth0/2001:db8:a::1",
        "eth0/2001:db8:a::2",
        "eth0/2001:db8:a::3",
        "eth1/2001:db8:b::1",
        "eth0/fd00::1",
        "eth0/192.0.2.1",
        "eth1/198.51.100.1",
        "eth1/169.254.1.1",
    ];
    let expected = [
        "2001:db8:a::1",
        "2001:db8:b::1",
        "2001:db8:a::2",
        "192.0.2.1",
        "2001:db8:a::3",
        "fd00::1",
        "198.51.100.1",
        "169.254.1.1",
    ];
    assert_eq!(by_default(&all), expected);
}

#[test]
fn the_only_address_of_the_other_family_waits_for_three_at_most() {
    let mut all: Vec<String> = (1..=20).map(|n| format!("eth0/2001:db8::{n}")).collect();
    all.push("eth0/192.0.2.1".into());
    let all: Vec<_> = all.iter().map(String::as_str).collect();
    assert_eq!(by_default(&all)[3], "192.0.2.1");
}

#[test]
fn preferences_are_unique_and_leave_room_between() {
    let all: Vec<_> =
        (0..300).map(|n| local(&format!("eth0/10.0.{}.{}", n / 250, n % 250))).collect();
    let ranked = qualify(&all, &AddressRules::default());
    assert_eq!(ranked.len(), Ranked::MAX);
    assert_eq!(ranked[0].local_preference, u16::MAX);
    for pair in ranked.windows(2) {
        assert_eq!(pair[0].local_preference - pair[1].local_preference, Ranked::STEP);
    }
    let lowest = ranked.last().unwrap().local_preference;
    assert!(u16::MAX - lowest <= crate::candidate::MAX_OTHER_PREFERENCE);
}

#[test]
fn an_address_listed_twice_qualifies_once() {
    let all = ["eth0/192.0.2.1", "eth1/192.0.2.1", "eth0/fe80::1", "eth1/fe80::1", "eth1/fe80::1"];
    assert_eq!(by_default(&all), ["192.0.2.1", "fe80::1", "fe80::1"]);
}

#[test]
fn an_interface_has_its_temporary_addresses_first() {
    let all = [
        "eth0/2001:db8:a::1/64 stable",
        "eth0/2001:db8:b::1/64 temporary",
        "eth1/2001:db8:c::1/64 stable",
        "eth1/2001:db8:d::1/64 temporary",
    ];
    let expected = ["2001:db8:b::1", "2001:db8:d::1", "2001:db8:a::1", "2001:db8:c::1"];
    assert_eq!(by_default(&all), expected);
}

#[test]
fn reflexive_candidates_of_neighbours_do_not_share_a_preference() {
    let all = [local("eth0/192.0.2.1"), local("eth1/198.51.100.1")];
    let ranked = qualify(&all, &AddressRules::default());
    let servers = 0..usize::from(Ranked::STEP);
    let preferences: BTreeSet<_> = ranked
        .iter()
        .flat_map(|r| servers.clone().map(|s| Ranked::reflexive_preference(r.local_preference, s)))
        .collect();
    assert_eq!(preferences.len(), 2 * usize::from(Ranked::STEP));
    assert_eq!(Ranked::reflexive_preference(10, usize::MAX), 0);
    assert_eq!(Ranked::reflexive_preference(u16::MAX, 0), u16::MAX);
}
