//! The long-term credentials of RFC 8489 §9.2.

use floe::stun::{Algorithm, AttributeType as T, Message, Method};
use floe::turn::{Cause, Event, Secrets, Settings};

use crate::server::{PASSWORD, Reply, Server, USER};
use crate::world::{World, secrets, settings};
use crate::{addr, end, ip, ms, secs};

const MD5: [u8; 4] = [0, 1, 0, 0];
const SHA256: [u8; 4] = [0, 2, 0, 0];
const PEER: &str = "203.0.113.5";

fn server(cookie: &str, algorithms: Option<&[[u8; 4]]>, anonymous: bool) -> Server {
    let algorithms = algorithms.map(|list| list.concat());
    Server { cookie: cookie.into(), algorithms, anonymous, ..Server::new() }
}

/// The model checks the user, the algorithm and the signature.
#[test]
fn requests_are_signed_as_the_server_wants_it() {
    use Algorithm::{Sha1, Sha256};
    for (cookie, algorithms, anonymous, signed) in [
        ("", None, false, Sha1),
        ("obMatJos2AAAA", None, false, Sha1),
        ("obMatJos2QAAA", None, true, Sha1),
        ("obMatJos2gAAA", Some(&[MD5][..]), false, Sha256),
        ("obMatJos2gAAA", Some(&[SHA256]), false, Sha256),
        ("obMatJos2gAAA", Some(&[MD5, SHA256]), false, Sha256),
        ("obMatJos2wAAA", Some(&[SHA256, MD5]), true, Sha256),
        ("", Some(&[SHA256]), false, Sha256),
        ("no cookie obMatJos2wAAA", None, false, Sha1),
    ] {
        let mut world = World::live(settings(), server(cookie, algorithms, anonymous));
        world.act(|client, now, rng| client.permit(ip(PEER), now, rng));
        world.run_for(secs(1));
        assert_eq!(*world.last(), Event::Permitted(ip(PEER)), "{cookie}");
        assert_eq!((world.server.stale, world.server.seen.len()), (0, 3), "{cookie}");
        for (_, bytes) in &world.server.seen[1..] {
            let message = Message::parse(bytes).unwrap();
            assert_eq!(message.integrity_algorithm(), Some(signed), "{cookie}");
            // What stands behind the first integrity attribute is not listed.
            let kinds: Vec<T> = message.attributes().map(|(kind, _)| kind).collect();
            assert!(!kinds.contains(&T::MESSAGE_INTEGRITY), "{cookie}");
            assert_eq!(kinds.contains(&T::USERHASH), anonymous, "{cookie}");
            assert_eq!(kinds.contains(&T::USERNAME), !anonymous, "{cookie}");
        }
    }
}

#[test]
fn a_server_that_cannot_be_followed_is_not_asked_again() {
    for (cookie, algorithms) in
        [("obMatJos2gAAA", None), ("obMatJos2gAAA", Some(&[[0, 7, 0, 0]][..])), ("", Some(&[]))]
    {
        let mut world = World::started(settings(), server(cookie, algorithms, false));
        world.run_for(secs(100));
        // An empty list is malformed, and as good as none.
        if algorithms.is_some_and(<[_]>::is_empty) {
            continue;
        }
        assert_eq!(end(world.last()), Some((Cause::Challenge, Some(401))), "{algorithms:?}");
        assert_eq!(world.timetable(Method::ALLOCATE), [0]);
        assert_eq!(world.client.poll_timeout(), None);
    }
}

#[test]
fn a_wrong_password_is_tried_once() {
    for known in [Server::new(), Server::modern()] {
        let secrets = Secrets { username: USER.into(), password: "guess".into() };
        let mut world = World::started(Settings::new(secrets), known);
        world.run_for(secs(100));
        assert_eq!(world.events.len(), 1);
        assert_eq!(end(world.last()), Some((Cause::Secrets, Some(401))));
        assert_eq!(world.timetable(Method::ALLOCATE), [0, 100]);
        let Event::Failed(failure) = world.last() else { panic!() };
        assert!(failure.text.contains(USER) && failure.text.contains("example.org"), "{failure}");
    }
}

#[test]
fn passwords_are_in_no_debug_output() {
    let world = World::live(settings(), Server::modern());
    let shown = format!("{:?} {:?} {:?}", world.client, settings(), world.events);
    assert!(!shown.contains(PASSWORD));
    assert!(shown.contains(USER), "something is shown");
}

