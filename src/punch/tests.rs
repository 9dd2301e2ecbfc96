//! Two strategies over the same signalling, in virtual time.

mod fixture;
mod messages;
mod rendezvous;
mod skew;
mod states;
mod udp;
