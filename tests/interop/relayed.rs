//! One side, or both, with nothing but relayed candidates. A host with coturn
//! stands between the two hosts and forwards nothing, so that there is no
//! other way.

use crate::coturn::{self, Coturn};
use crate::harness::namespace::{Namespace, enter};
use crate::harness::peers::Implementation::{Aioice, Floe, Libnice, Pion, Rice, WebrtcIce};
use crate::harness::peers::Relayed::{Both, Floe as FloeOnly, Peer};
use crate::harness::peers::{Exchange, Implementation, Options, Relay, Relayed};
use crate::restart::restart;
use crate::run::{EXCHANGES, assert_relayed, connect, exit_codes, payloads, record};

/// Where coturn is.
const SERVER: [u8; 4] = [10, 0, 1, 254];

#[test]
fn libnice_is_controlled() {
    relayed("relayed::libnice_is_controlled", [Floe, Libnice], FloeOnly);
}

#[test]
fn libnice_controls() {
    relayed("relayed::libnice_controls", [Libnice, Floe], FloeOnly);
}

#[test]
fn libnice_is_relayed_and_controlled() {
    relayed("relayed::libnice_is_relayed_and_controlled", [Floe, Libnice], Peer);
}

#[test]
fn libnice_is_relayed_and_controls() {
    relayed("relayed::libnice_is_relayed_and_controls", [Libnice, Floe], Peer);
}

#[test]
fn libnice_is_controlled_and_both_are_relayed() {
    relayed("relayed::libnice_is_controlled_and_both_are_relayed", [Floe, Libnice], Both);
}

#[test]
fn libnice_controls_and_both_are_relayed() {
    relayed("relayed::libnice_controls_and_both_are_relayed", [Libnice, Floe], Both);
}

#[test]
fn aioice_is_controlled() {
    relayed("relayed::aioice_is_controlled", [Floe, Aioice], FloeOnly);
}

#[test]
fn aioice_controls() {
    relayed("relayed::aioice_controls", [Aioice, Floe], FloeOnly);
}

#[test]
fn aioice_is_relayed_and_controlled() {
    relayed("relayed::aioice_is_relayed_and_controlled", [Floe, Aioice], Peer);
}

#[test]
fn aioice_is_relayed_and_controls() {
    relayed("relayed::aioice_is_relayed_and_controls", [Aioice, Floe], Peer);
}

#[test]
fn aioice_is_controlled_and_both_are_relayed() {
    relayed("relayed::aioice_is_controlled_and_both_are_relayed", [Floe, Aioice], Both);
}

#[test]
fn aioice_controls_and_both_are_relayed() {
    relayed("relayed::aioice_controls_and_both_are_relayed", [Aioice, Floe], Both);
}

#[test]
fn pion_is_controlled() {
    relayed("relayed::pion_is_controlled", [Floe, Pion], FloeOnly);
}

#[test]
fn pion_controls() {
    relayed("relayed::pion_controls", [Pion, Floe], FloeOnly);
}

#[test]
fn pion_is_relayed_and_controlled() {
    relayed("relayed::pion_is_relayed_and_controlled", [Floe, Pion], Peer);
}

#[test]
fn pion_is_relayed_and_controls() {
    relayed("relayed::pion_is_relayed_and_controls", [Pion, Floe], Peer);
}

#[test]
fn pion_is_controlled_and_both_are_relayed() {
    relayed("relayed::pion_is_controlled_and_both_are_relayed", [Floe, Pion], Both);
}

#[test]
fn pion_controls_and_both_are_relayed() {
    relayed("relayed::pion_controls_and_both_are_relayed", [Pion, Floe], Both);
}

#[test]
fn rice_is_controlled() {
    relayed("relayed::rice_is_controlled", [Floe, Rice], FloeOnly);
}

#[test]
fn rice_controls() {
    relayed("relayed::rice_controls", [Rice, Floe], FloeOnly);
}

#[test]
fn webrtc_ice_is_controlled() {
    relayed("relayed::webrtc_ice_is_controlled", [Floe, WebrtcIce], FloeOnly);
}

#[test]
fn webrtc_ice_controls() {
    relayed("relayed::webrtc_ice_controls", [WebrtcIce, Floe], FloeOnly);
}

/// If only this passes, what differs is the other implementation.
#[test]
fn floe_connects_to_itself() {
    relayed("relayed::floe_connects_to_itself", [Floe, Floe], Both);
}

/// Over UDP and over TCP to the server, with every way to exchange candidates;
/// after a full trickle both restart, where the peer can.
fn relayed(test: &str, agents: [Implementation; 2], whose: Relayed) {
    let Some((hosts, server)) = hosts_and_server(test, agents) else { return };
    for (tcp, exchange) in [false, true].iter().flat_map(|tcp| EXCHANGES.map(|one| (*tcp, one))) {
        let options = Options { exchange, ..options(&server, whose, tcp) };
        let mut session = connect(agents, &options, hosts.each_ref().map(Some));
        let restarts = agents.into_iter().all(Implementation::restarts);
        if restarts && exchange == Exchange::FullTrickle {
            let meanwhile = agents.into_iter().all(Implementation::keeps_its_path);
            for who in [0, 1] {
                restart(&mut session, who, &payloads(agents, options.over), meanwhile);
                assert_relayed(&session, agents, &options);
            }
            record(agents, &options, "by either side", "both ways");
        }
        let codes = exit_codes(&session, agents);
        session.close_with(codes);
        record(agents, &options, "no", "both ways");
    }
}

/// Those for whom this server is the only way.
pub(crate) fn options(server: &Coturn, whose: Relayed, tcp: bool) -> Options {
    let (user, password) = (coturn::USER, coturn::PASSWORD);
    let relay = Relay { whose, server: server.address.to_string(), tcp, user, password };
    Options { relay: Some(relay), ..Options::default() }
}

/// Two hosts and the server between them, in the run inside the namespaces of
/// `test`.
pub(crate) fn hosts_and_server(
    test: &str,
    agents: [Implementation; 2],
) -> Option<([Namespace; 2], Coturn)> {
    if !agents.into_iter().all(Implementation::available) || !enter(test) {
        return None;
    }
    let hosts = [Namespace::new("host-1"), Namespace::new("host-2")];
    let between = Namespace::new("coturn");
    between.sysctl("ipv4.ip_forward", "0");
    for (host, net) in hosts.iter().zip(1..) {
        let interface = format!("eth{net}");
        host.connect("eth0", &between, &interface);
        host.ip(&format!("address add 10.0.{net}.1/24 dev eth0"));
        between.ip(&format!("address add 10.0.{net}.254/24 dev {interface}"));
        host.ip(&format!("route add default via 10.0.{net}.254"));
    }
    let at = coturn::Options { ip: SERVER.into(), ..coturn::Options::default() };
    let server = between.run(|| Coturn::start(&at))?;
    Some((hosts, server))
}
