//! `ice-probe explain`: logs that are kept here, logs of sessions that the
//! test makes, pasted candidates, and what is none of these.

mod capture;
mod live;
mod page;
mod redacted;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Output, Stdio};

use serde_json::Value;

use crate::probe::ice_probe;

/// A log of a session of before.
pub(crate) fn sample(name: &str) -> PathBuf {
    let file = format!("tests/cli/samples/{name}.jsonl");
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(file)
}

/// A file of the test's own.
pub(crate) fn own(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("explain-{name}"))
}

/// The program's output, given `input`.
pub(crate) fn run(options: &[&str], input: &str) -> Output {
    let mut child = ice_probe()
        .arg("explain")
        .args(options)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("ice-probe starts");
    let mut stdin = child.stdin.take().expect("its input is piped");
    // One that refuses its options does not read.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    child.wait_with_output().expect("a child of ours can be waited for")
}

/// What it says of `input`, with exit code 0.
#[track_caller]
pub(crate) fn explained(options: &[&str], input: &str) -> String {
    let output = run(&[options, &["-"]].concat(), input);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(output.stderr.is_empty(), "{output:?}");
    String::from_utf8(output.stdout).expect("the text is UTF-8")
}

pub(crate) fn log(name: &str) -> String {
    std::fs::read_to_string(sample(name)).expect("the sample is there")
}

#[track_caller]
fn refused(input: &str, sentence: &str) {
    let output = run(&["-"], input);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(stderr.contains(sentence), "{stderr}");
    assert!(output.stdout.is_empty(), "{output:?}");
}

#[test]
fn of_a_direct_connection() {
    insta::assert_snapshot!("direct", explained(&[], &log("direct")));
}

#[test]
fn of_a_simultaneous_open() {
    insta::assert_snapshot!("tcp_so", explained(&[], &log("tcp-so")));
}

#[test]
fn of_a_relay() {
    insta::assert_snapshot!("relay", explained(&[], &log("relay")));
}

#[test]
fn of_a_failure() {
    insta::assert_snapshot!("failed", explained(&[], &log("failed")));
}

#[test]
fn of_an_offer_and_an_answer() {
    insta::assert_snapshot!("two_sides", explained(&[], TWO_SIDES));
}

#[test]
fn of_one_list_of_candidates() {
    insta::assert_snapshot!("one_side", explained(&[], ONE_SIDE));
}

/// Of a browser behind a NAT, without permissions, and of a server.
pub(crate) const TWO_SIDES: &str = "\
v=0\r
o=- 1 2 IN IP4 127.0.0.1\r
s=-\r
t=0 0\r
m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r
c=IN IP4 0.0.0.0\r
a=candidate:1 1 udp 2113937151 3b1c2f6e-1f0a-4f5e-9d57-0d3c9c0a7b11.local 5000 typ host\r
a=candidate:2 1 udp 1677729535 203.0.113.7 6000 typ srflx raddr 0.0.0.0 rport 0\r
a=candidate:3 1 tcp 1518283007 10.0.0.7 9 typ host tcptype active\r
a=ice-ufrag:abcd\r
a=ice-pwd:0123456789012345678901\r
a=mid:0\r
v=0\r
o=- 3 4 IN IP4 127.0.0.1\r
s=-\r
t=0 0\r
a=ice-lite\r
m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r
c=IN IP4 198.51.100.9\r
a=candidate:1 1 udp 2130706431 198.51.100.9 3478 typ host\r
a=candidate:2 1 tcp 1518280447 198.51.100.9 443 typ host tcptype passive\r
a=ice-ufrag:efgh\r
a=ice-pwd:0123456789012345678902\r
a=end-of-candidates\r
";

pub(crate) const ONE_SIDE: &str = "\
candidate:1 1 UDP 2130706431 10.0.0.1 5000 typ host
candidate:2 1 UDP 1694498815 203.0.113.1 6000 typ srflx raddr 10.0.0.1 rport 5000
candidate:3 1 UDP 1694498814 203.0.113.1 6001 typ srflx raddr 10.0.0.1 rport 5000
candidate:4 1 UDP broken
";

#[test]
fn no_line_is_wider_than_a_terminal() {
    let texts = ["direct", "tcp-so", "relay", "failed"].map(|name| explained(&[], &log(name)));
    for text in texts.iter().chain(&[explained(&[], TWO_SIDES), explained(&[], ONE_SIDE)]) {
        for line in text.lines() {
            assert!(line.chars().count() <= 80, "{line}");
        }
    }
}

