//! Permissions (RFC 8656 §9, §10).

use floe::stun::{Message, Method};
use floe::turn::{Cause, Event, Settings};

use crate::server::{Reply, Server};
use crate::world::{World, settings};
use crate::{addr, ip, ms, secs};

const PERMISSION: Method = Method::CREATE_PERMISSION;

fn peer(last: u8) -> std::net::IpAddr {
    ip(&format!("203.0.113.{last}"))
}

#[test]
fn eight_peers_are_permitted_side_by_side() {
    let mut world = World::live(settings(), Server::new());
    world.latency = std::time::Duration::from_millis(75);
    for last in 1..=8 {
        world.act(|client, now, rng| client.permit(peer(last), now, rng));
    }
    world.run_for(secs(2));
    let at = |n: u64| ms(350 + 5 * n);
    let expected: Vec<_> = (0..8).map(|n| (at(n), Event::Permitted(peer(n as u8 + 1)))).collect();
    assert_eq!(world.events, expected, "one round trip and 5 ms for each, not two for each");
}

#[test]
fn each_request_names_one_peer_and_one_refusal_concerns_one() {
    let mut world = World::live(settings(), Server::new());
    world.server.next(PERMISSION, [Reply::Error(403)]);
    world.act(|client, now, rng| {
        client.permit(peer(1), now, rng);
        client.permit(peer(2), now, rng);
    });
    world.run_for(secs(10));
    let [(_, Event::PeerRefused { peer: refused, failure }), (_, Event::Permitted(permitted))] =
        &world.events[..]
    else {
        panic!("{:?}", world.events)
    };
    assert_eq!((*refused, *permitted), (peer(1), peer(2)));
    assert_eq!((failure.cause, failure.code), (Cause::Forbidden, Some(403)));
    assert!(!world.client.is_permitted(peer(1)) && world.client.is_permitted(peer(2)));
    for (_, bytes) in &world.server.seen[2..] {
        assert_eq!(Message::parse(bytes).unwrap().xor_peer_addresses().count(), 1);
    }
    // It may be asked for again.
    world.act(|client, now, rng| client.permit(peer(1), now, rng));
    world.run_for(secs(1));
    assert_eq!(*world.last(), Event::Permitted(peer(1)));
}

#[test]
fn what_is_wanted_before_the_allocation_is_asked_for_with_it() {
    let mut world = World::new(settings(), Server::new());
    world.act(|client, now, rng| {
        client.permit(peer(2), now, rng);
        client.start(now, rng);
        client.permit(peer(1), now, rng);
        client.permit(peer(1), now, rng);
    });
    world.run_for(secs(1));
    assert_eq!(world.timetable(PERMISSION), [200, 205]);
    assert!(world.client.is_permitted(peer(1)) && world.client.is_permitted(peer(2)));
}

#[test]
fn a_peer_is_its_address_however_it_is_written() {
    let mut world = World::live(settings(), Server::new());
    world.act(|client, now, rng| {
        client.permit(ip("::ffff:203.0.113.1"), now, rng);
        client.permit(peer(1), now, rng);
    });
    world.run_for(secs(1));
    assert_eq!(world.server.count(PERMISSION), 1);
    assert!(world.client.is_permitted(ip("::ffff:203.0.113.1")));
    assert_eq!(world.events, [(ms(300), Event::Permitted(peer(1)))]);
}

#[test]
fn a_forgotten_peer_is_not_kept() {
    let mut world = World::live(settings(), Server::new());
    world.act(|client, now, rng| {
        client.permit(peer(1), now, rng);
        client.permit(peer(2), now, rng);
    });
    world.run_for(secs(1));
    world.act(|client, _, _| client.forget(peer(1)));
    assert!(!world.client.is_permitted(peer(1)));
    world.run_until(ms(400_000));
    assert_eq!(world.server.count(PERMISSION), 2 + 1);
    assert!(
        !world.server.permissions.contains_key(&peer(1))
            || world.server.permissions[&peer(1)] < world.now
    );

    // While the answer is on its way, too.
    world.events.clear();
    world.act(|client, now, rng| client.permit(peer(3), now, rng));
    world.act(|client, _, _| client.forget(peer(3)));
    world.run_for(secs(50));
    assert!(world.events.is_empty());
    assert!(!world.client.is_permitted(peer(3)));
}

