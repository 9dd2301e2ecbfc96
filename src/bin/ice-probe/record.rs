//! The agent's records as sentences, for the timeline.

use floe::agent::{Happened, LogRecord};

use crate::words;

/// The record as a line of the timeline; `None` for what belongs in the log
/// only.
pub(crate) fn to_words(record: &LogRecord) -> Option<String> {
    Some(match &record.what {
        Happened::SocketOpened { base, local } => format!("opened socket {} on {local}", base.0),
        Happened::SocketRefused { error, .. } => format!("a socket was refused: {error}"),
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
