//! The caller's own mistakes.

use thiserror::Error;

use crate::agent::StreamId;
use crate::candidate::AddressRefusal;
use crate::check::{NotNominated, Refused};

/// Why a command was refused. The session is as it was.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CommandError {
    /// The agent has no such stream.
    #[error("the agent has no stream {}", .0.0)]
    UnknownStream(StreamId),
    /// The agent has as many streams as it may have, or has had them.
    #[error("an agent has at most 1,024 streams at a time, and 65,535 over its life")]
    TooManyStreams,
    /// The agent has no TURN server with this URI.
    #[error("the agent has no TURN server {0}")]
    UnknownServer(Box<str>),
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
    /// Of the peer's credentials one was changed and the other not: an ICE
    /// restart changes both (RFC 8445 §9).
    #[error(
        "an ICE restart changes both ufrag and pwd, and one of them is as before (RFC 8445 §9)"
    )]
    HalfRestart,
    /// Candidates came after end-of-candidates (RFC 8838 §13).
    #[error("the stream's remote candidates were said to be complete (RFC 8838 §13)")]
    AfterEnd,
    /// The candidate was not taken; it is counted, and the session goes on.
    #[error("the candidate was not taken: {0}")]
    Refused(Refused),
    /// The policy refuses the candidate's address ([`Config::remote_policy`]):
    /// no packet is sent to it.
    ///
    /// [`Config::remote_policy`]: crate::agent::Config::remote_policy
    #[error("the candidate's address is refused: {0}")]
    RemoteAddress(AddressRefusal),
    /// The candidate is of a kind that is not supported; it is ignored, as
    /// RFC 8839 §5.1 wants.
    #[error("the candidate was ignored: {0}")]
    Ignored(&'static str),
    /// The pair cannot be nominated.
    #[error("the pair cannot be nominated: {0}")]
    NotNominated(NotNominated),
    /// The agent is closed.
    #[error("the agent is closed")]
    Closed,
}
