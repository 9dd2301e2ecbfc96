//! The capture: read here block by block, and by Wireshark's own program
//! where there is one.

use std::collections::BTreeMap;
use std::process::Command;

use floe::agent::{Happened, LogFile, RecordedInput};
use floe::stun::{Fingerprint, Message};

use super::{explained, log, own};
use crate::requirement::lacking;

/// What a pcapng file holds.
#[derive(Default)]
struct File {
    interfaces: Vec<String>,
    packets: Vec<Packet>,
}

struct Packet {
    interface: usize,
    nanos: u64,
    bytes: Vec<u8>,
    comment: String,
    is_outbound: bool,
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

/// The options behind a block's body, up to the one that ends them.
fn options(mut bytes: &[u8]) -> Vec<(u16, Vec<u8>)> {
    let mut options = Vec::new();
    loop {
        let code = u16::from_le_bytes([bytes[0], bytes[1]]);
        let length = usize::from(u16::from_le_bytes([bytes[2], bytes[3]]));
        if code == 0 {
            assert_eq!((length, bytes.len()), (0, 4), "what ends options is last");
            return options;
        }
        options.push((code, bytes[4..4 + length].to_vec()));
        bytes = &bytes[4 + length.next_multiple_of(4)..];
    }
}

fn text(options: &[(u16, Vec<u8>)], code: u16) -> String {
    let option = options.iter().find(|(known, _)| *known == code).expect("the option is there");
    String::from_utf8(option.1.clone()).expect("options are UTF-8")
}

fn parse(bytes: &[u8]) -> File {
    let mut file = File::default();
    let mut rest = bytes;
    while !rest.is_empty() {
        let (kind, length) = (word(rest, 0), word(rest, 4) as usize);
        assert_eq!((length % 4, word(rest, length - 4) as usize), (0, length));
        let body = &rest[8..length - 4];
        match kind {
            0x0a0d_0d0a => {
                assert_eq!((word(body, 0), rest.len()), (0x1a2b_3c4d, bytes.len()));
                assert!(text(&options(&body[16..]), 1).contains("not captured"));
            }
            1 => {
                assert_eq!(body[..2], [101, 0], "packets begin with their IP header");
                let options = options(&body[8..]);
                assert!(options.contains(&(9, vec![9])), "times are nanoseconds");
                file.interfaces.push(text(&options, 2));
            }
            6 => file.packets.push(packet(body)),
            other => panic!("a block of type {other}"),
        }
        rest = &rest[length..];
    }
    file
}

fn packet(body: &[u8]) -> Packet {
    let length = word(body, 12) as usize;
    assert_eq!(word(body, 16) as usize, length);
    let options = options(&body[20 + length.next_multiple_of(4)..]);
    let flags = options.iter().find(|(code, _)| *code == 2).expect("flags");
    Packet {
        interface: word(body, 0) as usize,
        nanos: u64::from(word(body, 4)) << 32 | u64::from(word(body, 8)),
        bytes: body[20..20 + length].to_vec(),
        comment: text(&options, 1),
        is_outbound: flags.1 == [2, 0, 0, 0],
    }
}

/// The protocol of a packet, both addresses and ports as they stand there,
/// and what is behind the header of UDP or TCP.
fn unwrap(packet: &[u8]) -> (u8, Vec<u8>, &[u8]) {
    let (protocol, ends, rest) = match packet[0] >> 4 {
        4 => (packet[9], &packet[12..20], &packet[20..]),
        6 => (packet[6], &packet[8..40], &packet[40..]),
        other => panic!("IP version {other}"),
    };
    let flow = [ends, &rest[..4]].concat();
    let header = if protocol == 17 { 8 } else { usize::from(rest[12] >> 4) * 4 };
    (protocol, flow, &rest[header..])
}

fn captured(name: &str) -> (Vec<u8>, LogFile) {
    let path = own(&format!("{name}.pcapng"));
    let log = log(name);
    explained(&["--pcap", path.to_str().expect("the path is UTF-8")], &log);
    let bytes = std::fs::read(&path).expect("the capture was written");
    (bytes, LogFile::parse(&log).expect("a log"))
}

/// How many messages the log tells of.
fn messages(log: &LogFile) -> usize {
    let is_message = |what: &Happened| match what {
        Happened::Sent { .. } => true,
        Happened::Input(given) => matches!(given.what, RecordedInput::Datagram { .. }),
        _ => false,
    };
    log.lines.iter().filter(|line| is_message(&line.record.what)).count()
}

#[test]
fn every_message_over_udp_is_one_packet() {
    for name in ["direct", "relay"] {
        let (bytes, log) = captured(name);
        let file = parse(&bytes);
        assert_eq!(file.interfaces, ["agent"]);
        assert!(file.packets.is_sorted_by_key(|packet| packet.nanos));
        let udp = file.packets.iter().filter(|packet| unwrap(&packet.bytes).0 == 17);
        for packet in udp.clone() {
            let message = Message::parse(unwrap(&packet.bytes).2);
            let message = message.unwrap_or_else(|error| panic!("{}: {error}", packet.comment));
            assert_ne!(message.fingerprint(), Fingerprint::Wrong, "{}", packet.comment);
        }
        assert_eq!(udp.count(), messages(&log), "{name}");
        assert!(file.packets.iter().any(|packet| packet.comment.contains("nominates")));
        assert!(file.packets.iter().any(|packet| packet.comment.contains("is selected")));
        let start = file.packets[0].nanos / 1_000_000_000;
        assert!(start > 1_700_000_000, "the first is at {start} s of Unix");
    }
}

/// The stream of each direction is read as a receiver would.
#[test]
fn streams_go_on_where_they_ended_and_hold_framed_messages() {
    let (bytes, log) = captured("tcp-so");
    let file = parse(&bytes);
    assert_eq!(file.interfaces, ["tcp-so A"]);
    let mut next: BTreeMap<Vec<u8>, u32> = BTreeMap::new();
    let mut count = 0;
    let mut flags_seen = Vec::new();
    for packet in &file.packets {
        let (protocol, flow, payload) = unwrap(&packet.bytes);
        assert_eq!((protocol, packet.interface), (6, 0));
        let header = &packet.bytes[20..];
        let seq = u32::from_be_bytes(header[4..8].try_into().expect("four bytes"));
        let flags = header[13];
        flags_seen.push((flags, packet.is_outbound));
        let is_syn = flags & 2 != 0;
        if !is_syn {
            assert_eq!(next.get(&flow), Some(&seq), "{}", packet.comment);
        }
        let takes = u32::try_from(payload.len()).expect("short") + u32::from(is_syn);
        next.insert(flow, seq + takes);
        if !payload.is_empty() {
            let length = usize::from(u16::from_be_bytes([payload[0], payload[1]]));
            assert_eq!(length, payload.len() - 2);
            Message::parse(&payload[2..]).expect("a STUN message");
            count += 1;
        }
    }
    assert_eq!(count, messages(&log));
    // Ours, theirs with ACK, and ours for that: SYN is 2 and ACK is 16.
    let opening: Vec<_> = flags_seen.iter().filter(|(flags, _)| flags & 8 == 0).collect();
    assert!(opening.starts_with(&[&(2, true)]), "{opening:?}");
    assert!(opening.ends_with(&[&(18, false), &(16, true)]), "{opening:?}");
}

#[test]
fn wireshark_finds_the_messages_and_nothing_wrong() {
    if let Err(error) = Command::new("tshark").arg("--version").output() {
        return lacking("tshark", &format!("tshark does not start: {error}"));
    }
    for name in ["direct", "relay", "tcp-so"] {
        let (_, log) = captured(name);
        let path = own(&format!("{name}.pcapng"));
        let count = |filter: &str| {
            let mut tshark = Command::new("tshark");
            for check in ["ip.check_checksum", "udp.check_checksum", "tcp.check_checksum"] {
                tshark.args(["-o", &format!("{check}:TRUE")]);
            }
            tshark.arg("-r").arg(&path).args(["-T", "fields", "-e", "frame.number", "-Y", filter]);
            let output = tshark.output().expect("tshark starts");
            assert!(output.status.success(), "{output:?}");
            output.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).count()
        };
        assert_eq!(count("stun && !icmp"), messages(&log), "{name}");
        assert_eq!(count("frame.comment"), count("frame"), "{name}");
        let wrong = "_ws.malformed || ip.checksum.status == \"Bad\" || udp.checksum.status == \
                     \"Bad\" || tcp.checksum.status == \"Bad\" || stun.att.crc32.status == \"Bad\"";
        assert_eq!(count(wrong), 0, "{name}");
    }
}
