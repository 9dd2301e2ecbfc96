//! Making an allocation (RFC 8656 §7), and every way in which it is not made.

use std::time::Duration;

use floe::stun::{AttributeType as T, Class, Message, Method};
use floe::turn::{Cause, Event, Settings};

use crate::server::{MAPPED, RELAYED_V4, Reply, Server};
use crate::world::{World, settings};
use crate::{addr, end, ms, secs};

const ALLOCATE: Method = Method::ALLOCATE;

#[test]
fn two_requests_make_an_allocation() {
    let mut world = World::started(settings(), Server::new());
    world.run_until(ms(199));
    assert!(world.events.is_empty() && world.client.mapped().is_none());
    world.run_until(ms(200));
    let event =
        Event::Allocated { relayed: addr(RELAYED_V4), mapped: addr(MAPPED), lifetime: secs(600) };
    assert_eq!(world.events, [(ms(200), event)]);
    assert_eq!(world.timetable(ALLOCATE), [0, 100]);
    assert!(world.client.relayed().eq([addr(RELAYED_V4)]));
    assert_eq!(world.client.mapped(), Some(addr(MAPPED)));
}

#[test]
fn the_first_request_tells_nothing_of_the_user() {
    let mut world = World::started(settings(), Server::modern());
    world.run_until(ms(200));
    let [first, second] = &world.server.seen[..] else { panic!("two requests") };
    let (first, second) = (Message::parse(&first.1).unwrap(), Message::parse(&second.1).unwrap());
    let kinds: Vec<T> = first.attributes().map(|(kind, _)| kind).collect();
    assert_eq!(kinds, [T::REQUESTED_TRANSPORT, T::SOFTWARE]);
    assert_eq!(first.integrity_algorithm(), None);
    assert_eq!(second.requested_transport(), Some(17));
    assert!(second.integrity_algorithm().is_some());
    assert_ne!(first.transaction_id(), second.transaction_id());
}

#[test]
fn a_server_without_credentials_is_served_too() {
    let server = Server { open: true, ..Server::new() };
    let mut world = World::started(settings(), server);
    world.run_until(ms(100));
    assert!(matches!(world.last(), Event::Allocated { .. }));
    let peer = addr("203.0.113.5:7");
    world.act(|client, now, rng| client.permit(peer.ip(), now, rng));
    world.run_for(secs(1));
    assert_eq!(*world.last(), Event::Permitted(peer.ip()));
}

#[test]
fn every_refusal_has_its_own_outcome_and_is_the_end() {
    for (code, cause) in [
        (300, Cause::Refused),
        (400, Cause::BadRequest),
        (403, Cause::Forbidden),
        (420, Cause::Unsupported),
        (437, Cause::Mismatch),
        (440, Cause::Family),
        (441, Cause::Secrets),
        (442, Cause::Unsupported),
        (443, Cause::Family),
        (446, Cause::Peer),
        (447, Cause::Peer),
        (486, Cause::Quota),
        (508, Cause::Capacity),
        (699, Cause::Refused),
    ] {
        let mut world = World::new(settings(), Server::new());
        world.server.always.insert(ALLOCATE, Reply::Error(code));
        world.act(|client, now, rng| client.start(now, rng));
        world.run_for(secs(100));
        assert_eq!(world.events.len(), 1, "{code}");
        assert_eq!(world.events[0].0, ms(200), "{code}");
        assert_eq!(end(world.last()), Some((cause, Some(code))), "{code}");
        assert_eq!(world.timetable(ALLOCATE), [0, 100], "{code}");
        assert_eq!(world.client.poll_timeout(), None, "{code}");
        // Nothing wakes it again.
        world.act(|client, now, rng| {
            client.start(now, rng);
            client.permit(addr(MAPPED).ip(), now, rng);
            client.bind_channel(addr(MAPPED), now, rng);
            client.release(now, rng);
        });
        assert_eq!((world.sent.len(), world.events.len()), (2, 1), "{code}");
    }
}

