//! Who meets, how soon, and who does not.

use std::time::Duration;

use floe::agent::Transports;
use floe::agent::replay::replay;
use floe::check::Role;

use crate::model::{Answer, Rules};
use crate::world::{DAY, Plan, World, outside};

const NONE: Transports =
    Transports { udp: false, tcp_active: false, tcp_passive: false, tcp_so: false };
const SO: Transports = Transports { tcp_so: true, ..NONE };
const DROP: Rules = Rules::PORT_RESTRICTED;
const RST: Rules = Rules::PORT_RESTRICTED.answering(Answer::Reset);

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// They meet within `time` of the later start, in the same session, one in
/// each role, and data passes.
#[track_caller]
fn meets(plan: &Plan, time: Duration, what: &str) -> Duration {
    let mut world = World::new(plan);
    let start = *plan.starts.iter().max().unwrap();
    assert!(world.meet(start + time), "{what}: they do not meet");
    let took = world.network.now().since_epoch() - start;
    let keys = world.sides.each_ref().map(|side| side.done.unwrap().0);
    assert_eq!(keys[0], keys[1], "{what}: both take the same session");
    let roles = [0, 1].map(|side: usize| world.sides[side].machine().unwrap().core.role());
    assert_eq!(roles, [Role::Controlled, Role::Controlling], "{what}: the larger tie-breaker");
    assert!(world.exchanges(), "{what}: no data");
    for side in 0..2 {
        let (host, peer) = (world.sides[side].host, plan.peers[side]);
        assert!(world.network.most_outstanding(host, peer) <= 5, "{what}");
    }
    took
}

#[test]
fn two_sides_meet_through_nats_whose_clocks_differ() {
    for transports in [Transports { udp: true, ..SO }, SO] {
        for (nats, which) in
            [([DROP, DROP], "drop x drop"), ([DROP, RST], "drop x rst"), ([RST, RST], "rst x rst")]
        {
            for skew in [0, 7, 20] {
                // At other moments of a bucket.
                for phase in [0, 25, 45] {
                    let mut plan = Plan::new(nats, transports);
                    plan.clocks = [DAY + secs(phase), DAY + secs(phase + skew)];
                    let what = format!("{which}, {skew} s, {phase} s");
                    let took = meets(&plan, secs(2), &what);
                    println!("{what}, UDP {}: {took:?}", transports.udp);
                }
            }
        }
    }
}

/// One that waits begins its sessions again as they fail, and meets who comes
/// late in the bucket that both are in for long enough.
#[test]
fn one_side_comes_later_and_the_other_still_waits() {
    for nats in [[DROP, DROP], [RST, RST]] {
        for late in [10, 33, 100, 333] {
            let mut plan = Plan::new(nats, SO);
            plan.clocks = [DAY, DAY + secs(20)];
            plan.starts = [secs(0), secs(late)];
            let what = format!("{late} s late");
            let took = meets(&plan, secs(3), &what);
            println!("{what}: {took:?}");
        }
    }
}

#[test]
fn clocks_too_far_apart_share_no_meeting() {
    let mut plan = Plan::new([DROP, DROP], Transports { udp: true, ..SO });
    plan.clocks = [DAY, DAY + secs(190)];
    assert!(!World::new(&plan).meet(secs(200)));
}

#[test]
fn another_secret_never_connects() {
    let mut plan = Plan::new([Rules::FULL_CONE; 2], Transports { udp: true, ..SO });
    plan.secrets = [1, 2];
    let mut world = World::new(&plan);
    assert!(!world.run(secs(200), |world| world.sides.iter().any(|side| side.done.is_some())));
    let connected =
        |side: &crate::side::Side| side.sessions.values().any(|s| s.machine.connected());
    assert!(!world.sides.iter().any(connected));
}

/// The NAT sends what is for its own address back in, so that each side meets
/// itself: over UDP, and by a TCP connection that is open to both ends.
#[test]
fn what_comes_back_is_dropped_and_no_meeting() {
    for transports in [SO, Transports { udp: true, ..NONE }] {
        let hairpin = Rules { hairpin: true, ..Rules::FULL_CONE };
        let mut plan = Plan::new([hairpin; 2], transports);
        plan.peers = [outside(0), outside(1)];
        let mut world = World::new(&plan);
        assert!(!world.run(secs(100), |world| {
            let connected = |side: &crate::side::Side| {
                side.done.is_some() || side.sessions.values().any(|s| s.machine.connected())
            };
            world.sides.iter().any(connected)
        }));
        for side in &world.sides {
            assert!(side.own_requests() > 4, "{transports:?}: {}", side.own_requests());
        }
    }
}

#[test]
fn its_log_replays_and_has_no_password() {
    let plan = Plan::new([DROP, DROP], Transports { udp: true, ..SO });
    let mut world = World::new(&plan);
    assert!(world.meet(secs(2)));
    for side in &world.sides {
        let (key, _) = side.done.unwrap();
        let session = &side.sessions[&key];
        let records = &session.machine.records;
        assert!(records.len() > 20);
        assert!(!format!("{records:?}").contains(&*session.pwd));
        let replayed = replay(records.iter().cloned()).unwrap();
        assert_eq!(replayed.core.state(), session.machine.core.state());
    }
}
