//! NAT Behavior Discovery in virtual time, through simulated NATs.

#![allow(unreachable_pub)]
#![allow(clippy::unwrap_used)]

mod classes;
#[path = "../sim/dice.rs"]
#[allow(dead_code, reason = "the simulations use the rest")]
mod dice;
mod hostile;
#[path = "../sim/nat.rs"]
#[allow(dead_code, reason = "the simulations use the rest")]
mod nat;
mod outlooks;
mod servers;
mod world;
