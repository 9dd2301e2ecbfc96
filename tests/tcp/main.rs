//! ICE over TCP in virtual time: two agents on the model of TCP and of NATs in
//! `tests/model`.

#![allow(unreachable_pub)]

mod cells;
mod draw;
mod ending;
mod figures;
mod gathering;
mod machine;
mod matrix;
#[path = "../model/mod.rs"]
mod model;
mod possible;
mod rules;
mod seeds;
#[path = "../sim/stun_server.rs"]
mod stun_server;
mod world;
