//! The core is pure: no clock, no socket, no global randomness, no printing.
//! And some rules of form that hold for all of `src/`.

use crate::source::{sources, words};

/// The modules that must be pure.
const CORE: &[&str] = &[
    "net",
    "timer",
    "rng",
    "stun",
    "candidate",
    "check",
    "turn",
    "gather",
    "discovery",
    "punch",
    "rendezvous",
    "agent",
    "sdp",
];

/// What a pure module does not name.
const IMPURE: &[&str] = &[
    "Instant",
    "SystemTime",
    "UdpSocket",
    "TcpStream",
    "TcpListener",
    "ToSocketAddrs",
    "UNIX_EPOCH",
    "rand::rng",
    "rand::random",
    "thread_rng",
    "ThreadRng",
    "OsRng",
    "from_os_rng",
    "getrandom",
    "RandomState",
    "tokio",
    "std::thread",
    "thread::",
    "std::fs",
    "std::env",
    "std::process",
    "std::io::stdin",
    "std::io::stdout",
    "std::io::stderr",
    "println!",
    "print!",
    "eprintln!",
    "eprint!",
    "dbg!",
];

/// Only `driver/transport` opens sockets.
const OPENING: &[&str] = &[
    "UdpSocket::bind",
    "TcpListener::bind",
    "TcpListener::new",
    "TcpStream::connect",
    "TcpSocket::new_v4",
    "TcpSocket::new_v6",
    "Socket::new",
    ".bind(",
    ".listen(",
    ".connect(",
];

/// The wire of the demo: a network with raw sockets, and no user of one.
const WIRE: &str = "src/bin/ice-probe/demo/crossing/wire.rs";

/// A file has at most this many lines of code that is not a test.
const MAX_LINES: usize = 450;

#[test]
fn the_core_is_pure() {
    let mut problems = Vec::new();
    for source in sources() {
        if !source.module().first().is_some_and(|first| CORE.contains(&first.as_str())) {
            continue;
        }
        for (line, text) in source.lines() {
            for name in IMPURE.iter().filter(|name| words(text, name).next().is_some()) {
                problems.push(format!("{}:{line}: `{name}` in the core", source.path.display()));
            }
        }
    }
    crate::expect_none(&problems);
}

#[test]
fn only_the_transport_opens_sockets() {
    let mut problems = Vec::new();
    for source in sources() {
        if source.path.starts_with("src/driver/transport") || source.path.ends_with(WIRE) {
            continue;
        }
        for (line, text) in source.lines() {
            // A method of the code's own, which ends in the transport.
            let opens = |at: usize| !text[..at].ends_with("self");
            for name in OPENING.iter().filter(|name| words(text, name).any(opens)) {
                problems.push(format!(
                    "{}:{line}: `{name}` outside src/driver/transport",
                    source.path.display()
                ));
            }
        }
    }
    crate::expect_none(&problems);
}

#[test]
fn checks_know_no_transport_and_no_relay() {
    let mut problems = Vec::new();
    for source in sources().iter().filter(|source| source.path.starts_with("src/check")) {
        for (line, text) in source.lines() {
            let mut names = text.split(|c: char| !c.is_alphanumeric());
            let named = |name: &str| {
                ["tcp", "TURN", "TCP"].contains(&name)
                    || name.contains("Tcp")
                    || name.contains("Turn")
            };
            if names.any(named) {
                problems.push(format!("{}:{line}: {}", source.path.display(), text.trim()));
            }
        }
    }
    crate::expect_none(&problems);
}

#[test]
fn files_are_short_and_named_for_what_they_hold() {
    let mut problems = Vec::new();
    for source in sources() {
        let lines = source.lines().count();
        if lines > MAX_LINES {
            problems.push(format!("{}: {lines} lines of code", source.path.display()));
        }
        for part in source.module() {
            if ["util", "utils", "common", "misc", "helpers"].contains(&part.as_str()) {
                problems.push(format!("{}: says nothing of its content", source.path.display()));
            }
        }
    }
    crate::expect_none(&problems);
}
