//! When the attempts of a simultaneous open begin, and where two agents meet
//! without signalling.
//!
//! RFC 6544 §7.1 lets both agents open a connection to each other and says
//! nothing about the time. Against a NAT that answers an early SYN with RST
//! the two have to start within one one-way delay of each other. So:
//!
//! - [`Timing`] is how two agents agree on the times of their attempts:
//!   [`Sync`] is ours, [`Dcutr`] is libp2p's, for comparison. Messages travel
//!   over whatever carries the candidates, as opaque [`SyncMessage`]s.
//! - [`Repunch`] uses such a time over UDP, where the ports that were signalled
//!   lead nowhere: both sides check at once between ports that are fresh.
//! - [`Rendezvous`] is for two agents that have nothing but a [`Secret`] and
//!   each other's address: it tells ports and credentials by the wall clock.
//!
//! # How an agent uses a `Timing`
//! It makes one for each ICE session and calls [`Timing::start`] when it sends
//! its first candidate; it carries what [`Timing::poll_message`] gives, and
//! calls [`Timing::handle_timeout`] when [`Timing::poll_timeout`] says. **The
//! first attempt of a pair never waits.** When one is refused, the agent calls
//! [`Timing::refused`] and asks [`Timing::next_start`]: at that time it makes
//! its next attempt, on a fresh socket, besides or instead of one that its own
//! back-off would make. Where [`Timing::goes_first`] is true for the round, its
//! SYN leaves at that time; where it is false, a little later, so that the
//! order is sure: at most a quarter of the path's round-trip time, for the two
//! have to start within half of one. `None` means that nothing is agreed: the
//! back-off goes on alone. On a change of the ICE role it calls
//! [`Timing::set_role`].
//!
//! Nothing here reads a clock, and nothing that a peer says can do more than
//! set a time that is of no use.

mod dcutr;
mod message;
pub mod rendezvous;
mod sample;
mod schedule;
mod secret;
mod strategy;
#[cfg(feature = "rendezvous")]
mod stretch;
mod sync;
#[cfg(test)]
mod tests;
mod udp;

pub use dcutr::{Dcutr, DcutrState};
pub use message::{MessageError, Offer, Rank, SyncBody, SyncMessage};
pub use rendezvous::{BUCKET, Encounter, Meeting, PORTS, Rendezvous, encounter};
pub use sample::Sample;
pub use schedule::Start;
pub use secret::{Secret, SecretError};
pub use strategy::Timing;
pub use sync::{Sync, SyncState};
pub use udp::{Repunch, RepunchState, Step};
