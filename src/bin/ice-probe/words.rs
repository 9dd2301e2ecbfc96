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

/// A candidate in a few words: type and address. A peer's name is escaped.
pub(crate) fn candidate(candidate: &Candidate) -> String {
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
