//! Address families (RFC 8656 §7.1, §7.3).

use floe::net::Family;
use floe::stun::{AttributeType as T, Message, Method};
use floe::turn::{Cause, Event, Families, Settings};

use crate::server::{RELAYED_V4, RELAYED_V6, Reply, Server};
use crate::world::{World, settings};
use crate::{addr, end, ip, secs};

fn server(relayed: &[&str], address_error: Option<(u8, u16)>) -> Server {
    let relayed = relayed.iter().map(|text| addr(text)).collect();
    Server { relayed, address_error, ..Server::new() }
}

fn started(families: Families, server: Server) -> World {
    let mut world = World::started(Settings { families, ..settings() }, server);
    world.run_for(secs(1));
    world
}

#[test]
fn the_families_that_are_wanted_are_asked_for() {
    for (families, asked) in [
        (Families::V4, None),
        (Families::V6, Some(T::REQUESTED_ADDRESS_FAMILY)),
        (Families::Both, Some(T::ADDITIONAL_ADDRESS_FAMILY)),
    ] {
        let world = started(families, server(&[RELAYED_V4, RELAYED_V6], None));
        for (_, bytes) in &world.server.seen {
            let message = Message::parse(bytes).unwrap();
            let of_families: Vec<_> = message
                .attributes()
                .filter(|(kind, _)| {
                    [T::REQUESTED_ADDRESS_FAMILY, T::ADDITIONAL_ADDRESS_FAMILY].contains(kind)
                })
                .collect();
            let expected: Vec<_> = asked.iter().map(|kind| (*kind, &[2, 0, 0, 0][..])).collect();
            assert_eq!(of_families, expected, "{families:?}");
        }
        let relayed: Vec<_> = world.client.relayed().collect();
        let expected = [(RELAYED_V4, Family::V4), (RELAYED_V6, Family::V6)];
        let expected = expected.iter().filter(|(_, family)| families.has(*family));
        assert_eq!(relayed, expected.map(|(text, _)| addr(text)).collect::<Vec<_>>());
    }
}

#[test]
fn both_families_come_with_one_allocation() {
    let mut world = started(Families::Both, server(&[RELAYED_V6, RELAYED_V4], None));
    let relayed: Vec<_> = world
        .events
        .iter()
        .map(|(_, event)| match event {
            Event::Allocated { relayed, .. } => *relayed,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(relayed, [addr(RELAYED_V4), addr(RELAYED_V6)]);
    world.act(|client, now, rng| {
        client.permit(ip("2001:db8::5"), now, rng);
        client.permit(ip("203.0.113.5"), now, rng);
    });
    world.run_until(crate::ms(600_000));
    assert!(world.client.is_permitted(ip("2001:db8::5")));
    assert!(world.client.is_permitted(ip("203.0.113.5")));
    assert_eq!(world.server.count(Method::REFRESH), 1, "one refreshes both");
}

#[test]
fn one_family_may_be_refused() {
    for (relayed, family, code) in [
        (RELAYED_V4, Family::V6, 440),
        (RELAYED_V4, Family::V6, 508),
        (RELAYED_V6, Family::V4, 508),
    ] {
        let number = if family == Family::V4 { 1 } else { 2 };
        let mut world = World::new(
            Settings { families: Families::Both, ..settings() },
            server(&[relayed], Some((number, code))),
        );
        let (here, gone) = match family {
            Family::V6 => ("203.0.113.5", "2001:db8::5"),
            Family::V4 => ("2001:db8::5", "203.0.113.5"),
        };
        world.act(|client, now, rng| {
            client.permit(ip(here), now, rng);
            client.permit(ip(gone), now, rng);
            client.start(now, rng);
        });
        world.run_for(secs(1));
        let [
            (_, Event::Allocated { .. }),
            (_, Event::FamilyRefused { family: refused, failure }),
            (_, Event::PeerRefused { peer, failure: of_peer }),
            (_, Event::Permitted(permitted)),
        ] = &world.events[..]
        else {
            panic!("{:?}", world.events)
        };
        assert_eq!((*refused, failure.code), (family, Some(code)));
        assert_eq!((*peer, of_peer.cause, *permitted), (ip(gone), Cause::Family, ip(here)));
        world.run_for(secs(500));
        assert_eq!(world.server.count(Method::ALLOCATE), 2, "it is not asked for again");
    }
}

#[test]
fn a_server_that_knows_one_family_only_gives_that() {
    let world = started(Families::Both, server(&[RELAYED_V4], None));
    let [(_, Event::Allocated { .. }), (_, Event::FamilyRefused { failure, .. })] =
        &world.events[..]
    else {
        panic!("{:?}", world.events)
    };
    assert_eq!((failure.cause, failure.code), (Cause::Useless, None));
}

#[test]
fn an_address_of_a_family_that_is_not_wanted_is_given_back() {
    let mut world = started(Families::V6, server(&[RELAYED_V4], None));
    world.run_for(secs(100));
    assert_eq!((world.events.len(), end(world.last())), (1, Some((Cause::Useless, None))));
    assert!(world.server.allocation.is_none());
}

#[test]
fn no_family_at_all_is_a_failure() {
    let mut world =
        World::new(Settings { families: Families::V6, ..settings() }, server(&[RELAYED_V6], None));
    world.server.always.insert(Method::ALLOCATE, Reply::Error(440));
    world.act(|client, now, rng| client.start(now, rng));
    world.run_for(secs(100));
    assert_eq!(end(world.last()), Some((Cause::Family, Some(440))));
    assert_eq!(world.server.count(Method::ALLOCATE), 2);
}