#[test]
fn a_server_that_fails_is_asked_four_times_more() {
    let mut world = World::new(settings(), Server::new());
    world.server.always.insert(ALLOCATE, Reply::Error(500));
    world.act(|client, now, rng| client.start(now, rng));
    world.run_for(secs(100));
    // Each time 100 ms to the answer, then 1, 2, 4 and 8 s.
    assert_eq!(world.timetable(ALLOCATE), [0, 100, 1_200, 3_300, 7_400, 15_500]);
    assert_eq!(end(world.last()), Some((Cause::Server, Some(500))));
    assert_eq!(world.events[0].0, ms(15_600));

    let mut world = World::new(settings(), Server::new());
    world.server.next(ALLOCATE, [Reply::Error(500), Reply::Error(599)]);
    world.act(|client, now, rng| client.start(now, rng));
    world.run_for(secs(100));
    assert!(matches!(world.last(), Event::Allocated { .. }));
    assert_eq!(world.events[0].0, ms(3_400));
}

#[test]
fn silence_ends_after_the_time_of_a_transaction() {
    for reliable in [false, true] {
        let mut world = World::new(Settings { reliable, ..settings() }, Server::new());
        world.latency = secs(1_000);
        world.act(|client, now, rng| client.start(now, rng));
        world.run_until(ms(39_499));
        assert!(world.events.is_empty());
        world.run_until(ms(39_500));
        assert_eq!(end(world.last()), Some((Cause::NoAnswer, None)));
        let udp = [0, 500, 1_500, 3_500, 7_500, 15_500, 31_500];
        assert_eq!(world.timetable(ALLOCATE), if reliable { &udp[..1] } else { &udp });
    }
}

#[test]
fn retransmissions_are_the_same_bytes() {
    let mut world = World::live(settings(), Server::new());
    world.server.always.insert(Method::CREATE_PERMISSION, Reply::Silence);
    world.server.seen.clear();
    world.act(|client, now, rng| client.permit(addr(MAPPED).ip(), now, rng));
    world.run_for(secs(39));
    assert_eq!(world.server.seen.len(), 7);
    assert!(world.server.seen.iter().all(|(_, bytes)| *bytes == world.server.seen[0].1));
}

#[test]
fn a_lifetime_is_asked_for_in_allocate_and_refresh() {
    let asked = |lifetime: Option<Duration>| {
        let mut world = World::live(Settings { lifetime, ..settings() }, Server::new());
        world.run_for(secs(700));
        let seen = world.server.seen.iter().map(|(_, bytes)| Message::parse(bytes).unwrap());
        seen.map(|message| message.lifetime().map(|l| l.as_secs())).collect::<Vec<_>>()
    };
    assert_eq!(asked(None), [None; 3]);
    assert_eq!(asked(Some(secs(900))), [Some(900); 3]);
    assert_eq!(asked(Some(Duration::ZERO)), [Some(1); 3], "zero would give it back");
    assert_eq!(asked(Some(Duration::MAX)), [Some(u64::from(u32::MAX)); 3]);
}

#[test]
fn lifetimes_that_cannot_be_are_held_to_bounds() {
    for (says, believed, refresh) in [
        (600, 600, 540_100),
        (120, 120, 60_100),
        (119, 119, 59_600),
        (60, 60, 30_100),
        (1, 4, 2_100),
        (3_600, 3_600, 3_540_100),
        (u32::MAX, 3_600, 3_540_100),
    ] {
        let mut world = World::new(settings(), Server::new());
        world.server.next(ALLOCATE, [Reply::Lifetime(says)]);
        world.server.always.insert(Method::REFRESH, Reply::Silence);
        world.act(|client, now, rng| client.start(now, rng));
        world.run_until(ms(200));
        assert!(
            matches!(world.last(), Event::Allocated { lifetime, .. } if *lifetime == secs(believed))
        );
        world.run_until(ms(refresh - 1));
        assert_eq!(world.timetable(Method::REFRESH), [0; 0], "{says}");
        world.run_until(ms(refresh));
        assert_eq!(world.timetable(Method::REFRESH), [refresh], "{says}");
    }
}

