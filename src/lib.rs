#![doc = include_str!("../README.md")]

pub mod agent;
pub mod candidate;
pub mod check;
pub mod gather;
pub mod net;
pub mod rng;
pub mod stun;
pub mod timer;

#[cfg(feature = "tokio")]
pub mod driver;
#[cfg(feature = "server")]
pub mod server;

#[cfg(feature = "tokio")]
pub use driver::{Agent, AgentConfig, Connection};
