//! Channels (RFC 8656 §12).

use std::net::SocketAddr;

use floe::stun::{Message, Method};
use floe::turn::{Cause, Event};

use crate::server::{Reply, Server};
use crate::world::{World, settings};
use crate::{addr, ip, ms, secs};

const BIND: Method = Method::CHANNEL_BIND;

fn peer(port: u16) -> SocketAddr {
    SocketAddr::new(ip("203.0.113.1"), port)
}

fn bind(world: &mut World, peer: SocketAddr) {
    world.act(|client, now, rng| client.bind_channel(peer, now, rng));
}

#[test]
fn a_channel_permits_its_peer_with_one_request() {
    let mut world = World::live(settings(), Server::new());
    bind(&mut world, peer(1));
    assert_eq!(world.client.channel(peer(1)), None, "not before the server says so");
    world.run_for(secs(1));
    let bound = Event::ChannelBound { peer: peer(1), number: 0x4000 };
    assert_eq!(world.events, [(ms(300), Event::Permitted(peer(1).ip())), (ms(300), bound)]);
    assert_eq!(world.client.channel(peer(1)), Some(0x4000));
    assert_eq!(world.timetable(Method::CREATE_PERMISSION), [0; 0]);
    let request = Message::parse(&world.server.seen.last().unwrap().1).unwrap();
    let value = request.attributes().find(|(_, value)| value.first() == Some(&0x40)).unwrap().1;
    assert_eq!(value, [0x40, 0, 0, 0], "the reserved half is zero");
}

#[test]
fn channels_are_bound_again_before_they_expire() {
    let mut world = World::live(settings(), Server::new());
    bind(&mut world, peer(1));
    world.run_until(ms(3_600_000));
    let times: Vec<u64> = (0..7).map(|n| 200 + n * 540_000).collect();
    assert_eq!(world.timetable(BIND), times);
    assert_eq!(world.events.len(), 2);
    assert_eq!(world.server.channels.len(), 1);
}

#[test]
fn each_peer_has_a_number_of_its_own() {
    let mut world = World::live(settings(), Server::new());
    for port in 1..=65 {
        bind(&mut world, peer(port));
    }
    let [(_, Event::ChannelRefused { peer: refused, failure })] = &world.events[..] else {
        panic!()
    };
    assert_eq!((*refused, failure.cause), (peer(65), Cause::Limit));
    world.run_for(secs(5));
    let numbers: Vec<u16> = (1..=64).filter_map(|port| world.client.channel(peer(port))).collect();
    assert_eq!(numbers, (0x4000..0x4040).collect::<Vec<_>>());
    assert_eq!(world.server.channels.len(), 64);
    // Once more is nothing new.
    bind(&mut world, peer(1));
    world.run_for(secs(5));
    assert_eq!(world.server.count(BIND), 64);
}

#[test]
fn a_number_rests_for_five_minutes_after_the_channel_expired() {
    let mut world = World::live(settings(), Server::new());
    bind(&mut world, peer(1));
    world.run_for(secs(1));
    world.act(|client, _, _| client.forget(peer(1).ip()));
    let other = addr("203.0.113.2:2");
    bind(&mut world, other);
    world.run_until(ms(900_199));
    assert_eq!(world.client.channel(other), Some(0x4001));
    let third = addr("203.0.113.3:3");
    bind(&mut world, third);
    world.run_until(ms(900_400));
    assert_eq!(world.client.channel(third), Some(0x4002), "a moment too early");

    let mut world = World::live(settings(), Server::new());
    bind(&mut world, peer(1));
    world.run_for(secs(1));
    world.act(|client, _, _| client.forget(peer(1).ip()));
    world.run_until(ms(900_200));
    bind(&mut world, third);
    world.run_for(secs(1));
    assert_eq!(world.client.channel(third), Some(0x4000));
}

#[test]
fn a_peer_that_comes_back_has_its_number_again() {
    let mut world = World::live(settings(), Server::new());
    bind(&mut world, peer(1));
    bind(&mut world, addr("203.0.113.2:2"));
    world.run_for(secs(1));
    world.act(|client, _, _| client.forget(addr("203.0.113.2:2").ip()));
    world.act(|client, _, _| client.forget(peer(1).ip()));
    world.run_for(secs(10));
    bind(&mut world, addr("203.0.113.2:2"));
    bind(&mut world, peer(1));
    world.run_for(secs(1));
    // The model has not forgotten them, and takes no other number.
    assert_eq!(world.client.channel(peer(1)), Some(0x4000));
    assert_eq!(world.client.channel(addr("203.0.113.2:2")), Some(0x4001));
}

#[test]
fn a_number_that_was_asked_for_in_vain_rests_too() {
    let mut world = World::live(settings(), Server::new());
    world.server.always.insert(BIND, Reply::Silence);
    bind(&mut world, peer(1));
    world.run_for(secs(40));
    let Event::Permitted(_) = world.last() else { panic!("{:?}", world.events) };
    let [(at, Event::ChannelRefused { failure, .. }), (then, _)] = &world.events[..] else {
        panic!("{:?}", world.events)
    };
    assert_eq!((failure.cause, *at, *then), (Cause::NoAnswer, ms(39_700), ms(39_800)));
    world.server.always.clear();
    bind(&mut world, peer(2));
    world.run_for(secs(1));
    assert_eq!(world.client.channel(peer(2)), Some(0x4001), "the server may know the other");
}

#[test]
fn a_channel_that_is_refused_leaves_the_peer_permitted() {
    for code in [400, 403, 443, 486, 508] {
        let mut world = World::live(settings(), Server::new());
        world.server.always.insert(BIND, Reply::Error(code));
        bind(&mut world, peer(1));
        world.run_for(secs(100));
        let [(_, Event::ChannelRefused { failure, .. }), (at, Event::Permitted(_))] =
            &world.events[..]
        else {
            panic!("{:?}", world.events)
        };
        assert_eq!((failure.code, *at), (Some(code), ms(400)));
        assert!(world.client.is_permitted(peer(1).ip()));
        assert_eq!(world.client.channel(peer(1)), None);
        assert_eq!(world.server.count(BIND), 1);
    }
}

#[test]
fn a_channel_that_is_not_bound_again_is_over_when_it_expires() {
    let mut world = World::live(settings(), Server::new());
    bind(&mut world, peer(1));
    world.run_for(secs(1));
    world.server.always.insert(BIND, Reply::Silence);
    world.run_until(ms(600_199));
    assert_eq!(world.client.channel(peer(1)), Some(0x4000));
    world.run_until(ms(600_200));
    assert_eq!(world.client.channel(peer(1)), None);
    assert!(world.client.is_permitted(peer(1).ip()), "that goes on");
    world.run_until(ms(700_000));
    assert!(matches!(world.last(), Event::ChannelRefused { .. }));
}

#[test]
fn channels_that_were_wanted_early_are_bound_with_the_allocation() {
    let mut world = World::new(settings(), Server::new());
    bind(&mut world, peer(1));
    world.act(|client, now, rng| client.start(now, rng));
    bind(&mut world, peer(2));
    world.run_for(secs(1));
    assert_eq!(world.timetable(BIND), [200, 205]);
    assert_eq!(world.server.count(Method::CREATE_PERMISSION), 0);
    assert_eq!(world.server.channels.len(), 2);
}
