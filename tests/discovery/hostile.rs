//! What is no answer changes nothing.

use std::net::SocketAddr;

use floe::discovery::{Behavior, Dependence};
use floe::stun::{AttributeType, Builder, Class, Message, Method, TransactionId};
use floe::timer::Time;

use crate::world::{MAIN, Manner, World, at};

/// The first request's id.
fn started(world: &mut World) -> TransactionId {
    world.discovery.start(Time::ZERO, &mut world.rng);
    let transmit = world.discovery.poll_transmit().unwrap();
    Message::parse(&transmit.bytes).unwrap().transaction_id()
}

fn success(id: TransactionId, other: Option<&str>) -> Vec<u8> {
    let mut out = Vec::new();
    let mut answer = Builder::new(Class::Success, Method::BINDING, id, &mut out)
        .xored(AttributeType::XOR_MAPPED_ADDRESS, at("203.0.113.7:7"));
    if let Some(other) = other {
        answer = answer.plain(AttributeType::OTHER_ADDRESS, at(other));
    }
    answer.seal(None);
    out
}

#[test]
fn answers_of_others_are_dropped() {
    let mut world = World::new(None, Manner::Dead, 1);
    let id = started(&mut world);
    let mut wrong = success(id, None);
    *wrong.last_mut().unwrap() ^= 1;
    let cases: [(usize, SocketAddr, Vec<u8>); 5] = [
        (0, at("198.51.100.9:3478"), success(id, None)),
        (1, at(MAIN), success(id, None)),
        (0, at(MAIN), success(TransactionId([0; 12]), None)),
        (0, at(MAIN), wrong),
        (0, at(MAIN), b"no STUN".to_vec()),
    ];
    for (base, from, bytes) in cases {
        world.discovery.handle_datagram(base, from, &bytes, Time::ZERO, &mut world.rng);
    }
    let report = world.run();
    assert_eq!(report.mapped, None);
}

/// No packet goes where it could do harm, or nowhere.
#[test]
fn other_addresses_that_cannot_be_are_ignored() {
    for other in [
        "198.51.100.1:3479",
        "198.51.100.2:3478",
        "198.51.100.2:0",
        "127.0.0.1:3479",
        "0.0.0.0:3479",
        "224.0.0.1:3479",
        "255.255.255.255:3479",
        "[2001:db8::1]:3479",
    ] {
        let mut world = World::new(None, Manner::Dead, 1);
        let id = started(&mut world);
        let bytes = success(id, Some(other));
        world.discovery.handle_datagram(0, at(MAIN), &bytes, Time::ZERO, &mut world.rng);
        let report = world.run();
        assert_eq!(report.servers[0].other, None, "{other}");
        assert_eq!(report.mapping.behavior, Behavior::Unknown);
    }
}

#[test]
fn any_bytes_are_taken() {
    use proptest::strategy::{Strategy, ValueTree};
    use proptest::test_runner::TestRunner;
    let mut runner = TestRunner::deterministic();
    let change = (0..200_usize, 1..=255_u8);
    for round in 0..300_u64 {
        let mut world = World::new(None, Manner::Full, round);
        let id = started(&mut world);
        let mut bytes = success(id, Some("198.51.100.2:3479"));
        for _ in 0..round % 4 {
            let (place, bits) = change.new_tree(&mut runner).unwrap().current();
            let place = place % bytes.len();
            bytes[place] ^= bits;
        }
        world.discovery.handle_datagram(0, at(MAIN), &bytes, Time::ZERO, &mut world.rng);
        let report = world.run();
        let known = [Behavior::Unknown, Behavior::Is(Dependence::Endpoint)];
        let seen = report.mapping.behavior;
        // What was forged may be believed, but leads to no panic and to an end.
        assert!(known.contains(&seen) || report.mapped.is_some());
    }
}
