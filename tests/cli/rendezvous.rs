//! `ice-probe stdio --secret-file`: two that nobody signals between.

use std::path::PathBuf;
use std::process::Stdio;

use serde_json::json;

use crate::probe::{Probe, ice_probe};
use crate::stdio::close;

/// A file with a passphrase of this process; it goes with the value.
struct Secret(PathBuf);

impl Secret {
    fn new(name: &str) -> Self {
        let process = std::process::id();
        let path = std::env::temp_dir().join(format!("floe-{process}-{name}.txt"));
        std::fs::write(&path, passphrase(name)).expect("there is room for temporary files");
        Secret(path)
    }

    fn start(&self, own: &str, peer: &str, options: &[&str]) -> Probe {
        let path = self.0.to_str().expect("a path in UTF-8");
        let given = ["stdio", "--secret-file", path, "--bind", own, "--peer", peer];
        Probe::start(&[&given[..], options].concat())
    }
}

fn passphrase(name: &str) -> String {
    format!("the passphrase {name} of {}\n", std::process::id())
}

impl Drop for Secret {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn they_meet(name: &str, options: &[&str]) {
    let secret = Secret::new(name);
    let mut a = secret.start("127.0.0.1", "127.0.0.2", options);
    let b = secret.start("127.0.0.2", "127.0.0.1", options);
    for (probe, peer) in [(&a, "127.0.0.2"), (&b, "127.0.0.1")] {
        let lines = probe.until_state("completed");
        assert!(lines.iter().all(|line| line["type"] != "credentials"), "{lines:?}");
        let remote = lines.iter().find(|line| line["type"] == "selected");
        let remote = remote.unwrap_or_else(|| panic!("no selected pair: {lines:?}"));
        assert!(remote["remote"].as_str().is_some_and(|line| line.contains(peer)), "{remote}");
    }
    a.write(r#"{"type":"send","text":"hello"}"#);
    assert_eq!(b.next("received")["text"], "hello");
    assert_eq!(a.error(r#"{"type":"restart"}"#)["code"], "refused");
    close([a, b]);
}

#[test]
fn two_meet_over_udp() {
    they_meet("udp", &["--transport", "udp"]);
}

#[test]
fn two_meet_over_tcp_and_the_log_has_no_secret() {
    let log = std::env::temp_dir().join(format!("floe-{}-meet.jsonl", std::process::id()));
    // Both write one file; it is the last that matters.
    they_meet("tcp", &["--transport", "tcp-so", "--log", log.to_str().expect("UTF-8")]);
    let text = std::fs::read_to_string(&log).expect("the log was written");
    assert!(text.contains(r#""input":"add-stream-with""#), "{text}");
    assert!(!text.contains(passphrase("tcp").trim()));
    let _ = std::fs::remove_file(&log);
}

#[test]
fn one_alone_is_told_so_and_ends_in_time() {
    let secret = Secret::new("alone");
    let mut probe = secret.start("127.0.0.1", "127.0.0.2", &["--timeout", "2"]);
    assert_eq!(probe.error(r#"{"type":"send","text":"x"}"#)["code"], "not-connected");
    assert_eq!(probe.next("error")["code"], json!("timeout"));
    assert_eq!(probe.exit_code(), Some(15));
}

#[test]
fn a_passphrase_that_is_too_short_is_wrong_usage() {
    let path = std::env::temp_dir().join(format!("floe-{}-short.txt", std::process::id()));
    std::fs::write(&path, "hunter2").expect("there is room for temporary files");
    let mut command = ice_probe();
    command.args(["stdio", "--peer", "192.0.2.7", "--secret-file"]).arg(&path);
    let output = command.stdin(Stdio::null()).output().expect("ice-probe starts");
    let _ = std::fs::remove_file(&path);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains("12 characters") && !stderr.contains("hunter2"), "{stderr}");
}
