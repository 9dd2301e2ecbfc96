//! The life of an allocation: refreshed, lost, given back.

use std::time::Duration;

use floe::stun::{Message, Method};
use floe::turn::{Cause, Event, Handled};

use crate::server::{Reply, Server};
use crate::world::{World, settings};
use crate::{addr, end, ip, ms, secs};

const REFRESH: Method = Method::REFRESH;
const PERMISSION: Method = Method::CREATE_PERMISSION;
const BIND: Method = Method::CHANNEL_BIND;

/// What keeps an allocation with two peers and a channel alive for a quarter of
/// an hour.
#[test]
fn fifteen_minutes_are_counted_exactly() {
    let mut world = World::live(settings(), Server::new());
    world.act(|client, now, rng| {
        client.permit(ip("203.0.113.1"), now, rng);
        client.permit(ip("203.0.113.2"), now, rng);
        client.bind_channel(addr("203.0.113.3:9"), now, rng);
    });
    world.run_until(ms(900_000));
    // The allocation counts from the signed request, at 100 ms.
    assert_eq!(world.timetable(REFRESH), [540_100]);
    // Two permissions, each every four minutes; new transactions are 5 ms apart.
    // The third is the channel's, from 210 ms, and begins anew with the channel
    // at 540,210 ms.
    let permissions =
        [200, 205, 240_200, 240_205, 240_210, 480_200, 480_205, 480_210, 720_200, 720_205, 780_210];
    assert_eq!(world.timetable(PERMISSION), permissions);
    assert_eq!(world.timetable(BIND), [210, 540_210]);
    assert_eq!(world.events.len(), 4, "it tells of the beginning only: {:?}", world.events);
    assert_eq!((world.server.repeated, world.server.stale), (0, 0));
    assert_eq!(world.server.permissions.len(), 3);
}

#[test]
fn fifteen_minutes_with_stale_nonces_are_counted_exactly() {
    let server = Server { nonce_uses: 4, ..Server::new() };
    let mut world = World::live(settings(), server);
    world.act(|client, now, rng| {
        client.permit(ip("203.0.113.1"), now, rng);
        client.bind_channel(addr("203.0.113.3:9"), now, rng);
    });
    world.run_until(ms(900_000));
    // Every fifth signed request, the channel's permission at 240,205 ms and the
    // channel at 540,205 ms, is repeated with a new nonce 100 ms later.
    let permissions = [200, 240_200, 240_205, 240_305, 480_200, 480_305, 720_200, 780_305];
    assert_eq!(world.timetable(PERMISSION), permissions);
    assert_eq!(world.timetable(REFRESH), [540_100]);
    assert_eq!(world.timetable(BIND), [205, 540_205, 540_305]);
    assert_eq!((world.server.stale, world.server.repeated), (2, 0));
    assert_eq!(world.events.len(), 3);
}

#[test]
fn lost_answers_are_asked_for_again_and_nothing_else_changes() {
    let mut world = World::new(settings(), Server::new());
    world.lose_every = 3;
    world.act(|client, now, rng| client.start(now, rng));
    world.run_for(secs(2));
    world.act(|client, now, rng| {
        client.permit(ip("203.0.113.1"), now, rng);
        client.bind_channel(addr("203.0.113.3:9"), now, rng);
    });
    world.run_until(ms(3_600_000));
    assert!(world.events.iter().all(|(at, _)| *at < ms(5_000)), "{:?}", world.events);
    assert_eq!(world.events.len(), 4);
    // Every request is new to the server once, and repeated for every loss.
    let answers = world.server.requests.values().sum::<usize>() + world.server.repeated;
    assert_eq!(world.server.repeated, answers / 3);
    assert!(world.server.repeated > 20, "{}", world.server.repeated);
    assert_eq!(world.server.permissions.len(), 2);
}

#[test]
fn a_server_that_is_slow_is_waited_for() {
    let mut world = World::new(settings(), Server::new());
    world.latency = secs(4);
    world.act(|client, now, rng| client.start(now, rng));
    world.run_for(secs(20));
    assert!(matches!(world.last(), Event::Allocated { .. }), "{:?}", world.events);
    world.act(|client, now, rng| client.permit(ip("203.0.113.1"), now, rng));
    world.run_until(ms(3_600_000));
    assert_eq!(world.events.len(), 2, "{:?}", world.events);
    assert!(world.server.allocation.is_some_and(|until| until > world.now));
    assert!(world.handled.contains(&Handled::Late), "the answers to its repetitions");
    assert!(!world.handled.contains(&Handled::Foreign));
}

