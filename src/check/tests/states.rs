//! The state machine of a pair as a table: every state, every event.

use super::fixture::{Set, ms};
use crate::check::{FailReason, PairId, PairState, Role, Start};
use PairState::{Failed, Frozen, InProgress, Removed, Succeeded, Waiting};

/// What can happen to a pair.
#[derive(Clone, Copy, Debug)]
enum Happens {
    /// Its list has its turn.
    Turn,
    /// The peer checks it.
    PeerCheck,
    /// The peer checks it with USE-CANDIDATE.
    PeerNominates,
    /// Our newest check is answered.
    Answered,
    /// Our newest check is answered with an error.
    Error,
    /// Our newest check is answered with 487.
    Conflict,
    /// Nothing answers, for 40 seconds.
    Silence,
    /// Another pair of its foundation succeeds.
    Sibling,
    /// Another pair of its component is nominated.
    OtherSelected,
}

const EVENTS: [Happens; 9] = [
    Happens::Turn,
    Happens::PeerCheck,
    Happens::PeerNominates,
    Happens::Answered,
    Happens::Error,
    Happens::Conflict,
    Happens::Silence,
    Happens::Sibling,
    Happens::OtherSelected,
];

/// The state after each of the events, in the order of `EVENTS`. Where our
/// check cannot be answered since none is under way, the state stays. A pair
/// that was removed comes back only when the peer, aggressively, nominates it
/// and it is higher than the selected one.
#[rustfmt::skip]
const TABLE: [(PairState, [PairState; 9]); 6] = [
    //             Turn        PeerCheck   PeerNomin.  Answered    Error       Conflict    Silence     Sibling     OtherSelected
    (Frozen,     [Frozen,     Waiting,    Waiting,    Frozen,     Frozen,     Frozen,     Failed,     Waiting,    Removed]),
    (Waiting,    [InProgress, Waiting,    Waiting,    Waiting,    Waiting,    Waiting,    Failed,     Waiting,    Removed]),
    (InProgress, [InProgress, Waiting,    Waiting,    Succeeded,  Failed,     Waiting,    Failed,     InProgress, Removed]),
    (Succeeded,  [Succeeded,  Succeeded,  Succeeded,  Succeeded,  Succeeded,  Succeeded,  Failed,     Succeeded,  Succeeded]),
    (Failed,     [Failed,     Waiting,    Waiting,    Failed,     Failed,     Failed,     Failed,     Failed,     Failed]),
    (Removed,    [Removed,    Removed,    Waiting,    Removed,    Removed,    Removed,    Removed,    Removed,    Removed]),
];

/// A controlled agent with two components. The pair under test is that of
/// component 2 and base 1; its sibling is that of component 1, and component
/// 2 has another pair, of base 2, as well.
struct Case {
    set: Set,
    pair: PairId,
    sibling: PairId,
    other: PairId,
    check: Option<Start>,
}

fn case(state: PairState) -> Case {
    let mut set =
        Set::with(Role::Controlled, &[2], 100, std::sync::Arc::new(crate::check::Fast::default()));
    for (component, base) in [(1, 1), (2, 1), (2, 2)] {
        set.base(0, component, base);
    }
    set.checks.start(0);
    for component in [1, 2] {
        set.remote(0, component, 1).unwrap();
    }
    let find = |set: &Set, component: u16, base: u8| {
        let is = |id: &PairId| {
            set.pair(*id).component.number() == component && set.names(*id) == (base, 1)
        };
        set.listed(0).into_iter().find(is).unwrap()
    };
    let (pair, sibling, other) = (find(&set, 2, 1), find(&set, 1, 1), find(&set, 2, 2));
    let mut case = Case { set, pair, sibling, other, check: None };
    case.bring_to(state);
    assert_eq!(case.state(), state);
    case
}

impl Case {
    fn state(&self) -> PairState {
        self.set.pair(self.pair).state
    }

    fn bring_to(&mut self, state: PairState) {
        match state {
            Frozen => {}
            Waiting => self.succeed(self.sibling),
            InProgress => {
                self.succeed(self.sibling);
                self.check = Some(self.turn_of(self.pair));
            }
            Succeeded => {
                self.bring_to(InProgress);
                self.happen(Happens::Answered);
            }
            Failed => {
                self.bring_to(InProgress);
                self.happen(Happens::Error);
            }
            Removed => {
                self.succeed(self.other);
                self.set.peer_checks(self.other, true);
            }
        }
    }

    /// Runs until a check of `pair` is sent.
    fn turn_of(&mut self, pair: PairId) -> Start {
        for _ in 0..10 {
            let until = self.set.now.as_nanos() / 1_000_000 + 5;
            let sent = self.set.run_to(until);
            if let Some((_, start)) = sent.into_iter().find(|(_, s)| s.pair == pair) {
                return start;
            }
        }
        panic!("no check of {pair:?}");
    }

