use proptest::prelude::*;

use super::*;

fn parse(line: &str) -> Candidate {
    line.parse().unwrap_or_else(|error| panic!("{line:?}: {error}"))
}

/// Each line is canonical: it is printed as it was read.
#[test]
fn lines_are_printed_as_they_were_read() {
    for line in [
        "candidate:2 1 UDP 1694498815 192.0.2.3 45664 typ srflx raddr 203.0.113.141 rport 8998",
        "candidate:1 1 UDP 2130706431 10.0.1.1 8998 typ host",
        "candidate:+/az 256 UDP 1 2001:db8::1 0 typ host",
        "candidate:1 1 TCP 2128609279 10.0.1.1 9 typ host tcptype active",
        "candidate:2 1 TCP 2124414975 10.0.1.1 8998 typ host tcptype passive",
        "candidate:3 1 TCP 2120220671 10.0.1.1 8999 typ host tcptype so",
        "candidate:4 1 TCP 1671430143 192.0.2.3 9 typ srflx raddr 10.0.1.1 rport 9 tcptype active",
        "candidate:1 2 UDP 2147483647 192.0.2.1 65535 typ relay raddr :: rport 9 generation 0 ufrag ab+/",
        "candidate:9 1 UDP 77 1f4712db-ea17-4bcf-a596-105139dfd8bf.local 5000 typ host network-cost 999",
        "candidate:1 1 UDP 1 192.0.2.1 1 typ prflx raddr fe80::1 rport 5 empty  name value",
        "candidate:1 1 UDP 1 192.0.2.1 1 typ srflx raddr name.example rport 5",
        "candidate:1 1 UDP 1 192.0.2.1 1 typ srflx raddr 192.0.2.2",
        "candidate:1 1 UDP 1 192.0.2.1 1 typ srflx rport 7",
        "candidate:1 1 UDP 1 192.0.2.1 1 typ host tcptype active",
    ] {
        assert_eq!(parse(line).to_string(), line);
        assert_eq!(parse(&format!("a={line}\r\n")), parse(line));
    }
}

#[test]
fn other_notations_become_the_canonical_one() {
    for (line, canonical) in [
        (
            "candidate:1 001 udp 0000000005 2001:DB8:0::1 00080 TYP Host",
            "candidate:1 1 UDP 5 2001:db8::1 80 typ host",
        ),
        (
            "candidate:1 1 tcp 5 ::ffff:192.0.2.1 80 typ host Foo bar TCPTYPE Passive",
            "candidate:1 1 TCP 5 192.0.2.1 80 typ host tcptype passive Foo bar",
        ),
        (
            "candidate:1 1 Udp 5 192.0.2.1 80 typ srflx RADDR ::FFFF:10.0.0.1 RPORT 7\n",
            "candidate:1 1 UDP 5 192.0.2.1 80 typ srflx raddr 10.0.0.1 rport 7",
        ),
    ] {
        assert_eq!(parse(line).to_string(), canonical);
    }
}

#[test]
fn fields_go_where_they_belong() {
    let candidate = parse(
        "candidate:f 7 TCP 99 192.0.2.3 4 typ relay raddr 192.0.2.9 rport 5 a 1 tcptype so a 2",
    );
    assert_eq!(candidate.foundation.as_str(), "f");
    assert_eq!(candidate.component.number(), 7);
    assert_eq!(candidate.address(), Some("192.0.2.3:4".parse().unwrap()));
    assert_eq!((candidate.priority, candidate.kind), (99, Kind::Relayed));
    assert_eq!(candidate.related, Some("192.0.2.9:5".parse().unwrap()));
    assert_eq!(candidate.tcp_type, Some(TcpType::SimultaneousOpen));
    assert_eq!(candidate.extensions, [("a".into(), "1".into()), ("a".into(), "2".into())]);
}

