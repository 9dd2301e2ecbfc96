//! The inputs and outputs of the core as an event log keeps them: decoded,
//! without secrets and without payload, and enough to feed them to another
//! core ([`super::replay`]).
//!
//! Passwords are numbered in the order of their first use, our transaction
//! ids in that of theirs. Fragments, and ids that others chose, are no secrets.

mod config;
#[cfg(feature = "serde")]
mod form;
mod message;
mod outputs;
mod relay;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::agent::{BaseId, Core, Credentials, Input, RemoteParameters, Sockets, StreamId};
use crate::candidate::{Candidate, LocalAddress};
use crate::check::PairId;
use crate::gather::Cause;
use crate::net;
use crate::tcp::Handshake;

pub(super) use config::stand_in_secrets;
pub use config::{RecordedConfig, RecordedPolicy, RecordedTurnServer};
#[cfg(feature = "serde")]
pub(super) use form::{error_kind, maybe_millis, millis_of_time};
pub(super) use message::Numbers;
use message::recorded_fragment;
pub use message::{RecordedError, RecordedMessage, RecordedTransaction, RecordedUsername};
pub use outputs::SentMessage;
pub use relay::RecordedRelay;

/// A fragment that is longer than this is wrong, whatever follows.
const MAX_UFRAG: usize = 257;

/// A command or an input of the core, and what else its work depended on.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Given {
    /// The command or input.
    #[cfg_attr(feature = "serde", serde(flatten))]
    pub what: RecordedInput,
    /// How much later the slots were that the pacer gave, in their order.
    #[cfg_attr(
        feature = "serde",
        serde(with = "form::all_millis", default, skip_serializing_if = "Vec::is_empty")
    )]
    pub slots: Vec<Duration>,
    /// The random numbers that were drawn: tie-breakers, names of candidates,
    /// and intervals in nanoseconds. What is secret is not among them.
    #[cfg_attr(
        feature = "serde",
        serde(with = "form::all_hex", default, skip_serializing_if = "Vec::is_empty")
    )]
    pub draws: Vec<u64>,
}

/// A command or an input of the core.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
#[allow(missing_docs)] // The fields say what they are.
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(tag = "input", rename_all = "kebab-case", rename_all_fields = "kebab-case")
)]
pub enum RecordedInput {
    /// [`Core::new`]. A log that can be replayed starts with it.
    Create(Box<RecordedConfig>),
    /// [`Core::add_stream`].
    AddStream { components: u16 },
    /// [`Core::add_stream_with`].
    AddStreamWith {
        components: u16,
        /// The fragment; its first 257 characters.
        ufrag: Box<str>,
        /// The number of the password among those that were given.
        password: Option<u32>,
    },
    /// [`Core::remove_stream`].
    RemoveStream { stream: StreamId },
    /// [`Core::restart`].
    Restart { stream: StreamId, sockets: Sockets },
    /// [`Core::revoke_consent`].
    RevokeConsent { stream: StreamId },
    /// [`Core::renew_secrets`]; not with the password.
    RenewSecrets { uri: Box<str>, username: Box<str> },
    /// [`Core::nominate`].
    Nominate { pair: PairId },
    /// [`Core::set_remote_parameters`].
    RemoteParameters {
        stream: StreamId,
        /// The fragment; its first 257 characters.
        ufrag: Box<str>,
        /// The number of the password among those that were given, from 0 on;
        /// `None` for one out of the grammar of RFC 8839 §5.4.
        password: Option<u32>,
        #[cfg_attr(feature = "serde", serde(with = "form::millis"))]
        pacing: Duration,
        lite: bool,
        options: Vec<Box<str>>,
        /// Whose fragment they answer.
        #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
        answers: Option<RecordedUsername>,
    },
    /// [`Core::add_remote_candidate`].
    RemoteCandidate { stream: StreamId, candidate: Candidate },
    /// [`Core::end_of_remote_candidates`].
    EndOfRemoteCandidates { stream: StreamId },
    /// [`Core::handle_sync`]; its first 129 characters.
    Sync { stream: StreamId, message: Box<str> },
    /// [`Core::close`].
    Close,
    /// [`Core::handle_timeout`].
    Timeout,
    /// [`Input::LocalAddresses`].
    LocalAddresses { addresses: Vec<LocalAddress> },
    /// [`Input::Bound`].
    Bound { base: BaseId, local: SocketAddr },
    /// [`Input::BindFailed`].
    BindFailed {
        base: BaseId,
        #[cfg_attr(feature = "serde", serde(with = "form::error_kind"))]
        error: io::ErrorKind,
        text: Box<str>,
    },
    /// [`Input::Resolved`].
    Resolved { server: usize, addresses: Vec<SocketAddr> },
    /// [`Input::NameResolved`].
    NameResolved { name: Box<str>, addresses: Vec<IpAddr> },
    /// [`Input::SendError`].
    SendError {
        base: BaseId,
        to: SocketAddr,
        #[cfg_attr(feature = "serde", serde(with = "form::error_kind"))]
        error: io::ErrorKind,
    },
    /// [`Input::Connected`].
    Connected { base: BaseId, to: SocketAddr, local: SocketAddr },
    /// [`Input::ConnectFailed`].
    ConnectFailed {
        base: BaseId,
        to: SocketAddr,
        #[cfg_attr(feature = "serde", serde(with = "form::error_kind"))]
        error: io::ErrorKind,
    },
    /// [`Input::ServerRefused`].
    ServerRefused { base: BaseId, cause: Cause, text: Box<str> },
    /// [`Input::Accepted`].
    Accepted { base: BaseId, from: SocketAddr },
    /// [`Input::Inspected`].
    Inspected { base: BaseId, to: SocketAddr, handshake: Handshake },
    /// [`Input::Disconnected`] in order.
    Disconnected { base: BaseId, from: SocketAddr },
    /// [`Input::Disconnected`] by an error.
    Broken {
        base: BaseId,
        from: SocketAddr,
        #[cfg_attr(feature = "serde", serde(with = "form::error_kind"))]
        error: io::ErrorKind,
    },
    /// [`Input::NotStun`].
    NotStun { base: BaseId, from: SocketAddr },
    /// [`Input::Woke`].
    Woke {
        #[cfg_attr(feature = "serde", serde(with = "form::millis"))]
        slept: Duration,
    },
    /// [`Input::Datagram`] with a STUN message.
    Datagram {
        base: BaseId,
        from: SocketAddr,
        #[cfg_attr(feature = "serde", serde(flatten))]
        message: Box<RecordedMessage>,
    },
    /// [`Input::Datagram`] with something else, of this length in bytes.
    Malformed { base: BaseId, from: SocketAddr, length: usize },
}

