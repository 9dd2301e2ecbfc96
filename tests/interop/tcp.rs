//! TCP alone (RFC 6544), on connections that either side opens: no UDP
//! candidate on one of the two sides at least.

use crate::harness::peers::Implementation::{Floe, Libnice, Pion, Rice};
use crate::harness::peers::Opener::{Either, Floe as FloeOpens, Peer};
use crate::harness::peers::{Implementation, Opener, Options, Over};
use crate::run::{EXCHANGES, negotiate, over_loopback, two_hosts};

const ALL: [Opener; 3] = [FloeOpens, Peer, Either];

#[test]
fn libnice_is_controlled() {
    ALL.into_iter().for_each(|opener| over_loopback([Floe, Libnice], &opened_by(opener)));
}

/// By its default it nominates with every check, as RFC 5245 allowed.
#[test]
fn libnice_controls() {
    ALL.into_iter().for_each(|opener| over_loopback([Libnice, Floe], &opened_by(opener)));
}

#[test]
fn libnice_controls_and_nominates_once() {
    for opener in ALL {
        let options = Options { regular_nomination: true, ..opened_by(opener) };
        over_loopback([Libnice, Floe], &options);
    }
}

#[test]
fn libnice_is_controlled_with_two_components() {
    let options = Options { components: Some(2), ..opened_by(Either) };
    over_loopback([Floe, Libnice], &options);
}

#[test]
fn libnice_controls_two_components() {
    let options = Options { components: Some(2), ..opened_by(Either) };
    over_loopback([Libnice, Floe], &options);
}

#[test]
fn libnice_is_controlled_over_a_link() {
    each("tcp::libnice_is_controlled_over_a_link", [Floe, Libnice], &ALL);
}

#[test]
fn libnice_controls_over_a_link() {
    each("tcp::libnice_controls_over_a_link", [Libnice, Floe], &ALL);
}

/// It opens no connections itself.
#[test]
fn pion_is_controlled() {
    each("tcp::pion_is_controlled", [Floe, Pion], &[FloeOpens]);
}

#[test]
fn pion_controls() {
    each("tcp::pion_controls", [Pion, Floe], &[FloeOpens]);
}

/// It opens no connections itself.
#[test]
fn rice_is_controlled() {
    each("tcp::rice_is_controlled", [Floe, Rice], &[FloeOpens]);
}

#[test]
fn rice_controls() {
    each("tcp::rice_controls", [Rice, Floe], &[FloeOpens]);
}

/// If only this passes, what differs is the other implementation.
#[test]
fn floe_connects_to_itself() {
    let options = Options { components: Some(2), ..opened_by(Either) };
    over_loopback([Floe, Floe], &options);
}

fn opened_by(opener: Opener) -> Options {
    Options { over: Over::Tcp(opener), ..Options::default() }
}

/// Over a link between two hosts, for each opener and every way to exchange
/// candidates.
fn each(test: &str, agents: [Implementation; 2], openers: &[Opener]) {
    let Some(hosts) = two_hosts(test, agents) else { return };
    for (opener, exchange) in openers.iter().flat_map(|opener| EXCHANGES.map(|one| (opener, one))) {
        let options = Options { exchange, ..opened_by(*opener) };
        negotiate(agents, &options, hosts.each_ref().map(Some));
    }
}
