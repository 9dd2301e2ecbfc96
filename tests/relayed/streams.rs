//! Relayed TCP (RFC 6062) through coturn, over TCP and over TLS to it.

use floe::agent::{Transports, TurnServer};
use floe::candidate::{ComponentId, Kind, TcpType};
use floe::check::Role;
use floe::{Agent, AgentConfig};

use crate::coturn::{Coturn, Options};
use crate::{connect, connections, exchange, gathered, relay_only_with, server, uris};

const TCP: Transports = Transports { udp: false, tcp_so: false, ..Transports::ALL };

fn over_tcp(role: Role, servers: &[TurnServer], edit: impl FnOnce(&mut AgentConfig)) -> Agent {
    relay_only_with(role, servers, |config| {
        config.ice.transports = TCP;
        edit(config);
    })
}

/// Of which kinds the candidates of the selected pair are.
fn selected(agent: &Agent) -> [Kind; 2] {
    let best = agent.best_pair(ComponentId::ONE).expect("a valid pair");
    let mut pairs = agent.stats().pairs.into_iter().flat_map(|(_, pairs)| pairs);
    let pair = pairs.find(|pair| pair.id == best).expect("it is reported");
    [pair.local.kind, pair.remote.kind]
}

#[tokio::test]
async fn an_active_and_a_passive_candidate_are_relayed() {
    let Some(coturn) = Coturn::start(&Options::default()) else { return };
    let servers = [server(&uris(coturn.address)[1])];
    let (candidates, errors) = gathered(&over_tcp(Role::Controlling, &servers, |_| ())).await;
    assert!(errors.is_empty(), "{errors:?}");
    let kinds: Vec<_> = candidates.iter().map(|c| (c.kind, c.tcp_type)).collect();
    let relayed = |tcp_type| (Kind::Relayed, Some(tcp_type));
    assert_eq!(kinds, [relayed(TcpType::Active), relayed(TcpType::Passive)]);
    assert_eq!((candidates[0].port, candidates[0].host == candidates[1].host), (9, true));
}

/// Between two servers, from the one that connects to the one that takes it in;
/// and where both do both.
#[tokio::test]
async fn two_relays_carry_data_over_tcp() {
    let Some(coturn) = Coturn::start(&Options::default()) else { return };
    let servers = [server(&uris(coturn.address)[1])];
    for (active, passive) in [((true, false), (false, true)), ((true, true), (true, true))] {
        let with = |role, (tcp_active, tcp_passive)| {
            over_tcp(role, &servers, |config| {
                config.ice.transports = Transports { tcp_active, tcp_passive, ..TCP };
            })
        };
        let agents = [with(Role::Controlling, active), with(Role::Controlled, passive)];
        let agents = agents.each_ref();
        connect(agents).await;
        exchange(&connections(agents)).await;
        for agent in agents {
            assert_eq!(selected(agent), [Kind::Relayed; 2]);
        }
    }
}

/// A peer without a relay: its active candidate connects to what is relayed, or
/// the server to its passive one.
#[tokio::test]
async fn a_relay_and_a_host_carry_data_over_tcp() {
    let Some(coturn) = Coturn::start(&Options::default()) else { return };
    let servers = [server(&uris(coturn.address)[1])];
    for (tcp_active, tcp_passive) in [(true, false), (false, true)] {
        let relayed = over_tcp(Role::Controlling, &servers, |_| ());
        let host = over_tcp(Role::Controlled, &[], |config| {
            config.ice.gather_host = true;
            config.ice.transports = Transports { tcp_active, tcp_passive, ..TCP };
        });
        let agents = [&relayed, &host];
        connect(agents).await;
        exchange(&connections(agents)).await;
        assert_eq!(selected(&relayed)[0], Kind::Relayed);
    }
}
