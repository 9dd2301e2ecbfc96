//! Connections that break (RFC 6544 §11.1).

use floe::Agent;
use floe::agent::{State, Transports};
use floe::candidate::{Candidate, TcpType};
use floe::check::Role;

use super::proxy::Proxy;
use super::{ACTIVE, NONE, PASSIVE, SO, listener, regained, tcp_config, until};
use crate::{V4, connection, gathered, in_time, parameters, passes};

/// `a` reaches `b` through a proxy only.
async fn through_a_proxy(transports: [Transports; 2], tcp_type: TcpType) -> (Agent, Agent, Proxy) {
    let [a, b] = [(Role::Controlling, transports[0]), (Role::Controlled, transports[1])]
        .map(|(role, transports)| Agent::new(tcp_config(role, V4, transports)).unwrap());
    let proxy = Proxy::start(listener(&b).await).await;
    gathered(&a).await;
    let line = format!(
        "candidate:1 1 TCP 1500000000 127.0.0.1 {} typ host tcptype {tcp_type}",
        proxy.address.port()
    );
    a.set_remote(parameters(&b)).unwrap();
    b.set_remote(parameters(&a)).unwrap();
    a.add_remote_candidate(&line.parse::<Candidate>().unwrap()).unwrap();
    for agent in [&a, &b] {
        agent.end_of_remote_candidates().unwrap();
    }
    for agent in [&a, &b] {
        until(agent, State::Completed).await;
    }
    (a, b, proxy)
}

#[tokio::test]
async fn a_connection_that_is_reset_is_opened_again_from_the_active_and_the_so_side() {
    for (transports, tcp_type) in
        [([ACTIVE, PASSIVE], TcpType::Passive), ([SO, SO], TcpType::SimultaneousOpen)]
    {
        let (a, b, proxy) = through_a_proxy(transports, tcp_type).await;
        let (ca, cb) = (connection(&a, 1), connection(&b, 1));
        for round in 0..3_u8 {
            passes(&ca, &cb, &[round; 1_000]).await;
            passes(&cb, &ca, &[round]).await;
            let opened = proxy.opened();
            proxy.reset();
            for agent in [&a, &b] {
                until(agent, State::Disconnected).await;
                regained(agent).await;
            }
            assert_eq!(a.stats().unrouted + b.stats().unrouted, 0);
            assert_eq!(proxy.opened(), opened + 1, "{tcp_type}: one attempt is enough");
        }
        passes(&ca, &cb, b"over the last one").await;
        passes(&cb, &ca, b"and back").await;
        assert_eq!([a.state(), b.state()], [State::Completed; 2]);
    }
}

/// While there is none, nothing is sent, and nothing waits for ever.
#[tokio::test]
async fn between_two_connections_nothing_can_be_sent() {
    let (a, _b, proxy) = through_a_proxy([ACTIVE, PASSIVE], TcpType::Passive).await;
    let ca = connection(&a, 1);
    // Nobody takes the next one in.
    let address = proxy.address;
    proxy.reset();
    drop(proxy);
    until(&a, State::Disconnected).await;
    let error = ca.send(b"to nobody").await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::NotConnected);
    assert_eq!(ca.remote_address(), None, "not even {address}");
    in_time(a.close()).await;
}

/// Where UDP works too, losing the selected TCP connection of one component
/// concerns no other agent.
#[tokio::test]
async fn a_reset_concerns_its_own_agents_only() {
    let (a, b, proxy) = through_a_proxy([ACTIVE, PASSIVE], TcpType::Passive).await;
    let both = Transports { tcp_active: true, tcp_passive: true, ..NONE };
    let (other_a, other_b) = super::tcp_pair(V4, [both, both]).await;
    proxy.reset();
    until(&a, State::Disconnected).await;
    passes(&connection(&other_a, 1), &connection(&other_b, 1), b"there").await;
    passes(&connection(&other_b, 1), &connection(&other_a, 1), b"back").await;
    until(&b, State::Disconnected).await;
    for agent in [&a, &b] {
        regained(agent).await;
    }
    passes(&connection(&a, 1), &connection(&b, 1), b"again").await;
    passes(&connection(&b, 1), &connection(&a, 1), b"and back").await;
}
