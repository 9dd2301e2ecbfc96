//! Two agents that take the same role: they settle it by their tie-breakers
//! (RFC 8445 §7.3.1.1) and connect. Those that cannot settle it, pion and
//! webrtc-ice, are left out.

use crate::harness::peers::Implementation::{Aioice, Floe, Libnice, Rice};
use crate::harness::peers::{Implementation, Options, Role};
use crate::run::{connect, two_hosts};

#[test]
fn with_libnice() {
    each_role("conflict::with_libnice", Libnice);
}

#[test]
fn with_aioice() {
    each_role("conflict::with_aioice", Aioice);
}

#[test]
fn with_rice() {
    each_role("conflict::with_rice", Rice);
}

fn each_role(test: &str, peer: Implementation) {
    let agents = [Floe, peer];
    let Some(hosts) = two_hosts(test, agents) else { return };
    for role in [Role::Controlling, Role::Controlled] {
        let options = Options { conflict: Some(role), ..Options::default() };
        connect(agents, &options, hosts.each_ref().map(Some)).close();
    }
}
