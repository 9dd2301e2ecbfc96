use super::fixture::{Set, ms};
use crate::check::renominate::better_standby;
use crate::check::{PairId, PairState, PairView, Path, PeerRequest, Role};
use crate::timer::Time;
use std::time::Duration;

/// A controlled agent with two valid pairs, of which none is nominated.
fn controlled() -> (Set, [PairId; 2]) {
    let mut set = Set::new(Role::Controlled);
    set.base(0, 1, 1);
    set.checks.allow_renomination(0);
    set.checks.start(0);
    for n in [1, 2] {
        set.remote(0, 1, n).unwrap();
    }
    for (_, start) in set.run_to(400) {
        if !start.again {
            set.answer(&start);
        }
    }
    let pairs = set.listed(0);
    assert!(pairs.iter().all(|id| set.pair(*id).state == PairState::Succeeded));
    (set, [pairs[0], pairs[1]])
}

fn nominates(set: &mut Set, pair: PairId, nomination: Option<u32>) -> Option<PairId> {
    let p = set.pair(pair);
    let from = set.checks.remote(0, p.remote).address;
    let local = p.local;
    let request = PeerRequest { local, from, priority: 1000, use_candidate: true, nomination };
    set.checks.peer_checked(0, &request, set.now).unwrap();
    set.act();
    set.selected()
}

#[test]
fn the_largest_number_counts_whatever_comes_last() {
    let (mut set, [a, b]) = controlled();
    assert_eq!(nominates(&mut set, b, Some(2)), Some(b));
    assert_eq!(nominates(&mut set, a, Some(1)), Some(b), "overtaken on the way");
    assert_eq!(nominates(&mut set, a, None), Some(b), "any number precedes none");
    assert_eq!(nominates(&mut set, a, Some(3)), Some(a));
    assert_eq!(nominates(&mut set, b, Some(3)), Some(a), "a number is used once");
}

#[test]
fn without_numbers_the_last_counts() {
    let (mut set, [a, b]) = controlled();
    for pair in [a, b, a] {
        assert_eq!(nominates(&mut set, pair, None), Some(pair));
    }
}

#[test]
fn pairs_that_stand_by_have_consent_and_are_few() {
    let mut set = Set::new(Role::Controlled);
    set.base(0, 1, 1);
    set.checks.allow_renomination(0);
    set.checks.start(0);
    for n in 1..=6 {
        set.remote(0, 1, n).unwrap();
    }
    for (_, start) in set.run_to(1_000) {
        if !start.again {
            set.answer(&start);
        }
    }
    let pairs = set.listed(0);
    nominates(&mut set, pairs[3], Some(1));
    let consents: Vec<PairId> = set.checks.consents().map(|c| c.pair()).collect();
    assert_eq!(consents, [pairs[3], pairs[0], pairs[1]], "the selected one and the best two");
    let sent = set.run_to(20_000);
    for pair in consents {
        assert!(sent.iter().filter(|(_, start)| start.pair == pair).count() >= 3);
    }
}

#[test]
fn when_a_standby_is_better() {
    let view = |path, millis, missed| PairView {
        priority: 1,
        path,
        state: PairState::Succeeded,
        rtt: Some(Duration::from_millis(millis)),
        first_sent: Some(ms(0)),
        confirmed: Some(ms(500)),
        sent: 9,
        missed,
    };
    let direct = Path::default();
    let relayed = Path { indirect: true, ..direct };
    let better = |now: Time, selected, standby: &[PairView]| {
        better_standby(now, Time::ZERO, &selected, standby)
    };
    let (early, late) = (ms(1_000), ms(10_000));
    assert_eq!(better(late, view(direct, 50, 0), &[]), None);
    // Failing.
    assert_eq!(better(early, view(direct, 50, 2), &[view(direct, 90, 0)]), Some(0));
    assert_eq!(better(early, view(direct, 50, 1), &[view(direct, 90, 0)]), None);
    assert_eq!(better(early, view(direct, 50, 2), &[view(direct, 90, 1)]), None);
    let younger = PairView { first_sent: Some(ms(600)), ..view(direct, 90, 0) };
    assert_eq!(better(early, view(direct, 50, 1), &[younger]), Some(0));
    assert_eq!(better(early, view(direct, 50, 0), &[younger]), None);
    let both = [view(relayed, 10, 0), view(direct, 90, 0)];
    assert_eq!(better(early, view(direct, 50, 2), &both), Some(1));
    // Direct instead of relayed.
    assert_eq!(better(early, view(relayed, 10, 0), &both), Some(1));
    assert_eq!(better(early, view(direct, 90, 0), &both[..1]), None);
    // Faster, after a while.
    assert_eq!(better(late, view(direct, 80, 0), &[view(direct, 60, 0)]), Some(0));
    assert_eq!(better(early, view(direct, 80, 0), &[view(direct, 60, 0)]), None);
    assert_eq!(better(late, view(direct, 81, 0), &[view(direct, 62, 0)]), None);
    assert_eq!(better(late, view(direct, 200, 0), &[view(direct, 160, 0)]), None);
}
