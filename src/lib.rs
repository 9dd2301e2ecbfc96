// The example needs the driver.
#![cfg_attr(feature = "tokio", doc = include_str!("../README.md"))]
#![cfg_attr(not(feature = "tokio"), doc = "The sans-IO core of an ICE agent; see [`agent::Core`].")]

pub mod agent;
pub mod candidate;
pub mod check;
pub mod discovery;
pub mod gather;
pub mod net;
pub mod punch;
#[cfg(feature = "rendezvous")]
pub mod rendezvous;
pub mod rng;
pub mod sdp;
pub mod stun;
pub mod tcp;
pub mod timer;
pub mod turn;

#[cfg(any(feature = "webrtc", feature = "quinn"))]
pub mod adapter;
#[cfg(feature = "tokio")]
pub mod driver;
#[cfg(feature = "server")]
pub mod server;

#[cfg(feature = "tokio")]
pub use driver::{Agent, AgentConfig, AgentError, Connection};
