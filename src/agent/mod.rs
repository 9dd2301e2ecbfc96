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
//!
//! - Time is a [`Time`](crate::timer::Time) of the caller's, the same clock for
//!   every call of all agents that share a [`Pacer`](crate::timer::Pacer), and
//!   never goes back.
//! - The answer to a [`SocketOp`] is an [`Input`], so a change: what was
//!   drained before may have more to give after it.
//! - Any change may move the deadline. [`Core::handle_timeout`] too early does
//!   no harm, too late only delays. After it, the deadline is later than `now`.
//! - A datagram is for the core if it [looks like STUN](crate::stun::looks_like_stun).
//!   All else is application data, and only from an address between
//!   [`Event::PathOpened`] and [`Event::PathClosed`]; it is sent as the latest
//!   [`Event::SendPath`] says.
//! - Where a TURN server relays ([`Event::Relayed`]), what comes from it goes
//!   through [`Core::unwrap`] first, which tells base, peer and datagram; messages
//!   are given to the core as they came, or unwrapped. What the application sends
//!   on a relayed base goes through [`Core::wrap`]; the core's own messages are
//!   wrapped already.
//!   TCP that it relays has connections of its own: one to the server becomes
//!   one to a peer ([`SocketOp::Carry`]), and what is on it is wrapped no more.
//! - What a peer sends is never an error, but dropped and counted
//!   ([`Core::drops`]). A [`CommandError`] is the caller's own mistake, and the
//!   session goes on as if the call had not been made.
//! - After [`Core::close`], drain once more: the sockets are given back.
//!
//! # Example
//!
//! Two agents, each on a blocking socket and a thread of its own.
//! `examples/sans_io.rs` has the same in virtual time, and the module `driver`
//! (feature `tokio`) is this loop on tokio.
//!
//! ```
//! use std::error::Error;
//! use std::net::UdpSocket;
//! use std::time::{Duration, Instant};
//!
//! use floe::agent::{
//!     BaseId, Config, Core, Event, Input, LocalAddress, RemoteParameters, SocketOp, State, StreamId,
//! };
//! use floe::check::Role;
//! use floe::rng::Seed;
//! use floe::timer::{Pacer, Time};
//!
//! struct Agent {
//!     core: Core,
//!     socket: UdpSocket,
//!     epoch: Instant,
//!     /// What the core calls the socket.
//!     base: Option<BaseId>,
//! }
//!
//! impl Agent {
//!     fn now(&self) -> Time {
//!         Time::from_millis(0) + self.epoch.elapsed()
//!     }
//!
//!     /// Does all that the core wants.
//!     fn drain(&mut self) -> Result<Vec<Event>, Box<dyn Error>> {
//!         let (mut events, mut message) = (Vec::new(), Vec::new());
//!         loop {
//!             if let Some(transmit) = self.core.poll_transmit(&mut message) {
//!                 if let Err(error) = self.socket.send_to(&message, transmit.to) {
//!                     let (base, to, kind) = (transmit.base, transmit.to, error.kind());
//!                     self.core.handle_input(self.now(), Input::SendError { base, to, kind });
//!                 }
//!             } else if let Some(op) = self.core.poll_socket_op() {
//!                 if let SocketOp::BindUdp { base, .. } = op {
//!                     self.base = Some(base);
//!                     let local = self.socket.local_addr()?;
//!                     self.core.handle_input(self.now(), Input::Bound { base, local });
//!                 }
//!             } else if let Some(event) = self.core.poll_event() {
//!                 events.push(event);
//!             } else {
//!                 return Ok(events);
//!             }
//!         }
//!     }
//!
//!     /// Sleeps until something happens, and tells the core.
//!     fn wait(&mut self) -> Result<(), Box<dyn Error>> {
//!         let until = self.core.poll_timeout().map(|(time, _reason)| time);
//!         let sleep = until.map_or(Duration::from_secs(1), |time| time - self.now());
//!         self.socket.set_read_timeout(Some(sleep.max(Duration::from_millis(1))))?;
//!         let mut buffer = [0; 1_500];
//!         match self.socket.recv_from(&mut buffer) {
//!             Ok((length, from)) => {
//!                 let (bytes, base) = (&buffer[..length], self.base.ok_or("it is bound")?);
//!                 self.core.handle_input(self.now(), Input::Datagram { base, from, bytes });
//!             }
//!             Err(_timeout) => self.core.handle_timeout(self.now()),
//!         }
//!         Ok(())
//!     }
//! }
//!
//! # fn main() -> Result<(), Box<dyn Error>> {
//! let (epoch, pacer, stream) = (Instant::now(), Pacer::new(), StreamId(0));
//! let mut agents = Vec::new();
//! for (number, role) in [(1, Role::Controlling), (2, Role::Controlled)] {
//!     let mut config = Config::new(role);
//!     config.include_loopback = true;
//!     // A seed is a secret that comes from the operating system.
//!     let mut core = Core::new(config, &Seed::from_number(number), pacer.clone());
//!     core.add_stream(1)?;
//!     agents.push(Agent { core, socket: UdpSocket::bind("127.0.0.1:0")?, epoch, base: None });
//! }
//! let address = LocalAddress {
//!     ip: "127.0.0.1".parse()?,
//!     interface: "lo".into(),
//!     index: 0,
//!     prefix: None,
//!     temporary: None,
//!     deprecated: None,
//! };
//! for at in [0, 1] {
//!     let now = agents[at].now();
//!     let ours = agents[at].core.local_credentials(stream).ok_or("it was added")?;
//!     let parameters = RemoteParameters::new(&ours.ufrag, &ours.pwd);
//!     agents[1 - at].core.set_remote_parameters(stream, parameters, now)?;
//!     agents[at].core.handle_input(now, Input::LocalAddresses(std::slice::from_ref(&address)));
//!     for event in agents[at].drain()? {
//!         if let Event::Candidate { candidate, .. } = event {
//!             agents[1 - at].core.add_remote_candidate(stream, &candidate, now)?;
//!         }
//!     }
//!     agents[1 - at].core.end_of_remote_candidates(stream, now)?;
//! }
//! let threads = agents.into_iter().map(|mut agent| {
//!     std::thread::spawn(move || {
//!         while agent.core.state() < State::Completed {
//!             agent.drain().expect("the socket works");
//!             agent.wait().expect("the socket works");
//!         }
//!         agent.drain().expect("the socket works");
//!         agent.core.state()
//!     })
//! });
//! for thread in threads.collect::<Vec<_>>() {
//!     assert_eq!(thread.join().expect("it has no reason to panic"), State::Completed);
//! }
//! # Ok(())
//! # }
//! ```

