//! A relay on the lab's server, `ice-probe serve`, and two agents that have it
//! over UDP, over TCP, and over TLS on port 443.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::agents::{Agents, run};
use crate::harness::peers::{Implementation, Options, Over, Turn};
use crate::harness::session::{Session, Side};
use crate::topology::Lab;
use crate::{Server, kind};

const USER: &str = "lab";
const PASSWORD: &str = "the lab's password";
/// Beside those of the STUN server.
const PORT: u16 = 3498;
const TLS_PORT: u16 = 443;

/// From the start until the agents count as not connected. Where a network
/// blocks, what does not answer is waited for.
const LIMIT: Duration = Duration::from_secs(30);
/// How long gathering may take where a server is out of reach.
const GATHERING: Duration = Duration::from_secs(60);

/// A running relay; it ends when dropped.
pub(crate) struct Relay {
    _server: Server,
    certificate: PathBuf,
    uris: [String; 3],
}

impl Relay {
    /// Starts it on the lab's server. What it relays to is in networks that
    /// are set apart for documentation.
    pub(crate) fn start(lab: &Lab) -> Self {
        static STARTED: AtomicUsize = AtomicUsize::new(0);
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let name = format!("lab-relay-{}-{number}.pem", std::process::id());
        let certificate = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        let at = |port| SocketAddr::new(lab.stun()[0].ip(), port).to_string();
        let mut command = Command::new(env!("CARGO_BIN_EXE_ice-probe"));
        command.args(["serve", "--json", "--quiet", "--user", USER, "--listen", &at(PORT)]);
        command.args(["--tls-listen", &at(TLS_PORT), "--self-signed", "--cert-out"]);
        command.arg(&certificate).env("ICE_PROBE_PASS", PASSWORD);
        command.args(["--allow-peer", "203.0.113.0/24", "--allow-peer", "2001:db8::/32"]);
        let (server, line) = Server::spawn(lab, command);
        let uris = [
            format!("turn:{}", at(PORT)),
            format!("turn:{}?transport=tcp", at(PORT)),
            format!("turns:{}", at(TLS_PORT)),
        ];
        assert!(uris.iter().all(|uri| line.contains(uri.as_str())), "{line}");
        Self { _server: server, certificate, uris }
    }

    /// Agents with all that there is: both transports, the STUN server, and
    /// this relay by its three ways.
    pub(crate) fn agents(&self) -> Agents {
        let options = Options {
            over: Over::Both,
            ca: Some(self.certificate.clone()),
            ..self.options(&self.uris)
        };
        Agents { name: "floe with a relay", implementation: Implementation::Floe, options }
    }

    /// Agents with UDP alone, that of the relay too.
    pub(crate) fn agents_over_udp(&self) -> Agents {
        let options = self.options(&self.uris[..1]);
        Agents { name: "floe with a relay over UDP", implementation: Implementation::Floe, options }
    }

    fn options(&self, uris: &[String]) -> Options {
        let turn = |uri: &String| Turn { uri: uri.clone(), user: USER, password: PASSWORD };
        Options { turn: uris.iter().map(turn).collect(), ..Options::default() }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.certificate);
    }
}

/// When the lines of one agent go to the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signalling {
    /// As they come.
    Trickle,
    /// All at once, when both have gathered.
    Complete,
}

/// Two agents that have connected, exchanged data and ended.
#[derive(Debug)]
pub(crate) struct Connected {
    /// From when the second of them had the other's first lines until both
    /// could send.
    pub(crate) usable: Duration,
    /// Each side's selected pair, local and remote.
    pub(crate) selected: [[String; 2]; 2],
    /// Whether a side can tell that its pair goes by a relay: its own, though
    /// the peer's NAT may have given that another port, or one that it was told
    /// of.
    pub(crate) relayed: [bool; 2],
    pub(crate) codes: [Option<i32>; 2],
}

impl Connected {
    /// Of each side, the kinds of its selected pair.
    pub(crate) fn kinds(&self) -> [[&str; 2]; 2] {
        self.selected.each_ref().map(|pair| pair.each_ref().map(|candidate| kind(candidate)))
    }

    /// Whether the two are connected by a relay: one of them has it for sure.
    pub(crate) fn by_relay(&self) -> bool {
        self.relayed.contains(&true)
    }
}

/// One negotiation with data both ways; none, with what the agents said, if
/// they do not connect.
pub(crate) fn negotiate(lab: &Lab, relay: &Relay, how: Signalling) -> Result<Connected, String> {
    let mut session = relay.agents().start(lab);
    session.extend(GATHERING + LIMIT);
    if how == Signalling::Complete {
        session.until_gathered();
    }
    let start = session.forward();
    let completed = |sides: &[Side; 2]| sides.iter().all(|side| side.since("completed").is_some());
    if !run(&mut session, start + LIMIT, completed) {
        return Err(said(&session));
    }
    for from in [0, 1] {
        session.send(from, 1, &[b'a' + u8::from(from == 1); 1_000]);
    }
    let heard = |sides: &[Side; 2]| sides.iter().all(|side| !side.received.is_empty());
    if !run(&mut session, Instant::now() + LIMIT, heard) {
        return Err(format!("no data both ways; {}", said(&session)));
    }
    for (side, byte) in session.sides.iter().zip(*b"ba") {
        assert_eq!(side.received, [(1, vec![byte; 1_000])]);
    }
    let usable = session.sides.iter().filter_map(Side::connected_at).max();
    let usable = usable.map_or(LIMIT, |at| at.saturating_duration_since(start));
    let selected = session.sides.each_ref().map(|side| {
        let (local, remote) = side.selected.get(&1).expect("a completed agent has selected");
        [local, remote].map(Clone::clone)
    });
    let relayed = session.sides.each_ref().map(by_relay);
    let codes = session.end().map(|status| status.code());
    Ok(Connected { usable, selected, relayed, codes })
}

/// What [`Connected::relayed`] is of one side.
pub(crate) fn by_relay(side: &Side) -> bool {
    let (local, remote) = side.selected.get(&1).expect("a completed agent has selected");
    let word = |line: &str, number| line.split(' ').nth(number).unwrap_or_default().to_owned();
    let base = [9, 11].map(|number| word(local, number));
    let ours = side.candidates.iter().filter(|line| kind(line) == "relay");
    let mut bases = ours.map(|line| [4, 5].map(|number| word(line, number)));
    kind(local) == "relay" || kind(remote) == "relay" || bases.any(|relay| relay == base)
}

/// The states and errors of both.
fn said(session: &Session) -> String {
    let side = |side: &Side| {
        let states: Vec<&str> = side.states.iter().map(|(_, state)| state.as_str()).collect();
        format!("{states:?} {:?} {:?}", side.errors, side.candidates)
    };
    session.sides.each_ref().map(side).join(" | ")
}
