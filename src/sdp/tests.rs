use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::candidate;

const UFRAG: &str = "a=ice-ufrag:8hhY\r\n";
const PWD: &str = "a=ice-pwd:asd88fgpdd777uzjYhagZg\r\n";

/// RFC 8839, appendix A: the offer, unfolded.
const OFFER: &str = "v=0\r
o=jdoe 2890844526 2890842807 IN IP6 fe80::6676:baff:fe9c:ee4a\r
s=\r
c=IN IP6 2001:db8:8101:3a55:4858:a2a9:22ff:99b9\r
t=0 0\r
a=ice-options:ice2\r
a=ice-pacing:50\r
a=ice-pwd:asd88fgpdd777uzjYhagZg\r
a=ice-ufrag:8hhY\r
m=audio 45664 RTP/AVP 0\r
b=RS:0\r
b=RR:0\r
a=rtpmap:0 PCMU/8000\r
a=candidate:1 1 UDP 2130706431 fe80::6676:baff:fe9c:ee4a 8998 typ host\r
a=candidate:2 1 UDP 1694498815 2001:db8:8101:3a55:4858:a2a9:22ff:99b9 45664 typ srflx raddr fe80::6676:baff:fe9c:ee4a rport 8998\r
";

/// RFC 8839, appendix A: the answer.
const ANSWER: &str = "v=0
o=bob 2808844564 2808844564 IN IP4 192.0.2.1
s=
c=IN IP4 192.0.2.1
t=0 0
a=ice-options:ice2
a=ice-pacing:50
a=ice-pwd:YH75Fviy6338Vbrhrlp8Yh
a=ice-ufrag:9uB6
m=audio 3478 RTP/AVP 0
b=RS:0
b=RR:0
a=rtpmap:0 PCMU/8000
a=candidate:1 1 UDP 2130706431 192.0.2.1 3478 typ host
";

fn read(text: &str) -> Description {
    text.parse().unwrap_or_else(|error| panic!("{error}\n{text}"))
}

fn error(text: &str) -> SdpError {
    text.parse::<Description>().expect_err(text)
}

/// The only section of a description that starts with credentials.
fn section(lines: &str) -> MediaSection {
    let mut sections = read(&[UFRAG, PWD, lines].concat()).sections;
    assert_eq!(sections.len(), 1, "{lines}");
    sections.remove(0)
}

#[test]
fn the_examples_of_the_rfc_are_read() {
    for (text, ufrag, pwd, port, candidates) in [
        (OFFER, "8hhY", "asd88fgpdd777uzjYhagZg", 45_664, 2),
        (ANSWER, "9uB6", "YH75Fviy6338Vbrhrlp8Yh", 3_478, 1),
    ] {
        let section = &read(text).sections[0];
        let parameters = section.ice.remote_parameters().unwrap();
        assert_eq!(*parameters.credentials.ufrag, *ufrag);
        assert_eq!(*parameters.credentials.pwd, *pwd);
        assert_eq!(parameters.pacing, Duration::from_millis(50));
        assert_eq!(parameters.options, ["ice2".into()]);
        assert!(!parameters.lite);
        assert_eq!((&*section.media, section.port, &*section.protocol), ("audio", port, "RTP/AVP"));
        assert_eq!(section.ice.candidates.len(), candidates);
        assert_eq!(section.ice_support(), IceSupport::Proceed);
        let default = DefaultDestination::choose(&section.ice.candidates, ComponentId::ONE);
        assert_eq!(Some(Host::Ip(default.ip)), section.connection);
        assert_eq!(default.port, port);
        assert!(text.contains(&default.connection_line()), "{}", default.connection_line());
    }
}

#[test]
fn a_full_agent_names_ice2_and_its_pacing_and_is_not_lite() {
    let credentials = read(OFFER).sections[0].ice.credentials.clone().unwrap();
    let mut ice = IceAttributes::new(credentials);
    ice.pacing = Some(Duration::from_millis(50));
    assert_eq!(ice.session_lines().to_string(), "a=ice-pacing:50\r\n");
    assert_eq!(ice.to_string(), [UFRAG, PWD, "a=ice-options:ice2 trickle\r\n"].concat());
    assert!(ice.has_option("ice2") && ice.has_option("trickle") && !ice.has_option("ICE2"));
}