mod base;
mod boundary;
mod config;
mod core;
mod drops;
mod error;
mod event;
mod gathering;
mod incoming;
mod input;
mod keepalive;
mod legs;
mod log;
#[cfg(feature = "serde")]
mod logfile;
pub mod meet;
mod names;
mod network;
mod outgoing;
mod parameters;
mod permissions;
mod preset;
mod record;
mod reflexive;
mod relay;
mod relayed;
mod relayed_tcp;
mod remote;
pub mod replay;
mod report;
mod repunch;
mod restart;
mod rewrite;
mod state;
mod stats;
mod stream;
mod tcp;
mod timing;
mod turn_server;

pub use crate::candidate::LocalAddress;
pub use config::{Config, Credentials, RemoteParameters, StunServer, Synchronisation, Transports};
pub use core::Core;
pub use drops::{DropCounts, DropReason};
pub use error::CommandError;
pub use event::{Event, State, StateReason};
pub use input::{BaseId, Input, SocketOp, StreamId, Transmit};
pub use log::{Happened, LogRecord};
#[cfg(feature = "serde")]
pub use logfile::{LOG_VERSION, LogFile, LogFileError, LogLine};
pub use record::{
    Given, RecordedConfig, RecordedError, RecordedInput, RecordedMessage, RecordedPolicy,
    RecordedRelay, RecordedTransaction, RecordedTurnServer, RecordedUsername, SentMessage,
};
pub use report::PairReport;
pub use restart::Sockets;
pub use rewrite::{Rewrite, RewriteMode};
pub use stats::{CandidatePairStats, CandidateStats, IceStats, StatsId, TransportStats};
pub use tcp::ConnectionChange;
pub use turn_server::{TurnServer, TurnTransport};
