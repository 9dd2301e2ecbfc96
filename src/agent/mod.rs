//! The agent's core: a pure state machine that joins candidates, gathering
//! and checks. It owns no socket and reads no clock.
//!
//! # The run loop
//!
//! Call one method that changes something ([`Core::handle_input`],
//! [`Core::handle_timeout`], or a command such as
//! [`Core::add_remote_candidate`]), then drain [`Core::poll_transmit`],
//! [`Core::poll_socket_op`] and [`Core::poll_event`] until each returns
//! `None`, then sleep until [`Core::poll_timeout`] or the next input.

mod base;
mod config;
mod core;
mod drops;
mod error;
mod event;
mod gathering;
mod incoming;
mod input;
mod keepalive;
mod log;
mod network;
mod outgoing;
mod report;
mod restart;
mod state;
mod stream;

pub use crate::candidate::LocalAddress;
pub use config::{Config, Credentials, RemoteParameters, StunServer};
pub use core::Core;
pub use drops::{DropCounts, DropReason};
pub use error::CommandError;
pub use event::{Event, State, StateReason};
pub use input::{BaseId, Input, SocketOp, StreamId, Transmit};
pub use log::{Happened, LogRecord};
pub use report::PairReport;
pub use restart::Sockets;
