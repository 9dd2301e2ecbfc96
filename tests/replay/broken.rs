//! Logs that are not what an agent did.

use std::sync::Arc;

use floe::agent::replay::{Difference, ReplayError, replay};
use floe::agent::{Config, Core, Happened, LogRecord, RecordedInput, Rewrite, RewriteMode};
use floe::check::{Decision, NominationPolicy, PairView, Role};
use floe::rng::Seed;
use floe::timer::{Pacer, Time};

use crate::session::Session;
use crate::{alone, replayed};

fn log() -> Vec<LogRecord> {
    let mut session = Session::new(7);
    session.run();
    session.pair.records(0).to_vec()
}

fn difference(log: Vec<LogRecord>) -> Difference {
    match replay(log) {
        Err(ReplayError::Difference(difference)) => *difference,
        other => panic!("no difference: {other:?}"),
    }
}

#[test]
fn a_record_that_was_changed_is_found() {
    let log = log();
    let mut changed = 0;
    for at in 0..log.len() {
        let mut broken = log.clone();
        match &mut broken[at].what {
            Happened::CheckSent { use_candidate, .. } => *use_candidate ^= true,
            Happened::Sent { to, .. } => to.set_port(to.port() ^ 1),
            Happened::PairFormed { priority, .. } => *priority += 1,
            Happened::CheckSucceeded { rtt, .. } => *rtt = None,
            _ => continue,
        }
        changed += 1;
        let (expected, recorded) = (Some(log[at].what.clone()), Some(broken[at].what.clone()));
        let found = difference(broken);
        assert_eq!((found.number, found.at), (at as u64, log[at].at));
        assert_eq!((found.recorded, found.replayed), (recorded, expected));
    }
    assert!(changed > 20, "{changed}");
}

#[test]
fn a_record_that_is_missing_or_too_much_is_found() {
    let log = log();
    let results = || (0..log.len() - 1).filter(|at| !matches!(log[*at].what, Happened::Input(_)));
    // The last input may lack what came of it.
    let last = log.iter().rposition(|r| matches!(r.what, Happened::Input(_))).unwrap();
    for at in results().filter(|at| *at < last) {
        let mut broken = log.clone();
        let removed = broken.remove(at).what;
        if removed == log[at + 1].what {
            continue;
        }
        assert_eq!(difference(broken).number, at as u64);
    }
    for at in results() {
        let mut broken = log.clone();
        broken.insert(
            at,
            LogRecord { at: log[at].at, what: Happened::CommandRefused { error: "x".into() } },
        );
        assert_eq!(difference(broken).number, at as u64);
    }
}

#[test]
fn another_input_is_found_by_what_comes_of_it() {
    let mut log = log();
    let answered = log.iter_mut().find_map(|record| match &mut record.what {
        Happened::Input(given) => match &mut given.what {
            RecordedInput::Datagram { message, .. } if message.username.is_some() => Some(message),
            _ => None,
        },
        _ => None,
    });
    answered.unwrap().integrity = floe::stun::Integrity::Missing;
    difference(log);
}

#[test]
fn other_draws_and_slots_are_found() {
    for draws in [true, false] {
        let mut log = log();
        let given = log.iter_mut().filter_map(|record| match &mut record.what {
            Happened::Input(given) => Some(given),
            _ => None,
        });
        let mut given =
            given.filter(|g| !(if draws { g.draws.is_empty() } else { g.slots.is_empty() }));
        let given = given.next().unwrap();
        match draws {
            true => given.draws[0] ^= 1,
            false => given.slots[0] += std::time::Duration::from_millis(1),
        }
        difference(log);
    }
}

/// Whoever writes a log may be stopped at any moment.
#[test]
fn a_log_that_ends_early_replays_up_to_there() {
    let log = log();
    for end in 1..log.len() {
        let replayed = replayed(&log[..end]);
        assert!(replayed.records <= end as u64);
    }
}

#[test]
fn a_log_that_is_of_no_agent_or_of_two_is_refused() {
    let log = log();
    assert!(matches!(replay([]), Err(ReplayError::NoCreation)));
    assert!(matches!(replay(log[1..].to_vec()), Err(ReplayError::NoCreation)));
    let twice = [log.clone(), log.clone()].concat();
    assert!(matches!(replay(twice), Err(ReplayError::SecondCreation)));
}

#[test]
fn a_log_that_asks_for_too_much_is_refused() {
    let log = log();
    let break_config = |breaking: fn(&mut floe::agent::RecordedConfig)| {
        let mut log = log.clone();
        let Happened::Input(given) = &mut log[0].what else { panic!("{:?}", log[0]) };
        let RecordedInput::Create(config) = &mut given.what else { panic!("{given:?}") };
        breaking(config);
        matches!(replay(log), Err(ReplayError::TooMuch { .. }))
    };
    assert!(break_config(|config| config.max_pairs = usize::MAX));
    assert!(break_config(|config| config.pacing = std::time::Duration::MAX));
    assert!(break_config(|config| {
        config.stun_servers = vec![config.stun_servers[0].clone(); 1_000];
    }));
    assert!(break_config(|config| {
        config.remote_policy.tcp_ports = vec![80; 5_000];
    }));
    assert!(break_config(|config| {
        let ip = [10, 0, 0, 1].into();
        let rewrite = Rewrite { local: ip, public: ip, mode: RewriteMode::Add };
        config.rewrites = vec![rewrite; 1_000];
    }));
    let mut core = alone::agent();
    for _ in 0..5 {
        core.add_stream(256).unwrap();
    }
    core.handle_timeout(Time::ZERO);
    let log = alone::records(&mut core);
    assert!(matches!(replay(log), Err(ReplayError::TooMuch { what: "components", .. })));
}

#[derive(Debug)]
struct Own;

impl NominationPolicy for Own {
    fn decide(
        &self,
        _: Time,
        _: Time,
        _: &PairView,
        _: &mut dyn Iterator<Item = PairView>,
    ) -> Decision {
        Decision::Nominate
    }
}

#[test]
fn a_policy_of_the_application_cannot_be_replayed() {
    let mut config = Config::new(Role::Controlling);
    (config.log, config.nomination) = (true, Arc::new(Own));
    let mut core = Core::new(config, &Seed::from_number(1), Pacer::new());
    core.handle_timeout(Time::ZERO);
    assert!(matches!(replay(alone::records(&mut core)), Err(ReplayError::Policy)));
}
