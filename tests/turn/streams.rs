//! Relayed TCP (RFC 6062).

use floe::net::Protocol;
use floe::stun::{AttributeType as T, Builder, Class, Message, Method, TransactionId};
use floe::tcp::{Deframer, Framing};
use floe::timer::Time;
use floe::turn::channel::header;
use floe::turn::{Cause, DataConnection, DataEvent, Event, Handled, Secrets, Settings};

use crate::server::{Reply, Server};
use crate::world::{World, secrets, settings};
use crate::{addr, ip, ms, secs};

const MIN_SPACING: std::time::Duration = floe::timer::Pacer::MIN_SPACING;
const PEER: &str = "203.0.113.1:7";

fn live() -> World {
    let settings = Settings { relays: Protocol::Tcp, reliable: true, ..settings() };
    World::live(settings, Server { relays: 6, ..Server::new() })
}

fn connect(world: &mut World, peer: &str) {
    world.act(|client, now, rng| client.connect_peer(addr(peer), now, rng));
}

/// What the data connection asks, handed to the server and answered at once, as
/// often as it asks.
fn bind(world: &mut World, connection: &mut DataConnection) -> Option<DataEvent> {
    connection.start(world.now, &mut world.rng);
    // The slot of the pacer, which all share.
    world.now = connection.poll_timeout().unwrap().min(world.now + MIN_SPACING);
    connection.handle_timeout(world.now, &mut world.rng);
    let mut out = Vec::new();
    while let Some(method) = connection.poll_request(&mut out) {
        assert_eq!(method, Method::CONNECTION_BIND);
        let Some(answer) = world.server.handle(&out, world.now) else { break };
        let message = Message::parse(&answer).unwrap();
        let handled = connection.handle_message(&message, world.now, &mut world.rng);
        assert_eq!(handled, Handled::Used);
    }
    connection.poll_event()
}

#[test]
fn a_connection_to_a_peer_takes_a_request_and_a_stream() {
    let mut world = live();
    connect(&mut world, PEER);
    world.run_for(secs(1));
    let connected = Event::Connected { peer: addr(PEER), connection: 1 };
    assert_eq!(world.events, [(ms(300), connected)]);
    let mut connection = world.client.data_connection(1);
    assert_eq!(bind(&mut world, &mut connection), Some(DataEvent::Bound));
    assert_eq!(connection.poll_timeout(), None);
    assert_eq!(world.server.count(Method::CONNECTION_BIND), 1, "the nonce is known");
    let request = Message::parse(&world.server.seen.last().unwrap().1).unwrap();
    assert_eq!(request.connection_id(), Some(1));
}

#[test]
fn a_data_connection_follows_a_new_nonce_and_refuses_what_is_wrong() {
    let mut world = live();
    connect(&mut world, PEER);
    world.run_for(secs(1));
    world.server.change_nonce();
    let mut connection = world.client.data_connection(1);
    assert_eq!(bind(&mut world, &mut connection), Some(DataEvent::Bound));
    assert_eq!(world.server.count(Method::CONNECTION_BIND), 2);

    let mut unknown = world.client.data_connection(9);
    let Some(DataEvent::Refused(failure)) = bind(&mut world, &mut unknown) else { panic!() };
    assert_eq!((failure.cause, failure.code), (Cause::BadRequest, Some(400)));

    for (reply, cause) in [
        (Reply::Forged, Cause::Integrity),
        (Reply::Unsigned(403), Cause::Integrity),
        (Reply::Unauthenticated, Cause::Secrets),
        (Reply::StaleOf("evil.example".into()), Cause::Challenge),
    ] {
        world.server.next(Method::CONNECTION_BIND, [reply]);
        let mut connection = world.client.data_connection(1);
        let Some(DataEvent::Refused(failure)) = bind(&mut world, &mut connection) else { panic!() };
        assert_eq!(failure.cause, cause);
        assert_eq!(connection.poll_timeout(), None);
    }
    world.server.always.insert(Method::CONNECTION_BIND, Reply::StaleOf("example.org".into()));
    let mut circle = world.client.data_connection(1);
    let Some(DataEvent::Refused(failure)) = bind(&mut world, &mut circle) else { panic!() };
    assert_eq!(failure.cause, Cause::Nonces);
}

#[test]
fn a_data_connection_without_an_answer_ends() {
    let mut world = live();
    world.server.always.insert(Method::CONNECTION_BIND, Reply::Silence);
    let mut connection = world.client.data_connection(1);
    assert_eq!(bind(&mut world, &mut connection), None);
    let end = connection.poll_timeout().unwrap();
    assert_eq!(end, ms(200 + 39_500));
    connection.handle_timeout(end, &mut world.rng);
    let Some(DataEvent::Refused(failure)) = connection.poll_event() else { panic!() };
    assert_eq!(failure.cause, Cause::NoAnswer);
}

#[test]
fn a_peer_that_was_not_reached_is_tried_again_after_ten_seconds() {
    let mut world = live();
    world.server.next(Method::CONNECT, [Reply::Error(447)]);
    connect(&mut world, PEER);
    world.run_until(ms(300));
    let [(_, Event::ConnectRefused { peer, failure })] = &world.events[..] else { panic!() };
    assert_eq!((*peer, failure.cause, failure.code), (addr(PEER), Cause::Peer, Some(447)));
    world.run_until(ms(1_000));
    connect(&mut world, PEER);
    connect(&mut world, "203.0.113.1:8");
    world.run_until(ms(20_000));
    assert_eq!(world.timetable(Method::CONNECT), [200, 1_000, 10_300]);
    assert!(matches!(world.last(), Event::Connected { peer, .. } if *peer == addr(PEER)));
}

