//! `ice-probe stdio` against other implementations of ICE, in both roles:
//! connected, completed, and data both ways.

#![cfg(all(feature = "cli", target_os = "linux"))]

mod asked_for;
mod chromium;
mod conflict;
#[path = "../coturn/mod.rs"]
#[allow(dead_code, clippy::duplicate_mod)] // Others use the rest, and it is of its own.
mod coturn;
#[path = "../harness/mod.rs"]
#[allow(dead_code, reason = "the lab uses the rest")]
mod harness;
mod relayed;
mod restart;
mod run;
mod tcp;

use harness::peers::Implementation::{Aioice, Floe, Libnice};
use harness::peers::{Exchange, Options, Over};
use run::{each_exchange, negotiate, over_loopback, two_hosts};

#[test]
fn libnice_is_controlled() {
    over_loopback([Floe, Libnice], &Options::default());
}

/// By its default it nominates with every check, as RFC 5245 allowed.
#[test]
fn libnice_controls() {
    over_loopback([Libnice, Floe], &Options::default());
}

#[test]
fn libnice_controls_and_nominates_once() {
    let options = Options { regular_nomination: true, ..Options::default() };
    over_loopback([Libnice, Floe], &options);
}

#[test]
fn libnice_is_controlled_with_two_components() {
    over_loopback([Floe, Libnice], &Options { components: Some(2), ..Options::default() });
}

#[test]
fn libnice_controls_two_components() {
    over_loopback([Libnice, Floe], &Options { components: Some(2), ..Options::default() });
}

#[test]
fn libnice_is_controlled_without_trickle() {
    let options = Options { exchange: Exchange::Complete, ..Options::default() };
    over_loopback([Floe, Libnice], &options);
}

#[test]
fn libnice_controls_without_trickle() {
    let options = Options { exchange: Exchange::Complete, ..Options::default() };
    over_loopback([Libnice, Floe], &options);
}

/// Over UDP, which is preferred.
#[test]
fn libnice_offers_tcp_too() {
    let options = Options { over: Over::UdpThoughTcpIsOffered, ..Options::default() };
    over_loopback([Floe, Libnice], &options);
}

#[test]
fn libnice_is_controlled_over_a_link() {
    let test = "libnice_is_controlled_over_a_link";
    each_exchange(test, [Floe, Libnice], &Options::default());
}

#[test]
fn libnice_controls_over_a_link() {
    each_exchange("libnice_controls_over_a_link", [Libnice, Floe], &Options::default());
}

/// It gathers before it hands anything over, so that with full trickle only
/// this agent trickles.
#[test]
fn aioice_is_controlled() {
    each_exchange("aioice_is_controlled", [Floe, Aioice], &Options::default());
}

#[test]
fn aioice_controls() {
    each_exchange("aioice_controls", [Aioice, Floe], &Options::default());
}

#[test]
fn aioice_is_controlled_with_two_components() {
    let options = Options { components: Some(2), ..Options::default() };
    each_exchange("aioice_is_controlled_with_two_components", [Floe, Aioice], &options);
}

#[test]
fn aioice_controls_two_components() {
    let options = Options { components: Some(2), ..Options::default() };
    each_exchange("aioice_controls_two_components", [Aioice, Floe], &options);
}

/// The same with this agent on both ends: if only this passes, what differs
/// is the other implementation.
#[test]
fn floe_connects_to_itself() {
    over_loopback([Floe, Floe], &Options { components: Some(2), ..Options::default() });
}

/// The two foreign agents with each other: if this fails, it is not floe.
#[test]
fn the_foreign_agents_connect() {
    let agents = [Libnice, Aioice];
    if let Some(hosts) = two_hosts("the_foreign_agents_connect", agents) {
        negotiate(agents, &Options::default(), hosts.each_ref().map(Some));
    }
}
