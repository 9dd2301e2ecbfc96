//! Both families of a server that gives one with an allocation (RFC 6156): the
//! other one is an allocation of its own.

use std::time::Duration;

use floe::agent::{RemoteParameters, Sockets, State, TurnTransport};
use floe::candidate::Kind;
use floe::stun::{AttributeType as T, Message, Method};

use crate::server::Server;
use crate::world::{STREAM, World, everything, relay_only};
use crate::{ALL, ms, pair};

fn old() -> Server {
    Server { is_old: true, ..Server::new() }
}

fn started(transport: TurnTransport, make: fn() -> Server) -> World {
    let mut world = pair(relay_only, transport);
    (world.make, world.passes) = (make, everything);
    world.start();
    world.run_until(ms(1_000));
    world
}

/// The families of the candidates that a side has signalled.
fn families(world: &World, at: usize) -> Vec<bool> {
    let candidates = world.sides[at].candidates.iter();
    let relayed = candidates.inspect(|c| assert_eq!(c.kind, Kind::Relayed));
    let mut is_v6: Vec<bool> =
        relayed.map(|c| c.to_string().split(' ').nth(4).unwrap().contains(':')).collect();
    is_v6.sort_unstable();
    is_v6
}

/// What was asked of the servers of a side, by what it asks for.
fn allocations(world: &World, at: usize) -> Vec<Option<T>> {
    let of_side = world.servers.iter().filter(|(client, _)| client.ip() == world.sides[at].ip);
    let seen = of_side.flat_map(|(_, server)| &server.seen);
    let families = [T::REQUESTED_ADDRESS_FAMILY, T::ADDITIONAL_ADDRESS_FAMILY];
    let mut asked: Vec<Option<T>> = seen
        .map(|(_, bytes)| Message::parse(bytes).unwrap())
        .filter(|message| message.method() == Method::ALLOCATE && message.username().is_some())
        .map(|message| message.attributes().map(|(t, _)| t).find(|t| families.contains(t)))
        .collect();
    asked.sort_unstable_by_key(|kind| kind.map(|kind| kind.0));
    asked
}

#[test]
fn the_other_family_is_asked_for_from_a_port_of_its_own() {
    for transport in ALL {
        let world = started(transport, old);
        assert_eq!(world.servers.len(), 4, "{transport:?}: two for each side");
        for at in [0, 1] {
            assert_eq!(families(&world, at), [false, true], "{transport:?}");
            let asked = [Some(T::REQUESTED_ADDRESS_FAMILY), Some(T::ADDITIONAL_ADDRESS_FAMILY)];
            assert_eq!(allocations(&world, at), asked);
            // Two round trips after the first two, and pacing.
            assert!(world.sides[at].ended.is_some_and(|at| at <= ms(190)), "{transport:?}");
            assert!(world.sides[at].errors.is_empty());
        }
        world.replay();
    }
}

/// A server that says what it does not have is not asked again.
#[test]
fn a_family_that_is_refused_is_not_asked_for_apart() {
    for transport in ALL {
        let world = started(transport, Server::new);
        assert_eq!(world.servers.len(), 2, "{transport:?}");
        assert_eq!([families(&world, 0), families(&world, 1)], [[false], [false]]);
    }
}

/// A later session has both, with what was allocated for the first.
#[test]
fn both_serve_the_session_after_a_restart() {
    for transport in ALL {
        let mut world = started(transport, old);
        let now = world.now;
        let credentials = world.sides[0].core.restart(STREAM, Sockets::Keep, now).unwrap();
        let mut parameters = RemoteParameters::new(&credentials.ufrag, &credentials.pwd);
        parameters.options = vec!["ice2".into(), "renomination".into()];
        world.sides[1].core.set_remote_parameters(STREAM, parameters, now).unwrap();
        world.drain(0);
        world.drain(1);
        world.run_for(Duration::from_secs(2));
        assert_eq!(world.servers.len(), 4, "{transport:?}");
        for at in [0, 1] {
            assert_eq!(world.sides[at].state(), State::Completed, "{transport:?}");
            assert_eq!(families(&world, at), [false, false, true, true], "{transport:?}");
        }
        world.close(0);
        world.run_for(Duration::from_millis(200));
        let lives = |of: usize| {
            let servers = world.servers.iter().filter(|(at, _)| at.ip() == world.sides[of].ip);
            servers.filter(|(_, server)| server.allocation.is_some()).count()
        };
        assert_eq!([lives(0), lives(1)], [0, 2], "{transport:?}: both are given back");
        world.replay();
    }
}
