//! What RFC 6544 asks of checks over TCP, rule by rule.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use floe::agent::{PairReport, State, Transports};
use floe::candidate::{Kind, TcpType};
use floe::check::{FailReason, PairState};
use floe::net::{NotConnected, Protocol};
use floe::tcp::Framing;
use floe::timer::Time;

use crate::model::{Kind as Segment, Rules};
use crate::world::{Plan, World, server_address};

pub const NONE: Transports = Transports::NONE;
pub const SO: Transports = Transports { tcp_so: true, ..NONE };
pub const ACTIVE: Transports = Transports { tcp_active: true, ..NONE };
pub const PASSIVE: Transports = Transports { tcp_passive: true, ..NONE };
pub const STRANGER: &str = "203.0.113.77:5000";
pub const STRANGER_LINE: &str =
    "candidate:99 1 TCP 2124414975 203.0.113.77 5000 typ host tcptype passive";

/// Two hosts that reach one another without a NAT.
pub fn open(transports: [Transports; 2]) -> Plan {
    let mut plan = Plan::new([vec![], vec![]], NONE);
    plan.transports = transports;
    plan
}

pub fn completes(plan: Plan) -> World {
    let mut world = World::new(plan);
    assert!(world.completes(), "{:?}", world.machines.each_ref().map(|m| &m.states));
    world
}

/// A candidate of the peer's that leads to a host of somebody else's.
fn with_stranger(answer: &[u8]) -> (World, SocketAddr) {
    let stranger: SocketAddr = STRANGER.parse().unwrap();
    let mut plan = open([ACTIVE, PASSIVE]);
    plan.extra[0].push(STRANGER_LINE.into());
    let mut world = World::new(plan);
    world.add_stranger(stranger, answer);
    (world, stranger)
}

fn types(pair: &PairReport) -> (Option<TcpType>, Option<TcpType>) {
    (pair.local.tcp_type, pair.remote.tcp_type)
}

/// §6.2.
#[test]
fn pairs_are_formed_by_the_table_of_types() {
    let mut world = World::new(open([Transports::ALL, Transports::ALL]));
    world.run_for(Duration::from_millis(5), |_| false);
    for machine in &world.machines {
        let formed: BTreeSet<_> = machine.pairs().iter().map(types).collect();
        let (active, passive) = (Some(TcpType::Active), Some(TcpType::Passive));
        let so = Some(TcpType::SimultaneousOpen);
        assert_eq!(formed, [(None, None), (active, passive), (so, so)].into());
        assert!(machine.candidates.iter().any(|c| c.tcp_type == passive), "but it has one");
    }
}

/// §6.2: of what only the peer can open there is no pair before it is opened.
#[test]
fn a_passive_local_candidate_waits_for_the_peer() {
    let mut world = World::new(open([ACTIVE, PASSIVE]));
    world.run_for(Duration::from_millis(19), |_| false);
    assert_eq!(world.machines[1].pairs(), [], "the SYN is still on its way");
    assert!(world.completes());
    let pairs = world.machines[1].pairs();
    assert_eq!(pairs.len(), 1);
    assert_eq!(types(&pairs[0]), (Some(TcpType::Passive), Some(TcpType::Active)));
    assert_eq!(pairs[0].remote.kind, Kind::PeerReflexive);
    assert_eq!(world.machines[1].connects, [], "it opens nothing");
}

/// §3: the port that an active candidate is signalled with is 9, and nobody
/// connects to it.
#[test]
fn the_port_of_an_active_candidate_is_ignored() {
    let world = completes(open([Transports::TCP, Transports::TCP]));
    for machine in &world.machines {
        let mut active = machine.candidates.iter().filter(|c| c.tcp_type == Some(TcpType::Active));
        assert!(active.all(|c| c.port == 9));
        assert!(machine.connects.iter().all(|(_, (_, to))| to.port() != 9));
    }
}

/// §7.1: each check leaves once, however long its answer takes.
#[test]
fn checks_are_not_sent_again() {
    let mut plan = open([ACTIVE, PASSIVE]);
    plan.rtt = Duration::from_secs(4);
    let mut world = completes(plan);
    world.run_for(Duration::from_secs(60), |_| false);
    for machine in &world.machines {
        assert!(machine.requests.len() >= 2);
        assert!(machine.requests.values().all(|count| *count == 1), "{:?}", machine.requests);
    }
    // The check and the nomination; the other side's triggered one.
    let early = |side: usize| {
        let pair = &world.machines[side].pairs()[0];
        (pair.sent, pair.received)
    };
    assert!(early(0).0 >= 2 && early(1).0 >= 1, "{:?}", [early(0), early(1)]);
}

