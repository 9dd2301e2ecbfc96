//! `ice-probe stdio`: two of them with the test between them as signalling,
//! and one that is told nonsense.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::probe::{Probe, ice_probe};

/// Options that keep an agent on this machine.
const HERE: [&str; 3] = ["--include-loopback", "--bind", "127.0.0.1"];

pub(crate) fn start(role: &str, options: &[&str]) -> Probe {
    Probe::start(&[&["stdio", role], &HERE[..], options].concat())
}

/// One agent that no one talks with; its first line is read.
fn lonely(options: &[&str]) -> (Probe, Value) {
    let probe = start("--controlling", options);
    let first = probe.object().expect("it prints its credentials");
    (probe, first)
}

/// Carries the lines of `from` to `to`, up to the end of its candidates.
pub(crate) fn signal(from: &Probe, to: &mut Probe) {
    loop {
        let line = from.line().expect("it prints its candidates");
        to.write(&line);
        if line.contains(r#""type":"end-of-candidates""#) {
            return;
        }
    }
}

/// Two agents that know each other.
fn introduced(options: &[&str]) -> [Probe; 2] {
    let mut a = start("--controlling", options);
    let mut b = start("--controlled", options);
    signal(&a, &mut b);
    signal(&b, &mut a);
    [a, b]
}

fn connected(options: &[&str]) -> [Probe; 2] {
    let probes = introduced(options);
    for probe in &probes {
        probe.until_state("connected");
    }
    probes
}

