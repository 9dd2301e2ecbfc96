//! The caller's own mistakes.

use thiserror::Error;

use crate::agent::StreamId;
use crate::check::Refused;

/// Why a command was refused. The session is as it was.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CommandError {
    /// The agent has no such stream.
    #[error("the agent has no stream {}", .0.0)]
    UnknownStream(StreamId),
    /// Streams are added before gathering starts.
    #[error("streams are added before gathering starts")]
    AlreadyGathering,
    /// A stream has 1 to 256 components (RFC 8839 §5.1).
    #[error("a stream has 1 to 256 components, not {0} (RFC 8839 §5.1)")]
    Components(u16),
    /// The fragment or password is not within the grammar of RFC 8839 §5.4.
    #[error("{field} is not {rule} (RFC 8839 §5.4)")]
    Credentials {
        /// `ufrag` or `pwd`.
        field: &'static str,
        /// What it has to be.
        rule: &'static str,
    },
    /// The peer's credentials of the stream were given before; another pair
    /// of them would be an ICE restart.
    #[error("the stream has other remote credentials already: an ICE restart is not supported yet")]
    CredentialsChanged,
    /// Candidates came after end-of-candidates (RFC 8838 §13).
    #[error("the stream's remote candidates were said to be complete (RFC 8838 §13)")]
    AfterEnd,
    /// The candidate was not taken; it is counted, and the session goes on.
    #[error("the candidate was not taken: {0}")]
    Refused(Refused),
    /// The candidate is of a kind that is not supported; it is ignored, as
    /// RFC 8839 §5.1 wants.
    #[error("the candidate was ignored: {0}")]
    Ignored(&'static str),
    /// The agent is closed.
    #[error("the agent is closed")]
    Closed,
}
