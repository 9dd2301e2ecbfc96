//! Data through the relay (RFC 8656 §11, §12.4 to §12.6).

use std::net::SocketAddr;

use floe::stun::{AttributeType as T, Builder, Class, Message, Method, TransactionId};
use floe::tcp::{Deframer, Framing};
use floe::turn::channel;
use floe::turn::{Settings, Unwrapped};

use crate::server::Server;
use crate::world::{World, settings};
use crate::{addr, ip, secs};

const PEER: &str = "203.0.113.1:7";
const ID: TransactionId = TransactionId([9; 12]);

fn permitted(reliable: bool) -> World {
    let mut world = World::live(Settings { reliable, ..settings() }, Server::new());
    world.act(|client, now, rng| client.permit(addr(PEER).ip(), now, rng));
    world.run_for(secs(1));
    world
}

fn bound(reliable: bool) -> World {
    let mut world = permitted(reliable);
    world.act(|client, now, rng| client.bind_channel(addr(PEER), now, rng));
    world.run_for(secs(1));
    world
}

fn wrapped(world: &mut World, peer: SocketAddr, payload: &[u8]) -> Option<Vec<u8>> {
    let (id, mut out) = (world.id(), b"something".to_vec());
    let is_wrapped = world.client.wrap(peer, payload, id, &mut out);
    assert!(is_wrapped || out.is_empty());
    is_wrapped.then_some(out)
}

fn data_indication(peer: &str, data: Option<&[u8]>) -> Vec<u8> {
    let mut out = Vec::new();
    let builder = Builder::new(Class::Indication, Method::DATA, ID, &mut out)
        .xored(T::XOR_PEER_ADDRESS, addr(peer));
    match data {
        Some(data) => builder.attribute(T::DATA, data).finish(),
        None => builder.finish(),
    }
    out
}

#[test]
fn without_a_channel_data_goes_in_send_indications() {
    let mut world = permitted(false);
    for payload in [&b""[..], b"1", b"1234", &[7; 1_500], &[7; 65_000]] {
        let sent = wrapped(&mut world, addr(PEER), payload).unwrap();
        let message = Message::parse(&sent).unwrap();
        assert_eq!((message.class(), message.method()), (Class::Indication, Method::SEND));
        assert!(message.xor_peer_addresses().eq([addr(PEER)]));
        assert_eq!(message.data(), Some(payload));
        assert_eq!(message.attributes().count(), 2, "no credentials");
    }
    // Another port of the peer is permitted, too.
    assert!(wrapped(&mut world, addr("203.0.113.1:8"), b"x").is_some());
}

#[test]
fn with_a_channel_data_goes_in_channel_data() {
    for reliable in [false, true] {
        let mut world = bound(reliable);
        for payload in [&b""[..], b"1", b"123", b"1234", &[7; 1_500], &[7; 65_535]] {
            let sent = wrapped(&mut world, addr(PEER), payload).unwrap();
            assert_eq!(channel::parse(&sent), Some((0x4000, payload)));
            let padding = if reliable { channel::padding(payload.len()) } else { 0 };
            assert_eq!(sent.len(), 4 + payload.len() + padding);
            if reliable {
                let mut deframer = Deframer::new(Framing::Turn);
                deframer.extend(&sent);
                let message = deframer.next_frame().unwrap().map(<[u8]>::to_vec);
                assert_eq!(message.as_deref(), sent.get(..4 + payload.len()));
                assert_eq!(deframer.pending(), 0);
            }
        }
        let other = wrapped(&mut world, addr("203.0.113.1:8"), b"x").unwrap();
        assert!(Message::parse(&other).is_ok(), "another port, no channel");
    }
}

#[test]
fn nothing_is_sent_to_peers_without_permission() {
    let mut world = World::live(settings(), Server::new());
    assert_eq!(wrapped(&mut world, addr(PEER), b"x"), None);
    world.act(|client, now, rng| client.permit(addr(PEER).ip(), now, rng));
    assert_eq!(wrapped(&mut world, addr(PEER), b"x"), None, "it is only asked for");
    world.run_for(secs(1));
    assert!(wrapped(&mut world, addr(PEER), b"x").is_some());
    assert_eq!(wrapped(&mut world, addr("203.0.113.2:7"), b"x"), None);
    world.act(|client, _, _| client.forget(addr(PEER).ip()));
    assert_eq!(wrapped(&mut world, addr(PEER), b"x"), None);
}

