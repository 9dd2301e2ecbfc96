//! The agents that are heavy to build, for whoever names them in `FLOE_PEERS`.

use crate::harness::peers::Implementation::{Floe, Pion, Rice, WebrtcIce};
use crate::harness::peers::Options;
use crate::run::{connect, each_exchange, two_hosts};

#[test]
fn pion_is_controlled() {
    each_exchange("asked_for::pion_is_controlled", [Floe, Pion], &Options::default());
}

#[test]
fn pion_controls() {
    each_exchange("asked_for::pion_controls", [Pion, Floe], &Options::default());
}

#[test]
fn rice_is_controlled() {
    each_exchange("asked_for::rice_is_controlled", [Floe, Rice], &Options::default());
}

#[test]
fn rice_controls() {
    each_exchange("asked_for::rice_controls", [Rice, Floe], &Options::default());
}

/// RFC 8445 §7.1.2 has only the controlling agent send USE-CANDIDATE; what
/// another sends is answered, and the pair is still this agent's to choose.
#[test]
fn rice_nominates_though_it_is_controlled() {
    let test = "asked_for::rice_nominates_though_it_is_controlled";
    let Some(hosts) = two_hosts(test, [Floe, Rice]) else { return };
    let mut session = connect([Floe, Rice], &Options::default(), hosts.each_ref().map(Some));
    session.until("the answer to a nomination", |[_, rice]| {
        rice.more.iter().any(|line| line["type"] == "use-candidate")
    });
    session.close();
}

#[test]
fn webrtc_ice_is_controlled() {
    each_exchange("asked_for::webrtc_ice_is_controlled", [Floe, WebrtcIce], &Options::default());
}

#[test]
fn webrtc_ice_controls() {
    each_exchange("asked_for::webrtc_ice_controls", [WebrtcIce, Floe], &Options::default());
}