#[test]
fn a_lite_agent_says_so_and_names_no_pacing() {
    let session = "a=ice-lite\r\na=ice-pacing:20\r\n";
    let ice = section(&[session, "m=audio 9 RTP/AVP 0\r\n"].concat()).ice;
    assert!(ice.lite && ice.remote_parameters().unwrap().lite);
    assert_eq!(ice.session_lines().to_string(), "a=ice-lite\r\n");
}

#[test]
fn a_section_has_what_the_session_has_unless_it_says_otherwise() {
    let text = [
        "a=ice-options:ice2 trickle\r\na=ice-pacing:20\r\nc=IN IP4 192.0.2.9\r\n",
        UFRAG,
        PWD,
        "m=audio 9 RTP/AVP 0\r\na=mid:first\r\n",
        "m=video 9/2 RTP/AVP 96 97\r\nc=IN IP6 2001:db8::1\r\na=mid:second\r\n",
        "a=ice-ufrag:0000\r\na=ice-pwd:0000000000000000000000\r\n",
        "a=ice-options:trickle renomination\r\na=end-of-candidates\r\n",
    ]
    .concat();
    let [first, second] = &read(&text).sections[..] else { panic!("two sections") };
    let options = |section: &MediaSection| section.ice.options.join(" ");
    assert_eq!(*first.ice.credentials.as_ref().unwrap().ufrag, *"8hhY");
    assert_eq!(options(first), "ice2 trickle");
    assert!(!first.ice.end_of_candidates);
    assert_eq!(first.connection, Some(Host::Ip("192.0.2.9".parse().unwrap())));
    assert_eq!(*second.ice.credentials.as_ref().unwrap().ufrag, *"0000");
    assert_eq!(options(second), "ice2 trickle renomination");
    assert!(second.ice.end_of_candidates);
    assert_eq!(second.connection, Some(Host::Ip("2001:db8::1".parse().unwrap())));
    assert_eq!((second.port, &*second.formats), (9, "96 97"));
    for section in [first, second] {
        assert_eq!(section.ice.pacing, Some(Duration::from_millis(20)));
    }
    assert_eq!(second.mid.as_deref(), Some("second"));
}

#[test]
fn half_of_the_credentials_may_stand_in_the_session() {
    let text = [UFRAG, "m=audio 9 RTP/AVP 0\r\n", PWD].concat();
    let credentials = read(&text).sections[0].ice.credentials.clone().unwrap();
    assert_eq!((&*credentials.ufrag, &*credentials.pwd), ("8hhY", "asd88fgpdd777uzjYhagZg"));
}

#[test]
fn without_credentials_there_is_no_ice() {
    let section = &read("v=0\r\nm=audio 9 RTP/AVP 0\r\nc=IN IP4 192.0.2.1\r\n").sections[0];
    assert_eq!(section.ice.remote_parameters(), None);
    assert_eq!(section.ice_support(), IceSupport::Unsupported);
}

/// RFC 8839 §4.3.1: they come later, or are peer-reflexive.
#[test]
fn a_section_without_candidates_is_valid() {
    for connection in ["IN IP4 0.0.0.0", "IN IP6 ::"] {
        let section = section(&format!("m=audio 9 RTP/AVP 0\r\nc={connection}\r\n"));
        assert_eq!(section.ice_support(), IceSupport::Proceed);
        assert!(section.ice.candidates.is_empty() && !section.ice.end_of_candidates);
    }
}

#[test]
fn without_pacing_it_is_50_ms() {
    let ice = section("m=audio 9 RTP/AVP 0\r\n").ice;
    assert_eq!(ice.remote_parameters().unwrap().pacing, Duration::from_millis(50));
    assert!(!ice.has_option("ice2"));
}

#[test]
fn candidates_of_unknown_kinds_are_ignored_and_counted() {
    let ice = section(
        "m=audio 9 RTP/AVP 0\r\n\
         a=candidate:1 1 SCTP 1 192.0.2.1 1 typ host\r\n\
         a=candidate:2 1 UDP 1 192.0.2.1 2 typ host\r\n\
         a=candidate:3 1 UDP 1 192.0.2.1 3 typ assisted\r\n\
         a=candidate:4 1 TCP 1 192.0.2.1 4 typ host tcptype half\r\n\
         a=candidate:5 1 UDP 1 host.example 5 typ host\r\n",
    )
    .ice;
    assert_eq!(ice.ignored_candidates, 3);
    let ports: Vec<_> = ice.candidates.iter().map(|candidate| candidate.port).collect();
    assert_eq!(ports, [2, 5]);
}