/// Every rule, the field that breaks it, and where (`^` marks the byte).
#[test]
fn each_rule_is_reported_with_its_field_and_place() {
    for (marked, field, rule) in [
        ("^", Field::Attribute, Rule::Prefix),
        ("a=^candidate", Field::Attribute, Rule::Prefix),
        ("^Candidate:1 1 UDP 1 192.0.2.1 1 typ host", Field::Attribute, Rule::Prefix),
        ("candidate:^", Field::Foundation, Rule::Missing),
        ("candidate:^ 1 1 UDP 1 192.0.2.1 1 typ host", Field::Foundation, Rule::Missing),
        ("candidate:^f-1 1 UDP 1 192.0.2.1 1 typ host", Field::Foundation, Rule::IceChars),
        ("candidate:1^", Field::Component, Rule::Missing),
        ("candidate:1 ^", Field::Component, Rule::Missing),
        ("candidate:1 ^ 1 UDP 1 192.0.2.1 1 typ host", Field::Component, Rule::Missing),
        ("candidate:1 ^0 UDP 1 192.0.2.1 1 typ host", Field::Component, Rule::ComponentRange),
        ("candidate:1 ^257 UDP 1 192.0.2.1 1 typ host", Field::Component, Rule::ComponentRange),
        ("candidate:1 ^0001 UDP 1 192.0.2.1 1 typ host", Field::Component, Rule::ComponentRange),
        ("candidate:1 ^+1 UDP 1 192.0.2.1 1 typ host", Field::Component, Rule::ComponentRange),
        ("candidate:1 1 ^SCTP 1 192.0.2.1 1 typ host", Field::Transport, Rule::UnknownTransport),
        ("candidate:1 1 ^U/DP 1 192.0.2.1 1 typ host", Field::Transport, Rule::Token),
        ("candidate:1 1 UDP ^0 192.0.2.1 1 typ host", Field::Priority, Rule::PriorityRange),
        (
            "candidate:1 1 UDP ^2147483648 192.0.2.1 1 typ host",
            Field::Priority,
            Rule::PriorityRange,
        ),
        (
            "candidate:1 1 UDP ^99999999999 192.0.2.1 1 typ host",
            Field::Priority,
            Rule::PriorityRange,
        ),
        ("candidate:1 1 UDP ^-1 192.0.2.1 1 typ host", Field::Priority, Rule::PriorityRange),
        ("candidate:1 1 UDP 1 ^256.0.2.1 1 typ host", Field::Address, Rule::Address),
        ("candidate:1 1 UDP 1 ^192.0.2.01 1 typ host", Field::Address, Rule::Address),
        ("candidate:1 1 UDP 1 ^fe80::1%eth0 1 typ host", Field::Address, Rule::Address),
        ("candidate:1 1 UDP 1 ^[::1] 1 typ host", Field::Address, Rule::Address),
        ("candidate:1 1 UDP 1 ^näme.local 1 typ host", Field::Address, Rule::Address),
        ("candidate:1 1 UDP 1 192.0.2.1 ^65536 typ host", Field::Port, Rule::PortRange),
        ("candidate:1 1 UDP 1 192.0.2.1 ^http typ host", Field::Port, Rule::PortRange),
        ("candidate:1 1 UDP 1 192.0.2.1 1^", Field::Type, Rule::Missing),
        ("candidate:1 1 UDP 1 192.0.2.1 1 ^host", Field::Type, Rule::TypKeyword),
        ("candidate:1 1 UDP 1 192.0.2.1 1 typ^", Field::Type, Rule::Missing),
        ("candidate:1 1 UDP 1 192.0.2.1 1 typ ^assisted", Field::Type, Rule::UnknownType),
        ("candidate:1 1 UDP 1 192.0.2.1 1 typ ^h@st", Field::Type, Rule::Token),
        ("candidate:1 1 UDP 1 192.0.2.1 1 typ host ^", Field::ExtensionName, Rule::Missing),
        ("candidate:1 1 UDP 1 192.0.2.1 1 typ srflx raddr^", Field::RelatedAddress, Rule::Missing),
        (
            "candidate:1 1 UDP 1 192.0.2.1 1 typ srflx raddr ^1.2.3",
            Field::RelatedAddress,
            Rule::Address,
        ),
        (
            "candidate:1 1 UDP 1 192.0.2.1 1 typ srflx raddr :: rport^",
            Field::RelatedPort,
            Rule::Missing,
        ),
        (
            "candidate:1 1 UDP 1 192.0.2.1 1 typ srflx raddr :: rport ^x",
            Field::RelatedPort,
            Rule::PortRange,
        ),
        ("candidate:1 1 UDP 1 192.0.2.1 1 typ host name^", Field::ExtensionValue, Rule::Missing),
        ("candidate:1 1 UDP 1 192.0.2.1 1 typ host ^n@me value", Field::ExtensionName, Rule::Token),
        (
            "candidate:1 1 UDP 1 192.0.2.1 1 typ host name ^välue",
            Field::ExtensionValue,
            Rule::Visible,
        ),
        (
            "candidate:1 1 UDP 1 192.0.2.1 1 typ host name ^a\r\nb",
            Field::ExtensionValue,
            Rule::Visible,
        ),
        ("candidate:1 1 TCP 1 192.0.2.1 1 typ host^", Field::TcpType, Rule::NeedsTcpType),
        (
            "candidate:1 1 TCP 1 192.0.2.1 1 typ host tcptype ^half",
            Field::TcpType,
            Rule::UnknownTcpType,
        ),
        ("candidate:1 1 TCP 1 192.0.2.1 1 typ host tcptype ^", Field::TcpType, Rule::Token),
        (
            "candidate:1 1 TCP 1 192.0.2.1 1 typ host tcptype so ^tcptype so",
            Field::TcpType,
            Rule::Twice,
        ),
    ] {
        let position = marked.find('^').unwrap();
        let error = marked.replacen('^', "", 1).parse::<Candidate>().unwrap_err();
        assert_eq!(error, CandidateError { field, position, rule }, "{marked}");
    }
}

