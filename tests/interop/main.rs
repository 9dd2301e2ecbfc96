//! `ice-probe stdio` against other implementations of ICE, in both roles:
//! connected, completed, and data both ways.

#![cfg(all(feature = "cli", target_os = "linux"))]

#[path = "../harness/mod.rs"]
#[allow(dead_code, reason = "the lab uses the rest")]
mod harness;

use harness::namespace::{Namespace, enter};
use harness::peers::Implementation::{Aioice, Floe, Libnice};
use harness::peers::{Implementation, Options};
use harness::session::Session;

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
    over_loopback([Floe, Libnice], &Options { no_trickle: true, ..Options::default() });
}

#[test]
fn libnice_controls_without_trickle() {
    over_loopback([Libnice, Floe], &Options { no_trickle: true, ..Options::default() });
}

/// Candidates that are not supported do no harm.
#[test]
fn libnice_offers_tcp_too() {
    over_loopback([Floe, Libnice], &Options { tcp: true, ..Options::default() });
}

#[test]
fn libnice_is_controlled_over_a_link() {
    over_a_link("libnice_is_controlled_over_a_link", [Floe, Libnice], 1);
}

#[test]
fn libnice_controls_over_a_link() {
    over_a_link("libnice_controls_over_a_link", [Libnice, Floe], 1);
}

#[test]
fn aioice_is_controlled() {
    over_a_link("aioice_is_controlled", [Floe, Aioice], 1);
}

#[test]
fn aioice_controls() {
    over_a_link("aioice_controls", [Aioice, Floe], 1);
}

#[test]
fn aioice_is_controlled_with_two_components() {
    over_a_link("aioice_is_controlled_with_two_components", [Floe, Aioice], 2);
}

#[test]
fn aioice_controls_two_components() {
    over_a_link("aioice_controls_two_components", [Aioice, Floe], 2);
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
    over_a_link("the_foreign_agents_connect", [Libnice, Aioice], 1);
}

/// The first of `agents` controls.
fn over_loopback(agents: [Implementation; 2], options: &Options) {
    if agents.into_iter().all(Implementation::available) {
        let options = Options { loopback: true, ..options.clone() };
        run(agents, &options, [None, None]);
    }
}

/// Two hosts on one link, with IPv4 and IPv6 addresses; the first of `agents`
/// controls.
fn over_a_link(test: &str, agents: [Implementation; 2], components: u16) {
    if !agents.into_iter().all(Implementation::available) || !enter(test) {
        return;
    }
    let hosts = [Namespace::new("host-1"), Namespace::new("host-2")];
    hosts[0].connect("eth0", &hosts[1], "eth0");
    for (host, last) in hosts.iter().zip(1..) {
        host.ip(&format!("address add 10.0.0.{last}/24 dev eth0"));
        host.ip(&format!("address add fd00::{last}/64 dev eth0 nodad"));
    }
    let options = Options { components: Some(components), ..Options::default() };
    run(agents, &options, hosts.each_ref().map(Some));
}

fn run(agents: [Implementation; 2], options: &Options, hosts: [Option<&Namespace>; 2]) {
    let components = options.components.unwrap_or(1);
    let [first, second] = agents.map(Implementation::name);
    let [controlling, controlled] = [(agents[0], true), (agents[1], false)]
        .map(|(agent, controlling)| agent.command(&Options { controlling, ..options.clone() }));
    let mut session =
        Session::start([(first, controlling, hosts[0]), (second, controlled, hosts[1])]);
    session.forward();
    session.until_connected();
    session.until_completed();
    session.until("the selected pairs", |sides| {
        sides.iter().all(|side| side.selected.len() == usize::from(components))
    });
    session.exchange(components.into(), &payloads(agents));
    for side in &session.sides {
        assert!(side.errors.is_empty(), "{:?}", side.errors);
    }
    session.close();
}

fn payloads(agents: [Implementation; 2]) -> Vec<Vec<u8>> {
    let mut payloads =
        vec![b"hello".to_vec(), "ice \u{2744}".into(), (0..=255).collect(), vec![b'x'; 1_200]];
    // The others swallow it.
    if agents == [Floe, Floe] {
        payloads.push(Vec::new());
    }
    payloads
}
