//! One side, or both, with nothing but relayed candidates.

use super::{each_exchange_between, floe_of, restarts_between};
use crate::harness::peers::Implementation::{Chromium, Floe};
use crate::harness::peers::Relayed::{Both, Floe as FloeOnly, Peer};
use crate::harness::peers::{Implementation, Relayed};
use crate::relayed::{hosts_and_server, options};
use crate::run::EXCHANGES;

#[test]
fn chromium_is_controlled() {
    relayed("chromium::relayed::chromium_is_controlled", [Floe, Chromium], FloeOnly);
}

#[test]
fn chromium_controls() {
    relayed("chromium::relayed::chromium_controls", [Chromium, Floe], FloeOnly);
}

#[test]
fn chromium_is_relayed_and_controlled() {
    relayed("chromium::relayed::chromium_is_relayed_and_controlled", [Floe, Chromium], Peer);
}

#[test]
fn chromium_is_relayed_and_controls() {
    relayed("chromium::relayed::chromium_is_relayed_and_controls", [Chromium, Floe], Peer);
}

#[test]
fn chromium_is_controlled_and_both_are_relayed() {
    let test = "chromium::relayed::chromium_is_controlled_and_both_are_relayed";
    relayed(test, [Floe, Chromium], Both);
}

#[test]
fn chromium_controls_and_both_are_relayed() {
    let test = "chromium::relayed::chromium_controls_and_both_are_relayed";
    relayed(test, [Chromium, Floe], Both);
}

/// Over UDP and over TCP to the server, with every way to exchange candidates,
/// and once with a restart.
///
/// Chromium is not asked to restart: if it has gathered before it takes the
/// answer, it goes on checking the relayed address, which stays the same, with
/// the credentials of before, and refuses this agent's checks from there.
fn relayed(test: &str, agents: [Implementation; 2], whose: Relayed) {
    let Some((hosts, server)) = hosts_and_server(test, agents) else { return };
    for tcp in [false, true] {
        let options = options(&server, whose, tcp);
        each_exchange_between(&hosts, agents, &EXCHANGES, &options);
        restarts_between(&hosts, agents, &[floe_of(agents)], &options);
    }
}
