//! Stand-ins for addresses and names.

use std::collections::BTreeSet;
use std::net::IpAddr;

use floe::candidate::Candidate;
use serde_json::Value;

use super::{explained, log, own, run};

/// The IP addresses that stand anywhere in a text.
fn addresses(text: &str) -> BTreeSet<IpAddr> {
    let is_part = |c: char| c.is_ascii_hexdigit() || matches!(c, '.' | ':');
    let mut all = BTreeSet::new();
    for run in text.split(|c| !is_part(c)) {
        let parts = [Some(run), run.rsplit_once(':').map(|(ip, _)| ip)];
        all.extend(parts.into_iter().flatten().filter_map(|part| part.parse::<IpAddr>().ok()));
    }
    all.retain(|ip| !ip.is_loopback() && !ip.is_unspecified());
    all
}

#[test]
fn no_output_has_an_address_of_the_log() {
    let text = log("tcp-so").replace("203.0.113.", "81.2.69.").replace("10.1.0.", "10.77.8.");
    let text = text.replace("10.2.0.", "10.99.8.").replace("eth0", "enx0c0ffee00001");
    let before = addresses(&text);
    assert!(before.len() >= 4, "{before:?}");
    let [html, shared] = ["redacted.html", "redacted.jsonl"].map(own);
    let path = |path: &std::path::PathBuf| path.to_str().expect("the path is UTF-8").to_owned();
    let (html_path, shared_path) = (path(&html), path(&shared));
    let options = ["--redact", "--html", &html_path, "--log", &shared_path];
    let shown = explained(&options, &text);
    let read = |path| std::fs::read_to_string(path).expect("the file was written");
    let (page, log) = (read(html), read(shared));
    let object = explained(&["--redact", "--json"], &text);
    for out in [&shown, &page, &log, &object] {
        let after = addresses(out);
        assert!(!after.is_empty() && before.is_disjoint(&after), "{after:?}");
        assert!(!out.contains("c0ffee"), "{out}");
    }
    // What it says is otherwise the same, of the log with stand-ins too.
    let outcome = |text: &str| text.lines().nth(1).map(str::to_owned);
    assert_eq!(outcome(&shown), outcome(&explained(&[], &text)));
    assert_eq!(explained(&[], &log), shown);
}

#[test]
fn the_relations_of_addresses_stay() {
    let pairs = |options: &[&str]| {
        let text = explained(&[options, &["--json"]].concat(), &log("relay"));
        let object: Value = serde_json::from_str(&text).expect("JSON");
        let all = |key: &str| object["agents"][0][key].as_array().expect("an array").clone();
        let line = |found: &Value| -> Candidate {
            found["candidate"].as_str().expect("a line").parse().expect("a candidate")
        };
        let local: Vec<Candidate> = all("local").iter().map(line).collect();
        let remote: Vec<Candidate> = all("remote").iter().map(line).collect();
        (local, remote)
    };
    let ((ours, theirs), (hidden, their_hidden)) = (pairs(&[]), pairs(&["--redact"]));
    let before: Vec<&Candidate> = ours.iter().chain(&theirs).collect();
    let after: Vec<&Candidate> = hidden.iter().chain(&their_hidden).collect();
    assert_eq!(before.len(), after.len());
    for (one, stand_in) in before.iter().zip(&after) {
        assert_eq!(
            (one.kind, one.port, one.tcp_type),
            (stand_in.kind, stand_in.port, stand_in.tcp_type)
        );
        for (other, other_stand_in) in before.iter().zip(&after) {
            assert_eq!(one.host == other.host, stand_in.host == other_stand_in.host);
        }
    }
}

#[test]
fn candidates_are_redacted_too() {
    let line = "candidate:1 1 UDP 1 81.2.69.142 5000 typ srflx raddr 10.7.8.9 rport 5000\n";
    let text = explained(&["--redact"], line);
    assert!(text.contains("192.0.2.1:5000") && text.contains("10.0.0.1:5000"), "{text}");
    assert!(!text.contains("81.2.69") && !text.contains("10.7.8"), "{text}");
}

#[test]
fn a_log_of_stand_ins_is_asked_for_with_redact() {
    assert_eq!(run(&["--log", "x", "-"], "").status.code(), Some(2));
}