#[test]
fn an_allocation_that_is_of_no_use_is_given_back() {
    let body = |parts: &[(T, &[u8])]| {
        let attribute = |(kind, value): &(T, &[u8])| {
            let len = u16::try_from(value.len()).unwrap().to_be_bytes();
            [&kind.0.to_be_bytes()[..], &len, value].concat()
        };
        parts.iter().flat_map(attribute).collect::<Vec<u8>>()
    };
    let v4 = |port: u8, ip: u8| [0, 1, 0x21, 0x12 ^ port, 0x21 ^ ip, 0x12, 0xa4, 0x42];
    let (mapped, relayed) = (v4(9, 192), v4(9, 192));
    let life = [0, 0, 2, 88];
    for (parts, why) in [
        (vec![], "nothing"),
        (vec![(T::XOR_MAPPED_ADDRESS, &mapped[..]), (T::LIFETIME, &life)], "no relayed address"),
        (vec![(T::XOR_RELAYED_ADDRESS, &relayed), (T::LIFETIME, &life)], "no mapped address"),
        (
            vec![
                (T::XOR_MAPPED_ADDRESS, &mapped),
                (T::XOR_RELAYED_ADDRESS, &v4(0, 192)),
                (T::LIFETIME, &life),
            ],
            "port 0",
        ),
        (
            vec![
                (T::XOR_MAPPED_ADDRESS, &mapped),
                (T::XOR_RELAYED_ADDRESS, &v4(9, 224)),
                (T::LIFETIME, &life),
            ],
            "multicast",
        ),
        (
            vec![
                (T::XOR_MAPPED_ADDRESS, &mapped),
                (T::XOR_RELAYED_ADDRESS, &relayed),
                (T::LIFETIME, &[0; 4]),
            ],
            "over at once",
        ),
        (
            vec![
                (T::XOR_MAPPED_ADDRESS, &mapped),
                (T::XOR_RELAYED_ADDRESS, &relayed),
                (T(0x7777), &[0; 4]),
            ],
            "an unknown attribute",
        ),
    ] {
        let server = Server { open: true, ..Server::new() };
        let mut world = World::new(settings(), server);
        world.server.next(ALLOCATE, [Reply::Body(Class::Success, body(&parts))]);
        world.act(|client, now, rng| client.start(now, rng));
        world.run_for(secs(100));
        assert_eq!(end(world.last()), Some((Cause::Useless, None)), "{why}");
        assert_eq!(world.events.len(), 1, "{why}");
        assert_eq!(world.client.poll_timeout(), None, "{why}");
        let returned = usize::from(why != "an unknown attribute");
        assert_eq!(world.server.count(Method::REFRESH), returned, "{why}");
    }
}

#[test]
fn an_error_without_a_code_is_of_no_use() {
    let server = Server { open: true, ..Server::new() };
    let mut world = World::new(settings(), server);
    world.server.next(ALLOCATE, [Reply::Body(Class::Error, vec![])]);
    world.act(|client, now, rng| client.start(now, rng));
    world.run_for(secs(1));
    assert_eq!(end(world.last()), Some((Cause::Useless, None)));
}

#[test]
fn a_reason_that_is_no_text_is_shown_as_far_as_it_goes() {
    let mut world = World::new(settings(), Server::new());
    let reason = b"full\x1b[31m\xff\xfe and more".to_vec();
    world.server.next(ALLOCATE, [Reply::Reason(486, reason)]);
    world.act(|client, now, rng| client.start(now, rng));
    world.run_for(secs(1));
    let Event::Failed(failure) = world.last() else { panic!("{:?}", world.events) };
    assert!(failure.text.ends_with("(code 486: full\u{fffd}[31m)"), "{failure}");
}

#[test]
fn what_an_allocate_request_asks_for_is_written_as_the_rfc_says() {
    let mut world = World::started(settings(), Server::new());
    world.run_until(ms(60));
    let request = Message::parse(&world.server.seen[0].1).unwrap();
    let value = request.attributes().find(|(kind, _)| *kind == T::REQUESTED_TRANSPORT);
    assert_eq!(value, Some((T::REQUESTED_TRANSPORT, &[17, 0, 0, 0][..])));
}

#[test]
fn without_a_lifetime_the_default_holds() {
    let mut world = World::new(settings(), Server { open: true, ..Server::new() });
    let v4 = [0, 1, 0x21, 0x12 ^ 9, 0x21 ^ 192, 0x12, 0xa4, 0x42];
    let attribute = |kind: T| [&kind.0.to_be_bytes()[..], &[0, 8], &v4].concat();
    let body = [T::XOR_MAPPED_ADDRESS, T::XOR_RELAYED_ADDRESS].map(attribute).concat();
    world.server.next(ALLOCATE, [Reply::Body(Class::Success, body)]);
    world.act(|client, now, rng| client.start(now, rng));
    world.run_for(secs(1));
    assert!(matches!(world.last(), Event::Allocated { lifetime, .. } if *lifetime == secs(600)));
}
