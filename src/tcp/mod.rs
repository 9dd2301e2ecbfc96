//! TCP below the checks (RFC 6544): messages on streams, and the attempts,
//! simultaneous opens among them, that make a connection of two addresses.
//!
//! Nothing here owns a socket or reads a clock. A connection is known by the
//! base that it belongs to and by the peer's address.

mod connections;
mod frame;
mod ladder;

pub use connections::{Connections, Key, Op, Outcome, Retry, Wanted};
pub use frame::{Deframer, FrameError, Framing, MAX_FRAME, MAX_UNPROVEN_FRAME, head};

/// How far a connection attempt is, as the system tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "kebab-case")
)]
pub enum Handshake {
    /// SYN-SENT (RFC 9293 §3.3.2): nothing has come back.
    SynSent,
    /// SYN-RECEIVED: the peer's SYN is here, and what answers ours is not.
    SynReceived,
    /// It is open; that is about to be told.
    Established,
    /// This system does not tell, or there is no such attempt.
    Unknown,
}
