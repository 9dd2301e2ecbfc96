use super::*;

const ID: TransactionId = TransactionId([7; 12]);
const RTO: Duration = Duration::from_millis(500);
const DEADLINE: Time = Time::from_millis(5_000);
const START: Time = Time::from_millis(10);
const UNREACHABLE: io::ErrorKind = io::ErrorKind::NetworkUnreachable;

fn server() -> SocketAddr {
    "198.51.100.1:3478".parse().unwrap()
}

/// A job in each state, by name.
fn jobs() -> [(&'static str, Job); 4] {
    let resolving = || Job::new(DEADLINE);
    let waiting = || {
        let mut job = resolving();
        job.resolve(Some(server()));
        job
    };
    let asking = || {
        let mut job = waiting();
        job.start(ID, RTO, START);
        job
    };
    let mut finished = asking();
    assert!(finished.answer(START));
    [
        ("resolving", resolving()),
        ("waiting", waiting()),
        ("asking", asking()),
        ("finished", finished),
    ]
}

fn state(job: &Job) -> &'static str {
    match job.state {
        State::Resolving => "resolving",
        State::Waiting => "waiting",
        State::Asking(_) => "asking",
        State::Finished => "finished",
    }
}

/// What an event gives, as text, and the state after it, for each state.
fn check(event: impl Fn(&mut Job) -> String, expected: [(&str, &str); 4]) {
    for ((before, mut job), (result, after)) in jobs().into_iter().zip(expected) {
        assert_eq!((event(&mut job).as_str(), state(&job)), (result, after), "from {before}");
    }
}

fn due(job: &mut Job, now: Time) -> String {
    format!("{:?}", job.handle_timeout(now))
}

#[test]
fn every_event_in_every_state() {
    check(
        |job| format!("{:?}", job.resolve(Some(server()))),
        [("()", "waiting"), ("()", "waiting"), ("()", "asking"), ("()", "finished")],
    );
    check(
        |job| format!("{:?}", job.resolve(None)),
        [("()", "finished"), ("()", "waiting"), ("()", "asking"), ("()", "finished")],
    );
    let sent = "Some(198.51.100.1:3478)";
    check(
        |job| format!("{:?}", job.start(ID, RTO, START)),
        [("None", "resolving"), (sent, "asking"), ("None", "asking"), ("None", "finished")],
    );
    check(
        |job| job.answer(START).to_string(),
        [("false", "resolving"), ("false", "waiting"), ("true", "finished"), ("false", "finished")],
    );
    check(
        |job| job.answer(DEADLINE).to_string(),
        [("false", "resolving"), ("false", "waiting"), ("false", "asking"), ("false", "finished")],
    );
    check(
        |job| format!("{:?}", job.refuse(UNREACHABLE)),
        [("None", "resolving"), ("None", "waiting"), ("None", "asking"), ("None", "finished")],
    );
    let refused = "Some(Refused(NetworkUnreachable))";
    check(
        |job| format!("{:?}", job.refuse(UNREACHABLE).or_else(|| job.refuse(UNREACHABLE))),
        [("None", "resolving"), ("None", "waiting"), (refused, "finished"), ("None", "finished")],
    );
    check(
        |job| due(job, START),
        [
            ("Nothing", "resolving"),
            ("Nothing", "waiting"),
            ("Nothing", "asking"),
            ("Nothing", "finished"),
        ],
    );
    check(
        |job| due(job, START + RTO),
        [
            ("Nothing", "resolving"),
            ("Nothing", "waiting"),
            ("Resend", "asking"),
            ("Nothing", "finished"),
        ],
    );
    check(
        |job| due(job, DEADLINE),
        [
            ("Failed(Unresolved)", "finished"),
            ("Failed(NotAsked)", "finished"),
            ("Failed(NoAnswer { after: 4.99s, refusal: None })", "finished"),
            ("Nothing", "finished"),
        ],
    );
}

#[test]
fn the_deadline_is_the_next_transmission_or_the_end_of_the_budget() {
    let deadlines = jobs().map(|(_, job)| job.poll_timeout());
    assert_eq!(deadlines, [Some(DEADLINE), Some(DEADLINE), Some(START + RTO), None]);
    let mut late = Job::new(START + RTO / 2);
    late.resolve(Some(server()));
    late.start(ID, RTO, START);
    assert_eq!(late.poll_timeout(), Some(START + RTO / 2));
}

#[test]
fn a_transaction_ends_after_seven_requests_even_within_the_budget() {
    let mut job = Job::new(Time::from_millis(3_600_000));
    job.resolve(Some(server()));
    job.start(ID, RTO, Time::ZERO);
    let mut sent = 1;
    let failure = loop {
        match job.handle_timeout(job.poll_timeout().unwrap()) {
            Due::Resend => sent += 1,
            Due::Failed(failure) => break failure,
            Due::Nothing => panic!("a deadline that passed does something"),
        }
    };
    assert_eq!(sent, 7);
    assert_eq!(failure, Failure::NoAnswer { after: Duration::from_millis(39_500), refusal: None });
}

#[test]
fn the_last_refusal_is_kept_as_the_reason() {
    let [_, _, (_, mut job), _] = jobs();
    job.refuse(UNREACHABLE);
    let Due::Failed(Failure::NoAnswer { refusal, .. }) = job.handle_timeout(DEADLINE) else {
        panic!("the budget has ended");
    };
    assert_eq!(refusal, Some(UNREACHABLE));
}

#[test]
fn a_job_that_ended_still_knows_its_transaction() {
    let [(_, resolving), (_, waiting), (_, asking), (_, finished)] = jobs();
    assert!(resolving.asked().is_none() && waiting.asked().is_none());
    assert_eq!(asking.asked(), Some((ID, server())));
    assert_eq!(finished.asked(), Some((ID, server())));
}
