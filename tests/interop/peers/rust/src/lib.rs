//! What the peers share: their options, and the JSON Lines of
//! `ice-probe stdio`, for one component.

use std::io::{BufRead, Write};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

/// How a peer is to run.
#[derive(Debug, Default)]
pub struct Options {
    /// Whether it takes the controlling role.
    pub controlling: bool,
    /// Whether candidates are handed over one by one.
    pub trickle: bool,
    /// Whether there are IPv6 candidates.
    pub ipv6: bool,
    /// Whether there are TCP candidates, and no others.
    pub only_tcp: bool,
}

impl Options {
    /// Reads the command line; a wrong one ends the process with exit code 2.
    pub fn read() -> Self {
        let mut options = Options { trickle: true, ipv6: true, ..Self::default() };
        let mut role = None;
        for argument in std::env::args().skip(1) {
            match argument.as_str() {
                "--controlling" => role = Some(true),
                "--controlled" => role = Some(false),
                "--no-trickle" => options.trickle = false,
                "--ipv4-only" => options.ipv6 = false,
                "--only-tcp" => options.only_tcp = true,
                other => usage(other),
            }
        }
        options.controlling = role.unwrap_or_else(|| usage("either --controlling or --controlled"));
        options
    }
}

fn usage(what: &str) -> ! {
    const WORDS: &str = "--controlling|--controlled [--no-trickle] [--ipv4-only] [--only-tcp]";
    eprintln!("{what}\nusage: {WORDS}");
    std::process::exit(2)
}

/// A line from the test.
#[derive(Debug)]
pub enum Line {
    /// The peer's user name fragment and password.
    Credentials(String, String),
    /// A candidate of the peer, as `candidate:…`.
    Candidate(String),
    /// The peer has no more candidates.
    EndOfCandidates,
    /// Send this.
    Send(Vec<u8>),
    /// Restart ICE.
    Restart,
}

/// Gives every line that comes in to `take`, until `close` or the end of
/// input, or until it gives false.
pub fn read_lines(mut take: impl FnMut(Line) -> bool) {
    for line in std::io::stdin().lock().lines().map_while(Result::ok) {
        let object: Value = serde_json::from_str(&line).unwrap_or_default();
        let text = |key: &str| object[key].as_str().map(str::to_owned);
        let parsed = match object["type"].as_str() {
            Some("close") => return,
            Some("credentials") => {
                text("ufrag").zip(text("pwd")).map(|(ufrag, pwd)| Line::Credentials(ufrag, pwd))
            }
            Some("candidate") => text("candidate").map(Line::Candidate),
            Some("end-of-candidates") => Some(Line::EndOfCandidates),
            Some("restart") => Some(Line::Restart),
            Some("send") => {
                let encoded = text("base64").and_then(|encoded| STANDARD.decode(encoded).ok());
                let payload = text("text").map(String::into_bytes).or(encoded);
                payload.map(Line::Send)
            }
            Some(_) => continue,
            None => None,
        };
        match parsed {
            Some(line) => {
                if !take(line) {
                    return;
                }
            }
            None => print_error("bad-input", "no line of this protocol"),
        }
    }
}

/// Prints one object as a line. Nobody reading it is the end of the process.
fn print(object: &Value) {
    if writeln!(std::io::stdout().lock(), "{object}").is_err() {
        std::process::exit(1);
    }
}

/// Prints the credentials.
pub fn print_credentials(ufrag: &str, pwd: &str, options: &[&str], pacing: u64) {
    print(&json!({
        "type": "credentials", "ufrag": ufrag, "pwd": pwd, "options": options,
        "pacing": pacing, "lite": false,
    }));
}

/// Prints a candidate, `candidate:…`.
pub fn print_candidate(candidate: &str, ufrag: &str) {
    print(&json!({"type": "candidate", "candidate": candidate, "ufrag": ufrag}));
}

/// Prints that there are no more candidates.
pub fn print_end_of_candidates(ufrag: &str) {
    print(&json!({"type": "end-of-candidates", "ufrag": ufrag}));
}

/// Prints a state.
pub fn print_state(state: &str) {
    print(&json!({"type": "state", "state": state}));
}

/// Prints the selected pair.
pub fn print_selected(local: &str, remote: &str) {
    print(&json!({"type": "selected", "component": 1, "local": local, "remote": remote}));
}

/// Prints what was received.
pub fn print_received(payload: &[u8]) {
    print(&match std::str::from_utf8(payload) {
        Ok(text) => json!({"type": "received", "component": 1, "text": text}),
        Err(_) => {
            let encoded = STANDARD.encode(payload);
            json!({"type": "received", "component": 1, "base64": encoded})
        }
    });
}

/// Prints something that the contract does not know.
pub fn print_more(kind: &str) {
    print(&json!({"type": kind}));
}

/// Prints that something asked for was not done.
pub fn print_error(code: &str, message: &str) {
    print(&json!({"type": "error", "code": code, "message": message}));
}
