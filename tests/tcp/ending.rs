//! What becomes of connections after ICE has completed: they stay, they are
//! lost and opened again, a restart keeps them (RFC 6544 §9.2, §11.1).

use std::time::Duration;

use floe::agent::{State, StateReason, Transports};
use floe::candidate::TcpType;

use crate::model::{Kind as Segment, Rules};
use crate::rules::{ACTIVE, NONE, PASSIVE, SO, completes, open};
use crate::world::{Plan, World};

const SECOND: Duration = Duration::from_secs(1);

fn nat() -> Plan {
    Plan::new([vec![Rules::PORT_RESTRICTED], vec![Rules::PORT_RESTRICTED]], SO)
}

fn syns(world: &World) -> [usize; 2] {
    let log = world.network.log();
    world.machines.each_ref().map(|machine| log.sent(machine.host, Segment::Syn).count())
}

fn selected_types(world: &World) -> [Option<TcpType>; 2] {
    world.machines.each_ref().map(|machine| machine.selected.last().unwrap().0.tcp_type)
}

/// Data flows both ways for a while, and each side says that all is well.
fn goes_on(world: &mut World) {
    for n in 0..20u8 {
        world.run_for(SECOND * 2, |_| false);
        assert!(world.exchanges(&[b'g', n]), "after {} s", 2 * n);
    }
    for machine in &world.machines {
        assert_eq!(machine.core.state(), State::Completed, "{:?}", machine.states);
    }
}

#[test]
fn the_selected_connection_stays_as_long_as_the_session() {
    for plan in [nat(), open([ACTIVE, PASSIVE]), open([PASSIVE, ACTIVE])] {
        let mut world = completes(plan);
        world.run_for(SECOND * 10, |_| false);
        let before = syns(&world);
        goes_on(&mut world);
        world.run_for(SECOND * 600, |_| false);
        assert!(world.exchanges(b"still"));
        assert_eq!(syns(&world), before, "nobody connected again");
        world.close();
        world.run_for(SECOND * 10, |_| false);
        for machine in &world.machines {
            assert_eq!(world.network.sockets(machine.host).count(), 0, "it is closed now");
        }
    }
}

/// §11.1: active and simultaneous-open sides open it again, and data flows
/// once a check has passed on it.
#[test]
fn a_lost_connection_is_opened_again() {
    type Case = (fn() -> Plan, [bool; 2]);
    let cases: [Case; 3] = [
        (nat, [true, true]),
        (|| open([ACTIVE, PASSIVE]), [true, false]),
        (|| open([PASSIVE, ACTIVE]), [false, true]),
    ];
    for (plan, who) in cases {
        for side in 0..2 {
            let mut world = completes(plan());
            world.run_for(SECOND * 10, |_| false);
            for round in 0..3u8 {
                let before = [0, 1].map(|side: usize| world.machines[side].connects.len());
                let checks = [0, 1].map(|side: usize| world.machines[side].requests.len());
                world.reset(side);
                assert_eq!(world.machines[side].send_path(), None, "nothing is sent meanwhile");
                let last = world.machines[side].states.last().unwrap();
                assert_eq!((last.1, last.2), (State::Disconnected, StateReason::ConnectionLost));
                let back = |world: &World| {
                    world.machines.iter().all(|m| m.send_path().is_some() && m.open().count() == 1)
                };
                // The other side has not learnt of it yet.
                world.run_for(Duration::from_millis(60), |_| false);
                world.run_for(SECOND * 3, back);
                assert!(back(&world), "round {round}, who lost it: {side}, who opens it: {who:?}");
                for at in 0..2 {
                    let opened = world.machines[at].connects.len() > before[at];
                    assert!(!opened || who[at], "side {at} opens");
                    assert!(world.machines[at].requests.len() > checks[at], "side {at} checks it");
                }
                assert!(world.exchanges(&[b'r', round]), "round {round}");
                world.run_for(SECOND, |_| false);
            }
            goes_on(&mut world);
            world.close();
        }
    }
}

/// §11.1: where it cannot be opened again, consent ends, and each side says
/// that the stream failed.
#[test]
fn a_connection_that_cannot_be_opened_again_ends_the_stream() {
    let mut world = completes(nat());
    world.run_for(SECOND * 10, |_| false);
    // No SYN passes any more.
    for nat in 0..2 {
        let rules = &mut world.network.nat(crate::model::network::NatId(nat)).rules;
        *rules = rules.hostile(crate::model::Answer::Drop);
    }
    world.reset(0);
    world.run_for(SECOND * 60, |_| false);
    for machine in &world.machines {
        let last = machine.states.last().unwrap();
        assert_eq!((last.1, last.2), (State::Failed, StateReason::ConsentExpired));
        assert!(machine.states.iter().any(|s| s.1 == State::Disconnected), "{:?}", machine.states);
        assert_eq!(machine.send_path(), None);
        assert!(machine.ops < 1_000);
    }
    // The network is well again, and the application restarts.
    for nat in 0..2 {
        world.network.nat(crate::model::network::NatId(nat)).rules = Rules::PORT_RESTRICTED;
    }
    world.restart(0);
    world.run_for(SECOND, |_| false);
    assert!(world.completes(), "{:?}", world.machines.each_ref().map(|m| &m.states));
    assert!(world.exchanges(b"again"));
    world.close();
}

