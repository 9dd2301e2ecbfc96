//! `ice-probe` as a program: what it prints, and how it ends.

#![cfg(feature = "cli")]

mod check;
mod connect;
mod demo;
mod explain;
mod help;
mod log;
mod manual;
mod probe;
mod rendezvous;
#[path = "../harness/requirement.rs"]
#[allow(dead_code, reason = "the interop tests use the rest")]
mod requirement;
mod schema;
mod secure;
mod serve;
mod stdio;
mod usage;