pub(crate) fn close(mut probes: [Probe; 2]) {
    probes.iter_mut().for_each(|probe| probe.write(r#"{"type":"close"}"#));
    for probe in probes {
        probe.until_state("closed");
        assert_eq!(probe.exit_code(), Some(0));
    }
}

#[test]
fn the_first_line_is_the_credentials() {
    let (mut probe, first) = lonely(&[]);
    assert_eq!(first["type"], "credentials");
    assert!(first["ufrag"].as_str().is_some_and(|ufrag| ufrag.len() >= 4));
    assert!(first["pwd"].as_str().is_some_and(|pwd| pwd.len() >= 22));
    assert_eq!((&first["pacing"], &first["lite"]), (&json!(5), &json!(false)));
    assert!(first["options"].as_array().is_some_and(|all| all.contains(&json!("ice2"))));
    let candidate = probe.next("candidate");
    assert_eq!(candidate["ufrag"], first["ufrag"]);
    let line = candidate["candidate"].as_str().expect("a candidate line");
    assert!(line.starts_with("candidate:") && line.contains(" 127.0.0.1 "), "{line}");
    assert_eq!(probe.next("end-of-candidates")["ufrag"], first["ufrag"]);
    // Not connected, so the end of input is not a success.
    probe.end_input();
    assert_eq!(probe.exit_code(), Some(15));
}

#[test]
fn two_connect_exchange_data_and_close() {
    let [mut a, mut b] = connected(&[]);
    a.write(r#"{"type":"send","text":"héllo"}"#);
    assert_eq!(b.next("received"), json!({"type":"received","component":1,"text":"héllo"}));
    b.write(r#"{"type":"send","component":1,"base64":"AP+A"}"#);
    assert_eq!(a.next("received"), json!({"type":"received","component":1,"base64":"AP+A"}));
    a.write(r#"{"type":"send","text":""}"#);
    assert_eq!(b.next("received")["text"], "");
    // What a STUN message begins with is payload like any other.
    a.write(r#"{"type":"send","base64":"AAEAACESpEI="}"#);
    assert_eq!(b.next("received")["base64"], "AAEAACESpEI=");
    let largest = "x".repeat(32_768);
    a.write(&json!({"type":"send","text":largest}).to_string());
    assert_eq!(b.next("received")["text"], json!(largest));
    close([a, b]);
}

/// Over TCP alone, and over what opens connections from both sides alone.
#[test]
fn two_connect_over_tcp() {
    for (transport, kinds) in [
        ("tcp", &[" tcptype active", " tcptype passive", " tcptype so"][..]),
        ("tcp-active,tcp-passive", &[" tcptype active", " tcptype passive"]),
        ("tcp-so", &[" tcptype so"]),
    ] {
        let [mut a, b] = introduced(&["--transport", transport]);
        for probe in [&a, &b] {
            let lines = probe.until_state("completed");
            let selected = lines.iter().find(|line| line["type"] == "selected");
            let selected = selected.expect("a selected pair");
            for end in ["local", "remote"] {
                let line = selected[end].as_str().expect("a candidate line");
                let is_wanted = kinds.iter().any(|kind| line.contains(kind));
                assert!(is_wanted && line.contains(" TCP "), "{transport}: {line}");
            }
        }
        for text in ["framed", "", &"x".repeat(32_768)] {
            a.write(&json!({"type":"send","text":text}).to_string());
            assert_eq!(b.next("received")["text"], text);
        }
        close([a, b]);
    }
}

/// Host candidates of every transport by default: UDP first, and TCP in the
/// order of RFC 6544 §4.2.
#[test]
fn candidates_of_tcp_stand_behind_those_of_udp() {
    let (probe, _) = lonely(&[]);
    let line = |_| probe.next("candidate")["candidate"].as_str().map(str::to_owned);
    let lines: Vec<String> = (0..4).filter_map(line).collect();
    let kinds = lines.iter().map(|line| line.rsplit(' ').next().unwrap_or_default());
    let mut kinds: Vec<&str> = kinds.collect();
    kinds.sort_unstable();
    assert_eq!(kinds, ["active", "host", "passive", "so"]);
    let priority = |kind: &str| {
        let line = lines.iter().find(|line| line.ends_with(kind)).expect("a candidate");
        line.split(' ').nth(3).and_then(|number| number.parse::<u32>().ok())
    };
    let order = ["typ host", "active", "passive", "so"].map(priority);
    assert!(order.is_sorted_by(|one, other| one > other), "{lines:?}");
    let active = lines.iter().find(|line| line.ends_with("active")).expect("a candidate");
    assert!(active.contains(" 9 typ host"), "{active}");
}

#[test]
fn components_have_their_own_data_and_selected_pair() {
    let [mut a, b] = introduced(&["--components", "2"]);
    for probe in [&a, &b] {
        let lines = probe.until_state("completed");
        let selected = lines.iter().filter(|line| line["type"] == "selected");
        let components: BTreeSet<_> = selected.map(|line| line["component"].as_u64()).collect();
        assert_eq!(components, BTreeSet::from([Some(1), Some(2)]));
    }
    a.write(r#"{"type":"send","component":2,"text":"two"}"#);
    assert_eq!(b.next("received"), json!({"type":"received","component":2,"text":"two"}));
    close([a, b]);
}

#[test]
fn candidates_before_the_credentials_are_kept() {
    let a = start("--controlling", &[]);
    let mut b = start("--controlled", &[]);
    let credentials = a.line().expect("it prints its credentials");
    signal(&a, &mut b);
    b.write(&credentials);
    let mut a = a;
    signal(&b, &mut a);
    for probe in [&a, &b] {
        probe.until_state("completed");
    }
    close([a, b]);
}

#[test]
fn stats_tell_of_the_pairs() {
    let [mut a, b] = connected(&[]);
    a.next("selected");
    a.write(r#"{"type":"stats"}"#);
    let stats = a.next("stats");
    assert_eq!((&stats["version"], &stats["role"]), (&json!(1), &json!("controlling")));
    let pairs = stats["pairs"].as_array().expect("pairs is an array");
    let selected = pairs.iter().find(|pair| pair["selected"] == true).expect("a selected pair");
    assert_eq!(selected["state"], "succeeded");
    assert!(selected["rtt"].as_f64().is_some());
    // Beside them, what the W3C calls it.
    assert_eq!(selected["currentRoundTripTime"].as_f64().map(|s| (s * 1e6).round()), {
        selected["rtt"].as_f64().map(|ms| (ms * 1e3).round())
    });
    assert!(selected["requestsSent"].as_u64() <= selected["sent"].as_u64());
    assert_eq!(selected["responsesReceived"], selected["answered"]);
    assert_eq!((&selected["packetsSent"], &selected["bytesSent"]), (&json!(0), &json!(0)));
    let transport = &stats["transports"][0];
    assert_eq!(transport["selectedCandidatePairId"], selected["id"]);
    assert_eq!(transport["selectedCandidatePairChanges"], 1);
    for (key, id) in
        [("localCandidates", "localCandidateId"), ("remoteCandidates", "remoteCandidateId")]
    {
        let candidates = stats[key].as_array().expect("candidates are an array");
        let candidate = candidates.iter().find(|candidate| candidate["id"] == selected[id]);
        let candidate = candidate.expect("the candidate of the pair");
        assert_eq!(
            (&candidate["candidateType"], &candidate["protocol"]),
            (&json!("host"), &json!("udp"))
        );
    }
    a.write(r#"{"type":"send","text":"four"}"#);
    a.write(r#"{"type":"stats"}"#);
    let stats = a.next("stats");
    assert_eq!(stats["transports"][0]["packetsSent"], 1);
    assert_eq!(stats["transports"][0]["bytesSent"], 4);
    assert!(stats["transports"][0]["lastPacketSentTimestamp"].is_f64());
    close([a, b]);
}

#[test]
fn bad_lines_are_answered_and_change_nothing() {
    let (mut probe, _) = lonely(&[]);
    for (line, field) in [
        ("hello", "line"),
        ("[]", "line"),
        ("{}", "type"),
        (r#"{"type":"credentials","ufrag":"abcd"}"#, "pwd"),
        (r#"{"type":"send"}"#, "text"),
        (r#"{"type":"send","component":2,"text":""}"#, "component"),
        (r#"{"type":"candidate","candidate":"candidate:1 1 UDP 1 x"}"#, "candidate port"),
    ] {
        let error = probe.error(line);
        assert_eq!((&error["code"], &error["field"]), (&json!("bad-input"), &json!(field)));
        assert!(error["position"].is_u64() && error["rule"].is_string(), "{error}");
    }
    probe.write_bytes(b"{\"type\":\"\xff\"}\n");
    assert_eq!(probe.next("error")["code"], "bad-input");
    probe.write_bytes(&[&[b' '; 70_000][..], b"\n"].concat());
    assert_eq!(probe.next("error")["rule"], "must not exceed 65536 bytes");
    assert_eq!(probe.error(r#"{"type":"send","text":"x"}"#)["code"], "not-connected");
    let large = json!({"type":"send","text":"x".repeat(32_769)}).to_string();
    assert_eq!(probe.error(&large)["code"], "too-large");
    // Extensions of others are no errors.
    probe.write(r#"{"type":"sync","round":1}"#);
    probe.write(r#"{"type":"news","from":"the future"}"#);
    probe.write(r#"{"type":"stats","and":"more"}"#);
    assert_eq!(probe.next("stats")["state"], "new");
}

/// Reads on until credentials; what was printed before them.
pub(crate) fn until_credentials(probe: &Probe) -> (Vec<Value>, String) {
    let mut before = Vec::new();
    loop {
        let object = probe.object().expect("it goes on");
        if object["type"] == "credentials" {
            return (before, object.to_string());
        }
        before.push(object);
    }
}

fn exchange(probes: &mut [Probe; 2], text: &str) {
    let line = json!({"type": "send", "text": text}).to_string();
    for side in 0..2 {
        probes[side].write(&line);
        assert_eq!(probes[1 - side].next("received")["text"], text);
    }
}

/// Either side restarts; data flows before, meanwhile and afterwards.
#[test]
fn a_restart_is_answered_and_data_goes_on() {
    let mut probes = connected(&[]);
    probes.iter().for_each(|probe| drop(probe.until_state("completed")));
    for round in 0..4 {
        let (side, other) = (round % 2, 1 - round % 2);
        exchange(&mut probes, "before");
        probes[side].write(r#"{"type":"restart"}"#);
        let (_, first) = until_credentials(&probes[side]);
        exchange_meanwhile(&mut probes);
        let [a, b] = &mut probes;
        let (from, to) = if side == 0 { (&*a, b) } else { (&*b, a) };
        to.write(&first);
        signal(from, to);
        let (_, answer) = until_credentials(&probes[other]);
        let [a, b] = &mut probes;
        let (from, to) = if other == 0 { (&*a, b) } else { (&*b, a) };
        to.write(&answer);
        signal(from, to);
        for probe in &probes {
            let states = probe.until_state("completed");
            assert!(states.iter().all(|line| line["state"] != "failed"), "{states:?}");
            let connected = |line: &Value| line["state"] == "connected";
            assert!(states.iter().any(connected), "{states:?}");
        }
        exchange(&mut probes, "after");
    }
    close(probes);
}

/// The lines of a restart stand between, and are not read past.
fn exchange_meanwhile(probes: &mut [Probe; 2]) {
    for probe in probes {
        probe.write(r#"{"type":"send","text":"meanwhile"}"#);
    }
}

#[test]
fn credentials_that_are_half_new_are_refused() {
    let (mut probe, _) = lonely(&[]);
    let credentials =
        |ufrag: &str, pwd: &str| json!({"type":"credentials","ufrag":ufrag,"pwd":pwd}).to_string();
    let pwd = "0123456789abcdefghijkl";
    probe.write(&credentials("aaaa", pwd));
    probe.write(&credentials("aaaa", pwd));
    let error = probe.error(&credentials("bbbb", pwd));
    assert_eq!((&error["code"], &error["field"]), (&json!("bad-input"), &json!("credentials")));
    probe.write(&credentials("bbbb", "zyxwvutsrqponmlkjihgfedcba"));
    assert_ne!(probe.next("credentials")["ufrag"], Value::Null);
}

#[test]
fn the_time_to_connect_is_bounded() {
    let (probe, _) = lonely(&["--timeout", "1"]);
    assert_eq!(probe.next("error")["code"], "timeout");
    assert_eq!(probe.next("state")["state"], "closed");
    assert_eq!(probe.exit_code(), Some(15));
}

#[test]
fn no_address_is_no_network() {
    let mut probe = start("--controlling", &["--ipv6-only"]);
    probe.next("end-of-candidates");
    probe.end_input();
    assert_eq!(probe.exit_code(), Some(14));
}

#[test]
fn without_a_reader_it_ends_quietly() {
    let mut command = ice_probe();
    command.args(["stdio", "--controlling"]).args(HERE);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("ice-probe starts");
    drop(child.stdout.take());
    let input = child.stdin.take();
    let output = child.wait_with_output().expect("a child of ours can be waited for");
    drop(input);
    assert_eq!(output.status.code(), Some(15), "{output:?}");
    assert!(output.stderr.is_empty(), "{output:?}");
}

#[test]
fn an_address_that_cannot_be_bound_is_reported_and_skipped() {
    let mut command = ice_probe();
    // TEST-NET-1 (RFC 5737): no machine has it.
    command.args(["stdio", "--controlling", "--bind", "192.0.2.77"]).args(HERE);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("ice-probe starts");
    let input = child.stdin.take();
    let mut stderr = BufReader::new(child.stderr.take().expect("its diagnostics are piped"));
    let mut warning = String::new();
    stderr.read_line(&mut warning).expect("it warns");
    assert!(warning.contains("192.0.2.77"), "{warning}");
    drop(input);
    let output = child.wait_with_output().expect("a child of ours can be waited for");
    let lines = String::from_utf8_lossy(&output.stdout);
    assert!(lines.contains(" 127.0.0.1 "), "{lines}");
}

#[test]
fn data_waits_for_selection_where_that_is_wanted() {
    let [mut a, b] = connected(&["--wait-selected"]);
    a.next("selected");
    a.write(r#"{"type":"send","text":"now"}"#);
    assert_eq!(b.next("received")["text"], "now");
    close([a, b]);
}

#[test]
fn the_log_has_no_secret() {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("stdio-log.jsonl");
    let mut a = start("--controlling", &["--log", path.to_str().expect("the path is UTF-8")]);
    let mut b = start("--controlled", &[]);
    let credentials = a.line().expect("it prints its credentials");
    b.write(&credentials);
    signal(&a, &mut b);
    signal(&b, &mut a);
    a.until_state("completed");
    a.write(r#"{"type":"send","text":"do not log this"}"#);
    b.next("received");
    close([a, b]);
    let text = std::fs::read_to_string(&path).expect("the log was written");
    let header: Value =
        serde_json::from_str(text.lines().next().unwrap_or_default()).expect("JSON");
    assert_eq!((&header["command"], &header["role"]), (&json!("stdio"), &json!("controlling")));
    let credentials: Value = serde_json::from_str(&credentials).expect("JSON");
    assert!(!text.contains(credentials["pwd"].as_str().expect("a password")));
    assert!(!text.contains("do not log this"));
    assert!(text.contains(r#""ev":"selected""#));
}

#[cfg(unix)]
#[test]
fn interrupts_end_it_as_promised() {
    let (probe, _) = lonely(&[]);
    probe.signal("INT");
    assert_eq!(probe.exit_code(), Some(130));
    let [a, b] = connected(&[]);
    a.signal("INT");
    assert_eq!(a.exit_code(), Some(0));
    b.signal("TERM");
    assert_eq!(b.exit_code(), Some(0));
}