#[test]
fn what_is_not_of_ice_is_passed_over_at_any_length() {
    let long = "x".repeat(100_000);
    let text = format!(
        "v=0\n\ni={long}\nk=clear:ä\na=fingerprint:{long}\na=ice-lite:{long}\na=mid:session\n\
         a=candidates\n{UFRAG}{PWD}m=audio 9 RTP/AVP 0\na={long}\na=Ice-ufrag:no\nc=TN RFC2543 +1\n"
    );
    let section = &read(&text).sections[0];
    assert!(section.ice.credentials.is_some());
    assert_eq!(
        (section.mid.as_deref(), &section.connection, section.ice.lite),
        (None, &None, false)
    );
}

#[test]
fn the_selected_remote_candidates_are_named_for_each_component() {
    let line = "a=remote-candidates:1 192.0.2.3 45664 2 2001:db8::1 45665\r\n";
    let ice = section(&["m=audio 9 RTP/AVP 0\r\n", line].concat()).ice;
    let components: Vec<_> = ice.remote_candidates.iter().map(|r| r.component.number()).collect();
    assert_eq!(components, [1, 2]);
    assert!(ice.to_string().ends_with(line), "{ice}");
    // RFC 8839 §5.2 shows a line for each.
    let lines = "m=audio 9 RTP/AVP 0\r\na=remote-candidates:1 192.0.2.3 45664\r\n\
                 a=remote-candidates:2 2001:db8::1 45665\r\n";
    assert_eq!(section(lines).ice.remote_candidates, ice.remote_candidates);
}

#[test]
fn with_ice_mismatch_no_candidates_are_sent() {
    let lines = "m=audio 9 RTP/AVP 0\r\na=ice-mismatch\r\n\
                 a=candidate:2 1 UDP 1 192.0.2.1 2 typ host\r\n";
    let section = section(lines);
    assert_eq!(section.ice_support(), IceSupport::RefusedByPeer);
    assert_eq!(section.ice.to_string(), [UFRAG, PWD, "a=ice-mismatch\r\n"].concat());
}

