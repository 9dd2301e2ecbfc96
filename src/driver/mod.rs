//! The driver: an async [`Agent`] that runs the core on tokio and real
//! sockets, and the [`Connection`]s that carry its data.
//!
//! Data does not pass through the agent. [`Connection::send`] writes to the
//! socket of the current path, and a socket's reader copies what arrives from
//! a checked address straight into the receive queue of its component; only
//! STUN reaches the core.

mod agent;
mod clock;
mod config;
mod connection;
mod drive;
mod error;
mod events;
mod interfaces;
mod receive;
mod resolve;
mod restart;
mod router;
mod socket;
mod timer;
pub(crate) mod transport;
mod uri;

pub use agent::{Agent, Stats, Stream};
pub use config::{AgentConfig, SharedSocket};
pub use connection::Connection;
pub use error::AgentError;
pub use interfaces::local_addresses;
pub use receive::ReceiveBatch;
pub use uri::{UriError, UriRule};
