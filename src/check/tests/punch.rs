//! Checks that leave at a moment, between ports that serve nothing else.

use super::fixture::{Set, TA, local, ms, ours, theirs};
use crate::check::{FailReason, PairState, Refused, Role, StartKind};
use crate::net::NotConnected;

#[test]
fn a_check_from_a_fresh_port_is_the_next_and_the_only_one_from_there() {
    let mut set = Set::started(Role::Controlling, 3);
    set.run_to(0);
    let (fresh, pair) = set.checks.punch(0, local(1, 9), theirs(9)).unwrap();
    let sent = set.run_to(300);
    assert_eq!((sent[0].0, sent[0].1.pair), (5, pair));
    assert_eq!(sent[0].1.kind, StartKind::Triggered);
    // Nor do candidates that come later make pairs with either.
    set.remote(0, 1, 4).unwrap();
    set.base(0, 1, 2);
    set.run_to(300);
    let between = |id: &crate::check::PairId| {
        let pair = set.pair(*id);
        let to = set.checks.remote(0, pair.remote).address;
        (pair.local == fresh) == (to == theirs(9))
    };
    assert!(set.listed(0).iter().all(between));
    assert_eq!(set.listed(0).len(), 9);
}

#[test]
fn an_address_that_was_aimed_at_is_not_fresh() {
    let mut set = Set::started(Role::Controlling, 1);
    let known = crate::check::tests::fixture::remote(1, 1, crate::candidate::Kind::Host);
    let punched = set.checks.punch(0, local(1, 9), known.address().unwrap());
    assert_eq!(punched, Err(Refused::Redundant));
    assert_eq!(set.checks.punch(0, local(2, 9), theirs(9)), Err(Refused::Component));
    assert_eq!(set.checks.punch(7, local(1, 9), theirs(9)), Err(Refused::Component));
    assert_eq!(set.checks.pairs(0).count(), 1);
}

#[test]
fn no_other_check_begins_within_a_ta_of_the_moment() {
    let mut set = Set::started(Role::Controlled, 8);
    set.checks.keep_free(Some(ms(12)));
    let times = |sent: Vec<(u64, crate::check::Start)>| {
        sent.into_iter().filter(|(_, s)| !s.again).map(|(at, _)| at).collect::<Vec<_>>()
    };
    assert_eq!(times(set.run_to(11)), [0, 5]);
    assert_eq!(TA.as_millis(), 5);
    set.now = ms(12);
    let (_, pair) = set.checks.punch(0, local(1, 9), theirs(9)).unwrap();
    set.checks.keep_free(None);
    assert_eq!(set.act()[0].1.pair, pair);
    assert_eq!(times(set.run_to(22)), [17, 22]);
}

#[test]
fn answers_make_it_valid_as_any_other() {
    let mut set = Set::started(Role::Controlling, 1);
    let old = set.run_to(0)[0].1.pair;
    let (_, pair) = set.checks.punch(0, local(1, 9), theirs(9)).unwrap();
    let sent = set.run_to(10);
    let mapped = ours(77);
    let start = sent.iter().find(|(_, s)| s.pair == pair).unwrap().1;
    set.checks.succeeded(&start.id, local(1, 9).base, theirs(9), mapped, set.now);
    assert_eq!(set.checks.components(0)[0].send, Some(pair));
    assert_eq!(set.checks.valid_pairs(0), [pair]);
    set.checks.poisoned(old, set.now);
    let why = FailReason::NotConnected(NotConnected::Poisoned);
    assert_eq!((set.pair(old).state, set.pair(old).reason), (PairState::Failed, Some(why)));
    let nomination = set.run_to(20);
    assert!(nomination.iter().any(|(_, s)| s.pair == pair && s.use_candidate));
}

#[test]
fn a_base_that_is_given_up_takes_all_its_pairs() {
    let mut set = Set::started(Role::Controlling, 1);
    let (fresh, pair) = set.checks.punch(0, local(1, 9), theirs(9)).unwrap();
    set.run_to(10);
    // The peer is heard there from elsewhere.
    let request = crate::check::PeerRequest {
        local: fresh,
        from: theirs(10),
        priority: 1_000,
        use_candidate: false,
        nomination: None,
    };
    set.checks.peer_checked(0, &request, set.now).unwrap();
    set.run_to(20);
    set.checks.give_up_base(local(1, 9).base, NotConnected::Silent, set.now);
    let why = Some(FailReason::NotConnected(NotConnected::Silent));
    let on_it = set.checks.pairs(0).filter(|(_, p)| p.local == fresh);
    assert_eq!(on_it.map(|(_, p)| p.reason).collect::<Vec<_>>(), [why, why]);
    assert!(set.run_to(60_000).iter().all(|(_, s)| set.pair(s.pair).local != fresh));
    assert_eq!(set.pair(pair).state, PairState::Failed);
}
