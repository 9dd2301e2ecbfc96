//! `ice-probe` as a program: what it prints, and how it ends.

#![cfg(feature = "cli")]

mod connect;
mod demo;
mod help;
mod log;
mod probe;
mod rendezvous;
mod secure;
mod serve;
mod stdio;
mod usage;
