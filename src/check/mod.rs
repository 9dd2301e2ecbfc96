//! Connectivity checks (RFC 8445 §6 and §7): pairs, check lists, the
//! schedule, nomination and consent. It knows nothing of sockets or relays.

mod nominate;
mod role;

pub use nominate::{Fast, NominationPolicy};
pub use role::Role;
