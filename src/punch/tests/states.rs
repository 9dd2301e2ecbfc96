//! Every state and every event of both machines.

use super::fixture::{FOLLOWER, LEADER, millis};
use crate::punch::{Dcutr, DcutrState, Rank, Sync, SyncBody, SyncMessage, SyncState};
use crate::timer::Time;

const NOW: Time = Time::from_millis(5_000);

/// One that leads whoever is the other, and one that the other leads.
const ABOVE: Rank = Rank { controls: true, tie_breaker: 9 };
const BELOW: Rank = Rank { controls: false, tie_breaker: 0 };

fn messages(sync: &mut Sync) -> Vec<SyncMessage> {
    std::iter::from_fn(|| sync.poll_message()).collect()
}

fn answer(question: &SyncMessage, from: Rank) -> SyncMessage {
    let body = match question.body {
        SyncBody::Ask { t1 } => SyncBody::Answer { t1, t2: t1 + 1_000_000, t3: t1 + 1_000_000 },
        SyncBody::Start { t0, .. } => SyncBody::Agree { t0 },
        other => other,
    };
    SyncMessage { id: question.id, from, body }
}

/// One in each state at [`NOW`], with the last message it sent.
fn in_state(state: SyncState) -> (Sync, Option<SyncMessage>) {
    let rank = if state == SyncState::Following { FOLLOWER } else { LEADER };
    let mut sync = Sync::new(rank, NOW);
    let mut last = None;
    if state != SyncState::Idle {
        sync.start(NOW);
        last = messages(&mut sync).pop();
    }
    match state {
        SyncState::Idle | SyncState::Following | SyncState::Asking => {}
        SyncState::Proposed | SyncState::Agreed => {
            sync.handle_message(NOW, &answer(&last.unwrap(), BELOW));
            sync.refused(NOW);
            last = messages(&mut sync).pop();
            if state == SyncState::Agreed {
                sync.handle_message(NOW, &answer(&last.unwrap(), BELOW));
            }
        }
        SyncState::Silent => {
            sync.handle_timeout(NOW + millis(3_000));
            messages(&mut sync);
        }
    }
    assert_eq!(sync.state(), state);
    (sync, last)
}

const STATES: [SyncState; 6] = [
    SyncState::Idle,
    SyncState::Asking,
    SyncState::Proposed,
    SyncState::Following,
    SyncState::Agreed,
    SyncState::Silent,
];

