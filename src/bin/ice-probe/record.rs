//! The agent's records as sentences, for the timeline.

use std::net::SocketAddr;

use floe::agent::{ConnectionChange, Happened, LogRecord, SocketOp};

use crate::words;

/// The record as a line of the timeline; `None` for what belongs in the log
/// only.
pub(crate) fn to_words(record: &LogRecord) -> Option<String> {
    Some(match &record.what {
        Happened::SocketOpened { base, local } => format!("opened socket {} on {local}", base.0),
        Happened::SocketRefused { error, .. } => format!("a socket was refused: {error}"),
        Happened::SocketOp(SocketOp::Connect { to, .. }) => {
            format!("opens a TCP connection to {to}")
        }
        Happened::Connection { remote, change, .. } => connection(*remote, *change)?,
        Happened::LocalCandidate { candidate, .. } => {
            format!("found its candidate {}", words::candidate(candidate))
        }
        Happened::RemoteCandidate { candidate, .. } => {
            format!("learnt the peer's candidate {}", words::candidate(candidate))
        }
        Happened::AddressRefused { address, refusal } => {
            format!("sends nothing to {address}: {refusal}")
        }
        Happened::ServerAsked { server, .. } => format!("asked the STUN server {server}"),
        Happened::ServerAnswered { mapped, .. } => format!("is seen by the server as {mapped}"),
        Happened::ServerFailed { text, .. } => format!("got nothing from a server: {text}"),
        Happened::PairFormed { pair, local, remote, .. } => {
            format!("formed pair {}: {local} to {remote}", pair.0)
        }
        Happened::LocalRedundant { address, by, .. } => {
            format!("needs no candidate {address}: it has {}", words::candidate(by))
        }
        Happened::RemoteRedundant { by, .. } => {
            format!("knows the peer's candidate already: {}", words::candidate(by))
        }
        Happened::PairNotFormed { local, remote, .. } => {
            format!("has no room for a pair {local} to {remote}")
        }
        Happened::PairLost { pair, reason } => {
            format!("gave up pair {}: {reason}", pair.0)
        }
        Happened::CheckSent { pair, kind, again, .. } => {
            let again = if *again { ", again" } else { "" };
            format!("checks pair {} ({}{again})", pair.0, words::check_kind(*kind))
        }
        Happened::CheckSucceeded { pair, rtt } => {
            let rtt = rtt.map(|rtt| format!(" in {} ms", words::millis(rtt))).unwrap_or_default();
            format!("has an answer on pair {}{rtt}", pair.0)
        }
        Happened::CheckRefused { pair, code } => {
            format!("has error {code} as answer on pair {}", pair.0)
        }
        Happened::SendPath { component, pair: Some(pair), .. } => {
            format!("may send data of component {component} on pair {}", pair.0)
        }
        Happened::Selected { pair } => format!("selected pair {}", pair.0),
        Happened::RoleSwitched { role } => format!("is {role} now"),
        Happened::State { state, reason } => {
            format!("{state}: {reason}")
        }
        _ => return None,
    })
}

/// What became of a TCP connection, or of an attempt at one.
fn connection(remote: SocketAddr, change: ConnectionChange) -> Option<String> {
    Some(match change {
        ConnectionChange::Refused { error } => format!("got no connection to {remote}: {error}"),
        ConnectionChange::Accepted => format!("accepted a TCP connection from {remote}"),
        ConnectionChange::Established => format!("has a TCP connection with {remote}"),
        ConnectionChange::Lost => format!("lost the TCP connection with {remote}"),
        ConnectionChange::GivenUp(reason) => {
            format!("gave up connecting to {remote}: {reason}")
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;

    use floe::agent::BaseId;
    use floe::check::FailReason;
    use floe::net::NotConnected;
    use floe::tcp::Framing;
    use floe::timer::Time;

    use super::*;

    fn words(what: Happened) -> Option<String> {
        to_words(&LogRecord { at: Time::ZERO, what })
    }

    #[test]
    fn a_tcp_attempt_and_each_of_its_ends_have_a_line() {
        let (base, remote) = (BaseId(3), "192.0.2.1:5000".parse().unwrap());
        let op = SocketOp::Connect { base, to: remote, framing: Framing::Rfc4571 };
        let line = words(Happened::SocketOp(op));
        assert_eq!(line.as_deref(), Some("opens a TCP connection to 192.0.2.1:5000"));
        let silent = FailReason::NotConnected(NotConnected::Silent);
        for (change, line) in [
            (
                ConnectionChange::Refused { error: ErrorKind::ConnectionRefused },
                "got no connection to 192.0.2.1:5000: connection refused",
            ),
            (
                ConnectionChange::Refused { error: ErrorKind::TimedOut },
                "got no connection to 192.0.2.1:5000: timed out",
            ),
            (ConnectionChange::Accepted, "accepted a TCP connection from 192.0.2.1:5000"),
            (ConnectionChange::Established, "has a TCP connection with 192.0.2.1:5000"),
            (ConnectionChange::Lost, "lost the TCP connection with 192.0.2.1:5000"),
            (
                ConnectionChange::GivenUp(silent),
                "gave up connecting to 192.0.2.1:5000: not-connected (silent)",
            ),
        ] {
            let told = words(Happened::Connection { base, remote, change });
            assert_eq!(told.as_deref(), Some(line));
        }
        let look = SocketOp::Inspect { base, to: remote };
        assert_eq!(words(Happened::SocketOp(look)), None);
    }
}
