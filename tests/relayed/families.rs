//! IPv6 through a server that is reached over IPv4, and the other way round.
//! coturn up to 4.7 knows ADDITIONAL-ADDRESS-FAMILY by the number of a draft
//! only and gives one family; the other is asked for apart.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use floe::agent::TurnServer;
use floe::candidate::Kind;
use floe::check::Role;
use floe::{Agent, AgentConfig};

use crate::coturn::{Coturn, Options};
use crate::{connect, connections, exchange, gathered, relay_only_with, server, uris};

const V4: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const V6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

/// A coturn that is reached at one address, and relays both families.
fn coturn(ip: IpAddr) -> Option<Coturn> {
    let more = [V4, V6].into_iter().filter(|other| *other != ip);
    let more = more.map(|other| format!("--relay-ip={other}")).collect();
    Coturn::start(&Options { ip, more, ..Options::default() })
}

/// An agent that has only relays, and asks for them from this address.
fn relay_only_at(ip: IpAddr, servers: &[TurnServer]) -> Agent {
    relay_only_with(Role::Controlling, servers, |config| {
        config.bind = vec![ip];
        // The peer's is loopback of the family that we do not have.
        config.ice.remote_policy.allow =
            ["127.0.0.0/8", "::1/128"].map(|own| own.parse().unwrap()).to_vec();
    })
}

/// An agent that has only this address.
fn host(ip: IpAddr) -> Agent {
    let mut config = AgentConfig::new(Role::Controlled);
    config.bind = vec![ip];
    config.ice.include_loopback = true;
    config.watch_network = false;
    Agent::new(config).unwrap()
}

#[tokio::test]
async fn a_server_gives_both_families_over_either() {
    for ip in [V4, V6] {
        let Some(coturn) = coturn(ip) else { return };
        for uri in uris(coturn.address) {
            let (candidates, errors) = gathered(&relay_only_at(ip, &[server(&uri)])).await;
            assert!(candidates.iter().all(|candidate| candidate.kind == Kind::Relayed));
            let text = candidates.iter().map(ToString::to_string);
            let mut addresses: Vec<IpAddr> =
                text.map(|text| text.split(' ').nth(4).unwrap().parse().unwrap()).collect();
            addresses.sort_unstable();
            assert_eq!((addresses, errors), (vec![V4, V6], Vec::new()), "{uri}");
        }
    }
}

/// A server without the other family is not complained of.
#[tokio::test]
async fn a_server_of_one_family_gives_that() {
    let Some(coturn) = Coturn::start(&Options::default()) else { return };
    for uri in uris(coturn.address) {
        let (candidates, errors) = gathered(&relay_only_at(V4, &[server(&uri)])).await;
        assert_eq!((candidates.len(), errors), (1, Vec::new()), "{uri}");
    }
}

/// Nothing but the relayed address is of the peer's family.
#[tokio::test]
async fn data_goes_from_one_family_to_the_other_and_back() {
    for (ip, peer) in [(V4, V6), (V6, V4)] {
        let Some(coturn) = coturn(ip) else { return };
        for uri in uris(coturn.address) {
            let agents = [relay_only_at(ip, &[server(&uri)]), host(peer)];
            let agents = agents.each_ref();
            connect(agents).await;
            exchange(&connections(agents)).await;
        }
    }
}