#[test]
fn a_permission_without_answer_is_tried_as_long_as_it_lasts() {
    let mut world = World::live(settings(), Server::new());
    world.act(|client, now, rng| client.permit(peer(1), now, rng));
    world.run_for(secs(1));
    world.server.always.insert(PERMISSION, Reply::Silence);
    world.run_until(ms(300_199));
    assert!(world.client.is_permitted(peer(1)));
    world.run_until(ms(300_200));
    assert!(!world.client.is_permitted(peer(1)), "it has expired");
    world.run_until(ms(400_000));
    // From 240.2 s and from 279.7 s, each 39.5 s.
    assert_eq!(world.server.count(PERMISSION), 1 + 2);
    let Event::PeerRefused { failure, .. } = world.last() else { panic!("{:?}", world.events) };
    assert_eq!((failure.cause, world.events[1].0), (Cause::NoAnswer, ms(319_200)));
}

#[test]
fn a_permission_that_comes_back_is_told() {
    let mut world = World::live(settings(), Server::new());
    world.act(|client, now, rng| client.permit(peer(1), now, rng));
    world.run_for(secs(1));
    world.server.always.insert(PERMISSION, Reply::Silence);
    world.run_until(ms(301_000));
    world.server.always.clear();
    world.run_until(ms(400_000));
    // The transaction from 279.7 s is sent for the last time after 31.5 s.
    let permitted = Event::Permitted(peer(1));
    assert_eq!(world.events, [(ms(300), permitted.clone()), (ms(311_300), permitted)]);
    // The next refresh counts from its beginning.
    assert_eq!(world.timetable(PERMISSION).last(), Some(&311_200));
    world.run_until(ms(519_700));
    assert_eq!(world.timetable(PERMISSION).last(), Some(&519_700));
}

#[test]
fn a_peer_that_is_refused_later_is_not_permitted_any_longer() {
    let mut world = World::live(settings(), Server::new());
    world.act(|client, now, rng| client.bind_channel(addr("203.0.113.1:9"), now, rng));
    world.run_for(secs(1));
    world.server.next(PERMISSION, [Reply::Error(403)]);
    world.run_until(ms(241_000));
    assert!(!world.client.is_permitted(peer(1)));
    assert_eq!(world.client.channel(addr("203.0.113.1:9")), None);
    assert!(matches!(world.last(), Event::PeerRefused { .. }));
}

#[test]
fn there_are_no_more_than_256() {
    let mut world = World::live(settings(), Server::new());
    let peers: Vec<_> =
        (0..=256u16).map(|n| std::net::IpAddr::from([203, 0, (n >> 8) as u8, n as u8])).collect();
    for peer in &peers {
        world.act(|client, now, rng| client.permit(*peer, now, rng));
    }
    let [(_, Event::PeerRefused { peer, failure })] = &world.events[..] else { panic!() };
    assert_eq!((*peer, failure.cause), (peers[256], Cause::Limit));
    world.run_for(secs(10));
    assert_eq!(world.server.permissions.len(), 256);
    world.act(|client, now, rng| {
        client.forget(peers[0]);
        client.permit(peers[256], now, rng);
    });
    world.run_for(secs(1));
    assert!(world.client.is_permitted(peers[256]));
}

#[test]
fn peers_of_another_family_are_not_asked_for() {
    let mut world = World::live(settings(), Server::new());
    world.act(|client, now, rng| client.permit(ip("2001:db8::1"), now, rng));
    world.run_for(secs(1));
    let [(_, Event::PeerRefused { failure, .. })] = &world.events[..] else { panic!() };
    assert_eq!(failure.cause, Cause::Family);
    assert!(world.sent.is_empty());
}

/// A server that keeps them for less than RFC 8656 has it is asked in time;
/// nobody is asked more often than every second.
#[test]
fn permissions_are_renewed_as_the_server_keeps_them() {
    for (lifetime, every) in [(secs(300), 240_000), (secs(900), 240_000), (secs(100), 50_000)]
        .into_iter()
        .chain([(secs(8), 4_000), (secs(0), 1_000)])
    {
        let settings = Settings { permission_lifetime: lifetime, ..settings() };
        let mut world = World::live(settings, Server::new());
        world.act(|client, now, rng| client.permit(peer(1), now, rng));
        world.run_for(std::time::Duration::from_millis(2 * every + 500));
        assert_eq!(world.timetable(PERMISSION), [200, 200 + every, 200 + 2 * every]);
        assert_eq!(world.events, [(ms(300), Event::Permitted(peer(1)))], "it never ended");
    }
}
