//! Servers that name others (RFC 8489 §10).

use std::net::SocketAddr;

use floe::stun::Method;
use floe::timer::Time;
use floe::turn::{Cause, Event, Redirects};

use crate::server::{Reply, Server};
use crate::world::{World, settings};
use crate::{addr, end, ms, secs};

const OTHER: &str = "192.0.2.77:3478";

fn redirected(reply: Reply) -> World {
    let mut world = World::new(settings(), Server::new());
    world.server.next(Method::ALLOCATE, [reply]);
    world.act(|client, now, rng| client.start(now, rng));
    world.run_for(secs(100));
    assert_eq!((world.events.len(), world.client.poll_timeout()), (1, None));
    world
}

#[test]
fn a_redirection_is_the_owners_to_follow() {
    let world = redirected(Reply::Redirect(Some(addr(OTHER)), Some("turn.example".into())));
    let event = Event::Redirected { to: addr(OTHER), domain: Some("turn.example".into()) };
    assert_eq!(world.events, [(ms(200), event)]);
    assert_eq!(world.server.count(Method::ALLOCATE), 2);
    let world = redirected(Reply::Redirect(Some(addr(OTHER)), None));
    assert_eq!(*world.last(), Event::Redirected { to: addr(OTHER), domain: None });
    for domain in ["a\nb", "é.example", &"a".repeat(256)] {
        let world = redirected(Reply::Redirect(Some(addr(OTHER)), Some(domain.into())));
        assert_eq!(*world.last(), Event::Redirected { to: addr(OTHER), domain: None });
    }
}

#[test]
fn a_redirection_to_nowhere_is_a_refusal() {
    for to in [None, Some("0.0.0.0:3478"), Some("192.0.2.77:0"), Some("224.0.0.1:3478")] {
        let world = redirected(Reply::Redirect(to.map(addr), None));
        assert_eq!(end(world.last()), Some((Cause::Refused, Some(300))), "{to:?}");
    }
}

#[test]
fn a_redirection_that_is_not_signed_is_not_followed() {
    // The server has not asked for credentials, so that nothing can be signed.
    let mut world = World::new(settings(), Server { open: true, ..Server::new() });
    world.server.always.insert(Method::ALLOCATE, Reply::Redirect(Some(addr(OTHER)), None));
    world.act(|client, now, rng| client.start(now, rng));
    world.run_for(secs(1));
    assert_eq!(end(world.last()), Some((Cause::Refused, Some(300))));

    let mut world = World::new(settings(), Server::new());
    world.server.always.insert(Method::ALLOCATE, Reply::Unsigned(300));
    world.act(|client, now, rng| client.start(now, rng));
    world.run_for(secs(100));
    assert_eq!(end(world.last()), Some((Cause::Integrity, Some(300))));
}

#[test]
fn a_live_allocation_is_not_moved() {
    let mut world = World::live(settings(), Server::new());
    let reply = Reply::Redirect(Some(addr(OTHER)), None);
    world.server.next(Method::CREATE_PERMISSION, [reply]);
    world.act(|client, now, rng| client.permit(addr(OTHER).ip(), now, rng));
    world.run_for(secs(1));
    let Event::PeerRefused { failure, .. } = world.last() else { panic!("{:?}", world.events) };
    assert_eq!(failure.code, Some(300));
    assert!(world.client.relayed().next().is_some());
}

/// An owner that goes where it is sent comes to an end.
#[test]
fn servers_in_a_circle_are_each_asked_once() {
    let servers: Vec<SocketAddr> = (1..=3).map(|n| addr(&format!("192.0.2.{n}:3478"))).collect();
    let (mut at, mut asked) = (0, vec![servers[0]]);
    let mut redirects = Redirects::from(servers[0], Time::ZERO);
    loop {
        let next = (at + 1) % servers.len();
        let world = redirected(Reply::Redirect(Some(servers[next]), None));
        let Event::Redirected { to, .. } = world.last() else { panic!() };
        if !redirects.follow(*to, ms(100 * asked.len() as u64)) {
            break;
        }
        asked.push(*to);
        at = next;
    }
    assert_eq!(asked, servers);
}
