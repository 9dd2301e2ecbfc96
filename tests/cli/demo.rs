//! `ice-probe demo`.

use std::path::PathBuf;
use std::process::{Output, Stdio};

use serde_json::{Value, json};

use crate::probe::ice_probe;

fn demo(arguments: &[&str]) -> Output {
    let output = ice_probe().arg("demo").args(arguments).output().expect("ice-probe starts");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(output.stderr.is_empty(), "{output:?}");
    output
}

fn report(arguments: &[&str]) -> Value {
    let output = demo(&[&["--json"], arguments].concat());
    serde_json::from_slice(&output.stdout).expect("--json prints one object")
}

#[test]
fn shows_candidates_pairs_a_timeline_and_the_selected_pair() {
    let text = String::from_utf8(demo(&[]).stdout).expect("the report is UTF-8");
    assert!(text.starts_with("udp: connected directly after "), "{text}");
    for part in [
        "Candidates of A (controlling)",
        "Candidates of B (controlled)",
        "Pairs of A",
        "Timeline",
        "Selected pairs",
        "20 of 20 datagrams",
        "tcp: skipped (not built yet)",
        "relay: skipped (not built yet)",
    ] {
        assert!(text.contains(part), "{part} is missing:\n{text}");
    }
    assert!(!text.contains('\u{1b}'), "colours only on a terminal:\n{text}");
}

#[test]
fn the_object_has_the_promised_shape() {
    let report = report(&[]);
    assert_eq!(report["version"], 1);
    let runs = report["runs"].as_array().expect("runs is an array");
    let results: Vec<_> = runs.iter().map(|run| (&run["name"], &run["result"])).collect();
    let skipped = json!("skipped");
    assert_eq!(
        results,
        [
            (&json!("udp"), &json!("connected")),
            (&json!("tcp"), &skipped),
            (&json!("tcp-so"), &skipped),
            (&json!("relay"), &skipped),
        ]
    );
    assert!(runs[1..].iter().all(|run| run["reason"] == "not built yet"));
    let udp = &runs[0];
    assert!(udp["connected_ms"].as_f64() <= udp["completed_ms"].as_f64());
    for (agent, role) in [(0, "controlling"), (1, "controlled")] {
        let agent = &udp["agents"][agent];
        assert_eq!(agent["role"], role);
        assert!(agent["candidates"].as_array().is_some_and(|all| !all.is_empty()));
        assert_eq!(agent["errors"], json!([]));
        let pairs = agent["pairs"].as_array().expect("pairs is an array");
        assert_eq!(pairs.iter().filter(|pair| pair["selected"] == true).count(), 1);
        assert_eq!(agent["selected"].as_array().map(Vec::len), Some(1));
    }
    let transfers = udp["data"].as_array().expect("data is an array");
    assert_eq!(transfers.len(), 2, "both ways");
    assert!(transfers.iter().all(|row| row["received"] == row["sent"]));
    assert!(udp["timeline"].as_array().is_some_and(|moments| moments.len() > 10));
}

#[test]
fn components_family_and_role_are_the_users() {
    let report = report(&["--components", "2", "--ipv4-only", "--controlled"]);
    let udp = &report["runs"][0];
    assert_eq!(udp["agents"][0]["role"], "controlled");
    assert_eq!(udp["agents"][0]["selected"].as_array().map(Vec::len), Some(2));
    assert_eq!(udp["data"].as_array().map(Vec::len), Some(4));
    let candidates = udp["agents"][1]["candidates"].as_array().expect("candidates is an array");
    assert!(candidates.iter().all(|line| line.as_str().is_some_and(|l| l.contains("127.0.0.1"))));
}

#[test]
fn the_log_has_a_header_events_and_no_secret() {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("demo-log.jsonl");
    demo(&["--log", path.to_str().expect("the path is UTF-8")]);
    let text = std::fs::read_to_string(&path).expect("the log was written");
    let mut lines = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    let header = lines.next().expect("a header");
    assert_eq!((&header["version"], &header["command"]), (&json!(1), &json!("demo")));
    assert!(header["start"].is_number() && header["options"].is_object());
    let events: Vec<Value> = lines.collect();
    let times: Vec<f64> = events.iter().filter_map(|event| event["t"].as_f64()).collect();
    assert_eq!(times.len(), events.len());
    assert!(times.is_sorted());
    for kind in
        ["socket-opened", "local-candidate", "pair-formed", "check-sent", "check-answered", "state"]
    {
        assert!(events.iter().any(|event| event["ev"] == kind), "{kind} is missing");
    }
    assert!(!text.contains("pwd"));
}

#[test]
fn a_reader_that_has_gone_is_no_error() {
    let mut child = ice_probe()
        .arg("demo")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("ice-probe starts");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("a child of ours can be waited for");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(output.stderr.is_empty(), "{output:?}");
}