#[test]
fn one_request_for_a_peer_is_under_way_and_64_in_all() {
    let mut world = live();
    world.server.always.insert(Method::CONNECT, Reply::Silence);
    connect(&mut world, PEER);
    connect(&mut world, PEER);
    world.run_for(secs(1));
    assert_eq!(world.timetable(Method::CONNECT), [200]);
    for port in 100..164 {
        connect(&mut world, &format!("203.0.113.1:{port}"));
    }
    let Event::ConnectRefused { peer, failure } = world.last() else { panic!() };
    assert_eq!((*peer, failure.cause), (addr("203.0.113.1:163"), Cause::Limit));
    assert_eq!(world.events.len(), 1);
    connect(&mut world, "[2001:db8::1]:1");
    let Event::ConnectRefused { failure, .. } = world.last() else { panic!() };
    assert_eq!(failure.cause, Cause::Family);
    world.act(|client, _, _| client.forget(ip("203.0.113.1")));
    world.run_for(secs(100));
    assert_eq!(world.events.len(), 2, "nobody waits for those any more");
}

#[test]
fn a_connection_that_exists_is_refused() {
    let mut world = live();
    connect(&mut world, PEER);
    world.run_for(secs(1));
    connect(&mut world, PEER);
    world.run_for(secs(1));
    let Event::ConnectRefused { failure, .. } = world.last() else { panic!() };
    assert_eq!((failure.cause, failure.code), (Cause::Peer, Some(446)));
    world.server.allocation = None;
    connect(&mut world, "203.0.113.1:9");
    world.run_for(secs(1));
    assert!(matches!(world.last(), Event::Lost(failure) if failure.code == Some(437)));
    connect(&mut world, PEER);
    assert_eq!(world.client.poll_timeout(), None, "it is over");
}

fn attempt(peer: &str, connection: Option<u32>) -> Vec<u8> {
    let mut out = Vec::new();
    let id = TransactionId([4; 12]);
    let builder = Builder::new(Class::Indication, Method::CONNECTION_ATTEMPT, id, &mut out)
        .xored(T::XOR_PEER_ADDRESS, addr(peer));
    match connection {
        Some(connection) => builder.number(T::CONNECTION_ID, connection).finish(),
        None => builder.finish(),
    }
    out
}

#[test]
fn connections_of_permitted_peers_are_told() {
    let mut world = live();
    assert_eq!(world.hear(&attempt(PEER, Some(5))), Some(Handled::Foreign));
    world.act(|client, now, rng| client.permit(addr(PEER).ip(), now, rng));
    world.run_for(secs(1));
    world.events.clear();
    assert_eq!(world.hear(&attempt(PEER, Some(5))), Some(Handled::Used));
    let accepted = Event::Accepted { peer: addr(PEER), connection: 5 };
    assert_eq!(world.events, [(world.now, accepted)]);
    assert_eq!(world.hear(&attempt("203.0.113.2:7", Some(5))), Some(Handled::Foreign));
    assert_eq!(world.hear(&attempt(PEER, None)), Some(Handled::Foreign));
    assert_eq!(world.events.len(), 1);
}

#[test]
fn an_allocation_of_tcp_has_neither_channels_nor_indications() {
    let mut world = live();
    world.act(|client, now, rng| client.bind_channel(addr(PEER), now, rng));
    world.run_for(secs(1));
    let [(_, Event::ChannelRefused { failure, .. }), (_, Event::Permitted(_))] = &world.events[..]
    else {
        panic!("{:?}", world.events)
    };
    assert_eq!(failure.cause, Cause::Unsupported);
    assert_eq!(world.server.count(Method::CHANNEL_BIND), 0);
    let mut out = Vec::new();
    assert!(!world.client.wrap(addr(PEER), b"x", TransactionId([0; 12]), &mut out));
    Builder::new(Class::Indication, Method::DATA, TransactionId([0; 12]), &mut out)
        .xored(T::XOR_PEER_ADDRESS, addr(PEER))
        .attribute(T::DATA, b"x")
        .finish();
    assert_eq!(world.client.unwrap(&out), None);
}

#[test]
fn a_data_connection_has_the_secrets_of_now() {
    let mut world = live();
    connect(&mut world, PEER);
    world.run_for(secs(1));
    world.server.password = "new password".into();
    let renewed = Secrets { password: "new password".into(), ..secrets() };
    world.act(|client, _, _| client.renew(renewed));
    let mut connection = world.client.data_connection(1);
    assert_eq!(bind(&mut world, &mut connection), Some(DataEvent::Bound));
    assert_eq!(
        connection.handle_message(
            &Message::parse(&attempt(PEER, None)).unwrap(),
            Time::ZERO,
            &mut world.rng,
        ),
        Handled::Foreign
    );
}

#[test]
fn what_follows_the_answer_on_the_stream_is_the_peers() {
    let mut deframer = Deframer::new(Framing::Turn);
    let channel_data = [&header(0x4000, 4).unwrap()[..], b"1234"].concat();
    deframer.extend(&channel_data);
    deframer.extend(b"\xffnot TURN");
    assert_eq!(deframer.next_frame(), Ok(Some(&channel_data[..])));
    assert_eq!(deframer.take_rest(), b"\xffnot TURN");
    assert_eq!((deframer.pending(), deframer.next_frame()), (0, Ok(None)));
}
