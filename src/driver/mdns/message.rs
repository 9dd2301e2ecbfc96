//! Multicast DNS messages about addresses (RFC 6762), as far as names of
//! candidates need them.

use std::net::IpAddr;

use simple_dns::rdata::{A, AAAA, RData};
use simple_dns::{CLASS, Name, Packet, PacketFlag, QCLASS, QTYPE, Question, ResourceRecord, TYPE};

use crate::candidate::is_mdns_name;

/// RFC 6762 §17: no message is longer.
pub(super) const MAX_MESSAGE: usize = 9_000;

/// Questions and records of a message that is read. Who sends more has
/// nothing to say to us.
const MAX_ENTRIES: u32 = 128;

/// Seconds for which others may remember an address (RFC 6762 §10).
const TTL: u32 = 120;

/// Seconds for a querier that is no multicast DNS node (RFC 6762 §6.7).
const LEGACY_TTL: u32 = 10;

/// What a message says of names of candidates.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Message {
    /// Somebody asks.
    Query {
        /// Repeated in answers to queriers of plain DNS.
        id: u16,
        /// Each name in lower case, with what is asked.
        questions: Vec<(Box<str>, Asked)>,
    },
    /// Somebody answers: names in lower case, with their addresses.
    Answer(Vec<(Box<str>, IpAddr)>),
}

/// What is asked of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    /// For its IPv4 addresses.
    pub(super) v4: bool,
    /// For its IPv6 addresses.
    pub(super) v6: bool,
    /// The answer is wanted by unicast (§5.4).
    pub(super) unicast: bool,
}

/// Reads a message; `None` for what is none, or is about something else.
pub(super) fn read(bytes: &[u8]) -> Option<Message> {
    let counts = bytes.get(4..12)?.chunks_exact(2);
    let entries: u32 = counts.map(|c| u32::from(u16::from_be_bytes([c[0], c[1]]))).sum();
    if bytes.len() > MAX_MESSAGE || entries > MAX_ENTRIES {
        return None;
    }
    let packet = Packet::parse(bytes).ok()?;
    if packet.has_flags(PacketFlag::RESPONSE) {
        let records = packet.answers.iter().chain(&packet.additional_records);
        let addresses: Vec<_> = records.filter_map(address).collect();
        return (!addresses.is_empty()).then_some(Message::Answer(addresses));
    }
    let questions: Vec<_> = packet.questions.iter().filter_map(question).collect();
    (!questions.is_empty()).then(|| Message::Query { id: packet.id(), questions })
}

/// An address that stands for a name; one with no lifetime is taken back
/// (§10.1).
fn address(record: &ResourceRecord<'_>) -> Option<(Box<str>, IpAddr)> {
    if record.class != CLASS::IN || record.ttl == 0 {
        return None;
    }
    let ip = match &record.rdata {
        RData::A(a) => IpAddr::V4(a.address.into()),
        RData::AAAA(aaaa) => IpAddr::V6(aaaa.address.into()),
        _ => return None,
    };
    Some((mdns_name(&record.name)?, ip))
}

fn question(question: &Question<'_>) -> Option<(Box<str>, Asked)> {
    if !matches!(question.qclass, QCLASS::CLASS(CLASS::IN) | QCLASS::ANY) {
        return None;
    }
    let any = question.qtype == QTYPE::ANY;
    let asked = Asked {
        v4: any || question.qtype == QTYPE::TYPE(TYPE::A),
        v6: any || question.qtype == QTYPE::TYPE(TYPE::AAAA),
        unicast: question.unicast_response,
    };
    Some((mdns_name(&question.qname)?, asked))
}

fn mdns_name(name: &Name<'_>) -> Option<Box<str>> {
    // A long one is not worth its text.
    let text = (name.get_labels().len() == 2).then(|| name.to_string())?;
    is_mdns_name(&text).then(|| text.to_ascii_lowercase().into())
}

/// Asks for the IPv4 or the IPv6 address of a name: one question a message,
/// since some responders read no more. The answer is not asked for by unicast,
/// as draft-ietf-rtcweb-mdns-ice-candidates §3.2.1 would have it: Chromium
/// leaves such questions without an answer, and of several programs that share
/// the port unicast reaches only one.
pub(super) fn query(name: &str, v6: bool) -> Option<Vec<u8>> {
    let kind = if v6 { TYPE::AAAA } else { TYPE::A };
    let mut packet = Packet::new_query(0);
    packet.questions.push(asking(name, kind)?);
    packet.build_bytes_vec().ok()
}

/// Says what a name of ours stands for.
pub(super) fn answer(name: &str, ip: IpAddr) -> Option<Vec<u8>> {
    let mut packet = Packet::new_reply(0);
    packet.set_flags(PacketFlag::AUTHORITATIVE_ANSWER);
    packet.answers.push(record(name, ip, TTL)?.with_cache_flush(true));
    packet.build_bytes_vec().ok()
}

