//! What the core reports.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use crate::agent::{BaseId, Credentials, StreamId};
use crate::candidate::{Candidate, ComponentId};
use crate::gather::Cause;

/// The state of an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "kebab-case")
)]
pub enum State {
    /// Nothing to check yet.
    New,
    /// Checks are running, and a component has no valid pair.
    Checking,
    /// Every component has a valid pair: data may be sent (RFC 8445 §12.1).
    Connected,
    /// Every component has its selected pair, and checks have ended.
    Completed,
    /// Two consent checks in a row were not answered.
    Disconnected,
    /// No pair worked, or consent expired (RFC 7675 §5.1).
    Failed,
    /// The agent was closed.
    Closed,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            State::New => "new",
            State::Checking => "checking",
            State::Connected => "connected",
            State::Completed => "completed",
            State::Disconnected => "disconnected",
            State::Failed => "failed",
            State::Closed => "closed",
        })
    }
}

/// Why a state was entered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "kebab-case")
)]
pub enum StateReason {
    /// Checks began.
    ChecksStarted,
    /// Every component has a valid pair.
    ValidPairs,
    /// Every component has a selected pair.
    Selected,
    /// Consent checks go unanswered.
    ConsentMissed,
    /// Consent checks are answered again.
    ConsentRegained,
    /// Consent was not renewed for 30 seconds.
    ConsentExpired,
    /// Consent was revoked, by us or by the peer (RFC 7675 §5.2).
    ConsentRevoked,
    /// Every pair of a check list failed.
    AllPairsFailed,
    /// There was no pair to check when the patience timer ended (RFC 8863).
    NoPairs,
    /// ICE is being restarted; data goes over the pairs of before.
    Restarting,
    /// ICE was restarted, and there is nothing to send data on yet.
    Restarted,
    /// A restart led to nothing; the pairs of before still work.
    RestartFailed,
    /// The network moved: there is no path until the peer has answered.
    NetworkMoved,
    /// The TCP connection of a selected pair ended: there is no path until
    /// another is open and the peer has answered on it.
    ConnectionLost,
    /// The caller closed the agent.
    Closed,
}

impl fmt::Display for StateReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            StateReason::ChecksStarted => "checks-started",
            StateReason::ValidPairs => "valid-pairs",
            StateReason::Selected => "selected",
            StateReason::ConsentMissed => "consent-missed",
            StateReason::ConsentRegained => "consent-regained",
            StateReason::ConsentExpired => "consent-expired",
            StateReason::ConsentRevoked => "consent-revoked",
            StateReason::AllPairsFailed => "all-pairs-failed",
            StateReason::NoPairs => "no-pairs",
            StateReason::Restarting => "restarting",
            StateReason::Restarted => "restarted",
            StateReason::RestartFailed => "restart-failed",
            StateReason::NetworkMoved => "network-moved",
            StateReason::ConnectionLost => "connection-lost",
            StateReason::Closed => "closed",
        })
    }
}