impl Core {
    /// The input as a log keeps it.
    pub(super) fn recorded_input(&self, input: &Input<'_>) -> RecordedInput {
        match *input {
            Input::Datagram { base, from, bytes } => {
                let from = net::canonical(from);
                match self.recorded_message(base, bytes).map(Box::new) {
                    Some(message) => RecordedInput::Datagram { base, from, message },
                    None => RecordedInput::Malformed { base, from, length: bytes.len() },
                }
            }
            Input::Woke { slept } => RecordedInput::Woke { slept },
            Input::LocalAddresses(addresses) => {
                RecordedInput::LocalAddresses { addresses: addresses.to_vec() }
            }
            Input::Bound { base, local } => {
                RecordedInput::Bound { base, local: net::canonical(local) }
            }
            Input::BindFailed { base, error } => RecordedInput::BindFailed {
                base,
                error: net::error_with_word(error.kind()),
                text: error.to_string().into(),
            },
            Input::Resolved { server, addresses } => RecordedInput::Resolved {
                server,
                addresses: addresses.iter().map(|address| net::canonical(*address)).collect(),
            },
            Input::NameResolved { name, addresses } => {
                RecordedInput::NameResolved { name: name.into(), addresses: addresses.to_vec() }
            }
            Input::SendError { base, to, kind } => {
                let error = net::error_with_word(kind);
                RecordedInput::SendError { base, to: net::canonical(to), error }
            }
            Input::Connected { base, to, local } => {
                let (to, local) = (net::canonical(to), net::canonical(local));
                RecordedInput::Connected { base, to, local }
            }
            Input::ConnectFailed { base, to, kind } => {
                let error = net::error_with_word(kind);
                RecordedInput::ConnectFailed { base, to: net::canonical(to), error }
            }
            Input::ServerRefused { base, cause, text } => {
                RecordedInput::ServerRefused { base, cause, text: text.into() }
            }
            Input::Accepted { base, from } => {
                RecordedInput::Accepted { base, from: net::canonical(from) }
            }
            Input::Inspected { base, to, handshake } => {
                RecordedInput::Inspected { base, to: net::canonical(to), handshake }
            }
            Input::Disconnected { base, from, kind: None } => {
                RecordedInput::Disconnected { base, from: net::canonical(from) }
            }
            Input::Disconnected { base, from, kind: Some(kind) } => {
                let error = net::error_with_word(kind);
                RecordedInput::Broken { base, from: net::canonical(from), error }
            }
            Input::NotStun { base, from } => {
                RecordedInput::NotStun { base, from: net::canonical(from) }
            }
        }
    }

    /// A stream with given credentials as a log keeps it.
    pub(super) fn recorded_stream(
        &mut self,
        components: u16,
        credentials: &Credentials,
    ) -> RecordedInput {
        RecordedInput::AddStreamWith {
            components,
            ufrag: shortened(&credentials.ufrag),
            password: self.log.number_password(&credentials.pwd),
        }
    }

    /// The peer's parameters as a log keeps them.
    pub(super) fn recorded_parameters(
        &mut self,
        stream: StreamId,
        parameters: &RemoteParameters,
    ) -> RecordedInput {
        let RemoteParameters { credentials, pacing, lite, options, answers } = parameters;
        let stream_entry = self.stream(stream);
        let answers = answers.as_ref().map(|answers| recorded_fragment(stream_entry, answers));
        RecordedInput::RemoteParameters {
            stream,
            ufrag: shortened(&credentials.ufrag),
            password: self.log.number_password(&credentials.pwd),
            pacing: *pacing,
            lite: *lite,
            options: options.clone(),
            answers,
        }
    }
}

fn shortened(ufrag: &str) -> Box<str> {
    ufrag.chars().take(MAX_UFRAG).collect::<String>().into()
}