#[test]
fn what_is_too_long_is_not_sent() {
    let mut world = permitted(false);
    let fits = (65_000..65_536)
        .rev()
        .find(|len| wrapped(&mut world, addr(PEER), &vec![1; *len]).is_some());
    assert_eq!(fits, Some(65_460));
    let longest = wrapped(&mut world, addr(PEER), &[1; 65_460]).unwrap();
    assert_eq!(Message::parse(&longest).unwrap().data().map(<[u8]>::len), Some(65_460));
    let mut world = bound(false);
    assert_eq!(wrapped(&mut world, addr(PEER), &[1; 65_536]), None);
}

#[test]
fn data_is_taken_from_permitted_peers_alone() {
    let world = permitted(false);
    let data = data_indication(PEER, Some(b"hello"));
    let expected = Unwrapped::Data { peer: addr(PEER), payload: b"hello" };
    assert_eq!(world.client.unwrap(&data), Some(expected));
    let empty = data_indication(PEER, Some(b""));
    assert_eq!(
        world.client.unwrap(&empty),
        Some(Unwrapped::Data { peer: addr(PEER), payload: b"" })
    );
    let other_port = data_indication("203.0.113.1:1", Some(b"x"));
    assert!(world.client.unwrap(&other_port).is_some());
    assert_eq!(world.client.unwrap(&data_indication("203.0.113.2:7", Some(b"x"))), None);
    assert_eq!(world.client.unwrap(&data_indication("[2001:db8::1]:7", Some(b"x"))), None);
    let fresh = World::live(settings(), Server::new());
    assert_eq!(fresh.client.unwrap(&data), None);
}

#[test]
fn what_is_no_data_is_left_alone() {
    let world = bound(false);
    let mut out = Vec::new();
    let mut none = |class, method, kinds: &[(T, &[u8])]| {
        let builder = Builder::new(class, method, ID, &mut out);
        kinds.iter().fold(builder, |b, (kind, value)| b.attribute(*kind, value)).finish();
        assert_eq!(world.client.unwrap(&out), None, "{class:?} {method:?} {kinds:?}");
    };
    none(Class::Indication, Method::DATA, &[(T::DATA, b"x")]);
    none(Class::Indication, Method::BINDING, &[(T::DATA, b"x")]);
    none(Class::Request, Method::DATA, &[(T::DATA, b"x")]);
    assert_eq!(world.client.unwrap(&data_indication(PEER, None)), None);
    let mut unknown = data_indication(PEER, Some(b"x"));
    unknown.extend_from_slice(&[0x77, 0x77, 0, 0]);
    unknown[3] += 4;
    assert_eq!(world.client.unwrap(&unknown), None);
    for bytes in
        [&b""[..], b"\x40", b"\x40\0\0\x05abc", b"\x40\x01\0\x01a", b"\x50\0\0\x01a", b"hello"]
    {
        assert_eq!(world.client.unwrap(bytes), None, "{bytes:?}");
    }
}

#[test]
fn an_icmp_error_is_told_as_one() {
    let world = permitted(false);
    let icmp = |peer: &str| {
        let mut out = Vec::new();
        Builder::new(Class::Indication, Method::DATA, ID, &mut out)
            .xored(T::XOR_PEER_ADDRESS, addr(peer))
            .attribute(T::ICMP, &[0, 0, 3 << 1, 4, 0, 0, 5, 0xdc])
            .finish();
        out
    };
    let expected = Unwrapped::Icmp { peer: addr(PEER), kind: 3, code: 4 };
    assert_eq!(world.client.unwrap(&icmp(PEER)), Some(expected));
    assert_eq!(world.client.unwrap(&icmp("203.0.113.2:7")), None);
}

#[test]
fn channel_data_that_is_faster_than_the_answer_is_taken() {
    let mut world = World::live(settings(), Server::new());
    let data = [&channel::header(0x4000, 1).unwrap()[..], b"x"].concat();
    assert_eq!(world.client.unwrap(&data), None, "nobody has asked for it");
    world.act(|client, now, rng| client.bind_channel(addr(PEER), now, rng));
    let expected = Some(Unwrapped::Data { peer: addr(PEER), payload: b"x" });
    assert_eq!(world.client.unwrap(&data), expected);
    world.run_for(secs(1));
    assert_eq!(world.client.unwrap(&data), expected);
    assert_eq!(world.client.unwrap(&[&data[..], b"\0\0\0"].concat()), expected, "padded");
    world.act(|client, _, _| client.forget(ip("203.0.113.1")));
    assert_eq!(world.client.unwrap(&data), None);
}

#[test]
fn payloads_are_in_no_debug_output() {
    let world = permitted(false);
    let data = data_indication(PEER, Some(b"attack at dawn"));
    let shown = format!("{:?}", world.client.unwrap(&data).unwrap());
    assert!(shown.contains("len: 14") && !shown.contains("97"), "{shown}");
}
