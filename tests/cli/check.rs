//! `ice-probe check` with servers on loopback.

#![cfg(target_os = "linux")]

use serde_json::Value;

use crate::probe::{Probe, ice_probe};
use crate::schema::{fits, schema};

/// Runs a check; its exit code, what it prints and what it complains of.
fn check(options: &[&str]) -> (Option<i32>, String, String) {
    let mut command = ice_probe();
    command.arg("check").args(options).env("ICE_PROBE_PASS", "secret");
    let output = command.output().expect("ice-probe starts");
    let text = |bytes| String::from_utf8(bytes).expect("it is UTF-8");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

fn report(options: &[&str]) -> (Option<i32>, Value) {
    let (code, out, err) = check(&[&["--json"], options].concat());
    let report = serde_json::from_str(&out).unwrap_or_else(|error| panic!("{out} {err}: {error}"));
    fits(&schema("check"), &report);
    (code, report)
}

/// A server on addresses of loopback that no other test has.
fn serve(net: u8, more: &[&str]) -> (Probe, String) {
    let at = [1, 2].map(|last| format!("127.58.{net}.{last}:3478"));
    let listen = ["serve", "--listen", &at[0], "--listen", &at[1]];
    let server = Probe::start(&[&listen[..], more].concat());
    let line = server.line().expect("it prints its URIs");
    assert_eq!(line, format!("stun:{}", at[0]));
    (server, at[0].clone())
}

#[test]
fn it_says_what_it_finds_and_the_verdict_first() {
    let (_server, at) = serve(1, &["--no-turn"]);
    let stun = format!("stun:{at}");
    let (code, out, err) = check(&["--stun", &stun]);
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    assert!(out.starts_with("Direct connections are likely.\n  Why: "), "{out}");
    assert!(!out.contains('\u{1b}') && out.lines().all(|line| line.chars().count() <= 80), "{out}");

    let (code, report) = report(&["--stun", &stun]);
    assert_eq!((code, &report["version"]), (Some(0), &1.into()));
    assert_eq!(report["verdict"]["exit"], 0);
    let family = &report["families"][0];
    for behavior in [&family["udp"]["mapping"]["behavior"], &family["udp"]["filtering"]["behavior"]]
    {
        assert_eq!(behavior, "endpoint-independent", "{report:#}");
    }
    assert_eq!(family["udp"]["mapping"]["basis"], "rfc5780");
    assert_eq!(family["tcp"]["mapping"], "endpoint-independent");
    assert_eq!(family["tcp"]["unsolicited-syn"], "pass");
    let rows = report["what-if"].as_array().expect("there are rows");
    assert!(rows.len() == 5 && rows.iter().all(|row| row["udp"] == "direct"), "{report:#}");
}

#[test]
fn a_relay_is_tried_stage_by_stage() {
    let (_server, at) = serve(2, &["--user", "ann", "--allow-loopback"]);
    let turn = |way: &str, pass: &[&str]| {
        let uri = format!("turn:{at}?transport={way}");
        report(&[&["--turn", &uri, "--user", "ann"], pass].concat())
    };
    for (way, first) in [("udp", "challenge"), ("tcp", "connect")] {
        // The server has the password of no environment: it made one.
        let (code, refused) = turn(way, &["--pass", "a guess"]);
        assert_eq!(code, Some(12), "{refused:#}");
        let stages = refused["turn"][0]["stages"].as_array().expect("there are stages");
        assert_eq!(stages[0]["stage"], first);
        let last = stages.last().expect("there are stages");
        assert_eq!(
            (&last["stage"], &last["code"], &last["ok"]),
            (&"allocate".into(), &401.into(), &false.into())
        );
        let text = last["text"].as_str().expect("there is a sentence");
        assert!(!text.contains("guess"), "{text}");
    }
}

#[test]
fn an_echo_goes_through_the_relay() {
    let file = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"));
    let file = file.join(format!("check-pass-{}.txt", std::process::id()));
    std::fs::write(&file, "s3cret").expect("it can be written");
    let path = file.display().to_string();
    let (_server, at) = serve(3, &["--user", "ann", "--pass-file", &path, "--allow-loopback"]);
    for way in ["udp", "tcp"] {
        let uri = format!("turn:{at}?transport={way}");
        let (code, report) = report(&["--turn", &uri, "--user", "ann", "--pass-file", &path]);
        assert_eq!(code, Some(0), "{report:#}");
        assert_eq!(report["turn"][0]["echo"], true, "{report:#}");
        assert!(!report.to_string().contains("s3cret"));
    }
    std::fs::remove_file(file).expect("it is there");
}

#[test]
fn what_is_not_known_is_unknown() {
    // Nobody is there: the port is bound by nobody, and refuses.
    let (code, report) = report(&["--stun", "stun:127.58.9.1:9"]);
    assert_eq!(code, Some(18), "{report:#}");
    assert_eq!(report["verdict"]["direct"], "unknown");
    let udp = &report["families"][0]["udp"];
    for word in ["translated", "addresses-rewritten", "hairpin"] {
        assert_eq!(udp[word], "unknown", "{report:#}");
    }
    // One address tells nothing of a filter; loopback has no NAT.
    let server = Probe::start(&["serve", "--no-turn", "--listen", "127.58.8.1:3478"]);
    server.line().expect("it prints its URI");
    let (code, report) = self::report(&["--stun", "stun:127.58.8.1:3478"]);
    assert_eq!(code, Some(0), "{report:#}");
    let family = &report["families"][0];
    assert_eq!(family["udp"]["filtering"]["behavior"], "unknown");
    assert_eq!(family["tcp"]["unsolicited-syn"], "unknown");
}

#[test]
fn without_a_server_nothing_is_asked() {
    let (code, out, _) = check(&[]);
    assert_eq!(code, Some(18));
    assert!(out.starts_with("Nothing was asked"), "{out}");
}

#[test]
fn wrong_usage() {
    for options in [
        &["--stun", "example.org"][..],
        &["--stun", "stuns:192.0.2.1"],
        &["--turn", "turn:192.0.2.1"],
        &["--ipv4-only", "--ipv6-only"],
        &["--watch", "0"],
    ] {
        let (code, out, err) = check(options);
        assert_eq!((code, out.as_str()), (Some(2), ""), "{options:?}: {err}");
        assert!(!err.is_empty());
    }
}

#[cfg(unix)]
#[test]
fn a_watch_prints_what_changes_and_ends_when_it_is_told_to() {
    let at = "127.58.7.1:3478";
    let server = Probe::start(&["serve", "--no-turn", "--listen", at]);
    server.line().expect("it prints its URI");
    let uri = format!("stun:{at}");
    let watching = Probe::start(&["check", "--json", "--watch", "1", "--stun", &uri]);
    let first = watching.object().expect("it prints a report");
    assert_eq!(first["verdict"]["exit"], 0);
    drop(server);
    let change = watching.object().expect("it prints the change");
    let changes = change["changes"].as_array().expect("there are changes");
    let verdict = changes.iter().find(|change| change["path"] == "verdict.exit");
    let verdict = verdict.unwrap_or_else(|| panic!("{change:#}"));
    assert_eq!((&verdict["from"], &verdict["to"]), (&0.into(), &18.into()));
    watching.signal("INT");
    assert_eq!(watching.exit_code(), Some(0));
}
