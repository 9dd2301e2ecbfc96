//! Two agents in simulated networks: NATs, loss, reordering, signalling in
//! any order, in virtual time and from a seed. Whatever runs here is watched
//! by [`monitor`], and a run that fails says how to replay it.

#![allow(unreachable_pub)]
#![allow(clippy::unwrap_used)]

mod dice;
mod draw;
mod figures;
mod machine;
mod model;
mod monitor;
mod nat;
mod poison;
mod replay;
mod seeds;
mod stun_server;
mod topology;
mod world;