/// §7.1: exactly the checks that two agents need for one pair.
#[test]
fn one_pair_takes_two_checks_and_one() {
    let world = completes(open([ACTIVE, PASSIVE]));
    let sent: Vec<_> = world.machines.iter().map(|m| m.requests.len()).collect();
    assert_eq!(sent, [2, 1], "a check, its triggered one, and the nomination");
    let syns =
        world.machines.each_ref().map(|m| world.network.log().sent(m.host, Segment::Syn).count());
    // Beside those to the server, of the passive candidate.
    assert_eq!(syns, [1, 1]);
}

/// §7.1: nothing is sent on a connection before it is open, and one whose
/// SYN nobody answers carries no check.
#[test]
fn a_check_waits_for_its_connection() {
    let nobody: SocketAddr = "203.0.113.99:4000".parse().unwrap();
    let mut plan = open([ACTIVE, PASSIVE]);
    let line = "candidate:98 1 TCP 2124414000 203.0.113.99 4000 typ host tcptype passive";
    plan.extra[0].push(line.into());
    let mut world = World::new(plan);
    assert!(world.completes());
    assert_eq!(world.machines[0].connects.iter().filter(|(_, end)| end.1 == nobody).count(), 1);
    let waits = |pair: &&PairReport| pair.remote.address() == Some(nobody);
    world.run_for(Duration::from_secs(5), |_| false);
    let pairs = world.machines[0].pairs();
    let pair = pairs.iter().find(waits).unwrap();
    assert_eq!((pair.answered, pair.received), (0, 0));
    assert!(!world.machines[0].has_socket(&world.network, nobody.ip()), "it was given up");
}

/// §7.1: the first answer on a connection is not STUN: it is closed, and all
/// pairs with that remote candidate fail.
#[test]
fn what_answers_with_something_else_than_stun_is_not_the_peer() {
    for answer in
        [&b"\0\x05hello"[..], b"SSH-2.0-OpenSSH_9.9\r\n", b"\0\0\0\x01\x80", &[0xff; 4_000]]
    {
        let (mut world, stranger) = with_stranger(answer);
        assert!(world.completes());
        assert_eq!(world.fooled, 1, "it is not connected to again");
        let pairs = world.machines[0].pairs();
        let lost: Vec<_> =
            pairs.iter().filter(|pair| pair.remote.address() == Some(stranger)).collect();
        assert_eq!(lost.len(), 1);
        assert_eq!(lost[0].state, PairState::Failed);
        let why = FailReason::NotConnected(NotConnected::NotThePeer);
        assert_eq!(lost[0].reason, Some(why), "{answer:?}");
        assert!(!world.machines[0].has_socket(&world.network, stranger.ip()));
        world.close();
    }
}

/// Whoever accepts and stays silent is given up when the component has its
/// pair, and holds nothing up.
#[test]
fn a_stranger_that_stays_silent_holds_nothing_up() {
    let (mut world, stranger) = with_stranger(b"");
    assert!(world.completes());
    assert!(world.now() < Time::from_millis(6_500), "at {}", world.now());
    world.run_for(Duration::from_secs(5), |_| false);
    assert!(!world.machines[0].has_socket(&world.network, stranger.ip()), "§8");
}

/// §7.2: a triggered check goes over the connection that the check came on.
#[test]
fn a_triggered_check_reuses_the_connection() {
    let world = completes(open([ACTIVE, PASSIVE]));
    let [active, passive] = &world.machines;
    let there: BTreeSet<_> = active.requests.keys().map(|((end, _), _)| *end).collect();
    let listener = passive.local(passive.send_path().unwrap().0);
    assert_eq!(there.iter().map(|end| end.1).collect::<Vec<_>>(), [listener]);
    let back: BTreeSet<_> = passive.requests.keys().map(|((end, _), _)| *end).collect();
    assert_eq!(back, [passive.send_path().unwrap()].into());
    assert_eq!(passive.connects, []);
}

/// §7.1, §7.2: both open so–so pairs; where one SYN came first, the other side
/// uses that connection and opens no other.
#[test]
fn a_connection_that_came_first_is_used_by_both() {
    for skew in [0, 15, 25, 100, 1_000] {
        let mut plan = Plan::new([vec![], vec![Rules::FULL_CONE]], SO);
        plan.skew = Duration::from_millis(skew);
        let mut world = completes(plan);
        world.run_for(Duration::from_secs(10), |_| false);
        for machine in &world.machines {
            let open: Vec<_> = machine.open().collect();
            assert_eq!(open.len(), 1, "skew {skew}: {open:?}");
            assert_eq!(open[0].1, Framing::Rfc4571);
            assert_eq!(machine.send_path(), Some(open[0].0));
        }
    }
}