#[test]
fn the_default_destination_is_one_of_the_candidates() {
    let candidates = "a=candidate:1 1 UDP 9 192.0.2.1 5000 typ host\r\n\
                      a=candidate:1 2 UDP 8 192.0.2.1 5001 typ host\r\n\
                      a=candidate:2 1 TCP 7 192.0.2.1 9 typ host tcptype active\r\n";
    let rtcp = ComponentId::new(2).unwrap();
    let proceed = IceSupport::Proceed;
    for (connection, port, protocol, more, support) in [
        ("IN IP4 192.0.2.1", 5000, "RTP/AVP", "", proceed),
        ("IN IP4 192.0.2.2", 5000, "RTP/AVP", "", IceSupport::Mismatch(ComponentId::ONE)),
        ("IN IP4 192.0.2.1", 5002, "RTP/AVP", "", IceSupport::Mismatch(ComponentId::ONE)),
        ("IN IP4 192.0.2.1", 5001, "RTP/AVP", "", IceSupport::Mismatch(ComponentId::ONE)),
        ("IN IP4 192.0.2.1", 5000, "TCP/RTP/AVP", "", IceSupport::Mismatch(ComponentId::ONE)),
        ("IN IP4 192.0.2.1", 9, "tcp/RTP/AVP", "a=rtcp-mux\r\n", proceed),
        ("IN IP4 192.0.2.1", 0, "RTP/AVP", "", proceed),
        ("IN IP4 192.0.2.1/127", 5000, "RTP/AVP", "", proceed),
        // RFC 8839 §4.2.5, items 2 and 4.
        ("IN IP4 0.0.0.0", 9, "RTP/AVP", "", proceed),
        ("IN IP6 ::", 9, "RTP/AVP", "", proceed),
        ("IN IP4 0.0.0.0", 10, "RTP/AVP", "", IceSupport::Mismatch(ComponentId::ONE)),
        ("IN IP4 host.example", 7, "RTP/AVP", "", proceed),
        // RTCP.
        ("IN IP4 192.0.2.1", 5000, "RTP/AVP", "a=rtcp:5001\r\n", proceed),
        ("IN IP4 192.0.2.1", 5000, "RTP/AVP", "a=rtcp:5001 IN IP4 192.0.2.1\r\n", proceed),
        ("IN IP4 192.0.2.1", 5000, "RTP/AVP", "a=rtcp:9 IN IP4 0.0.0.0\r\n", proceed),
        ("IN IP4 192.0.2.1", 5000, "RTP/AVP", "a=rtcp:5000\r\na=rtcp-mux\r\n", proceed),
        ("IN IP4 192.0.2.1", 5000, "RTP/AVP", "a=rtcp:5002\r\n", IceSupport::Mismatch(rtcp)),
        (
            "IN IP4 192.0.2.1",
            5000,
            "RTP/AVP",
            "a=rtcp:5001 IN IP4 192.0.2.2\r\n",
            IceSupport::Mismatch(rtcp),
        ),
        // One that was ignored may be it.
        (
            "IN IP4 192.0.2.7",
            5000,
            "RTP/AVP",
            "a=candidate:1 1 SCTP 9 192.0.2.7 5000 typ host\r\n",
            proceed,
        ),
    ] {
        let lines = format!("m=audio {port} {protocol} 0\r\nc={connection}\r\n{candidates}{more}");
        assert_eq!(section(&lines).ice_support(), support, "{lines}");
    }
    let above = "m=audio 5000 RTP/AVP 0\r\nc=IN IP4 192.0.2.1\r\n\
                 a=candidate:1 1 UDP 9 192.0.2.1 5000 typ host\r\n\
                 a=candidate:1 2 UDP 8 192.0.2.1 5002 typ host\r\n";
    assert_eq!(section(above).ice_support(), IceSupport::Mismatch(rtcp));
    let muxed = [above, "a=rtcp-mux\r\n"].concat();
    assert_eq!(section(&muxed).ice_support(), proceed);
}

#[test]
fn the_default_is_what_works_most_likely_without_ice() {
    let parse = |line: &str| line.parse::<Candidate>().unwrap();
    let mut candidates = vec![
        parse("candidate:1 1 TCP 99 192.0.2.1 5000 typ relay raddr :: rport 9 tcptype passive"),
        parse("candidate:1 1 UDP 98 name.local 5000 typ relay"),
        parse("candidate:1 2 UDP 97 192.0.2.1 5003 typ relay"),
    ];
    let choose =
        |candidates: &[Candidate]| DefaultDestination::choose(candidates, ComponentId::ONE);
    assert_eq!(
        (choose(&candidates).port, choose(&candidates).protocol),
        (5000, candidates[0].protocol)
    );
    for line in [
        "candidate:1 1 UDP 10 192.0.2.1 5010 typ host",
        "candidate:1 1 UDP 11 192.0.2.1 5011 typ host",
        "candidate:1 1 UDP 9 192.0.2.1 5009 typ srflx raddr :: rport 9",
        "candidate:1 1 UDP 8 192.0.2.1 5008 typ relay raddr :: rport 9",
    ] {
        candidates.insert(0, parse(line));
        let port = candidates[0].port;
        assert_eq!(choose(&candidates).port, port, "{line}");
    }
    assert_eq!(choose(&[]), DefaultDestination::UNKNOWN_V4);
    assert_eq!(DefaultDestination::UNKNOWN_V6.connection_line(), "c=IN IP6 ::");
    assert_eq!(DefaultDestination::UNKNOWN_V4.rtcp_line(), "a=rtcp:9 IN IP4 0.0.0.0");
}

