//! Gathering of server-reflexive candidates (RFC 8445 §5.1.1.2): every base
//! asks every STUN server, side by side.
//!
//! Each base has a budget for each server that includes the time in which the
//! server's name is resolved, so that a network or server that is dead delays
//! nothing but itself, and gathering ends when the last budget does.

mod gatherer;
mod job;
mod response;

use std::net::SocketAddr;

use crate::stun::TransactionId;

pub use gatherer::Gatherer;

/// The code of an error that no server sent: the server was not reached, or
/// its answer was of no use. WebRTC uses the same number.
pub const NOT_REACHED: u16 = 701;

/// A Binding request to send now ([`crate::stun::write_binding_request`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BindingRequest {
    /// The base to send it from.
    pub base: u32,
    /// The server's address.
    pub to: SocketAddr,
    /// Its transaction.
    pub id: TransactionId,
}

/// What became of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handled {
    /// It ended its transaction.
    Used,
    /// Its transaction had ended before: dropped, and counted by
    /// [`Gatherer::late_answers`].
    Late,
    /// It answers nothing that was asked of its sender from this base.
    Foreign,
}

/// In which way a server gave nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "kebab-case")
)]
pub enum Cause {
    /// Its name has no address, or was not resolved in time.
    Unresolved,
    /// It was not reached: no answer, or the system refused to send.
    NotReached,
    /// It, or the proxy before it, does not take our user and password.
    Credentials,
    /// Its certificate is not accepted, or TLS with it failed otherwise.
    Tls,
    /// It answered with an error, or with something that is of no use.
    Answered,
}

/// What came of gathering.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// The server sees the base as `mapped`. That may be the base's own
    /// address, or one that another server told already.
    Mapped {
        /// The base.
        base: u32,
        /// The server's index.
        server: usize,
        /// The address at which it was asked.
        server_address: SocketAddr,
        /// The server-reflexive address, of the base's family.
        mapped: SocketAddr,
    },
    /// No address came of a server.
    Failed {
        /// The base, unless it concerns all of them.
        base: Option<u32>,
        /// The server's index.
        server: usize,
        /// In which way.
        cause: Cause,
        /// The server's STUN error code, else [`NOT_REACHED`].
        code: u16,
        /// A sentence for people. It may hold words of the server, without
        /// control characters.
        text: Box<str>,
    },
    /// Nothing more will come.
    Done,
}