/// §9.2: a restart closes no selected connection, and the so–so pair of the
/// same candidates is checked over it: no SYN leaves.
#[test]
fn a_restart_keeps_the_connection_and_checks_over_it() {
    for by in 0..2 {
        let mut world = completes(nat());
        world.run_for(SECOND * 10, |_| false);
        let sockets: Vec<_> = world.machines[0].open().map(|(end, _)| end).collect();
        // Host candidates behind NATs are tried each time; they lead nowhere.
        let tried = |world: &World| {
            let path = |side: usize| world.machines[side].send_path().unwrap();
            [0, 1].map(|side: usize| {
                let connects = world.machines[side].connects.iter();
                connects.filter(|(_, end)| *end == path(side)).count()
            })
        };
        let before = tried(&world);
        for round in 0..3u8 {
            let checked = world.machines.each_ref().map(|m| m.requests.len());
            world.restart(by);
            assert!(world.exchanges(&[b'd', round]), "data flows during the restart");
            world.run_for(Duration::from_millis(200), |_| false);
            assert!(world.completes());
            assert!(world.exchanges(&[b'e', round]));
            world.run_for(SECOND * 10, |_| false);
            for (machine, checked) in world.machines.iter().zip(checked) {
                assert!(machine.requests.len() > checked);
            }
        }
        assert_eq!(tried(&world), before);
        let after: Vec<_> = world.machines[0].open().map(|(end, _)| end).collect();
        assert_eq!(after, sockets);
        assert_eq!(selected_types(&world), [Some(TcpType::SimultaneousOpen); 2]);
        goes_on(&mut world);
        world.close();
    }
}

/// §9.2: an active side opens a new one, for its port is another each time; the
/// one before carries the data meanwhile, and is closed afterwards.
#[test]
fn a_restart_of_an_active_side_moves_to_a_new_connection() {
    for mut plan in [open([ACTIVE, PASSIVE]), open([Transports::TCP, Transports::TCP])] {
        plan.configure = |_, config| config.renomination = false;
        let mut world = completes(plan);
        world.run_for(SECOND * 10, |_| false);
        let before = world.machines.each_ref().map(|machine| machine.send_path().unwrap());
        world.restart(0);
        assert!(world.exchanges(b"during"));
        let now = world.machines.each_ref().map(|machine| machine.send_path().unwrap());
        assert_eq!(now, before, "over the old one");
        world.run_for(Duration::from_millis(200), |_| false);
        assert!(world.completes());
        assert!(world.exchanges(b"after"));
        world.run_for(SECOND * 10, |_| false);
        goes_on(&mut world);
        for (machine, before) in world.machines.iter().zip(before) {
            assert_ne!(machine.send_path(), Some(before), "over the new one");
            let open: Vec<_> = machine.open().map(|(end, _)| end).collect();
            assert_eq!(open, [machine.send_path().unwrap()], "the old one is closed");
        }
        world.close();
    }
}

/// An active peer that has the answer to its check begins with its data, also
/// where its credentials are still on their way: no reason to hang up.
#[test]
fn data_ahead_of_the_peers_credentials_ends_no_connection() {
    let mut plan = open([ACTIVE, PASSIVE]);
    plan.skew = SECOND;
    let mut world = World::new(plan);
    world.run_for(SECOND, |world| world.machines[0].send_path().is_some());
    let path = world.machines[0].send_path();
    assert!(path.is_some() && world.machines[1].send_path().is_none());
    for _ in 0..3 {
        let World { machines, network, .. } = &mut world;
        assert!(machines[0].send(network, b"\x16early"));
        world.run_for(SECOND / 20, |_| false);
    }
    assert!(world.completes(), "{:?}", world.machines.each_ref().map(|m| &m.states));
    assert!(world.exchanges(b"later"));
    assert_eq!(world.machines[0].send_path(), path);
    assert_eq!(world.machines[0].connects.len(), 1, "it did not have to connect again");
    world.close();
}

/// A restart while connections are still being opened.
#[test]
fn a_restart_while_dialing_ends_well() {
    for at in [0, 10, 30, 50, 100, 300, 1_000] {
        for skew in [0, 500] {
            let mut plan = nat();
            plan.skew = Duration::from_millis(skew);
            let mut world = World::new(plan);
            world.run_for(Duration::from_millis(at), |_| false);
            // The second side has not been told of the first yet.
            let by = usize::from(at % 20 == 0 && at >= skew);
            world.restart(by);
            world.run_for(Duration::from_millis(700), |_| false);
            assert!(
                world.completes(),
                "at {at} skew {skew} {:?}",
                world.machines.each_ref().map(|m| &m.states)
            );
            assert!(world.exchanges(b"x"));
            world.run_for(SECOND * 10, |_| false);
            for machine in &world.machines {
                assert_eq!(machine.open().count(), 1);
            }
            world.close();
        }
    }
}

/// RFC 8445 §6.1.3: a stream that has nothing left says so, and why; nothing
/// is checked for ever.
#[test]
fn a_stream_without_a_way_fails_with_a_reason() {
    for transports in
        [[ACTIVE, ACTIVE], [PASSIVE, PASSIVE], [SO, ACTIVE], [SO, NONE], [SO, Transports::UDP]]
    {
        let mut world = World::new(open(transports));
        let failed = |world: &World| world.machines.iter().all(|m| m.core.state() == State::Failed);
        world.run_for(Duration::from_secs(120), failed);
        assert!(
            failed(&world),
            "{transports:?} {:?}",
            world.machines.each_ref().map(|m| &m.states)
        );
        for machine in &world.machines {
            let reason = machine.states.last().unwrap().2;
            assert_eq!(reason, StateReason::NoPairs);
        }
        world.close();
    }
}