#[test]
fn a_restart_changes_fragment_and_password() {
    let credentials = |ufrag: &str, pwd: &str| Credentials { ufrag: ufrag.into(), pwd: pwd.into() };
    let ice = |credentials| IceAttributes { credentials, ..IceAttributes::default() };
    let old = credentials("8hhY", "asd88fgpdd777uzjYhagZg");
    for (new, change) in [
        (Some(old.clone()), CredentialsChange::Unchanged),
        (Some(credentials("9uB6", "YH75Fviy6338Vbrhrlp8Yh")), CredentialsChange::Restart),
        (Some(credentials("9uB6", &old.pwd)), CredentialsChange::OnlyOne),
        (Some(credentials(&old.ufrag, "YH75Fviy6338Vbrhrlp8Yh")), CredentialsChange::OnlyOne),
        (None, CredentialsChange::Gone),
    ] {
        assert_eq!(ice(new.clone()).credentials_change(Some(&old)), change, "{new:?}");
    }
    assert_eq!(ice(Some(old)).credentials_change(None), CredentialsChange::Restart);
    assert_eq!(ice(None).credentials_change(None), CredentialsChange::Unchanged);
    // RFC 8839 §4.4.1.1.1: from the session to the section is no restart.
    let first = read(&[UFRAG, PWD, "m=audio 9 RTP/AVP 0\r\n"].concat());
    let second = read(&["m=audio 9 RTP/AVP 0\r\n", UFRAG, PWD].concat());
    let before = first.sections[0].ice.credentials.as_ref();
    let change = second.sections[0].ice.credentials_change(before);
    assert_eq!(change, CredentialsChange::Unchanged);
}

/// A body as RFC 8840 §9.2 has it: two sections, one of which is complete.
const BODY: &str = "a=ice-pacing:20\r
a=ice-ufrag:8hhY\r
a=ice-pwd:asd88fgpdd777uzjYhagZg\r
a=ice-options:ice2 trickle\r
m=audio 9 RTP/AVP 0\r
a=mid:1\r
a=candidate:1 1 UDP 2130706432 2001:db8:a0b:12f0::1 5000 typ host\r
a=candidate:1 2 UDP 2130706432 2001:db8:a0b:12f0::1 5001 typ host\r
a=end-of-candidates\r
m=audio 9 RTP/AVP 0\r
a=mid:2\r
a=ice-ufrag:9uB6\r
a=ice-pwd:YH75Fviy6338Vbrhrlp8Yh\r
a=candidate:2 1 UDP 1694498816 192.0.2.3 5010 typ srflx raddr 10.0.1.1 rport 8998\r
";

#[test]
fn a_fragment_is_printed_as_it_was_read() {
    let fragment: Fragment = BODY.parse().unwrap();
    assert_eq!(fragment.to_string(), BODY);
    let [first, second] = &fragment.sections[..] else { panic!("two sections") };
    assert_eq!(fragment.section("1"), Some(first));
    assert_eq!(first.ice.credentials, fragment.session.credentials);
    assert_ne!(second.ice.credentials, fragment.session.credentials);
    assert_eq!((first.ice.end_of_candidates, second.ice.end_of_candidates), (true, false));
    assert_eq!((first.ice.candidates.len(), second.ice.candidates.len()), (2, 1));
    assert_eq!(fragment.section("3"), None);
}

#[test]
fn the_end_of_a_session_ends_every_section() {
    let body = [UFRAG, PWD, "a=end-of-candidates\r\nm=audio 9 RTP/AVP 0\r\na=mid:1\r\n"].concat();
    let fragment: Fragment = body.parse().unwrap();
    assert!(fragment.session.end_of_candidates && fragment.sections[0].ice.end_of_candidates);
    assert_eq!(fragment.to_string(), body);
}