    fn succeed(&mut self, pair: PairId) {
        let start = self.turn_of(pair);
        self.set.answer(&start);
    }

    fn happen(&mut self, event: Happens) {
        match event {
            Happens::Turn => {
                let until = self.set.now.as_nanos() / 1_000_000 + 25;
                self.set.run_to(until);
            }
            Happens::PeerCheck => self.set.peer_checks(self.pair, false),
            Happens::PeerNominates => self.set.peer_checks(self.pair, true),
            Happens::Answered => {
                if let Some(check) = self.check {
                    self.set.answer(&check);
                }
            }
            Happens::Error => {
                if let Some(check) = self.check {
                    self.set.refuse(&check, 400);
                }
            }
            Happens::Conflict => {
                if let Some(check) = self.check {
                    self.set.refuse(&check, 487);
                }
            }
            Happens::Silence => {
                let until = self.set.now.as_nanos() / 1_000_000 + 41_000;
                self.set.run_to(until);
            }
            Happens::Sibling => self.succeed_now(self.sibling),
            Happens::OtherSelected => {
                self.succeed_now(self.other);
                self.set.peer_checks(self.other, true);
            }
        }
    }

    /// A pair that may have been checked before.
    fn succeed_now(&mut self, pair: PairId) {
        self.set.peer_checks(pair, false);
        if self.set.pair(pair).state != Succeeded {
            self.succeed(pair);
        }
    }
}

#[test]
fn every_state_and_event_lead_where_the_table_says() {
    for (state, row) in TABLE {
        for (event, expected) in EVENTS.into_iter().zip(row) {
            let mut case = case(state);
            case.happen(event);
            assert_eq!(case.state(), expected, "{state:?} × {event:?}");
        }
    }
}

#[test]
fn a_late_answer_counts_after_a_triggered_check() {
    let mut case = case(InProgress);
    case.happen(Happens::PeerCheck);
    assert_eq!(case.state(), Waiting);
    case.happen(Happens::Answered);
    assert_eq!(case.state(), Succeeded);
    // The triggered check is not needed any more.
    let later = case.set.run_to(case.set.now.as_nanos() / 1_000_000 + 100);
    assert!(later.iter().all(|(_, s)| s.pair != case.pair), "{later:?}");
}

#[test]
fn a_cancelled_check_is_not_repeated_and_its_silence_is_no_failure() {
    let mut case = case(InProgress);
    let first = case.check.unwrap().id;
    case.happen(Happens::PeerCheck);
    let began = case.set.pair(case.pair).first_sent.unwrap().as_nanos() / 1_000_000;
    let sent = case.set.run_to(began + 39_500);
    assert!(sent.iter().all(|(_, s)| s.id != first), "{sent:?}");
    assert_eq!(case.state(), InProgress, "the triggered check is still under way");
    case.set.run_to(began + 39_520);
    assert_eq!(case.state(), Failed);
}

#[test]
fn an_answer_from_elsewhere_fails_the_pair() {
    let mut case = case(InProgress);
    let check = case.check.unwrap();
    let (base, from, mapped) = case.set.ends(case.pair);
    let elsewhere = super::fixture::theirs(9);
    case.set.checks.succeeded(&check.id, base, elsewhere, mapped, case.set.now);
    assert_eq!(case.set.pair(case.pair).reason, Some(FailReason::NotSymmetric));
    assert_eq!(case.state(), Failed);
    // And the same for an answer that arrived on another socket.
    let mut case = self::case(InProgress);
    let check = case.check.unwrap();
    case.set.checks.succeeded(&check.id, base + 1, from, mapped, case.set.now);
    assert_eq!(case.state(), Failed);
}

#[test]
fn an_icmp_error_is_a_reason_and_fails_nothing_by_itself() {
    let mut case = case(InProgress);
    let (base, to, _) = case.set.ends(case.pair);
    case.set.checks.path_error(base, to, std::io::ErrorKind::ConnectionRefused);
    case.set.run_to(2_000);
    assert_eq!(case.state(), InProgress);
    case.set.run_to(45_000);
    let reason = FailReason::Refused(std::io::ErrorKind::ConnectionRefused);
    assert_eq!(case.set.pair(case.pair).reason, Some(reason));
}

#[test]
fn a_conflict_switches_the_role_and_checks_the_pair_again() {
    let mut set = Set::started(Role::Controlling, 1);
    let sent = set.run_to(0);
    set.refuse(&sent[0].1, 487);
    assert_eq!(set.checks.role(), Role::Controlled);
    let again = set.run_to(5);
    assert_eq!(again.len(), 1);
    assert_eq!(again[0].1.role, Role::Controlled);
    assert_ne!(again[0].1.id, sent[0].1.id);
    // A second answer of 487 to the same role does not switch back.
    set.refuse(&again[0].1, 487);
    assert_eq!(set.checks.role(), Role::Controlling);
    assert_eq!(set.now, ms(5));
}