#[test]
fn a_stale_nonce_is_replaced_at_once_in_every_request() {
    for known in [Server::new(), Server::modern()] {
        let mut world = World::live(settings(), known);
        world.server.change_nonce();
        world.act(|client, now, rng| client.permit(ip(PEER), now, rng));
        world.run_until(ms(399));
        assert!(world.events.is_empty());
        world.run_until(ms(400));
        assert_eq!(*world.last(), Event::Permitted(ip(PEER)));
        assert_eq!(world.timetable(Method::CREATE_PERMISSION), [200, 300]);

        world.server.change_nonce();
        world.act(|client, now, rng| client.bind_channel(addr("203.0.113.5:9"), now, rng));
        world.run_until(ms(600));
        assert!(matches!(world.last(), Event::ChannelBound { .. }));
        assert_eq!(world.timetable(Method::CHANNEL_BIND), [400, 500]);

        world.run_until(ms(540_050));
        world.server.change_nonce();
        world.run_until(ms(540_400));
        assert_eq!(world.timetable(Method::REFRESH), [540_100, 540_200]);

        world.server.change_nonce();
        world.act(|client, now, rng| client.release(now, rng));
        world.run_until(ms(540_600));
        assert_eq!(*world.last(), Event::Released);
        assert_eq!(world.timetable(Method::REFRESH), [540_100, 540_200, 540_400, 540_500]);
    }
}

#[test]
fn nonces_that_are_good_for_one_request_are_enough() {
    let server = Server { nonce_uses: 1, ..Server::new() };
    let mut world = World::live(settings(), server);
    let peers: Vec<_> = (1..=8).map(|last| ip(&format!("203.0.113.{last}"))).collect();
    for peer in &peers {
        world.act(|client, now, rng| client.permit(*peer, now, rng));
    }
    world.run_for(secs(30));
    assert!(peers.iter().all(|peer| world.client.is_permitted(*peer)), "{:?}", world.events);
}

#[test]
fn a_server_cannot_have_the_client_run_in_a_circle() {
    let mut world = World::new(settings(), Server::new());
    world.server.always.insert(Method::ALLOCATE, Reply::StaleOf("example.org".into()));
    world.act(|client, now, rng| client.start(now, rng));
    world.run_for(secs(100));
    assert_eq!(end(world.last()), Some((Cause::Nonces, Some(438))));
    assert_eq!(world.timetable(Method::ALLOCATE), [0, 100, 200, 300, 400, 500]);

    let mut world = World::live(settings(), Server::new());
    world.server.always.insert(Method::CREATE_PERMISSION, Reply::StaleOf("example.org".into()));
    world.act(|client, now, rng| client.permit(ip(PEER), now, rng));
    world.run_for(secs(100));
    let [(_, Event::PeerRefused { peer, failure })] = &world.events[..] else { panic!() };
    assert_eq!((*peer, failure.cause), (ip(PEER), Cause::Nonces));
    assert_eq!(world.server.count(Method::CREATE_PERMISSION), 6);
}

#[test]
fn a_realm_that_changes_is_not_followed() {
    let mut world = World::live(settings(), Server::new());
    world.server.next(Method::CREATE_PERMISSION, [Reply::StaleOf("evil.example".into())]);
    world.act(|client, now, rng| client.permit(ip(PEER), now, rng));
    world.run_for(secs(1));
    let [(_, Event::PeerRefused { failure, .. })] = &world.events[..] else { panic!() };
    assert_eq!((failure.cause, failure.code), (Cause::Challenge, Some(438)));
    assert_eq!(world.server.count(Method::CREATE_PERMISSION), 1);
    assert!(world.client.relayed().next().is_some(), "the allocation is there");

    world.server.realm = "evil.example".into();
    world.act(|client, now, rng| client.permit(ip("203.0.113.6"), now, rng));
    world.run_for(secs(1));
    let [_, (_, Event::PeerRefused { failure, .. })] = &world.events[..] else { panic!() };
    assert_eq!((failure.cause, failure.code), (Cause::Challenge, Some(401)));
}

#[test]
fn answers_that_are_not_signed_count_for_nothing() {
    for reply in [Reply::Unsigned(486), Reply::Unsigned(400), Reply::Forged, Reply::Bare] {
        let code = if let Reply::Unsigned(code) = reply { Some(code) } else { None };
        let mut world = World::new(settings(), Server::new());
        world.server.always.insert(Method::ALLOCATE, reply.clone());
        world.act(|client, now, rng| client.start(now, rng));
        world.run_until(ms(39_599));
        assert!(world.events.is_empty(), "{reply:?} {:?}", world.events);
        assert_eq!(world.timetable(Method::ALLOCATE).len(), 8, "retransmission goes on");
        world.run_until(ms(39_600));
        assert_eq!(end(world.last()), Some((Cause::Integrity, code)), "{reply:?}");
    }
}

#[test]
fn an_unsigned_refusal_of_a_signed_request_is_named_once_all_is_over() {
    for (code, reliable, at) in [
        (486, false, 39_700),
        (400, false, 39_700),
        (486, true, 300),
        // It never reaches anybody (RFC 8489 §9.2.5), so that it is waited for another.
        (400, true, 39_700),
    ] {
        let mut world = World::live(Settings { reliable, ..settings() }, Server::new());
        world.server.always.insert(Method::CREATE_PERMISSION, Reply::Unsigned(code));
        world.act(|client, now, rng| client.permit(ip(PEER), now, rng));
        world.run_for(secs(100));
        let [(when, Event::PeerRefused { failure, .. })] = &world.events[..] else { panic!() };
        assert_eq!((failure.cause, failure.code), (Cause::Integrity, Some(code)));
        assert_eq!(*when, ms(at), "{code} {reliable}");
    }
}

