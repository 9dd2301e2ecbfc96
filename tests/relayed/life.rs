//! The life of an allocation at coturn: refreshes, nonces that go stale, and
//! a server that is started again.

use floe::agent::{Happened, SentMessage, State};
use floe::check::Role;
use std::time::Duration;
use tokio::time::Instant;

use crate::coturn::{Coturn, Options};
use crate::{carry_one, connect, connections, exchange, in_time, relay_only, server, uris};

/// Refresh (RFC 8656 §17).
const REFRESH: u16 = 0x004;

/// Data goes on while the allocation is refreshed every two seconds, and the
/// nonce has gone stale each time.
#[tokio::test]
async fn data_goes_on_over_refreshes_and_stale_nonces() {
    let options =
        Options { stale_nonce: Some(1), max_allocate_lifetime: Some(4), ..Options::default() };
    let Some(coturn) = Coturn::start(&options) else { return };
    let servers = [server(&uris(coturn.address)[0])];
    let agents = [Role::Controlling, Role::Controlled].map(|role| relay_only(role, &servers));
    let agents = agents.each_ref();
    connect(agents).await;
    let connections = connections(agents);
    let start = Instant::now();
    let mut buffer = [0; 100];
    let mut lost = 0;
    while start.elapsed() < Duration::from_secs(8) {
        connections[0].send(b"x").await.unwrap();
        let wait = Duration::from_secs(1);
        match tokio::time::timeout(wait, connections[1].recv(&mut buffer)).await {
            Ok(received) => assert_eq!(received.unwrap(), 1),
            Err(_) => lost += 1,
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(lost, 0, "nothing is lost on loopback");
    for agent in agents {
        assert_eq!(agent.state(), State::Completed);
        let is_refresh = |what: &Happened| {
            matches!(what, Happened::Sent { message: SentMessage::RelayRequest { method }, .. }
                if *method == REFRESH)
        };
        let refreshes = agent.log_records().into_iter().filter(|r| is_refresh(&r.what)).count();
        // Three, each of them once with a nonce that was stale.
        assert!(refreshes >= 6, "{refreshes} requests");
    }
}

/// The server dies and comes back: over TCP that is seen at once. The agents
/// restart by themselves, and data goes on.
#[tokio::test]
async fn a_server_that_is_started_again_is_used_again() {
    let Some(mut coturn) = Coturn::start(&Options::default()) else { return };
    let servers = [server(&uris(coturn.address)[1])];
    let agents = [Role::Controlling, Role::Controlled].map(|role| relay_only(role, &servers));
    let agents = agents.each_ref();
    connect(agents).await;
    exchange(&connections(agents)).await;
    coturn.restart();
    let states = || agents.map(Agent::state);
    while states() == [State::Completed; 2] {
        in_time(carry_one(agents)).await;
    }
    while states() != [State::Completed; 2] {
        in_time(carry_one(agents)).await;
    }
    exchange(&connections(agents)).await;
}

use floe::Agent;
