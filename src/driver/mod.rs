//! The driver: an async [`Agent`] that runs the core on tokio and real
//! sockets, and the [`Connection`]s that carry its data.
//!
//! Data does not pass through the agent. [`Connection::send`] writes to the
//! socket of the current path, and a socket's reader copies what arrives from
//! a checked address straight into the receive queue of its component; only
//! STUN reaches the core.
//!
//! # What runs where
//!
//! [`Agent::new`] has to be called inside a tokio runtime with its I/O and time
//! drivers enabled; the agent's tasks run there until it is closed: a reader
//! for each socket and each TCP connection, a timer, and for a while one for each name to resolve. The
//! agent runs its core by the contract of [`crate::agent`] without anybody
//! polling it. All else may be called from any thread and blocks for no I/O;
//! every `async` call is cancel safe, or says what it is not, so that it can
//! stand in `select!`.
//!
//! Nothing has to be read for the agent to go on. Events that nobody reads are
//! thinned out, and datagrams that nobody reads are dropped once the queue is
//! full, both counted or bounded. Only what comes over TCP waits: nothing more
//! is read of a connection, checks included, while its data finds no room.

mod agent;
mod carrier;
mod clock;
mod config;
mod connection;
#[cfg(feature = "rendezvous")]
mod dial;
pub mod discovery;
mod drive;
mod error;
mod events;
mod interfaces;
mod link;
#[cfg(feature = "mdns")]
mod mdns;
mod meet;
mod names;
mod proxy;
mod reach;
mod receive;
mod relay;
mod resolve;
mod restart;
mod router;
mod socket;
#[cfg(feature = "srv")]
mod srv;
mod stats;
mod timer;
mod traffic;
mod traffic_class;
pub(crate) mod transport;
mod uri;
mod watch;

pub use agent::{Agent, Stream};
pub use config::{AgentConfig, SharedSocket};
pub use connection::Connection;
#[cfg(feature = "rendezvous")]
pub use dial::{DialError, dial};
pub use error::AgentError;
pub use interfaces::local_addresses;
pub use meet::meet;
pub use proxy::{Proxy, ProxyError};
pub use receive::ReceiveBatch;
#[cfg(feature = "srv")]
pub use srv::NameServers;
pub use stats::Stats;
pub use traffic::TrafficStats;
pub use traffic_class::{Ecn, TrafficClass};
#[cfg(feature = "tls")]
pub use transport::{RootCertificates, RootError};
pub use uri::{UriError, UriRule};
