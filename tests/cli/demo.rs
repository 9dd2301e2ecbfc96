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
        "\ntcp: connected directly after ",
        "\ntcp-so: connected directly after ",
        "\nrelay: connected through a relay after ",
    ] {
        assert_eq!(text.matches(part).count(), 1, "{part}:\n{text}");
    }
    for part in [
        "Candidates of A (controlling)",
        "Candidates of B (controlled)",
        "Pairs of A",
        "Timeline",
        "Selected pairs",
    ] {
        assert_eq!(text.matches(part).count(), 4, "{part}:\n{text}");
    }
    assert_eq!(text.matches("20 of 20 datagrams").count(), 8, "{text}");
    for part in [" tcp active ", " tcp passive ", " tcp so ", " has a TCP connection with "] {
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
    let connected = json!("connected");
    assert_eq!(
        results,
        [
            (&json!("udp"), &connected),
            (&json!("tcp"), &connected),
            (&json!("tcp-so"), &connected),
            (&json!("relay"), &connected),
        ]
    );
    for run in runs {
        assert!(run["connected_ms"].as_f64() <= run["completed_ms"].as_f64());
        for (agent, role) in [(0, "controlling"), (1, "controlled")] {
            let agent = &run["agents"][agent];
            assert_eq!(agent["role"], role);
            assert!(agent["candidates"].as_array().is_some_and(|all| !all.is_empty()));
            assert_eq!(agent["errors"], json!([]));
            let pairs = agent["pairs"].as_array().expect("pairs is an array");
            assert_eq!(pairs.iter().filter(|pair| pair["selected"] == true).count(), 1);
            assert_eq!(agent["selected"].as_array().map(Vec::len), Some(1));
        }
        let transfers = run["data"].as_array().expect("data is an array");
        assert_eq!(transfers.len(), 2, "both ways");
        assert!(transfers.iter().all(|row| row["received"] == row["sent"]));
        assert!(run["timeline"].as_array().is_some_and(|moments| moments.len() > 10));
    }
}

/// The lines of the selected pairs of a run, both candidates of both agents.
fn selected(run: &Value) -> Vec<&str> {
    let agents = run["agents"].as_array().expect("agents is an array");
    let pairs = agents.iter().map(|agent| &agent["selected"][0]);
    let ends = pairs.flat_map(|pair| [&pair["local"], &pair["remote"]]);
    ends.map(|line| line.as_str().expect("a candidate line")).collect()
}

#[test]
fn each_run_has_candidates_of_its_transport() {
    let report = report(&[]);
    for (run, kinds) in
        [(0, &[" UDP "][..]), (1, &[" tcptype active", " tcptype passive"]), (2, &[" tcptype so"])]
    {
        let run = &report["runs"][run];
        for line in selected(run) {
            assert!(kinds.iter().any(|kind| line.contains(kind)), "{line}");
        }
        for kind in kinds {
            assert_eq!(selected(run).iter().filter(|l| l.contains(kind)).count(), 4 / kinds.len());
        }
    }
}

/// Where this machine has namespaces SYNs cross; elsewhere the run says that
/// it was made on loopback, and why.
#[test]
fn a_simultaneous_open_is_one_where_it_can_be() {
    let mut runs = (0..3).map(|_| report(&["--transport", "tcp-so"])["runs"][2].clone());
    let crossed = runs.find(|run| run["wire"].is_null() || run["wire"]["crossed"] == true);
    // A machine that is too busy starts one side late.
    let run = crossed.expect("SYNs cross in one of three runs");
    assert_eq!(run["result"], "connected");
    let note = run["note"].as_str().expect("it says where it was made");
    if run["wire"].is_null() {
        assert!(note.starts_with("On loopback SYNs do not cross"), "{note}");
        return println!("skipped, because {note}");
    }
    assert_eq!(run["wire"]["delay_ms"], 20.0);
    let syns = run["wire"]["syns"].as_array().expect("syns is an array");
    assert!(syns.iter().all(|count| count.as_u64() >= Some(1)), "{syns:?}");
    for line in selected(&run) {
        assert!(line.contains(" 203.0.113."), "through both NATs: {line}");
    }
    let timeline = run["timeline"].as_array().expect("timeline is an array");
    let on_the_wire = timeline.iter().filter(|moment| moment["agent"] == "wire");
    assert!(on_the_wire.count() >= 4);
    assert!(run["agents"].as_array().is_some_and(|agents| {
        let pairs = agents.iter().flat_map(|agent| agent["pairs"].as_array().into_iter().flatten());
        pairs.filter(|pair| pair["selected"] == true).all(|pair| pair["rtt"].as_f64() >= Some(40.0))
    }));
}

#[test]
fn runs_that_the_user_leaves_out_are_skipped() {
    let report = report(&["--transport", "tcp-active,tcp-passive"]);
    let results: Vec<_> = (0..4).map(|run| report["runs"][run]["result"].as_str()).collect();
    assert_eq!(results, ["skipped", "connected", "skipped", "skipped"].map(Some));
    assert_eq!(report["runs"][0]["reason"], "the options leave it out");
}

#[test]
fn addresses_that_the_user_chose_are_kept_to() {
    let report = report(&["--transport", "tcp-so", "--bind", "127.0.0.1", "--include-loopback"]);
    let run = &report["runs"][2];
    assert_eq!((&run["result"], &run["wire"]), (&json!("connected"), &Value::Null));
    assert!(run["note"].as_str().is_some_and(|note| note.contains("loopback")));
    assert!(selected(run).iter().all(|line| line.contains(" 127.0.0.1 ")));
}

#[test]
fn components_family_and_role_are_the_users() {
    let report = report(&["--components", "2", "--ipv4-only", "--controlled"]);
    for run in 0..3 {
        let run = &report["runs"][run];
        assert_eq!(run["agents"][0]["role"], "controlled");
        assert_eq!(run["agents"][0]["selected"].as_array().map(Vec::len), Some(2));
        assert_eq!(run["data"].as_array().map(Vec::len), Some(4));
    }
    let udp = &report["runs"][0];
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
    for agent in ["udp A", "udp B", "tcp A", "tcp B", "tcp-so A", "tcp-so B"] {
        let of_agent = || events.iter().filter(|event| event["agent"] == agent);
        for kind in [
            "socket-opened",
            "local-candidate",
            "pair-formed",
            "check-sent",
            "check-answered",
            "state",
        ] {
            assert!(of_agent().any(|event| event["ev"] == kind), "{agent}: {kind} is missing");
        }
        let outcomes = || of_agent().filter(|event| event["ev"] == "connection");
        let is_tcp = agent.starts_with("tcp");
        assert_eq!(outcomes().any(|event| event["change"] == "established"), is_tcp, "{agent}");
    }
    // Of two that could, the one that is first may be the only one.
    for (run, is_tcp) in [("udp", false), ("tcp", true), ("tcp-so", true)] {
        let agents = [format!("{run} A"), format!("{run} B")];
        let is_its = |event: &&Value| agents.iter().any(|agent| event["agent"] == **agent);
        let mut attempts = events.iter().filter(is_its).filter(|event| event["op"] == "connect");
        assert_eq!(attempts.any(|event| event["to"].is_string()), is_tcp, "{run}");
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
