//! What was received and not used, counted by reason.

use std::fmt;

/// Why a datagram, or a candidate of the peer, was dropped. Nothing else
/// changes when one is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "kebab-case")
)]
pub enum DropReason {
    /// It breaks a rule of RFC 8489 §5 or §6.
    Malformed,
    /// A message without FINGERPRINT, or with a wrong one (RFC 8445 §7.1).
    Fingerprint,
    /// It arrived on a socket that the agent does not have.
    UnknownBase,
    /// A method or class that ICE does not use.
    NotForIce,
    /// USERNAME is missing or names no stream of ours.
    UnknownUsername,
    /// MESSAGE-INTEGRITY is missing or wrong.
    Integrity,
    /// A response to nothing that is under way.
    UnknownTransaction,
    /// A response of a server that came too late.
    LateServerResponse,
    /// A request with a tie-breaker of our own: one that we sent and somebody
    /// sent back, or that we sent to ourselves.
    OwnRequest,
    /// A check before the peer's parameters, beyond those that are kept.
    TooManyEarly,
    /// A check that would have made a new candidate or pair beyond the limits.
    Limit,
    /// A remote candidate beyond the limits, or known already.
    Candidate,
    /// A remote candidate with a name that is not resolved.
    Name,
    /// A remote candidate of a kind that is not supported.
    Unsupported,
    /// An address that the policy refuses: a remote candidate with it, a name
    /// that resolves to it, or a check that came from it.
    Address,
    /// Something else than STUN came on a connection of a peer that has not
    /// passed a check, or a frame too long for one (RFC 6544 §7.1).
    NotStun,
    /// It came through a relay, from a peer that has no permission there.
    NotPermitted,
    /// The agent is closed.
    Closed,
    /// The queue of messages to send was full.
    QueueFull,
}

impl DropReason {
    const COUNT: usize = DropReason::QueueFull as usize + 1;

    /// All reasons.
    pub const ALL: [DropReason; Self::COUNT] = [
        DropReason::Malformed,
        DropReason::Fingerprint,
        DropReason::UnknownBase,
        DropReason::NotForIce,
        DropReason::UnknownUsername,
        DropReason::Integrity,
        DropReason::UnknownTransaction,
        DropReason::LateServerResponse,
        DropReason::OwnRequest,
        DropReason::TooManyEarly,
        DropReason::Limit,
        DropReason::Candidate,
        DropReason::Name,
        DropReason::Unsupported,
        DropReason::Address,
        DropReason::NotStun,
        DropReason::NotPermitted,
        DropReason::Closed,
        DropReason::QueueFull,
    ];
}

impl fmt::Display for DropReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DropReason::Malformed => "malformed",
            DropReason::Fingerprint => "fingerprint",
            DropReason::UnknownBase => "unknown-base",
            DropReason::NotForIce => "not-for-ice",
            DropReason::UnknownUsername => "unknown-username",
            DropReason::Integrity => "integrity",
            DropReason::UnknownTransaction => "unknown-transaction",
            DropReason::LateServerResponse => "late-server-response",
            DropReason::OwnRequest => "own-request",
            DropReason::TooManyEarly => "too-many-early",
            DropReason::Limit => "limit",
            DropReason::Candidate => "candidate",
            DropReason::Name => "name",
            DropReason::Unsupported => "unsupported",
            DropReason::Address => "address",
            DropReason::NotStun => "not-stun",
            DropReason::NotPermitted => "not-permitted",
            DropReason::Closed => "closed",
            DropReason::QueueFull => "queue-full",
        })
    }
}

/// How much was dropped for which reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DropCounts([u32; DropReason::COUNT]);

impl DropCounts {
    /// The count of one reason; it stops at 2³² − 1.
    pub fn of(&self, reason: DropReason) -> u32 {
        self.0[reason as usize]
    }

    /// The reasons that occurred, with their counts.
    pub fn iter(&self) -> impl Iterator<Item = (DropReason, u32)> + '_ {
        DropReason::ALL.into_iter().map(|r| (r, self.of(r))).filter(|(_, n)| *n > 0)
    }

    pub(super) fn add(&mut self, reason: DropReason) {
        let count = &mut self.0[reason as usize];
        *count = count.saturating_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_its_own_count() {
        let mut counts = DropCounts::default();
        for (n, reason) in DropReason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, n);
            counts.add(reason);
        }
        assert!(DropReason::ALL.into_iter().all(|r| counts.of(r) == 1));
    }
}
