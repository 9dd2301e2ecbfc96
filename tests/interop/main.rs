//! `ice-probe stdio` against other implementations of ICE, in both roles:
//! connected, completed, and data both ways.

#![cfg(all(feature = "cli", target_os = "linux"))]

#[path = "../harness/mod.rs"]
#[allow(dead_code, reason = "the lab uses the rest")]
mod harness;

use harness::namespace::{Namespace, enter};
use harness::peers::{Implementation, Options};
use harness::session::Session;

fn payloads() -> Vec<Vec<u8>> {
    vec![b"hello".to_vec(), "ice \u{2744}".into(), (0..=255).collect(), vec![b'x'; 1_200]]
}

/// The first of the two controls.
fn run(agents: [(Implementation, Options, Option<&Namespace>); 2]) {
    let components = agents[0].1.components.unwrap_or(1);
    let mut controlling = true;
    let mut session = Session::start(agents.map(|(implementation, options, namespace)| {
        let command = implementation.command(&Options { controlling, ..options });
        controlling = false;
        (implementation.name(), command, namespace)
    }));
    session.forward();
    session.until_connected();
    session.until_completed();
    session.until("the selected pairs", |sides| {
        sides.iter().all(|side| side.selected.len() == usize::from(components))
    });
    session.exchange(components.into(), &payloads());
    for side in &session.sides {
        assert!(side.errors.is_empty(), "{:?}", side.errors);
    }
    session.close();
}

/// Two hosts on one link, with IPv4 and IPv6 addresses.
fn over_a_link(name: &str, controlling: Implementation, controlled: Implementation) {
    if [controlling, controlled].into_iter().any(|one| !one.available()) || !enter(name) {
        return;
    }
    let hosts = [Namespace::new("one"), Namespace::new("two")];
    hosts[0].connect("eth0", &hosts[1], "eth0");
    for (host, last) in hosts.iter().zip(1..) {
        host.ip(&format!("address add 10.0.0.{last}/24 dev eth0"));
        host.ip(&format!("address add fd00::{last}/64 dev eth0 nodad"));
    }
    run([
        (controlling, Options::default(), Some(&hosts[0])),
        (controlled, Options::default(), Some(&hosts[1])),
    ]);
}

/// The two foreign agents against each other: if this fails, it is not floe.
#[test]
fn the_foreign_agents_connect() {
    over_a_link("the_foreign_agents_connect", Implementation::Libnice, Implementation::Aioice);
}
