//! Logs of sessions that the test makes.

use serde_json::Value;

use super::{explained, own};
use crate::probe::ice_probe;
use crate::stdio::{close, signal, start};

/// Digits in a row, which differ from run to run, as one `0`; and no line of
/// time.
fn without_numbers(text: &str) -> String {
    let mut out = String::new();
    for line in text.lines() {
        let line = match (line.find('['), line.find(']')) {
            (Some(from), Some(to)) if line.starts_with("    [") => {
                format!("{}{}", &line[..=from], &line[to..])
            }
            _ => line.trim_start().to_owned(),
        };
        let mut last_was_digit = false;
        for c in line.chars() {
            match (c.is_ascii_digit(), last_was_digit) {
                (true, true) => {}
                (true, false) => out.push('0'),
                (false, _) => out.push(c),
            }
            last_was_digit = c.is_ascii_digit();
        }
        out.push('\n');
    }
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ") + "\n";
    out.lines().map(words).collect::<String>().replace("0.0 s", "0.0 ms")
}

/// The log of the controlled one of two that connect over UDP, and what it
/// said itself of the pair that was selected.
fn session() -> (String, Value) {
    let path = own("live.jsonl");
    let udp = ["--transport", "udp"];
    let log = ["--log", path.to_str().expect("the path is UTF-8")];
    let mut a = start("--controlling", &udp);
    let mut b = start("--controlled", &[udp, log].concat());
    signal(&a, &mut b);
    signal(&b, &mut a);
    a.until_state("completed");
    let lines = b.until_state("completed");
    let selected = lines.iter().rfind(|line| line["type"] == "selected").cloned();
    close([a, b]);
    let log = std::fs::read_to_string(path).expect("the log was written");
    (log, selected.expect("a selected pair"))
}

#[test]
fn of_two_that_connect() {
    let (log, selected) = session();
    let text = explained(&[], &log);
    insta::with_settings!({snapshot_path => "../snapshots"}, {
        insta::assert_snapshot!("live", without_numbers(&text));
    });
    let object: Value = serde_json::from_str(&explained(&["--json"], &log)).expect("JSON");
    let pairs = object["agents"][0]["pairs"].as_array().expect("pairs");
    let pair = pairs.iter().find(|pair| pair["selected"] == true).expect("a selected pair");
    for end in ["local", "remote"] {
        let line = selected[end].as_str().expect("a candidate line");
        let words: Vec<&str> = line.split(' ').collect();
        assert_eq!(pair[end]["address"], format!("{}:{}", words[4], words[5]));
    }
}

#[test]
fn of_every_agent_of_a_demo() {
    let path = own("demo.jsonl");
    let file = path.to_str().expect("the path is UTF-8");
    let output = ice_probe().args(["demo", "--json", "--log", file]).output();
    let report: Value =
        serde_json::from_slice(&output.expect("ice-probe starts").stdout).expect("JSON");
    let log = std::fs::read_to_string(&path).expect("the log was written");
    let object: Value = serde_json::from_str(&explained(&["--json"], &log)).expect("JSON");
    let agents = object["agents"].as_array().expect("agents");
    let runs = report["runs"].as_array().expect("runs");
    let made = runs.iter().filter(|run| run["result"] == "connected").count();
    assert_eq!(agents.len(), 2 * made);
    for agent in agents {
        let name = agent["agent"].as_str().expect("a name");
        let outcome = if name.starts_with("relay") { "relayed" } else { "direct" };
        assert_eq!(agent["outcome"], outcome, "{name}");
        let only = explained(&["--agent", name], &log);
        assert!(only.starts_with(&format!("{name} (")), "{only}");
    }
}