/// Something that the application, or the driver on its behalf, wants to know.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(tag = "event", rename_all = "kebab-case", rename_all_fields = "kebab-case")
)]
pub enum Event {
    /// A local candidate to signal to the peer.
    Candidate {
        /// Its stream.
        stream: StreamId,
        /// The candidate.
        candidate: Candidate,
    },
    /// No more local candidates will come for the stream.
    EndOfCandidates {
        /// The stream.
        stream: StreamId,
    },
    // Its credentials are secret: a log has `Happened::Restarted` instead.
    /// ICE was restarted for the stream, by us or by the peer: our credentials
    /// changed and have to be signalled, with the candidates that follow.
    #[cfg_attr(feature = "serde", serde(skip))]
    Restarted {
        /// The stream.
        stream: StreamId,
        /// The new credentials.
        credentials: Credentials,
        /// The peer's username fragment that they answer; `None` where the
        /// restart is ours. See [`super::RemoteParameters::answers`].
        answers: Option<Box<str>>,
    },
    /// A server relays for us: what comes from `server` on the base `leg` may be
    /// for the base `base`, and what is sent from that leaves by the server.
    /// For the driver ([`super::Core::wrap`], [`super::Core::unwrap`]).
    Relayed {
        /// What is relayed, as a base.
        base: BaseId,
        /// Its address, the relayed one.
        address: SocketAddr,
        /// The base that leads to the server.
        leg: BaseId,
        /// The server's address.
        server: SocketAddr,
    },
    /// A channel is being bound: from now on what a peer sends may come in
    /// ChannelData with this number, before the server has answered (RFC 8656
    /// §12). For the driver.
    ChannelAsked {
        /// The relayed base.
        base: BaseId,
        /// The peer.
        peer: SocketAddr,
        /// The channel's number.
        number: u16,
    },
    /// A channel is bound: between a relayed base and a peer data may stand in
    /// ChannelData with this number. For the driver.
    Channel {
        /// The relayed base.
        base: BaseId,
        /// The peer.
        peer: SocketAddr,
        /// The channel's number.
        number: u16,
    },
    /// A TURN server no longer takes the user and password that it took before,
    /// as where those have a term. Allocations on it live for some minutes more:
    /// [`super::Core::renew_secrets`] keeps them.
    SecretsExpired {
        /// The server's URI.
        uri: Box<str>,
        /// The realm that they are for; it is the server's word, without control
        /// characters.
        realm: Box<str>,
    },
    /// There is no channel to the peer any more: data goes in Send indications.
    /// For the driver.
    ChannelEnded {
        /// The relayed base.
        base: BaseId,
        /// The peer.
        peer: SocketAddr,
    },
    /// A message of the agreement on T0, or of a fresh port for UDP, to be carried to the peer at once and
    /// given to its [`super::Core::handle_sync`]. A peer that does not know of
    /// it may be left without.
    Sync {
        /// The stream.
        stream: StreamId,
        /// The message, opaque to whoever carries it; at most 128 bytes.
        message: Box<str>,
    },
    /// A server gave no candidate for one of our addresses.
    CandidateError {
        /// The server's URI.
        uri: Box<str>,
        /// In which way it failed.
        cause: Cause,
        /// The server's STUN error code, or 701 when it was not reached.
        code: u16,
        /// A sentence for people.
        text: Box<str>,
    },
    /// No socket could be bound to an address of this machine; it is skipped.
    AddressRefused {
        /// The address.
        ip: IpAddr,
        /// The system's words.
        text: Box<str>,
    },
    /// The agent's state changed.
    State {
        /// The new state.
        state: State,
        /// Why.
        reason: StateReason,
    },
    /// The selected pair of a component changed; or the peer has signalled its
    /// candidate of it, which was peer-reflexive until then.
    Selected {
        /// The stream.
        stream: StreamId,
        /// The component.
        component: ComponentId,
        /// Our candidate of the pair.
        local: Box<Candidate>,
        /// The peer's candidate of the pair.
        remote: Box<Candidate>,
    },
    /// The path on which the component's data is to be sent from now on: the
    /// best valid pair before selection, the selected pair after it, during a
    /// restart the one of before while it works. `None` when there is none, or consent expired: nothing may be sent.
    SendPath {
        /// The stream.
        stream: StreamId,
        /// The component.
        component: ComponentId,
        /// Socket to send from and address to send to.
        path: Option<(BaseId, SocketAddr)>,
    },
    /// Datagrams from `from` on `base` now belong to the component: an
    /// authenticated check passed between the two.
    PathOpened {
        /// The stream.
        stream: StreamId,
        /// The component.
        component: ComponentId,
        /// The socket.
        base: BaseId,
        /// The peer's address.
        from: SocketAddr,
    },
    /// The opposite of [`Event::PathOpened`]: the peer's consent on the path
    /// expired, and nothing brings it back (RFC 7675 §5.1).
    PathClosed {
        /// The socket.
        base: BaseId,
        /// The peer's address.
        from: SocketAddr,
    },
}