#[test]
fn a_refresh_that_is_refused_is_the_end() {
    for (code, cause) in [
        (437, Cause::Mismatch),
        (441, Cause::Secrets),
        (400, Cause::BadRequest),
        (403, Cause::Forbidden),
        (486, Cause::Quota),
        (508, Cause::Capacity),
    ] {
        let mut world = World::live(settings(), Server::new());
        world.server.always.insert(REFRESH, Reply::Error(code));
        world.run_for(secs(2_000));
        assert_eq!(world.events.len(), 1);
        assert_eq!(
            (world.events[0].0, end(world.last())),
            (ms(540_200), Some((cause, Some(code))))
        );
        assert_eq!(world.client.poll_timeout(), None);
        assert_eq!(world.client.relayed().count(), 0);
    }
}

#[test]
fn a_server_that_fails_to_refresh_is_asked_again() {
    let mut world = World::live(settings(), Server::new());
    world.server.next(REFRESH, [Reply::Error(500), Reply::Error(503)]);
    world.run_for(secs(600));
    assert!(world.events.is_empty());
    assert_eq!(world.timetable(REFRESH), [540_100, 541_200, 543_300]);

    world.server.always.insert(REFRESH, Reply::Error(500));
    world.run_for(secs(600));
    assert_eq!(end(world.last()), Some((Cause::Server, Some(500))));
}

#[test]
fn silence_is_borne_until_the_allocation_expires() {
    let mut world = World::live(settings(), Server::new());
    world.server.always.insert(REFRESH, Reply::Silence);
    world.run_until(ms(600_099));
    assert!(world.events.is_empty());
    assert!(world.client.relayed().next().is_some());
    world.run_for(secs(100));
    assert_eq!((world.events.len(), world.events[0].0), (1, ms(600_100)));
    assert_eq!(end(world.last()), Some((Cause::Expired, None)));
    // One transaction of 39.5 s, and the beginning of the next.
    assert_eq!(world.server.count(REFRESH), 2);

    // And an answer in the last moment saves it.
    let mut world = World::live(settings(), Server::new());
    world.server.always.insert(REFRESH, Reply::Silence);
    world.run_until(ms(590_000));
    world.server.always.clear();
    world.run_until(ms(900_000));
    assert!(world.events.is_empty(), "{:?}", world.events);
}

#[test]
fn nothing_follows_the_end_though_more_ends_with_it() {
    let mut world = World::live(settings(), Server::new());
    world.server.always.insert(REFRESH, Reply::Bare);
    world.server.always.insert(PERMISSION, Reply::Bare);
    world.run_until(ms(540_100));
    world.act(|client, now, rng| client.permit(ip("203.0.113.1"), now, rng));
    world.run_until(ms(579_599));
    assert!(world.events.is_empty());
    // The clock of the owner is late: both requests have had their time.
    world.now = ms(579_700);
    world.act(|client, now, rng| client.handle_timeout(now, rng));
    assert_eq!((world.events.len(), end(world.last())), (1, Some((Cause::Integrity, None))));
    assert_eq!(world.client.poll_timeout(), None);
}

#[test]
fn a_refresh_that_says_the_end_is_the_end() {
    let mut world = World::live(settings(), Server::new());
    world.server.next(REFRESH, [Reply::Lifetime(0)]);
    world.run_for(secs(600));
    assert_eq!((world.events.len(), end(world.last())), (1, Some((Cause::Expired, None))));
}

#[test]
fn any_request_tells_that_the_allocation_is_gone() {
    for bind in [false, true] {
        let mut world = World::live(settings(), Server::new());
        world.server.allocation = None;
        world.act(|client, now, rng| match bind {
            true => client.bind_channel(addr("203.0.113.1:1"), now, rng),
            false => client.permit(ip("203.0.113.1"), now, rng),
        });
        world.run_for(secs(100));
        assert_eq!(world.events.len(), 1);
        assert_eq!(end(world.last()), Some((Cause::Mismatch, Some(437))));
        assert_eq!(world.client.poll_timeout(), None);
    }
}

#[test]
fn a_released_allocation_is_given_back() {
    let mut world = World::live(settings(), Server::new());
    world.act(|client, now, rng| client.bind_channel(addr("203.0.113.1:1"), now, rng));
    world.run_for(secs(1));
    world.act(|client, now, rng| client.release(now, rng));
    assert_eq!(world.client.relayed().count(), 0);
    assert!(!world.client.is_permitted(ip("203.0.113.1")));
    world.run_for(secs(100));
    assert_eq!(world.events[2..], [(ms(1_300), Event::Released)]);
    assert_eq!(world.timetable(REFRESH), [1_200]);
    assert!(world.server.allocation.is_none());
    let seen = Message::parse(&world.server.seen.last().unwrap().1).unwrap();
    assert_eq!(seen.lifetime(), Some(Duration::ZERO));
}

