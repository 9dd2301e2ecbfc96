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

mod config;
mod event;
mod input;

pub use config::{Config, Credentials, RemoteParameters, StunServer};
pub use event::{Event, State, StateReason};
pub use input::{BaseId, Input, SocketOp, StreamId, Transmit};

pub use crate::candidate::LocalAddress;
