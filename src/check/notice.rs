//! What the check engine wants done, and what it has to tell.

use crate::candidate::ComponentId;
use crate::check::{FailReason, ListState, LocalId, PairId, RemoteId, Role};
use crate::stun::TransactionId;

/// Why a check is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "kebab-case")
)]
pub enum StartKind {
    /// Its turn came (RFC 8445 §6.1.4.2).
    Ordinary,
    /// The peer's check triggered it (§7.3.1.4).
    Triggered,
    /// It nominates the pair (§8.1.1).
    Nomination,
    /// It asks for consent (RFC 7675 §5.1).
    Consent,
}

/// A Binding request to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Start {
    /// On this pair.
    pub pair: PairId,
    /// With this transaction id.
    pub id: TransactionId,
    /// Why.
    pub kind: StartKind,
    /// The same transaction was sent before.
    pub again: bool,
    /// The role that the request states: a retransmission repeats the role of
    /// the first transmission.
    pub role: Role,
    /// The tie-breaker that it states; likewise.
    pub tie_breaker: u64,
    /// The request carries USE-CANDIDATE.
    pub use_candidate: bool,
    /// The request carries NOMINATION with this number.
    pub nomination: Option<u32>,
}

/// Something that the agent may want to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Notice {
    /// A pair was put on a check list.
    Formed(PairId),
    /// There was no room for a pair (RFC 8445 §6.1.2.5).
    NotFormed {
        /// Index of the stream.
        stream: u16,
        /// Our candidate.
        local: LocalId,
        /// The peer's.
        remote: RemoteId,
        /// The priority that was too low.
        priority: u64,
    },
    /// A pair was taken off its list, or failed.
    Lost(PairId, FailReason),
    /// A local peer-reflexive candidate was found (RFC 8445 §7.2.5.3.1).
    LocalFound {
        /// Index of the stream.
        stream: u16,
        /// The candidate.
        local: LocalId,
    },
    /// A remote peer-reflexive candidate was found (§7.3.1.3).
    RemoteFound {
        /// Index of the stream.
        stream: u16,
        /// The candidate.
        remote: RemoteId,
    },
    /// An authenticated check passed on the pair: its remote may be heard.
    Opened(PairId),
    /// A check on the pair succeeded.
    Succeeded(PairId),
    /// Data of the component goes over this pair from now on, or over none.
    SendPath {
        /// Index of the stream.
        stream: u16,
        /// The component.
        component: ComponentId,
        /// The pair.
        pair: Option<PairId>,
    },
    /// The pair was selected for its component.
    Selected(PairId),
    /// A check list changed its state.
    List {
        /// Index of the stream.
        stream: u16,
        /// The new state.
        state: ListState,
    },
    /// The peer answered a consent check on the pair.
    ConsentGiven(PairId),
    /// A consent check on the pair was not answered in time.
    ConsentMissed(PairId),
    /// The peer's consent for the pair expired.
    ConsentExpired(PairId),
    /// The role was switched after a conflict (§7.3.1.1, §7.2.5.1).
    RoleSwitched(Role),
}