/// [`answer`] for a querier that knows plain DNS only (§6.7): it gets its id
/// and question back.
pub(super) fn legacy_answer(id: u16, name: &str, ip: IpAddr) -> Option<Vec<u8>> {
    let kind = if ip.is_ipv6() { TYPE::AAAA } else { TYPE::A };
    let mut packet = Packet::new_reply(id);
    packet.set_flags(PacketFlag::AUTHORITATIVE_ANSWER);
    packet.questions.push(asking(name, kind)?);
    packet.answers.push(record(name, ip, LEGACY_TTL)?);
    packet.build_bytes_vec().ok()
}

/// Takes an [`answer`] back (§10.1).
pub(super) fn goodbye(name: &str, ip: IpAddr) -> Option<Vec<u8>> {
    let mut packet = Packet::new_reply(0);
    packet.set_flags(PacketFlag::AUTHORITATIVE_ANSWER);
    packet.answers.push(record(name, ip, 0)?.with_cache_flush(true));
    packet.build_bytes_vec().ok()
}

fn asking(name: &str, kind: TYPE) -> Option<Question<'_>> {
    let name = Name::new(name).ok()?;
    Some(Question::new(name, QTYPE::TYPE(kind), QCLASS::CLASS(CLASS::IN), false))
}

fn record(name: &str, ip: IpAddr, ttl: u32) -> Option<ResourceRecord<'_>> {
    let data = match ip {
        IpAddr::V4(v4) => RData::A(A::from(v4)),
        IpAddr::V6(v6) => RData::AAAA(AAAA::from(v6)),
    };
    Some(ResourceRecord::new(Name::new(name).ok()?, CLASS::IN, ttl, data))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NAME: &str = "1f4712db-ea17-4bcf-a596-105139dfd8bf.local";

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn what_is_written_is_read() {
        let asked = |v6: bool, unicast| Asked { v4: !v6, v6, unicast };
        for (v6, unicast) in [(false, false), (false, true), (true, false), (true, true)] {
            let questions = vec![(NAME.into(), asked(v6, unicast))];
            let mut bytes = query(NAME, v6).unwrap();
            let class = bytes.len() - 2;
            bytes[class] |= u8::from(unicast) << 7;
            assert_eq!(read(&bytes), Some(Message::Query { id: 0, questions }));
        }
        for ip in [ip("192.0.2.1"), ip("2001:db8::1")] {
            let expected = Some(Message::Answer(vec![(NAME.into(), ip)]));
            assert_eq!(read(&answer(NAME, ip).unwrap()), expected);
            let legacy = legacy_answer(7, NAME, ip).unwrap();
            assert_eq!(read(&legacy), expected);
            assert_eq!(legacy[..2], [0, 7]);
            assert_eq!(read(&goodbye(NAME, ip).unwrap()), None);
        }
        let upper = query(&NAME.to_ascii_uppercase(), false).unwrap();
        assert!(matches!(read(&upper), Some(Message::Query { questions, .. })
            if &*questions[0].0 == NAME));
    }

    /// The bytes of RFC 1035 §4.1, by hand.
    #[test]
    fn a_query_is_these_bytes() {
        let mut expected = vec![0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        expected.push(36);
        expected.extend(&NAME.as_bytes()[..36]);
        expected.extend(b"\x05local\x00\x00\x01\x00\x01");
        assert_eq!(query(NAME, false).unwrap(), expected);
    }

    #[test]
    fn other_names_are_passed_over() {
        for name in ["printer.local", "a.b.local", "example.org", "local"] {
            assert_eq!(read(&query(name, false).unwrap()), None, "{name}");
            assert_eq!(read(&answer(name, ip("192.0.2.1")).unwrap()), None, "{name}");
        }
    }

    #[test]
    fn a_message_with_too_much_in_it_is_not_read() {
        let bytes = query(NAME, false).unwrap();
        let mut crowded = bytes.clone();
        crowded[8..10].copy_from_slice(&128_u16.to_be_bytes());
        assert_eq!(read(&crowded), None);
        let mut long = bytes;
        long.resize(MAX_MESSAGE + 1, 0);
        assert_eq!(read(&long), None);
    }

    /// A name that points at itself, and one that points forward.
    #[test]
    fn names_in_circles_are_no_names() {
        let head = [0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        for pointer in [[0xc0, 12], [0xc0, 14], [0xc0, 13]] {
            let message = [&head[..], &pointer, &[0, 1, 0, 1]].concat();
            assert_eq!(read(&message), None);
        }
    }

    proptest! {
        #[test]
        fn whatever_comes_is_read_or_not(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            let _ = read(&bytes);
        }

        #[test]
        fn a_broken_message_is_read_or_not(at in 0_usize..90, byte: u8, v6: bool, cut in 0_usize..90) {
            let mut bytes = answer(NAME, if v6 { ip("2001:db8::1") } else { ip("192.0.2.1") }).unwrap();
            let len = bytes.len();
            bytes[at % len] = byte;
            bytes.truncate(len - cut.min(len));
            let _ = read(&bytes);
        }
    }
}