#[test]
fn a_signature_that_is_forged_ends_the_request_on_a_stream() {
    for reply in [Reply::Forged, Reply::Bare] {
        let mut world = World::live(Settings { reliable: true, ..settings() }, Server::new());
        world.server.always.insert(Method::CREATE_PERMISSION, reply);
        world.act(|client, now, rng| client.permit(ip(PEER), now, rng));
        world.run_for(secs(100));
        let [(when, Event::PeerRefused { failure, .. })] = &world.events[..] else { panic!() };
        assert_eq!((failure.cause, *when), (Cause::Integrity, ms(300)));
    }
}

#[test]
fn a_weaker_signature_than_was_asked_for_is_none() {
    let mut world = World::live(settings(), Server::modern());
    world.server.next(Method::CREATE_PERMISSION, [Reply::Sha1]);
    world.act(|client, now, rng| client.permit(ip(PEER), now, rng));
    world.run_for(secs(100));
    let [(_, Event::PeerRefused { failure, .. })] = &world.events[..] else { panic!() };
    assert_eq!(failure.cause, Cause::Integrity);
}

#[test]
fn an_answer_that_promises_algorithms_and_has_none_is_ignored() {
    let mut world = World::live(settings(), Server::new());
    let nonce = (T::NONCE, b"obMatJos2gAAAx".to_vec());
    world.server.next(Method::CREATE_PERMISSION, [Reply::With(nonce.0, nonce.1)]);
    world.act(|client, now, rng| client.permit(ip(PEER), now, rng));
    world.run_for(secs(30));
    assert!(world.events.is_empty());
}

#[test]
fn secrets_that_expire_are_asked_for_and_renewed() {
    let mut world = World::live(settings(), Server::new());
    world.server.password = "new password".into();
    world.act(|client, now, rng| {
        client.permit(ip(PEER), now, rng);
        client.permit(ip("203.0.113.6"), now, rng);
    });
    world.run_for(secs(10));
    let need = Event::NeedSecrets { realm: "example.org".into() };
    assert_eq!(world.events, [(ms(300), need.clone())], "once for all requests");
    assert_eq!(world.timetable(Method::CREATE_PERMISSION), [200, 205]);
    assert!(world.client.relayed().next().is_some(), "the allocation is there");
    // Nothing is sent before there are others.
    world.act(|client, now, rng| client.permit(ip("203.0.113.7"), now, rng));
    world.run_for(secs(10));
    assert_eq!(world.sent.len(), 2);

    // The same again is no better.
    world.act(|client, _, _| client.renew(secrets()));
    world.run_for(secs(10));
    assert_eq!(*world.last(), need);
    assert_eq!(world.events.len(), 2);

    let renewed = Secrets { password: "new password".into(), ..secrets() };
    world.act(|client, _, _| client.renew(renewed));
    world.run_for(secs(10));
    for peer in [PEER, "203.0.113.6", "203.0.113.7"] {
        assert!(world.client.is_permitted(ip(peer)), "{:?}", world.events);
    }
    world.run_for(secs(600));
    assert!(world.server.allocation.is_some_and(|until| until > world.now), "it is refreshed");
}

#[test]
fn an_allocation_expires_without_secrets() {
    let mut world = World::live(settings(), Server::new());
    world.server.password = "new password".into();
    world.run_for(secs(700));
    let [(need, Event::NeedSecrets { .. }), (lost, Event::Lost(failure))] = &world.events[..]
    else {
        panic!("{:?}", world.events)
    };
    assert_eq!((*need, *lost), (ms(540_200), ms(600_100)));
    assert_eq!(failure.cause, Cause::Expired);
    assert_eq!(world.client.poll_timeout(), None);
}

#[test]
fn secrets_that_are_renewed_while_a_request_is_on_its_way_are_tried() {
    let mut world = World::live(settings(), Server::new());
    let renewed = Secrets { password: "new password".into(), ..secrets() };
    world.act(|client, now, rng| client.permit(ip(PEER), now, rng));
    world.server.password = "new password".into();
    world.act(|client, _, _| client.renew(renewed));
    world.run_for(secs(1));
    assert_eq!(world.events, [(ms(400), Event::Permitted(ip(PEER)))]);
}

#[test]
fn a_user_beyond_ascii_is_prepared_before_it_is_signed() {
    // U+00A0 is a space once prepared (RFC 8265 §4.2.1).
    let secrets = Secrets { username: "al\u{a0}ice".into(), password: "p\u{a0}w".into() };
    let server = Server { username: "al ice".into(), password: "p w".into(), ..Server::modern() };
    let world = World::live(Settings::new(secrets), server);
    assert_eq!(world.server.count(Method::ALLOCATE), 2);
}
