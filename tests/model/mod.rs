//! A model of TCP as Linux runs it, of the NATs on its way and of the links
//! between them, in virtual time and from a seed: what the tests of ICE over
//! TCP act upon. [`Network`] is what they use.
//!
//! It models sequence numbers (a new socket has a new initial one, and so ends a
//! handshake under way), simultaneous open, listeners with their queues,
//! retransmission (SYN: 1, 2, 3, 4, 5, 7, 11, … s after the first; SYN-ACK of a
//! listener: 1, 3, 7, … s; data: RTT + 200 ms or more, doubling), challenge ACKs
//! and their limit of one in 500 ms, RST, ICMP, close() and abort.
//!
//! It leaves out:
//! - TIME_WAIT: a socket is gone when both FINs are acknowledged, and its
//!   addresses are free at once;
//! - congestion control, Nagle, delayed ACKs, SACK, timestamps, keepalives,
//!   window scaling: what is written is sent at once, and the application reads
//!   at once, so that no window fills;
//! - sharing a port between two listeners (it is `AddrInUse` here), SYN cookies,
//!   Fast Open, half-close by shutdown();
//! - the SYN-ACK again of a socket that was closed in SYN_RECV;
//! - bind(): any port can be used by any socket, as with SO_REUSEADDR and
//!   SO_REUSEPORT on all; a datagram that reaches a host needs no socket;
//! - the end of NAT mappings and flows by time, limits on their number, ports
//!   of a NAT in ranges, and fragments; a NAT does not check sequence numbers;
//! - delay, loss and jitter inside a NAT, routers beside NATs, TTL;
//! - the CPU: calls take no time, and what happens at one moment happens in the
//!   order in which it was caused.

// Not every test that includes it uses all of it.
#![allow(dead_code, unused_imports)]

#[path = "../sim/dice.rs"]
pub mod dice;
pub mod event;
pub mod kernel;
pub mod listener;
pub mod log;
pub mod nat;
pub mod network;
pub mod packet;
pub mod receive;
pub mod route;
pub mod segment;
pub mod socket;
pub mod stream;

pub use event::{Happened, HostEvent, HostId, ListenerId, SocketId};
pub use log::{Fate, Log, Record, Sender, What};
pub use nat::{Answer, Dependence, Nat, Ports, Rules};
pub use network::{Air, INTERNET, NatId, Network, Realm};
pub use segment::{Kind, Segment};
pub use socket::{Socket, State};