/// Every rule, the field that breaks it, and where (`^` marks the byte).
#[test]
fn each_rule_is_reported_with_its_field_and_place() {
    let long = |start: &str| format!("{start}{}^y", "x".repeat(candidate::MAX_LINE - start.len()));
    let m = "m=audio 9 RTP/AVP 0\n";
    for (marked, field, rule) in [
        ("v=0\n^novalue\n".to_owned(), Field::Line, Rule::LineForm),
        ("^1=0\n".to_owned(), Field::Line, Rule::LineForm),
        ("^ a=mid:1\n".to_owned(), Field::Line, Rule::LineForm),
        ("m=^\n".to_owned(), Field::Media, Rule::MediaForm),
        ("m=^aüdio 9 RTP/AVP 0\n".to_owned(), Field::Media, Rule::MediaForm),
        ("m=audio ^65536 RTP/AVP 0\n".to_owned(), Field::Media, Rule::MediaForm),
        ("m=audio 9 ^RTP//AVP 0\n".to_owned(), Field::Media, Rule::MediaForm),
        ("m=^audio 9 RTP/AVP\n".to_owned(), Field::Media, Rule::MediaForm),
        ("m=audio 9 RTP/AVP ^0\t1\n".to_owned(), Field::Media, Rule::MediaForm),
        (long("m=audio 9 RTP/AVP "), Field::Media, Rule::TooLong),
        ("c=^IN\n".to_owned(), Field::Connection, Rule::ConnectionForm),
        ("c=IN ^IP5 192.0.2.1\n".to_owned(), Field::Connection, Rule::ConnectionForm),
        ("c=IN IP4 ^192.0.2\n".to_owned(), Field::Connection, Rule::ConnectionForm),
        ("c=IN IP4 ^\n".to_owned(), Field::Connection, Rule::ConnectionForm),
        ("c=IN IP4 192.0.2.1 ^x\n".to_owned(), Field::Connection, Rule::ConnectionForm),
        ("a=ice-ufrag:^8hh\n".to_owned(), Field::Ufrag, Rule::Ufrag),
        ("a=ice-ufrag:^8hhY-\n".to_owned(), Field::Ufrag, Rule::Ufrag),
        (format!("a=ice-ufrag:^{}\n", "u".repeat(257)), Field::Ufrag, Rule::Ufrag),
        (format!("{UFRAG}a=^ice-ufrag:8hhY\n"), Field::Ufrag, Rule::Twice),
        (format!("a=^ice-ufrag:8hhY\n{m}"), Field::Ufrag, Rule::Alone),
        ("a=ice-pwd:^asd88fgpdd777uzjYhagZ\n".to_owned(), Field::Pwd, Rule::Pwd),
        (format!("{m}a=^ice-pwd:asd88fgpdd777uzjYhagZg\n"), Field::Pwd, Rule::Alone),
        ("a=ice-options:^\n".to_owned(), Field::Options, Rule::Options),
        ("a=ice-options:ice2 ^ trickle\n".to_owned(), Field::Options, Rule::Options),
        ("a=ice-options:ice2 ^tri/ckle\n".to_owned(), Field::Options, Rule::Options),
        (format!("a=ice-options:^{}\n", "o".repeat(65)), Field::Options, Rule::Options),
        ("a=ice-pacing:^\n".to_owned(), Field::Pacing, Rule::Pacing),
        ("a=ice-pacing:^-1\n".to_owned(), Field::Pacing, Rule::Pacing),
        ("a=ice-pacing:^12345678901\n".to_owned(), Field::Pacing, Rule::Pacing),
        ("a=ice-pacing:5\na=^ice-pacing:5\n".to_owned(), Field::Pacing, Rule::Twice),
        ("a=^candidate:\n".to_owned(), Field::Candidates, Rule::NotInSession),
        ("a=^remote-candidates:\n".to_owned(), Field::RemoteCandidates, Rule::NotInSession),
        (
            format!("{m}a=remote-candidates:^0 192.0.2.1 1\n"),
            Field::RemoteCandidates,
            Rule::RemoteCandidates,
        ),
        (
            format!("{m}a=remote-candidates:1 ^x/ 1\n"),
            Field::RemoteCandidates,
            Rule::RemoteCandidates,
        ),
        (
            format!("{m}a=remote-candidates:^1 192.0.2.1\n"),
            Field::RemoteCandidates,
            Rule::RemoteCandidates,
        ),
        (format!("{m}a=mid:^a b\n"), Field::Mid, Rule::Token),
        (format!("{m}a=mid:a\na=^mid:b\n"), Field::Mid, Rule::Twice),
        (format!("{m}a=rtcp:^\n"), Field::Rtcp, Rule::RtcpForm),
        (format!("{m}a=rtcp:5 ^TN IP4 192.0.2.1\n"), Field::Rtcp, Rule::RtcpForm),
        (format!("{m}a=rtcp:5\na=^rtcp:6\n"), Field::Rtcp, Rule::Twice),
        (
            format!("{m}a=candidate:1 1 UDP ^0 192.0.2.1 1 typ host\n"),
            Field::Candidate(candidate::Field::Priority),
            Rule::Candidate(candidate::Rule::PriorityRange),
        ),
    ] {
        let at = marked.find('^').unwrap();
        let line = marked[..at].matches('\n').count() + 1;
        let position = at - marked[..at].rfind('\n').map_or(0, |end| end + 1);
        let expected = SdpError { line, position, field, rule };
        assert_eq!(error(&marked.replacen('^', "", 1)), expected, "{marked}");
    }
}