#[test]
fn the_object_says_what_the_text_says() {
    for (name, outcome, reason) in [
        ("direct", "direct", "superseded"),
        ("tcp-so", "direct", "superseded"),
        ("relay", "relayed", "superseded"),
        ("failed", "failed", "no-answer"),
    ] {
        let text = explained(&["--json"], &log(name));
        let object: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!((&object["version"], &object["kind"]), (&1.into(), &"log".into()));
        let agent = &object["agents"][0];
        assert_eq!(agent["outcome"], outcome, "{name}");
        let sentence = agent["sentence"].as_str().expect("a sentence");
        let first: String = sentence.split(' ').take(3).collect::<Vec<_>>().join(" ");
        assert!(explained(&[], &log(name)).contains(&first), "{name}: {first}");
        let pairs = agent["pairs"].as_array().expect("pairs");
        let selected = pairs.iter().filter(|pair| pair["selected"] == true).count();
        assert_eq!(selected, usize::from(outcome != "failed"), "{name}");
        let losers = pairs.iter().filter(|pair| !pair["lost"].is_null());
        assert!(losers.clone().all(|pair| pair["lost"]["text"].is_string()), "{name}");
        if outcome == "failed" {
            assert_eq!(losers.clone().count(), pairs.len(), "{name}");
            assert!(losers.clone().any(|pair| pair["lost"]["reason"] == reason), "{name}");
        }
    }
}

#[test]
fn what_is_no_log_is_wrong_usage() {
    refused("", "it is empty");
    refused("hello\n", "no event log");
    refused("\u{1b}]0;title\u{7}\n", r"\u{1b}]0;title\u{7}");
    refused("{\"version\":2,\"replayable\":true}\n", "version 2");
    refused("{\"a\":1}\n", "no event log");
    let output = run(&["/nonexistent/log.jsonl"], "");
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("/nonexistent/log.jsonl"));
    let pcap = own("none.pcapng");
    let options = ["--pcap", pcap.to_str().expect("the path is UTF-8"), "-"];
    assert_eq!(run(&options, ONE_SIDE).status.code(), Some(2));
    let output = run(&["--agent", "nobody", "-"], &log("tcp-so"));
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("`tcp-so A`"), "{output:?}");
}

/// Cut at every byte of its last lines it is explained as far as it goes.
#[test]
fn a_log_that_is_cut_short_is_explained_as_far_as_it_goes() {
    let whole = log("tcp-so");
    let end = whole.len();
    for cut in (0..400).step_by(57) {
        let text = explained(&[], &whole[..end - 1 - cut]);
        assert!(text.contains("Connected directly over TCP"), "{text}");
    }
    let half = explained(&[], &whole[..whole.len() / 2]);
    assert!(half.contains("Note: The log is cut short: line "), "{half}");
    assert!(half.contains("The log ends before any pair had worked."), "{half}");
    let header = whole.lines().next().expect("a header");
    assert!(explained(&[], header).contains("no events"));
}

#[test]
fn lines_of_a_newer_version_are_passed_over_and_told() {
    let log = log("direct");
    let (header, events) = log.split_once('\n').expect("a header and events");
    let newer = r#"{"t":0.5,"ev":"warped","speed":9}"#;
    let text = explained(&[], &format!("{header}\n{newer}\n{events}"));
    assert!(text.starts_with("Note: Line 2 was passed over"), "{text}");
    assert!(text.contains("Connected directly"), "{text}");
}

/// Words of a server, and names, reach neither the terminal nor the page as
/// what they pretend to be.
#[test]
fn text_of_others_does_nothing() {
    let evil = r#"<img src=x onerror=alert(1)>\u001b[2J\u202eend"#;
    let error = format!(
        r#"{{"agent":"{evil}","t":1,"ev":"event","event":"candidate-error","uri":"stun:{evil}","cause":"not-reached","code":701,"text":"{evil}"}}"#
    );
    let header = r#"{"version":1,"replayable":true,"command":"stdio"}"#;
    let path = own("evil.html");
    let options = ["--html", path.to_str().expect("the path is UTF-8")];
    let text = explained(&options, &format!("{header}\n{error}\n"));
    let page = std::fs::read_to_string(path).expect("the page was written");
    for shown in [&text, &page] {
        assert!(!shown.contains(['\u{1b}', '\u{202e}']), "{shown}");
        assert!(shown.contains(r"\u{1b}[2J\u{202e}end"), "{shown}");
    }
    assert!(page.contains("&lt;img src=x") && !page.contains("<img"), "{page}");
}