#[test]
fn a_release_ends_whatever_the_server_answers() {
    for (reply, at) in [
        (Reply::Error(437), 300),
        (Reply::Error(403), 300),
        (Reply::Unauthenticated, 300),
        (Reply::Error(500), 300 + 1_100 + 2_100 + 4_100 + 8_100),
        (Reply::StaleOf("example.org".into()), 800),
        (Reply::Silence, 39_700),
        (Reply::Forged, 39_700),
    ] {
        let mut world = World::live(settings(), Server::new());
        world.server.always.insert(REFRESH, reply.clone());
        world.act(|client, now, rng| client.release(now, rng));
        world.run_for(secs(200));
        assert_eq!(world.events, [(ms(at), Event::Released)], "{reply:?}");
        assert_eq!(world.client.poll_timeout(), None);
    }
}

#[test]
fn a_release_before_the_allocation_is_there_gives_back_what_comes() {
    // Nothing was sent.
    let mut world = World::new(settings(), Server::new());
    world.act(|client, now, rng| client.release(now, rng));
    assert_eq!(world.events, [(ms(0), Event::Released)]);
    world.act(|client, now, rng| client.start(now, rng));
    world.run_for(secs(100));
    assert!(world.sent.is_empty());

    // The server has only been asked who we are.
    let mut world = World::started(settings(), Server::new());
    world.run_until(ms(20));
    world.act(|client, now, rng| client.release(now, rng));
    world.run_for(secs(100));
    assert_eq!(world.events, [(ms(100), Event::Released)]);
    assert_eq!(world.sent.len(), 1);

    // It is making the allocation.
    let mut world = World::started(settings(), Server::new());
    world.run_until(ms(120));
    world.act(|client, now, rng| client.release(now, rng));
    world.run_for(secs(100));
    assert_eq!(world.events, [(ms(300), Event::Released)]);
    assert_eq!(world.timetable(REFRESH), [200]);
    assert!(world.server.allocation.is_none());

    // It pauses after a failure.
    let mut world = World::new(settings(), Server::new());
    world.server.always.insert(Method::ALLOCATE, Reply::Error(500));
    world.act(|client, now, rng| client.start(now, rng));
    world.run_until(ms(300));
    world.act(|client, now, rng| client.release(now, rng));
    assert_eq!(world.events, [(ms(300), Event::Released)]);
}

#[test]
fn answers_to_nothing_and_to_what_has_ended_are_told_apart() {
    let mut world = World::started(settings(), Server::new());
    world.run_until(ms(60));
    let first = world.server.seen[0].1.clone();
    let answer = world.server.handle(&first, ms(60)).unwrap();
    let mut stranger = answer.clone();
    stranger[10] ^= 1;
    assert_eq!(world.hear(&stranger), Some(Handled::Foreign));
    let mut other_method = answer.clone();
    other_method[1] ^= 7;
    assert_eq!(world.hear(&other_method), Some(Handled::Foreign));
    let mut damaged = answer.clone();
    *damaged.last_mut().unwrap() ^= 1;
    assert_eq!(world.hear(&damaged), Some(Handled::Foreign));
    assert_eq!(world.hear(&first), Some(Handled::Foreign), "our own request");
    assert_eq!(world.hear(&answer), Some(Handled::Used));
    assert_eq!(world.hear(&answer), Some(Handled::Late));
    world.run_until(ms(300));
    assert_eq!(world.hear(&answer), Some(Handled::Late));
    assert!(matches!(world.last(), Event::Allocated { .. }));
}

#[test]
fn nothing_happens_before_the_start() {
    let mut world = World::new(settings(), Server::new());
    world.act(|client, now, rng| {
        client.permit(ip("203.0.113.1"), now, rng);
        client.bind_channel(addr("203.0.113.2:1"), now, rng);
    });
    world.run_for(secs(100));
    assert!(world.sent.is_empty() && world.events.is_empty());
    assert_eq!(world.client.poll_timeout(), None);
}

#[test]
fn new_transactions_keep_the_spacing_of_the_pacer_and_repetitions_do_not() {
    let settings = settings();
    let pacer = settings.pacer.clone();
    let mut world = World::new(settings, Server::new());
    pacer.reserve(ms(0));
    world.act(|client, now, rng| client.start(now, rng));
    assert!(world.sent.is_empty(), "somebody else has this slot");
    world.run_for(secs(3));
    assert_eq!(world.timetable(Method::ALLOCATE), [5, 105]);
}
