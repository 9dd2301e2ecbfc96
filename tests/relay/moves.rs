//! A stream that moves between the relay and a direct way.

use std::net::SocketAddr;
use std::time::Duration;

use floe::agent::{Config, State, TurnTransport};
use floe::check::Role;
use floe::stun::TransactionId;
use floe::timer::Time;

use crate::ms;
use crate::world::{SERVER, World, config, only_by_the_server};

/// The direct way opens at this time.
const OPENS: Time = Time::from_millis(3_000);
/// And is gone again at this one.
const DIES: Time = Time::from_millis(60_000);

fn direct_for_a_while(now: Time, from: SocketAddr, to: SocketAddr) -> bool {
    only_by_the_server(now, from, to) || (OPENS..DIES).contains(&now)
}

/// Whether what a side sends goes through the server.
fn is_relayed(world: &World, at: usize) -> bool {
    let (base, to) = world.sides[at].path.expect("there is a path");
    let server: SocketAddr = SERVER.parse().unwrap();
    let id = TransactionId([0; 12]);
    let wrapped = world.sides[at].core.wrap(base, to, b"", id, &mut Vec::new());
    to.ip() == server.ip() || wrapped.is_some()
}

fn pair(make: fn(Role) -> Config) -> World {
    World::new([make(Role::Controlling), make(Role::Controlled)])
}

fn over_udp(role: Role) -> Config {
    config(role, TurnTransport::Udp)
}

/// Sends a numbered datagram each way every ten milliseconds.
fn talk(world: &mut World, sent: &mut [u32; 2], until: Time) {
    while world.now < until {
        for at in [0, 1] {
            if world.sides[at].path.is_some() {
                world.send(at, &sent[at].to_be_bytes());
                sent[at] += 1;
            }
        }
        world.run_for(Duration::from_millis(10));
    }
}

/// What is missing or doubled of what was sent to a side.
fn missing(world: &World, at: usize, sent: u32) -> (usize, usize) {
    let mut seen = vec![0; sent as usize];
    for (_, data) in &world.sides[at].data {
        let number = u32::from_be_bytes(data.as_slice().try_into().unwrap());
        seen[number as usize] += 1;
    }
    let lost = seen.iter().filter(|count| **count == 0).count();
    (lost, seen.iter().filter(|count| **count > 1).count())
}

/// The relay carries data at once; when a direct way opens, the stream moves to
/// it and loses nothing; when that dies, it moves back to the relay, which has
/// stood by, within twelve seconds.
#[test]
fn the_stream_goes_by_the_relay_then_directly_and_back() {
    let mut world = pair(over_udp);
    world.passes = direct_for_a_while;
    world.start();
    world.run_until(ms(400));
    for side in &world.sides {
        assert!(side.usable.is_some_and(|at| at <= ms(400)), "{:?}", side.usable);
    }
    assert!(is_relayed(&world, 0) && is_relayed(&world, 1));
    let mut sent = [0; 2];
    talk(&mut world, &mut sent, ms(59_000));
    world.run_until(ms(59_900));
    assert!(!is_relayed(&world, 0) && !is_relayed(&world, 1), "it has moved");
    for at in [0, 1] {
        assert_eq!(missing(&world, at, sent[1 - at]), (0, 0), "side {at}");
        assert!(world.sides[at].states.iter().all(|(_, state)| *state <= State::Completed));
    }
    world.run_until(DIES + Duration::from_millis(13_000));
    assert!(is_relayed(&world, 0) && is_relayed(&world, 1), "it has moved back");
    let before = world.sides.each_ref().map(|side| side.data.len());
    world.send(0, &sent[0].to_be_bytes());
    world.send(1, &sent[1].to_be_bytes());
    world.run_for(Duration::from_millis(200));
    for at in [0, 1] {
        assert_eq!(world.sides[at].data.len(), before[at] + 1);
        assert!(!world.sides[at].states.iter().any(|(_, state)| *state == State::Failed));
    }
    world.replay();
}