#[test]
fn errors_are_sentences() {
    let error = "candidate:1 1 UDP 0 192.0.2.1 1 typ host".parse::<Candidate>().unwrap_err();
    let expected = "candidate line, byte 18: priority must be a number from 1 to 2147483647";
    assert_eq!(error.to_string(), expected);
    assert!(!error.is_unsupported());
    let error = "candidate:1 1 SCTP 1 192.0.2.1 1 typ host".parse::<Candidate>().unwrap_err();
    assert!(error.is_unsupported());
}

#[test]
fn a_line_has_at_most_1024_bytes() {
    let start = "candidate:1 1 UDP 1 192.0.2.1 1 typ host x ";
    let longest = format!("{start}{}", "v".repeat(MAX_LINE - start.len()));
    assert_eq!(parse(&longest).to_string(), longest);
    let error = format!("{longest}v").parse::<Candidate>().unwrap_err();
    assert_eq!((error.field, error.rule), (Field::Line, Rule::TooLong));
    let name = "n".repeat(MAX_NAME + 1);
    let error = format!("candidate:1 1 UDP 1 {name} 1 typ host").parse::<Candidate>().unwrap_err();
    assert_eq!((error.field, error.rule), (Field::Address, Rule::Address));
}

prop_compose! {
    fn any_ip()(ip: IpAddr) -> IpAddr { ip.to_canonical() }
}

prop_compose! {
    fn any_related()(ip in any_ip(), port: u16) -> SocketAddr { SocketAddr::new(ip, port) }
}

fn any_host() -> impl Strategy<Value = Host> {
    prop_oneof![
        any_ip().prop_map(Host::Ip),
        "[a-z][a-z0-9.-]{0,60}".prop_map(|name| Host::Name(name.into())),
    ]
}

fn any_kind() -> impl Strategy<Value = Kind> {
    use Kind::{Host, PeerReflexive, Relayed, ServerReflexive};
    prop::sample::select(vec![Host, ServerReflexive, PeerReflexive, Relayed])
}

fn any_transport() -> impl Strategy<Value = (Protocol, Option<TcpType>)> {
    prop::sample::select(vec![
        (Protocol::Udp, None),
        (Protocol::Tcp, Some(TcpType::Active)),
        (Protocol::Tcp, Some(TcpType::Passive)),
        (Protocol::Tcp, Some(TcpType::SimultaneousOpen)),
    ])
}

prop_compose! {
    fn any_candidate()(
        foundation in "[a-zA-Z0-9+/]{1,32}",
        component in 1u16..=256,
        (protocol, tcp_type) in any_transport(),
        priority in 1..=MAX_PRIORITY,
        host in any_host(),
        port: u16,
        kind in any_kind(),
        related in prop::option::of(any_related()),
        extensions in prop::collection::vec(("x[a-zA-Z0-9.!%*_+`'~-]{0,8}", "[!-~]{0,8}"), 0..5),
    ) -> Candidate {
        Candidate {
            foundation: Foundation::new(&foundation).unwrap(),
            component: ComponentId::new(component).unwrap(),
            protocol, priority, host, port, kind, related, tcp_type,
            extensions: extensions.into_iter().map(|(n, v)| (n.into(), v.into())).collect(),
        }
    }
}

proptest! {
    #[test]
    fn what_is_printed_is_read_back(candidate in any_candidate()) {
        prop_assert_eq!(parse(&candidate.to_string()), candidate);
    }

    #[test]
    fn any_text_is_read_or_refused(line in "\\PC{0,200}") {
        let _ = line.parse::<Candidate>();
    }

    /// Mutations of a good line reach deeper than noise does.
    #[test]
    fn a_damaged_line_is_read_or_refused_at_a_place_within_it(
        candidate in any_candidate(), at: prop::sample::Index, damage in "[ -~äß]{0,3}",
    ) {
        let mut line = candidate.to_string();
        let start = at.index(line.len());
        line.replace_range(start..(start + damage.len()).min(line.len()), &damage);
        match line.parse::<Candidate>() {
            Ok(read) => prop_assert_eq!(parse(&read.to_string()), read),
            Err(error) => prop_assert!(error.position <= line.len()),
        }
    }
}
