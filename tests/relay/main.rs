//! Relayed candidates in virtual time: two agents and a model of a TURN server
//! that checks what it is asked. Every time is exact.

mod families;
mod moves;
#[path = "../turn/server.rs"]
#[allow(dead_code)] // The client's own tests use the rest.
mod server;
mod streams;
mod world;

use std::net::SocketAddr;
use std::time::Duration;

use floe::agent::{State, Transports, TurnTransport};
use floe::candidate::{Candidate, Kind};
use floe::check::Role;
use floe::stun::Method;
use floe::timer::Time;
use floe::turn::Secrets;

use server::{Reply, Server};
use world::{STREAM, World, config, everything, only_by_the_server, relay_only};

fn addr(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn ms(millis: u64) -> Time {
    Time::from_millis(millis)
}

fn pair(make: fn(Role, TurnTransport) -> floe::agent::Config, transport: TurnTransport) -> World {
    World::new([make(Role::Controlling, transport), make(Role::Controlled, transport)])
}

const ALL: [TurnTransport; 3] = [TurnTransport::Udp, TurnTransport::Tcp, TurnTransport::Tls];

/// M4: from both having candidates, the relayed pair is valid within three
/// round trips to the server and 200 ms.
#[test]
fn two_relays_connect_and_carry_data() {
    for transport in ALL {
        let mut world = pair(relay_only, transport);
        world.start();
        world.run_until(ms(1_000));
        for at in [0, 1] {
            let side = &world.sides[at];
            assert_eq!(side.candidates.len(), 1, "{transport:?}: {:?}", side.errors);
            assert_eq!(side.candidates[0].kind, Kind::Relayed);
            // Two round trips: the server asks for credentials first.
            let gathered = side.ended.expect("gathering has ended");
            assert!(gathered <= ms(90), "{gathered}");
            let usable = side.usable.expect("there is a path");
            assert!(usable - gathered <= Duration::from_millis(3 * 40 + 200), "{usable}");
            assert_eq!(side.state(), State::Completed);
            assert_eq!(side.selected.last().unwrap().1.kind, Kind::Relayed);
        }
        for number in 0..10u8 {
            world.send(0, &[b'a', number]);
            world.send(1, &[b'b', number]);
            world.run_for(Duration::from_millis(10));
        }
        world.run_for(Duration::from_millis(100));
        for (at, name) in [(0, b'b'), (1, b'a')] {
            let data: Vec<Vec<u8>> = world.sides[at].data.iter().map(|d| d.1.clone()).collect();
            assert_eq!(data, (0..10u8).map(|n| vec![name, n]).collect::<Vec<_>>());
        }
        // By then there is a channel: four bytes, and no indication.
        for server in world.servers.values() {
            assert_eq!(server.count(Method::CHANNEL_BIND), 1);
            assert_eq!(server.count(Method::CREATE_PERMISSION), 1);
        }
        world.replay();
    }
}

/// RFC 8445 §5.1.1.2: an allocation gives a relayed and a server-reflexive
/// candidate.
#[test]
fn an_allocation_tells_the_reflexive_address_too() {
    let mut world = pair(config, TurnTransport::Udp);
    world.mapped = Some(addr("198.51.100.77:4000"));
    world.start();
    world.run_until(ms(1_000));
    let side = &world.sides[0];
    let of = |kind| side.candidates.iter().find(|c| c.kind == kind).expect("it is signalled");
    let reflexive = of(Kind::ServerReflexive);
    assert_eq!(reflexive.to_string().split(' ').nth(4), Some("198.51.100.77"));
    assert_eq!(reflexive.related, Some(SocketAddr::new(side.ip, 5_000)));
    // The mapped address stands beside what is relayed (RFC 8839 §5.1).
    assert_eq!(of(Kind::Relayed).related, world.mapped);
    assert!(of(Kind::Relayed).priority < reflexive.priority);
    world.replay();
}

/// RFC 8445 §5.1.1.2: a relayed candidate that equals a host candidate is none.
#[test]
fn a_relayed_address_that_is_a_host_candidates_is_none() {
    let mut world = pair(config, TurnTransport::Udp);
    world.relays_as = Some(SocketAddr::new(world.sides[0].ip, 5_000));
    world.start();
    world.run_until(ms(1_000));
    let kinds: Vec<Kind> = world.sides[0].candidates.iter().map(|c| c.kind).collect();
    assert_eq!(kinds, [Kind::Host]);
    assert!(world.sides[0].ended.is_some());
}

/// When closed, an agent gives back what it has.
#[test]
fn an_allocation_is_given_back_at_the_end() {
    for transport in ALL {
        let mut world = pair(relay_only, transport);
        world.start();
        world.run_until(ms(1_000));
        world.close(0);
        assert_eq!(world.sides[0].states.last().unwrap().1, State::Closed);
        assert!(
            !world.sides[0].states.iter().any(|(_, state)| *state == State::Disconnected),
            "nothing was lost: {:?}",
            world.sides[0].states
        );
        world.run_for(Duration::from_millis(100));
        let given_back = world.servers.values().filter(|server| server.allocation.is_none());
        assert_eq!(given_back.count(), 1, "{transport:?}");
        world.replay();
    }
}

/// Checks do not wait for one another's permissions: eight peers at 150 ms are
/// permitted half a second after gathering.
#[test]
fn permissions_for_many_peers_are_asked_for_side_by_side() {
    let mut world = pair(relay_only, TurnTransport::Udp);
    world.to_server = Duration::from_millis(75);
    world.signals = false;
    world.start();
    world.run_until(ms(400));
    let gathered = world.sides[0].ended.expect("gathering has ended");
    let start = world.now;
    for n in 1..=8 {
        let text = format!("candidate:{n} 1 UDP {n} 198.51.100.{n} 5000 typ host");
        let candidate: Candidate = text.parse().unwrap();
        world.sides[0].core.add_remote_candidate(STREAM, &candidate, start).unwrap();
    }
    world.run_until(start + Duration::from_millis(500));
    let client = world.servers.values().max_by_key(|server| server.permissions.len()).unwrap();
    assert_eq!(client.permissions.len(), 8, "gathered at {gathered}");
    let asked = |(at, bytes): &(Time, Vec<u8>)| {
        let message = floe::stun::Message::parse(bytes).unwrap();
        (message.method() == Method::CREATE_PERMISSION).then_some(*at)
    };
    let asked: Vec<Time> = client.seen.iter().filter_map(asked).collect();
    // In flight together: as far apart as new transactions have to be (RFC 8445
    // §14.2), with a check between each two.
    assert_eq!(asked.len(), 8);
    assert!(asked[7] - asked[0] <= Duration::from_millis(7 * 10), "{asked:?}");
}

/// Without a direct way the pair goes by the relay of one of both.
#[test]
fn where_nothing_else_passes_the_relay_carries() {
    let mut world = pair(config, TurnTransport::Udp);
    world.passes = only_by_the_server;
    world.start();
    world.run_until(ms(5_000));
    for side in &world.sides {
        assert_eq!(side.state(), State::Completed, "{:?}", side.states);
        let (_, local, remote) = side.selected.last().unwrap();
        assert!([local.kind, remote.kind].contains(&Kind::Relayed));
    }
}

/// Where there is a direct way, it is taken, and the relay is given back.
#[test]
fn where_there_is_a_direct_way_the_relay_is_only_a_candidate() {
    let mut world = pair(config, TurnTransport::Udp);
    world.passes = everything;
    world.start();
    world.run_until(ms(10_000));
    for side in &world.sides {
        assert_eq!(side.state(), State::Completed);
        let (_, local, remote) = side.selected.last().unwrap();
        assert!(![local.kind, remote.kind].contains(&Kind::Relayed), "{local} {remote}");
    }
}

#[test]
fn a_silent_server_costs_its_budget_and_no_more() {
    for transport in ALL {
        let mut world = pair(relay_only, transport);
        world.make = || {
            let mut server = Server::new();
            server.next(Method::ALLOCATE, std::iter::repeat_n(Reply::Silence, 100));
            server
        };
        world.start();
        world.run_until(ms(60_000));
        for side in &world.sides {
            assert_eq!(side.ended, Some(ms(5_000)), "{transport:?}");
            assert!(side.candidates.is_empty());
            let [(701, text)] = side.errors.as_slice() else { panic!("{:?}", side.errors) };
            assert!(text.contains("192.0.2.9:3478"), "{text}");
        }
        world.replay();
    }
}

#[test]
fn wrong_credentials_are_told_with_the_user_and_the_realm() {
    let mut world = pair(relay_only, TurnTransport::Udp);
    world.make = || Server { password: "another".into(), ..Server::new() };
    world.start();
    world.run_until(ms(10_000));
    for side in &world.sides {
        let [(401, text)] = side.errors.as_slice() else { panic!("{:?}", side.errors) };
        assert!(text.contains("alice") && text.contains("example.org"), "{text}");
        assert!(!text.contains(server::PASSWORD), "{text}");
        assert!(side.ended.is_some_and(|at| at < ms(1_000)), "{:?}", side.ended);
    }
    world.replay();
}

/// RFC 6062 §4.1: over UDP a server is not asked to relay TCP; who wants nothing
/// else does not ask it.
#[test]
fn without_udp_a_server_over_udp_is_not_asked() {
    let tcp = |role| {
        let mut config = config(role, TurnTransport::Udp);
        config.transports = Transports::TCP;
        config
    };
    let mut world = World::new([tcp(Role::Controlling), tcp(Role::Controlled)]);
    world.start();
    world.run_until(ms(10_000));
    assert!(world.servers.is_empty());
    assert!(world.sides.iter().all(|side| side.ended.is_some()));
}

/// RFC 8489 §10: where the server sends to another of another name, that is what
/// its certificate has to bear.
#[test]
fn a_redirection_names_the_certificate() {
    let other = addr("192.0.2.9:3479");
    for domain in [Some("turn.example.net"), None] {
        let mut world = pair(relay_only, TurnTransport::Tls);
        world.start();
        world.run_until(ms(3));
        let client = *world.sides[0].legs.values().next().expect("a leg");
        let mut server = Server::new();
        let reply = Reply::Redirect(Some(other), domain.map(Into::into));
        server.next(Method::ALLOCATE, [reply]);
        world.servers.insert(client, server);
        world.run_until(ms(200));
        let names = [None, domain.map(String::from)];
        assert_eq!(world.sides[0].names, names, "{:?}", world.sides[0].errors);
        world.replay();
    }
}

/// What the server refuses for a peer fails the pairs with it, and no others.
#[test]
fn a_peer_that_the_server_refuses_fails_alone() {
    let mut world = pair(relay_only, TurnTransport::Udp);
    world.signals = false;
    world.start();
    world.run_until(ms(400));
    let client = *world.servers.keys().find(|addr| addr.ip() == world.sides[0].ip).unwrap();
    let server = world.servers.get_mut(&client).unwrap();
    server.next(Method::CREATE_PERMISSION, [Reply::Error(403)]);
    for n in 1..=2 {
        let text = format!("candidate:{n} 1 UDP {} 198.51.100.{n} 5000 typ host", 9 - n);
        let candidate: Candidate = text.parse().unwrap();
        world.sides[0].core.add_remote_candidate(STREAM, &candidate, world.now).unwrap();
    }
    world.run_for(Duration::from_millis(500));
    let pairs: Vec<_> = world.sides[0].core.pairs(STREAM).collect();
    let reasons: Vec<_> = pairs.iter().map(|p| p.reason.map(|reason| reason.to_string())).collect();
    assert_eq!(pairs.len(), 2);
    assert_eq!(reasons.iter().flatten().count(), 1, "{reasons:?}");
    assert!(reasons.iter().flatten().all(|r| r.contains("refused-by-relay")), "{reasons:?}");
}

/// A channel that the server does not prolong is told as ended, and data goes on
/// without it.
#[test]
fn a_channel_that_is_refused_later_is_told_as_ended() {
    let mut world = pair(relay_only, TurnTransport::Udp);
    world.start();
    world.run_until(ms(2_000));
    for server in world.servers.values_mut() {
        server.always.insert(Method::CHANNEL_BIND, Reply::Error(400));
    }
    world.run_until(ms(700_000));
    for at in [0, 1] {
        assert_eq!(world.sides[at].channels, [Some(0x4000), None]);
        assert_eq!(world.sides[at].state(), State::Completed);
    }
    world.send(0, b"in an indication");
    world.run_for(Duration::from_millis(100));
    assert_eq!(world.sides[1].data.len(), 1);
    world.replay();
}

/// The peer's address is let through since it is like one of ours. That it stays,
/// when the socket is closed that had it: the connection to the server is another.
#[test]
fn a_peer_stays_let_through_when_a_socket_of_ours_is_closed() {
    let mut world = pair(
        |role, transport| {
            let mut config = relay_only(role, transport);
            config.include_loopback = true;
            config
        },
        TurnTransport::Tcp,
    );
    (world.relays_at, world.passes) = ([127, 0, 0, 9].into(), everything);
    for at in [0, 1] {
        world.sides[at].ip = [127, 0, at as u8 + 1, 2].into();
    }
    world.start();
    world.run_until(ms(60_000));
    for side in &world.sides {
        let states: Vec<State> = side.states.iter().map(|(_, state)| *state).collect();
        assert_eq!(states, [State::Checking, State::Connected, State::Completed]);
    }
    world.replay();
}

/// RFC 8445 §7.3.1.3: the peer's check through its relay is faster than its
/// signalling, and so is the nomination. When the candidate is signalled, the
/// pair is named as what it is.
#[test]
fn a_relayed_candidate_that_is_signalled_late_is_named_as_one() {
    let host = floe::agent::Config::new(Role::Controlling);
    let mut world = World::new([host, relay_only(Role::Controlled, TurnTransport::Udp)]);
    (world.signals, world.passes) = (false, everything);
    world.start();
    world.run_until(ms(500));
    let signal = |world: &mut World, from: usize| {
        let candidates = world.sides[from].candidates.clone();
        for candidate in &candidates {
            let now = world.now;
            world.sides[1 - from].core.add_remote_candidate(STREAM, candidate, now).unwrap();
        }
        world.drain(1 - from);
    };
    signal(&mut world, 0);
    world.run_until(ms(2_000));
    let kinds = |world: &World| -> Vec<Kind> {
        world.sides[0].selected.iter().map(|(_, _, remote)| remote.kind).collect()
    };
    assert_eq!(world.sides[0].state(), State::Completed, "{:?}", world.sides[0].states);
    assert_eq!(kinds(&world), [Kind::PeerReflexive]);
    signal(&mut world, 1);
    assert_eq!(kinds(&world), [Kind::PeerReflexive, Kind::Relayed]);
    let signalled = &world.sides[1].candidates[0];
    assert_eq!(world.sides[0].selected[1].2.to_string(), signalled.to_string());
    let pairs: Vec<_> = world.sides[0].core.pairs(STREAM).collect();
    let [pair] = pairs.as_slice() else { panic!("{pairs:?}") };
    assert!(pair.selected && pair.remote.to_string().contains(" typ relay "), "{}", pair.remote);
    // Nothing else comes of it.
    signal(&mut world, 1);
    world.run_for(Duration::from_secs(5));
    assert_eq!(kinds(&world).len(), 2);
    assert_eq!(world.sides[0].core.pairs(STREAM).count(), 1);
    assert_eq!(world.sides[0].state(), State::Completed);
    world.replay();
}

/// Credentials with a term: the application is asked for others, and the
/// allocation lives on.
#[test]
fn expired_credentials_are_renewed() {
    let mut world = pair(relay_only, TurnTransport::Udp);
    world.start();
    world.run_until(ms(2_000));
    for server in world.servers.values_mut() {
        (server.username, server.password) = ("alice-2".into(), "angelfish".into());
    }
    // A permission is renewed after four minutes, and ends after five.
    world.run_until(ms(250_000));
    for at in [0, 1] {
        assert_eq!(world.sides[at].expired, ["example.org"]);
        let secrets = Secrets { username: "alice-2".into(), password: "angelfish".into() };
        let core = &mut world.sides[at].core;
        assert!(core.renew_secrets("turn:other", secrets.clone(), world.now).is_err());
        core.renew_secrets("turn:server", secrets, world.now).unwrap();
        world.drain(at);
    }
    world.run_until(ms(1_300_000));
    for side in &world.sides {
        assert_eq!(side.state(), State::Completed, "{:?}", side.states);
        assert!(side.errors.is_empty(), "{:?}", side.errors);
        // It is the first session's.
        assert_eq!(side.selected.len(), 1);
    }
    world.replay();
}

/// A server that forgets the allocation in the middle of a session: another is
/// made by a restart, and the stream goes on.
#[test]
fn a_lost_allocation_is_made_again() {
    for transport in ALL {
        let mut world = pair(relay_only, transport);
        world.start();
        world.run_until(ms(2_000));
        assert_eq!(world.sides[0].state(), State::Completed);
        let client = *world.servers.keys().find(|addr| addr.ip() == world.sides[0].ip).unwrap();
        let server = world.servers.get_mut(&client).unwrap();
        (server.allocation, server.permissions, server.channels) = Default::default();
        // The next refresh is refused.
        world.run_until(Time::from_millis(640_000));
        let states = &world.sides[0].states;
        assert_eq!(world.sides[0].state(), State::Completed, "{transport:?}: {states:?}");
        assert_eq!(world.sides[1].state(), State::Completed, "{transport:?}: {states:?}");
        assert!(!states.iter().any(|(_, state)| *state == State::Failed), "{states:?}");
        world.sides[1].data.clear();
        world.send(0, b"after");
        world.run_for(Duration::from_millis(200));
        assert_eq!(world.sides[1].data.len(), 1);
        world.replay();
    }
}