/// §8: the controlling agent nominates what is valid already.
#[test]
fn what_is_nominated_was_valid() {
    let world = completes(open([Transports::TCP, Transports::TCP]));
    let machine = &world.machines[0];
    let pairs = machine.pairs();
    let selected = pairs.iter().find(|pair| pair.selected).unwrap();
    assert!(selected.sent >= 2, "a check without a nomination came first");
    assert!(selected.nominated);
}

/// §8, §11.2: once ICE has completed, of all connections those of selected
/// pairs are left, with every party.
#[test]
fn connections_that_were_not_selected_are_closed() {
    let mut plan = open([Transports::TCP, Transports::TCP]);
    plan.configure = |_, config| config.renomination = false;
    let mut world = completes(plan);
    assert!(world.machines.iter().all(|machine| machine.open().count() > 1), "there were more");
    // A side waits 3 s for what the peer may not know yet.
    world.run_for(Duration::from_secs(10), |_| false);
    for machine in &world.machines {
        let open: Vec<_> = machine.open().map(|(end, _)| end).collect();
        assert_eq!(open, [machine.send_path().unwrap()]);
        assert!(!machine.has_socket(&world.network, server_address(false).ip()));
        assert_eq!(world.network.sockets(machine.host).count(), 1);
    }
    assert!(world.exchanges(b"still"));
}

/// Where both sides know renomination, up to two valid pairs stand by beside
/// the selected one, and keep their connections.
#[test]
fn connections_of_pairs_that_stand_by_are_kept() {
    let mut world = completes(open([Transports::TCP, Transports::TCP]));
    world.run_for(Duration::from_secs(10), |_| false);
    for machine in &world.machines {
        assert!((2..=3).contains(&machine.open().count()), "{}", machine.open().count());
    }
}

/// §12, and 40 attempts a second in all.
#[test]
fn attempts_at_one_address_are_bounded() {
    let mut plan = open([Transports::TCP, NONE]);
    plan.configure = |_, config| config.max_pairs = 300;
    let nobody = |n: u32, port: u32| {
        format!(
            "candidate:{n} 1 TCP {} 203.0.113.{n} {port} typ host tcptype passive",
            9_000 + port
        )
    };
    for port in 0..40 {
        plan.extra[0].push(nobody(101, 4_000 + port));
        plan.extra[0].push(nobody(102 + port, 4_000));
    }
    let mut world = World::new(plan);
    world.run_for(Duration::from_secs(45), |_| false);
    let machine = &world.machines[0];
    let host = machine.host;
    for n in 101..142 {
        assert!(world.network.most_outstanding(host, [203, 0, 113, n].into()) <= 5);
    }
    assert_eq!(world.network.most_outstanding(host, [203, 0, 113, 101].into()), 5);
    let times: Vec<Time> = machine.connects.iter().map(|(at, _)| *at).collect();
    let busiest = times.iter().map(|from| {
        times.iter().filter(|at| **at >= *from && **at < *from + Duration::from_secs(1)).count()
    });
    assert!(busiest.max().unwrap() <= 40);
    assert!(times.len() > 60, "{}", times.len());
}

/// §7.2: one list with UDP. UDP wins where both work, also when it is slower
/// to be signalled.
#[test]
fn udp_wins_where_both_work() {
    for nat in [vec![], vec![Rules::PORT_RESTRICTED]] {
        let mut world = completes(Plan::new([nat.clone(), nat], Transports::ALL));
        for machine in &world.machines {
            let (local, _) = machine.selected.last().unwrap();
            assert_eq!(local.protocol, Protocol::Udp);
        }
        assert!(world.exchanges(b"datagram"));
    }
}

/// §4.4, §7: a lite agent is passive, checks nothing and answers.
#[test]
fn a_lite_agent_is_passive() {
    let mut plan = open([Transports::TCP, Transports::TCP]);
    plan.configure = |side, config| config.lite = side == 1;
    let mut world = completes(plan);
    let lite = &world.machines[1];
    assert!(lite.candidates.iter().all(|c| c.tcp_type == Some(TcpType::Passive)));
    assert!(lite.connects.is_empty() && lite.requests.is_empty());
    assert!(world.exchanges(b"to and fro"));
    assert_eq!(world.machines[1].core.state(), State::Completed);
    world.close();
}
