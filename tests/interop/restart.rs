//! ICE restarts, by either side, with data before, meanwhile and afterwards.

use serde_json::json;

use crate::harness::peers::Implementation::{Floe, Libnice, Pion, WebrtcIce};
use crate::harness::peers::{Implementation, Opener, Options, Over};
use crate::harness::session::Session;
use crate::run::{
    assert_no_errors, assert_transport, connect, payloads, record, two_hosts, until_same_pairs,
};

#[test]
fn with_a_controlled_libnice() {
    both_restart("restart::with_a_controlled_libnice", [Floe, Libnice], Over::Udp);
}

#[test]
fn with_a_controlling_libnice() {
    both_restart("restart::with_a_controlling_libnice", [Libnice, Floe], Over::Udp);
}

#[test]
fn with_a_controlled_pion() {
    both_restart("restart::with_a_controlled_pion", [Floe, Pion], Over::Udp);
}

#[test]
fn with_a_controlling_pion() {
    both_restart("restart::with_a_controlling_pion", [Pion, Floe], Over::Udp);
}

#[test]
fn with_a_controlled_webrtc_ice() {
    both_restart("restart::with_a_controlled_webrtc_ice", [Floe, WebrtcIce], Over::Udp);
}

#[test]
fn with_a_controlling_webrtc_ice() {
    both_restart("restart::with_a_controlling_webrtc_ice", [WebrtcIce, Floe], Over::Udp);
}

#[test]
fn with_a_controlled_libnice_that_opens_tcp() {
    let test = "restart::with_a_controlled_libnice_that_opens_tcp";
    both_restart(test, [Floe, Libnice], Over::Tcp(Opener::Peer));
}

#[test]
fn with_a_controlled_libnice_that_accepts_tcp() {
    let test = "restart::with_a_controlled_libnice_that_accepts_tcp";
    both_restart(test, [Floe, Libnice], Over::Tcp(Opener::Floe));
}

#[test]
fn with_a_controlling_libnice_that_opens_tcp() {
    let test = "restart::with_a_controlling_libnice_that_opens_tcp";
    both_restart(test, [Libnice, Floe], Over::Tcp(Opener::Peer));
}

#[test]
fn with_a_controlling_libnice_that_accepts_tcp() {
    let test = "restart::with_a_controlling_libnice_that_accepts_tcp";
    both_restart(test, [Libnice, Floe], Over::Tcp(Opener::Floe));
}

#[test]
fn with_a_controlled_pion_over_tcp() {
    let test = "restart::with_a_controlled_pion_over_tcp";
    both_restart(test, [Floe, Pion], Over::Tcp(Opener::Floe));
}

#[test]
fn with_a_controlling_pion_over_tcp() {
    let test = "restart::with_a_controlling_pion_over_tcp";
    both_restart(test, [Pion, Floe], Over::Tcp(Opener::Floe));
}

#[test]
fn with_floe_on_both_ends_over_tcp() {
    let test = "restart::with_floe_on_both_ends_over_tcp";
    both_restart(test, [Floe, Floe], Over::Tcp(Opener::Either));
}

/// If only this passes, what differs is the other implementation.
#[test]
fn with_floe_on_both_ends() {
    both_restart("restart::with_floe_on_both_ends", [Floe, Floe], Over::Udp);
}

/// If this fails, it is not floe.
#[test]
fn between_foreign_agents() {
    both_restart("restart::between_foreign_agents", [Libnice, Pion], Over::Udp);
}

fn both_restart(test: &str, agents: [Implementation; 2], over: Over) {
    let Some(hosts) = two_hosts(test, agents) else { return };
    let options = Options { over, ..Options::default() };
    let mut session = connect(agents, &options, hosts.each_ref().map(Some));
    let meanwhile = agents.into_iter().all(Implementation::keeps_its_path);
    for who in [0, 1] {
        restart(&mut session, who, &payloads(agents, over), meanwhile);
        assert_transport(&session, agents, over);
    }
    session.close();
    let data = if meanwhile { "both ways, meanwhile too" } else { "both ways" };
    record(agents, &options, "by either side", data);
}

/// One restart, until data flows again.
pub(crate) fn restart(session: &mut Session, who: usize, payloads: &[Vec<u8>], meanwhile: bool) {
    let before = session.sides.each_ref().map(|side| side.times("completed"));
    let generations = session.sides.each_ref().map(|side| side.ufrags.len());
    session.hold();
    session.tell(who, &json!({"type": "restart"}));
    session.until("new credentials", |sides| sides[who].ufrags.len() > generations[who]);
    if meanwhile {
        session.exchange(1, payloads);
    }
    session.forward();
    session.until("completed again", |sides| {
        [0, 1].into_iter().all(|side| {
            sides[side].ufrags.len() > generations[side]
                && sides[side].times("completed") > before[side]
        })
    });
    until_same_pairs(session, 1);
    session.exchange(1, payloads);
    for side in &session.sides {
        assert!(side.since("failed").is_none(), "{:?}", side.states);
        assert_no_errors(side);
    }
}
