//! Candidate pairs (RFC 8445 §6.1.2).

use std::fmt;
use std::io;
use std::time::Duration;

use crate::candidate::ComponentId;
use crate::check::{LocalId, RemoteId, Role, Tally};
use crate::net::{self, NotConnected};
use crate::timer::Time;

/// A candidate pair of an agent. The number of a pair that had to make room
/// before it was ever checked is used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct PairId(pub u32);

/// The state of a pair (RFC 8445 §6.1.2.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PairState {
    /// Waits for another pair of its foundation.
    Frozen,
    /// Will be checked when its turn comes.
    Waiting,
    /// A check was sent and its outcome is open.
    InProgress,
    /// A check succeeded.
    Succeeded,
    /// A check failed.
    Failed,
    /// Taken off its check list (RFC 8445 §8.1.2, §6.1.2.5).
    Removed,
}

impl fmt::Display for PairState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PairState::Frozen => "frozen",
            PairState::Waiting => "waiting",
            PairState::InProgress => "in-progress",
            PairState::Succeeded => "succeeded",
            PairState::Failed => "failed",
            PairState::Removed => "removed",
        })
    }
}

/// What became of a pair that is of no use any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FailReason {
    /// No answer to any transmission (RFC 8445 §7.2.5.2.3).
    NoAnswer,
    /// No answer, and the system reported this error for the path: a send
    /// that it refused, or an ICMP error.
    Refused(io::ErrorKind),
    /// No way to the remote candidate could be opened (RFC 6544 §7.1).
    NotConnected(NotConnected),
    /// No answer that could be believed: answers came whose integrity was
    /// wrong, as with the password of another session.
    WrongIntegrity,
    /// The answer came from, or to, another address (§7.2.5.2.1).
    NotSymmetric,
    /// The peer answered with this STUN error code (§7.2.5.2.4).
    ErrorResponse(u16),
    /// The peer answered that it has our role, 487 (§7.2.5.1), when the
    /// component was concluded and there was no reason to ask again.
    RoleConflict,
    /// This pair of the component was selected instead (§8.1.2).
    Superseded(PairId),
    /// Made room for another pair (§6.1.2.5).
    Limit,
    /// Another component of the stream can get no pair (§8.1.2).
    ListFailed,
    /// Consent was not renewed for 30 seconds (RFC 7675 §5.1): that of the
    /// peer for this pair, or that for the component's last one.
    ConsentExpired,
    /// ICE was restarted (§9).
    Restarted,
    /// The address that it was sent from is gone.
    AddressGone,
    /// The peer revoked its consent: it answered with 403 (RFC 7675 §5.2).
    ConsentRevoked,
}

impl FailReason {
    /// The reason in one word, without what it carries. It stays the same in
    /// every version.
    pub const fn word(self) -> &'static str {
        match self {
            FailReason::NoAnswer => "no-answer",
            FailReason::Refused(_) => "refused",
            FailReason::NotConnected(_) => "not-connected",
            FailReason::WrongIntegrity => "wrong-integrity",
            FailReason::NotSymmetric => "not-symmetric",
            FailReason::ErrorResponse(_) => "error-response",
            FailReason::RoleConflict => "role-conflict",
            FailReason::Superseded(_) => "superseded",
            FailReason::Limit => "limit",
            FailReason::ListFailed => "list-failed",
            FailReason::ConsentExpired => "consent-expired",
            FailReason::ConsentRevoked => "consent-revoked",
            FailReason::Restarted => "restarted",
            FailReason::AddressGone => "address-gone",
        }
    }

    /// Consent ended: the pair is never checked again (RFC 7675 §5.1).
    pub(super) fn ends_consent(self) -> bool {
        matches!(self, FailReason::ConsentExpired | FailReason::ConsentRevoked)
    }
}

impl fmt::Display for FailReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())?;
        match self {
            FailReason::Refused(kind) => write!(f, " ({})", net::error_word(*kind)),
            FailReason::NotConnected(NotConnected::System(kind)) => {
                write!(f, " (system: {})", net::error_word(*kind))
            }
            FailReason::NotConnected(why) => write!(f, " ({})", why.word()),
            FailReason::ErrorResponse(code) => write!(f, " ({code})"),
            FailReason::Superseded(by) => write!(f, " (by pair {})", by.0),
            _ => Ok(()),
        }
    }
}

/// The priority of a pair: RFC 8445 §6.1.2.3, where `controlling` and
/// `controlled` are the priorities of the two sides' candidates.
pub const fn pair_priority(controlling: u32, controlled: u32) -> u64 {
    let (g, d) = (controlling as u64, controlled as u64);
    let (low, high) = if g < d { (g, d) } else { (d, g) };
    // Priorities above 2³¹ − 1 are out of range; they must not overflow here.
    (low << 32).saturating_add(2 * high + (g > d) as u64)
}

/// A candidate pair.
#[derive(Clone, Debug)]
pub struct Pair {
    /// Index of the stream.
    pub stream: u16,
    /// The component.
    pub component: ComponentId,
    /// The base that checks are sent from.
    pub local: LocalId,
    /// The candidate that they are sent to.
    pub remote: RemoteId,
    /// RFC 8445 §6.1.2.3.
    pub priority: u64,
    /// The state.
    pub state: PairState,
    /// Once a check succeeded: our candidate of the valid pair, the one that
    /// the peer saw (§7.2.5.3.2).
    pub valid: Option<LocalId>,
    /// The pair is nominated.
    pub nominated: bool,
    /// Why the pair is of no use any more.
    pub reason: Option<FailReason>,
    /// The last error that the system reported for it; decides nothing.
    pub error: Option<io::ErrorKind>,
    /// The last round-trip time measured on it.
    pub rtt: Option<Duration>,
    /// When a check was last answered: how fresh the peer's consent is.
    pub confirmed: Option<Time>,
    /// When it was first checked.
    pub first_sent: Option<Time>,
    /// Checks sent, retransmissions and consent included.
    pub sent: u32,
    /// Answers received.
    pub answered: u32,
    /// Checks of the peer received.
    pub received: u32,
    /// Answers whose integrity was wrong; they were dropped.
    pub unauthentic: u32,
    /// For statistics.
    pub tally: Tally,
    pub(super) group: u16,
    pub(super) flags: Flags,
}

/// What else is known of a pair.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Flags {
    /// The one pair that its remote candidate keeps when room is short.
    pub(super) ranked: bool,
    /// In the triggered-check queue.
    pub(super) queued: bool,
    /// The peer, controlling, asked to use it before it was valid (§7.3.1.5).
    pub(super) wanted: bool,
    /// Our next check of it carries USE-CANDIDATE.
    pub(super) nominating: bool,
    /// An authenticated check passed: data from its remote is accepted.
    pub(super) opened: bool,
}

impl Pair {
    pub(super) fn is_unstarted(&self) -> bool {
        matches!(self.state, PairState::Frozen | PairState::Waiting)
    }

    /// A check was sent and its outcome is open.
    pub fn is_in_progress(&self) -> bool {
        self.state == PairState::InProgress
    }

    /// A check of it may still succeed.
    pub(super) fn is_pending(&self) -> bool {
        self.is_unstarted() || self.state == PairState::InProgress
    }
}

/// The priority of a pair of `local` and `remote`, for an agent in `role`.
pub(super) const fn priority_in(role: Role, local: u32, remote: u32) -> u64 {
    match role {
        Role::Controlling => pair_priority(local, remote),
        Role::Controlled => pair_priority(remote, local),
    }
}