type Event = (&'static str, fn(&mut Sync, Option<SyncMessage>));

fn from(sync: &mut Sync, from: Rank, id: u32, body: SyncBody) {
    sync.handle_message(NOW, &SyncMessage { id, from, body });
}

const T0: SyncBody = SyncBody::Start { t0: 100_000, every: 250_000, round: 0 };

/// Each event with the states it leads to, in the order of [`STATES`], and how
/// many messages are sent.
#[rustfmt::skip]
const TABLE: [(Event, [(SyncState, usize); 6]); 14] = {
    use SyncState::{Agreed as A, Asking as Q, Following as F, Idle as I, Proposed as P, Silent as S};
    [
        (("start", |sync, _| sync.start(NOW)),
            [(Q, 1), (Q, 0), (P, 0), (F, 0), (A, 0), (S, 0)]),
        (("ask from below", |sync, _| from(sync, BELOW, 1, SyncBody::Ask { t1: 0 })),
            [(I, 1), (Q, 1), (P, 1), (Q, 2), (A, 1), (S, 1)]),
        (("ask from above", |sync, _| from(sync, ABOVE, 1, SyncBody::Ask { t1: 0 })),
            [(I, 1), (F, 1), (F, 1), (F, 1), (A, 1), (F, 1)]),
        (("the answer", |sync, last| {
            let question = SyncMessage { id: 1, from: LEADER, body: SyncBody::Ask { t1: 0 } };
            from(sync, BELOW, 1, answer(&last.filter(|m| m.id == 1).unwrap_or(question), BELOW).body);
        }),
            [(I, 0), (Q, 0), (P, 0), (Q, 1), (A, 0), (P, 1)]),
        (("an answer to nothing", |sync, _| from(sync, BELOW, 99, SyncBody::Answer { t1: 0, t2: 0, t3: 0 })),
            [(I, 0), (Q, 0), (P, 0), (Q, 1), (A, 0), (S, 0)]),
        (("start from above", |sync, _| from(sync, ABOVE, 1, T0)),
            [(A, 1), (A, 1), (A, 1), (A, 1), (A, 1), (A, 1)]),
        (("start from below", |sync, _| from(sync, BELOW, 1, T0)),
            [(I, 0), (Q, 0), (P, 0), (Q, 1), (A, 0), (S, 0)]),
        (("start in the past", |sync, _| {
            from(sync, ABOVE, 1, SyncBody::Start { t0: 0, every: 250_000, round: 0 });
        }),
            [(I, 0), (F, 0), (F, 0), (F, 0), (A, 0), (F, 0)]),
        (("start too far ahead", |sync, _| {
            from(sync, ABOVE, 1, SyncBody::Start { t0: 2_000_001, every: 250_000, round: 0 });
        }),
            [(I, 0), (F, 0), (F, 0), (F, 0), (A, 0), (F, 0)]),
        (("agreement", |sync, last| {
            let last = last.map_or(SyncBody::Agree { t0: 1 }, |last| answer(&last, BELOW).body);
            let id = if matches!(last, SyncBody::Agree { .. }) { 2 } else { 1 };
            from(sync, BELOW, id, last);
        }),
            [(I, 0), (Q, 0), (A, 0), (Q, 1), (A, 0), (P, 1)]),
        (("agreement to something else", |sync, _| from(sync, BELOW, 2, SyncBody::Agree { t0: 1 })),
            [(I, 0), (Q, 0), (P, 0), (Q, 1), (A, 0), (S, 0)]),
        (("timeout", |sync, _| sync.handle_timeout(NOW + millis(2_000))),
            [(I, 0), (Q, 1), (P, 1), (F, 0), (A, 0), (S, 0)]),
        (("refusal", |sync, _| sync.refused(NOW)),
            [(I, 0), (Q, 0), (P, 0), (F, 0), (A, 0), (S, 0)]),
        (("DCUtR's messages", |sync, _| {
            from(sync, ABOVE, 1, SyncBody::Connect);
            from(sync, ABOVE, 1, SyncBody::Sync);
        }),
            [(I, 0), (F, 0), (F, 0), (F, 0), (A, 0), (F, 0)]),
    ]
};

#[test]
fn every_event_in_every_state() {
    for ((name, event), row) in TABLE {
        for (state, expected) in STATES.into_iter().zip(row) {
            let (mut sync, last) = in_state(state);
            event(&mut sync, last);
            let sent = messages(&mut sync).len();
            assert_eq!((sync.state(), sent), expected, "{name} in {state:?}");
        }
    }
}

#[test]
fn a_reflected_message_is_dropped() {
    for state in STATES {
        let (mut sync, _) = in_state(state);
        let own = if state == SyncState::Following { FOLLOWER } else { LEADER };
        // Also one from before a change of role.
        for controls in [true, false] {
            from(&mut sync, Rank { controls, ..own }, 1, SyncBody::Ask { t1: 0 });
            from(&mut sync, Rank { controls, ..own }, 1, T0);
        }
        assert_eq!((sync.state(), messages(&mut sync).len()), (state, 0));
    }
}

#[test]
fn the_role_decides_who_leads() {
    let expect = |role: bool, row: [(SyncState, usize); 6]| {
        for (state, expected) in STATES.into_iter().zip(row) {
            let (mut sync, _) = in_state(state);
            sync.set_role(role, NOW);
            assert_eq!((sync.state(), messages(&mut sync).len()), expected, "{role}, {state:?}");
        }
    };
    use SyncState::{Agreed, Asking, Following, Idle, Proposed, Silent};
    expect(true, [(Idle, 0), (Asking, 0), (Proposed, 0), (Asking, 1), (Agreed, 0), (Silent, 0)]);
    // The one that answered is below LEADER by its tie-breaker, too.
    expect(
        false,
        [(Idle, 0), (Following, 0), (Proposed, 0), (Following, 0), (Agreed, 0), (Following, 0)],
    );
}

#[test]
fn every_message_in_every_state_of_dcutr() {
    use DcutrState::{Answered, Connecting, Idle, Spent, Synced};
    let message = |id, body| SyncMessage { id, from: BELOW, body };
    let in_state = |state: DcutrState, initiates: bool| {
        let mut dcutr = Dcutr::new(LEADER, initiates);
        let steps: &[SyncBody] = match (state, initiates) {
            (Idle | Connecting | Spent, _) => &[],
            (Answered, _) | (Synced, true) => &[SyncBody::Connect],
            (Synced, false) => &[SyncBody::Connect, SyncBody::Sync],
        };
        if state != Idle {
            dcutr.start(NOW);
        }
        steps.iter().for_each(|body| dcutr.handle_message(NOW, &message(1, *body)));
        if state == Spent {
            dcutr.handle_timeout(NOW + millis(4_000));
        }
        assert_eq!(dcutr.state(), state);
        dcutr.poll_message();
        dcutr
    };
    // The state, whether it initiates, then what CONNECT and SYNC of this
    // attempt lead to, CONNECT of the next, and a refusal.
    let table = [
        (Idle, true, [Idle, Idle, Idle, Idle]),
        (Connecting, true, [Synced, Connecting, Connecting, Connecting]),
        (Synced, true, [Synced, Synced, Synced, Connecting]),
        (Spent, true, [Spent, Spent, Spent, Spent]),
        (Idle, false, [Answered, Idle, Answered, Idle]),
        (Answered, false, [Answered, Synced, Answered, Answered]),
        (Synced, false, [Synced, Synced, Answered, Synced]),
    ];
    for (state, initiates, [connect, sync, again, refused]) in table {
        let after = |message: Option<SyncMessage>| {
            let mut dcutr = in_state(state, initiates);
            match message {
                Some(message) => dcutr.handle_message(NOW, &message),
                None => dcutr.refused(NOW),
            }
            dcutr.state()
        };
        assert_eq!(
            [
                after(Some(message(1, SyncBody::Connect))),
                after(Some(message(1, SyncBody::Sync))),
                after(Some(message(2, SyncBody::Connect))),
                after(None),
            ],
            [connect, sync, again, refused],
            "{state:?} {initiates}"
        );
        let ours = [SyncBody::Ask { t1: 0 }, SyncBody::Agree { t0: 0 }, T0];
        let answer = SyncBody::Answer { t1: 0, t2: 0, t3: 0 };
        for body in ours.into_iter().chain([answer]) {
            assert_eq!(after(Some(message(1, body))), state);
        }
    }
}

#[test]
fn dcutr_makes_three_attempts_and_drops_its_own_messages() {
    let mut dcutr = Dcutr::new(LEADER, true);
    dcutr.start(NOW);
    for id in 1..=3 {
        let own = SyncMessage { id, from: LEADER, body: SyncBody::Connect };
        dcutr.handle_message(NOW, &own);
        assert_eq!(dcutr.state(), DcutrState::Connecting);
        dcutr.handle_message(NOW + millis(80), &SyncMessage { from: FOLLOWER, ..own });
        let start = dcutr.next_start(NOW + millis(80)).unwrap();
        assert_eq!((start.round, start.at), (id - 1, NOW + millis(120)));
        dcutr.refused(NOW);
    }
    assert_eq!((dcutr.state(), dcutr.poll_timeout()), (DcutrState::Spent, None));
}
