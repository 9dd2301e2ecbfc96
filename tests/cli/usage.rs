//! Wrong usage is exit code 2 and a sentence on stderr.

use crate::probe::ice_probe;

#[track_caller]
fn wrong(arguments: &[&str], sentence: &str) {
    let output = ice_probe().args(arguments).output().expect("ice-probe starts");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {output:?}");
    assert!(stderr.contains(sentence), "{arguments:?}: {stderr}");
    assert!(output.stdout.is_empty(), "{arguments:?}: {output:?}");
}

#[test]
fn what_the_command_line_does_not_have() {
    wrong(&[], "Usage:");
    wrong(&["nonsense"], "nonsense");
    wrong(&["stdio", "--controlling", "--nonsense"], "--nonsense");
    wrong(&["stdio"], "--controlling or --controlled");
    wrong(&["stdio", "--controlling", "--controlled"], "--controlled");
    wrong(&["demo", "--ipv4-only", "--ipv6-only"], "--ipv6-only");
    wrong(&["demo", "--quiet", "--verbose"], "--verbose");
}

#[test]
fn values_out_of_range() {
    wrong(&["demo", "--ports", "9-5"], "LOW-HIGH");
    wrong(&["demo", "--components", "0"], "--components");
    wrong(&["demo", "--components", "257"], "--components");
    wrong(&["demo", "--timeout", "0"], "--timeout");
    wrong(&["demo", "--bind", "localhost"], "--bind");
    wrong(&["demo", "--transport", "sctp"], "--transport");
    wrong(&["demo", "--candidates", "prflx"], "--candidates");
    wrong(&["serve", "--listen", "127.0.0.1"], "--listen");
    wrong(&["stdio", "--controlling", "--stun", "example.org"], "--stun");
}

#[test]
fn a_rendezvous_has_a_secret_a_peer_and_no_more() {
    let given = ["--secret-file", "/nonexistent/secret", "--peer", "192.0.2.7"];
    let with = |options: &[&'static str]| [&["stdio"], &given[..], options].concat();
    wrong(&["stdio", "--secret-file", "f"], "--peer");
    wrong(&["stdio", "--controlling", "--peer", "192.0.2.7"], "--secret-file");
    wrong(&with(&["--controlling"]), "--controlling");
    wrong(&with(&["--stun", "stun:192.0.2.1"]), "--stun");
    wrong(&with(&["--ports", "5000-5001"]), "--ports");
    wrong(&with(&[]), "/nonexistent/secret");
    wrong(&[&["demo"], &given[..]].concat(), "--secret-file");
}

#[test]
fn what_is_still_to_come() {
    let options = &["--stun", "stuns:192.0.2.1"][..];
    wrong(&[&["stdio", "--controlling"], options].concat(), "not supported yet");
    wrong(&[&["demo"], options].concat(), "not supported yet");
}

/// RFC 6062 §4.1: TCP is relayed over a stream to the server.
#[test]
fn servers_that_would_relay_nothing() {
    for (transport, uri) in [
        ("tcp", "turn:192.0.2.1"),
        ("tcp-so", "turn:192.0.2.1?transport=tcp"),
        ("tcp-so", "turns:192.0.2.1"),
    ] {
        let options = ["--transport", transport, "--turn", uri, "--user", "u", "--pass", "p"];
        wrong(&[&["stdio", "--controlling"], &options[..]].concat(), "relays nothing");
    }
}

#[test]
fn roots_that_are_none_and_proxies_that_are_none() {
    let with = |options: &[&'static str]| [&["stdio", "--controlling"], options].concat();
    wrong(&with(&["--ca", "/nonexistent/root.pem"]), "/nonexistent/root.pem");
    wrong(&with(&["--ca", "Cargo.toml"]), "no certificate");
    let output = ice_probe().args(with(&["--proxy", "ftp://u:secret@a:1"])).output();
    let output = output.expect("ice-probe starts");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(stderr.contains("`socks5://`") && !stderr.contains("secret"), "{stderr}");
}

/// What concerns a TURN server stands behind it, and is whole.
#[test]
fn relays() {
    let turn = &["--turn", "turn:192.0.2.1", "--user", "u"];
    for (options, word) in [
        (&["--turn", "turn:192.0.2.1"][..], "--user"),
        (&[&turn[..], &["--pass-file", "/nonexistent/secret"]].concat(), "/nonexistent/secret"),
        (&["--user", "u"], "--turn"),
        (&["--pass", "p", "--turn", "turn:192.0.2.1"], "--turn"),
        (&["--turn", "turns:192.0.2.1?transport=udp", "--user", "u", "--pass", "p"], "DTLS"),
        (&["--turn", "http://192.0.2.1", "--user", "u", "--pass", "p"], "turn:"),
        (&["--candidates", "relay"], "--turn"),
    ] {
        wrong(&[&["stdio", "--controlling"], options].concat(), word);
    }
}

#[test]
fn a_log_that_cannot_be_written() {
    wrong(&["demo", "--log", "/nonexistent/file.jsonl"], "/nonexistent/file.jsonl");
}