#[test]
fn errors_are_sentences() {
    let text = "v=0\r\nm=audio 9 RTP/AVP 0\r\na=candidate:1 1 UDP 0 192.0.2.1 1 typ host\r\n";
    let expected = "SDP line 3, byte 20: candidate priority must be a number from 1 to 2147483647";
    assert_eq!(error(text).to_string(), expected);
    let expected =
        "SDP line 1, byte 12: ice-ufrag must be 4 to 256 letters, digits, \"+\" or \"/\"";
    assert_eq!(error("a=ice-ufrag:x\n").to_string(), expected);
}

#[test]
fn everything_that_a_peer_can_make_grow_is_bounded() {
    let rule = |text: &str| text.parse::<Description>().map_err(|error| error.rule);
    let repeat = |line: &str, times: usize| line.repeat(times);
    let m = "m=audio 9 RTP/AVP 0\n";

    assert!(rule(&repeat("b=1\n", MAX_LINES)).is_ok());
    assert_eq!(rule(&repeat("b=1\n", MAX_LINES + 1)), Err(Rule::TooManyLines));
    assert_eq!(rule(&repeat("\n", MAX_LINES + 1)), Err(Rule::TooManyLines));

    assert_eq!(read(&repeat(m, MAX_SECTIONS)).sections.len(), MAX_SECTIONS);
    assert_eq!(rule(&repeat(m, MAX_SECTIONS + 1)), Err(Rule::TooManySections));

    let candidate = "a=candidate:1 1 UDP 1 192.0.2.1 1 typ host\n";
    let ignored = "a=candidate:1 1 SCTP 1 192.0.2.1 1 typ host\n";
    let most = [m, &repeat(candidate, MAX_CANDIDATES - 1), m, ignored].concat();
    assert_eq!(read(&most).sections[0].ice.candidates.len(), MAX_CANDIDATES - 1);
    let more = [&*most, ignored].concat();
    assert_eq!(rule(&more), Err(Rule::TooManyCandidates));

    let option = |i: usize| format!("a=ice-options:ice2 o{i}\n");
    let options: String = (1..MAX_OPTIONS).map(option).collect();
    assert_eq!(read(&[&*options, m].concat()).sections[0].ice.options.len(), MAX_OPTIONS);
    let more = [&*options, &option(MAX_OPTIONS)].concat();
    assert_eq!(rule(&more), Err(Rule::TooManyOptions));

    let remote = "a=remote-candidates:1 192.0.2.1 1\n";
    assert!(rule(&[m, &repeat(remote, 256)].concat()).is_ok());
    assert_eq!(rule(&[m, &repeat(remote, 257)].concat()), Err(Rule::TooManyCandidates));
}

fn any_candidate() -> impl Strategy<Value = Candidate> {
    let kind = prop::sample::select(vec!["host", "srflx raddr :: rport 9", "relay"]);
    let host = prop::sample::select(vec!["192.0.2.1", "2001:db8::1", "x.local"]);
    let transport = prop::sample::select(vec![("UDP", ""), ("TCP", " tcptype so")]);
    (1u16..=256, 1u32..=candidate::MAX_PRIORITY, host, any::<u16>(), kind, transport).prop_map(
        |(component, priority, host, port, kind, (transport, more))| {
            let line = format!(
                "candidate:f {component} {transport} {priority} {host} {port} typ {kind}{more} x y"
            );
            line.parse().unwrap()
        },
    )
}

prop_compose! {
    fn any_credentials()(ufrag in "[a-zA-Z0-9+/]{4,40}", pwd in "[a-zA-Z0-9+/]{22,40}") -> Credentials {
        Credentials { ufrag: ufrag.into(), pwd: pwd.into() }
    }
}

prop_compose! {
    fn any_remote()(component in 1u16..=256, ip: std::net::IpAddr, port: u16) -> RemoteCandidate {
        let component = ComponentId::new(component).unwrap();
        RemoteCandidate { component, host: Host::Ip(ip.to_canonical()), port }
    }
}

