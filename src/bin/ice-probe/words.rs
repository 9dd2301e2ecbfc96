//! Words and numbers that several reports share.

use std::time::Duration;

use floe::candidate::{Candidate, Host};
use floe::check::StartKind;

/// Why a check is sent.
pub(crate) fn check_kind(kind: StartKind) -> &'static str {
    match kind {
        StartKind::Ordinary => "ordinary",
        StartKind::Triggered => "triggered",
        StartKind::Nomination => "nomination",
        StartKind::Consent => "consent",
    }
}

/// A candidate in a few words: type and address, and over TCP which way its
/// connections are opened. A peer's name is escaped.
pub(crate) fn candidate(candidate: &Candidate) -> String {
    let place = place(candidate);
    candidate.tcp_type.map_or(place.clone(), |tcp_type| format!("{place} tcp {tcp_type}"))
}

/// What a candidate is reached over: `udp`, or `tcp` with its type.
pub(crate) fn transport(candidate: &Candidate) -> String {
    candidate.tcp_type.map_or("udp".into(), |tcp_type| format!("tcp {tcp_type}"))
}

/// The type and address of a candidate. A peer's name is escaped.
pub(crate) fn place(candidate: &Candidate) -> String {
    let kind = candidate.kind;
    match (&candidate.host, candidate.address()) {
        (_, Some(address)) => format!("{kind} {address}"),
        (Host::Name(name), None) => format!("{kind} {}:{}", name.escape_debug(), candidate.port),
        (Host::Ip(ip), None) => format!("{kind} {ip}"),
    }
}

/// Milliseconds, to the microsecond.
pub(crate) fn millis(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}
