//! QUIC between the two hosts: each runs an agent and an endpoint on a thread
//! of its own inside its namespace, and they signal through the test.

#[path = "../adapter/agents.rs"]
#[allow(dead_code, reason = "the tests on loopback use the rest")]
mod agents;
#[path = "../adapter/transfer.rs"]
mod transfer;

use std::thread;

use agents::{Signalling, connection, in_time};
use floe::candidate::Kind;
use floe::check::Role;
use floe::{Agent, AgentConfig};
use quinn::{ClientConfig, ServerConfig};

use crate::harness::namespace::Namespace;
use crate::topology::{Lab, STUN};

const SIZE: usize = 2 << 20;

/// Sends a file from the first host to the second and compares checksums.
pub(crate) fn pass_a_file(lab: &Lab) {
    let (client, server) = transfer::settings();
    let [ours, theirs] = Signalling::pair();
    let [sender, receiver] = lab.hosts.clone();
    thread::scope(|scope| {
        let sending = scope.spawn(move || run_inside(&sender, send(ours, client)));
        let receiving = scope.spawn(move || run_inside(&receiver, receive(theirs, server)));
        for side in [sending, receiving] {
            side.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        }
    });
}

fn run_inside(host: &Namespace, side: impl Future<Output = ()>) {
    host.join_thread();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime can be made").block_on(side);
}

async fn send(mut signalling: Signalling, config: ClientConfig) {
    let agent = agent(Role::Controlling);
    signalling.exchange(&agent).await;
    in_time(agent.connected()).await.expect("the NATs let checks through");
    let endpoint = transfer::endpoint(connection(&agent), None);
    let quic = in_time(transfer::dial(&endpoint, config)).await;
    let file = transfer::file(SIZE);
    assert_eq!(in_time(transfer::send(&quic, &file)).await, transfer::checksum(&file));
    println!("{SIZE} bytes over QUIC, packets of up to {}", quic.stats().path.current_mtu);
    quic.close(0_u32.into(), b"done");
    in_time(endpoint.wait_idle()).await;
    assert_goes_through_nats(&agent).await;
}

async fn receive(mut signalling: Signalling, config: ServerConfig) {
    let agent = agent(Role::Controlled);
    signalling.exchange(&agent).await;
    let endpoint = transfer::endpoint(connection(&agent), Some(config));
    let quic = in_time(transfer::answer(&endpoint)).await;
    assert_eq!(in_time(transfer::receive(&quic)).await, SIZE);
    assert_goes_through_nats(&agent).await;
}

fn agent(role: Role) -> Agent {
    let mut config = AgentConfig::new(role);
    let server = format!("stun:{STUN}").parse().expect("it is a STUN URI");
    config.ice.stun_servers.push(server);
    Agent::new(config).expect("there is a runtime")
}

async fn assert_goes_through_nats(agent: &Agent) {
    in_time(agent.completed()).await.expect("a pair is selected");
    let stats = agent.stats();
    let pairs = stats.pairs.iter().flat_map(|(_, pairs)| pairs);
    let selected: Vec<Kind> =
        pairs.filter(|pair| pair.selected).map(|pair| pair.remote.kind).collect();
    let reflexive = |kind: &Kind| matches!(kind, Kind::ServerReflexive | Kind::PeerReflexive);
    assert!(selected.len() == 1 && selected.iter().all(reflexive), "{selected:?}");
}