prop_compose! {
    /// The attributes of a session, which every section of it has too.
    fn any_session()(
        credentials in prop::option::of(any_credentials()),
        options in prop::collection::btree_set("[a-z]{1,4}[a-zA-Z0-9+]{0,8}", 0..5),
        (pacing, lite) in prop_oneof![
            prop::option::of(0u64..=9_999_999_999).prop_map(|pacing| (pacing, false)),
            Just((None, true)),
        ],
        end_of_candidates: bool,
    ) -> IceAttributes {
        IceAttributes {
            credentials,
            options: options.into_iter().map(Into::into).collect(),
            pacing: pacing.map(Duration::from_millis),
            lite,
            end_of_candidates,
            ..IceAttributes::default()
        }
    }
}

prop_compose! {
    fn any_section(session: IceAttributes)(
        media in "[a-z]{1,8}",
        port: u16,
        formats in "[0-9]{1,3}( [0-9]{1,3}){0,3}",
        mid in prop::option::of("[a-zA-Z0-9]{1,8}"),
        rtcp in prop::option::of((any::<u16>(), prop::option::of(any::<std::net::IpAddr>()))),
        rtcp_mux: bool,
        credentials in prop::option::of(any_credentials()),
        option in prop::option::of("Z[a-zA-Z0-9]{1,8}"),
        candidates in prop::collection::vec(any_candidate(), 0..4),
        remote_candidates in prop::collection::vec(any_remote(), 0..4),
        (mismatch, ends) in any::<(bool, bool)>(),
    ) -> MediaSection {
        let mut ice = session.clone();
        ice.credentials = credentials.or(ice.credentials);
        ice.options.extend(option.map(Into::into));
        ice.end_of_candidates |= ends;
        ice.mismatch = mismatch;
        if !mismatch {
            ice.candidates = candidates;
            ice.remote_candidates = remote_candidates;
        }
        let host = |ip: std::net::IpAddr| Host::Ip(ip.to_canonical());
        MediaSection {
            media: media.into(),
            port,
            protocol: "UDP/TLS/RTP/SAVPF".into(),
            formats: formats.into(),
            mid: mid.map(Into::into),
            connection: None,
            rtcp: rtcp.map(|(port, ip)| RtcpAddress { port, host: ip.map(host) }),
            rtcp_mux,
            ice,
        }
    }
}

fn any_fragment() -> impl Strategy<Value = Fragment> {
    any_session().prop_flat_map(|session| {
        let sections = prop::collection::vec(any_section(session.clone()), 0..4);
        sections.prop_map(move |sections| Fragment { session: session.clone(), sections })
    })
}

proptest! {
    #[test]
    fn a_printed_fragment_is_read_back(fragment in any_fragment()) {
        prop_assert_eq!(fragment.to_string().parse(), Ok(fragment));
    }

    /// A description whose session lines and section lines are ours.
    #[test]
    fn printed_attributes_are_read_back(section in any_session().prop_flat_map(any_section)) {
        let ice = &section.ice;
        let text = format!("v=0\r\n{}m=audio 9 RTP/AVP 0\r\n{ice}", ice.session_lines());
        prop_assert_eq!(&read(&text).sections[0].ice, ice);
    }

    #[test]
    fn any_text_is_read_or_refused(text in "\\PC{0,200}", lines in "([amc]=[ -~\n]{0,40}){0,6}") {
        let _ = text.parse::<Description>();
        let _ = lines.parse::<Fragment>();
    }

    /// Mutations of a good body reach deeper than noise does.
    #[test]
    fn a_damaged_body_is_read_or_refused_at_a_place_within_it(
        fragment in any_fragment(), at: prop::sample::Index, damage in "[ -~äß\n]{0,3}",
    ) {
        let mut text = fragment.to_string();
        prop_assume!(!text.is_empty());
        let start = at.index(text.len());
        text.replace_range(start..(start + damage.len()).min(text.len()), &damage);
        match text.parse::<Fragment>() {
            Ok(read) => {
                let printed = read.to_string();
                let again = printed.parse::<Fragment>().map(|again| again.to_string());
                prop_assert_eq!(again, Ok(printed));
            }
            Err(error) => {
                let line = text.split('\n').nth(error.line - 1).unwrap_or_default();
                prop_assert!(error.position <= line.len(), "{} in {:?}", error, line);
            }
        }
    }
}
