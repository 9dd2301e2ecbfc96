//! Connectivity checks (RFC 8445 §6 and §7): pairs, check lists, the
//! schedule, nomination (§8) and consent (RFC 7675).
//!
//! [`Checks`] is the check-list set of one agent. It sees candidates, not
//! messages: the agent decodes and authenticates, then reports what a message
//! said; what is to be sent comes back as [`Start`]s and what became of
//! things as [`Notice`]s. Each stream has a check list; a restart gives it
//! another, and so a `stream` is here a stream in one ICE session. It knows nothing of sockets or relays: of a path it
//! knows only what [`Path`] says.

mod candidates;
mod consent;
mod flight;
mod form;
mod groups;
mod list;
mod lite;
mod nominate;
mod notice;
mod pair;
mod path;
mod punch;
mod renominate;
mod respond;
mod retire;
mod role;
mod room;
mod schedule;
mod set;
mod success;
mod tally;
#[cfg(test)]
mod tests;

pub use candidates::{Local, LocalId, Path, Remote, RemoteId};
pub use consent::Suspension;
pub use list::{Component, ListState};
pub use nominate::{Best, ByHand, Decision, Fast, NominationPolicy, PairView};
pub use notice::{Notice, Start, StartKind};
pub use pair::{FailReason, Pair, PairId, PairState, pair_priority};
pub use renominate::NotNominated;
pub use respond::{PeerRequest, Refused};
pub use role::Role;
pub use set::{Checks, Limits};
pub use tally::Tally;
