//! The rendezvous without signalling, in virtual time: two sides that know a
//! secret and each other's address, behind NATs of the model that keep ports.

#![allow(unreachable_pub)]

#[path = "../tcp/machine.rs"]
#[allow(dead_code)]
mod machine;
mod meetings;
#[path = "../model/mod.rs"]
mod model;
mod side;
mod world;
