//! The files of `--log`: they replay, and hold no secret.

use std::path::PathBuf;

use floe::agent::replay::replay;
use floe::agent::{Happened, LogFile, RecordedInput, State};
use serde_json::Value;

use crate::probe::ice_probe;
use crate::stdio::{close, signal, start, until_credentials};

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name)
}

fn read(path: &PathBuf) -> (String, LogFile) {
    let text = std::fs::read_to_string(path).expect("the log was written");
    let file = LogFile::parse(&text).unwrap_or_else(|error| panic!("{error}"));
    (text, file)
}

#[test]
fn the_logs_of_a_session_replay_and_hold_no_password() {
    let paths = ["log-a.jsonl", "log-b.jsonl"].map(path);
    let log = |at: usize| ["--log", paths[at].to_str().expect("the path is UTF-8")];
    let mut a = start("--controlling", &log(0));
    let mut b = start("--controlled", &log(1));
    // Lines before these are candidates, which hold no secret.
    let mut credentials =
        [a.line(), b.line()].map(|line| line.expect("it prints its credentials")).to_vec();
    b.write(&credentials[0]);
    a.write(&credentials[1]);
    signal(&a, &mut b);
    signal(&b, &mut a);
    a.until_state("completed");
    b.until_state("completed");
    a.write(r#"{"type":"send","text":"payload is not logged"}"#);
    b.next("received");
    a.write(r#"{"type":"restart"}"#);
    let (_, restarted) = until_credentials(&a);
    b.write(&restarted);
    signal(&a, &mut b);
    let (_, answer) = until_credentials(&b);
    a.write(&answer);
    signal(&b, &mut a);
    a.until_state("completed");
    b.until_state("completed");
    credentials.extend([restarted, answer]);
    close([a, b]);
    for path in &paths {
        let (text, file) = read(path);
        assert!(!file.is_cut);
        let records = file.lines.len() as u64;
        let replayed = replay(file.of(None).cloned()).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!((replayed.records, replayed.core.state()), (records, State::Closed));
        for credentials in &credentials {
            let credentials: Value = serde_json::from_str(credentials).expect("JSON");
            let pwd = credentials["pwd"].as_str().expect("a password");
            assert!(!text.contains(pwd), "a password is in {}", path.display());
        }
        assert!(!text.contains("payload is not logged"));
        let is_message = |what: &Happened| match what {
            Happened::Input(given) => matches!(given.what, RecordedInput::Datagram { .. }),
            _ => false,
        };
        assert!(file.of(None).any(|record| is_message(&record.what)));
    }
}

#[test]
fn the_log_of_a_demo_replays_for_the_agents_of_every_run() {
    let path = path("demo-replay.jsonl");
    let output = ice_probe()
        .args(["demo", "--include-loopback", "--log", path.to_str().expect("the path is UTF-8")])
        .output()
        .expect("ice-probe starts");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let (_, file) = read(&path);
    assert_eq!(file.agents().len(), 8);
    for agent in file.agents() {
        let replayed = replay(file.of(agent).cloned()).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(replayed.core.state(), State::Completed);
    }
}
