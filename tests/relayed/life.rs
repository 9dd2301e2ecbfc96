//! The life of an allocation at coturn: refreshes, permissions, nonces that go
//! stale, and a server that is started again.

use std::collections::BTreeSet;
use std::time::Duration;

use floe::agent::{Happened, RecordedTransaction, SentMessage, State};
use floe::check::Role;
use floe::{Agent, Connection};
use tokio::time::Instant;

use crate::coturn::{Coturn, Options};
use crate::{carry_one, connect, connections, exchange, in_time, relay_only_with, server, uris};

/// Methods (RFC 8656 §17).
const REFRESH: u16 = 0x004;
const CREATE_PERMISSION: u16 = 0x008;
const CHANNEL_BIND: u16 = 0x009;

/// Two agents that know how long this coturn keeps permissions.
async fn connected(coturn: &Coturn, options: &Options, at: usize) -> [Agent; 2] {
    let servers = [server(&uris(coturn.address)[at])];
    let agents = [Role::Controlling, Role::Controlled].map(|role| {
        relay_only_with(role, &servers, |config| {
            if let Some(seconds) = options.permission_lifetime {
                config.ice.permission_lifetime = Duration::from_secs(seconds.into());
            }
        })
    });
    connect(agents.each_ref()).await;
    agents
}

/// Sends a datagram every 20 ms; what has not arrived within a second.
async fn lost_of(connections: &[Connection; 2], time: Duration) -> usize {
    let (start, wait) = (Instant::now(), Duration::from_secs(1));
    let (mut buffer, mut lost) = ([0; 100], 0);
    while start.elapsed() < time {
        connections[0].send(b"x").await.unwrap();
        match tokio::time::timeout(wait, connections[1].recv(&mut buffer)).await {
            Ok(received) => assert_eq!(received.unwrap(), 1),
            Err(_) => lost += 1,
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    lost
}

/// How many requests an agent has made, those that were repeated counted once.
#[derive(Debug, Default, PartialEq)]
struct Asked {
    refresh: usize,
    permission: usize,
    channel: usize,
    /// Checks of consent without an answer.
    missed: usize,
}

fn asked(agent: &Agent) -> Asked {
    let (mut asked, mut known) = (Asked::default(), BTreeSet::new());
    for record in agent.log_records() {
        asked.missed += usize::from(matches!(record.what, Happened::ConsentMissed { .. }));
        let Happened::Sent { transaction: RecordedTransaction::Ours(number), message, .. } =
            record.what
        else {
            continue;
        };
        let SentMessage::RelayRequest { method } = message else { continue };
        match method {
            _ if !known.insert(number) => {}
            REFRESH => asked.refresh += 1,
            CREATE_PERMISSION => asked.permission += 1,
            CHANNEL_BIND => asked.channel += 1,
            _ => {}
        }
    }
    asked
}

/// Data goes on while the allocation is refreshed every two seconds, and the
/// nonce has gone stale each time.
#[tokio::test]
async fn data_goes_on_over_refreshes_and_stale_nonces() {
    let options =
        Options { stale_nonce: Some(1), max_allocate_lifetime: Some(4), ..Options::default() };
    let Some(coturn) = Coturn::start(&options) else { return };
    let agents = connected(&coturn, &options, 0).await;
    let lost = lost_of(&connections(agents.each_ref()), Duration::from_secs(8)).await;
    assert_eq!(lost, 0, "nothing is lost on loopback");
    for agent in &agents {
        assert_eq!(agent.state(), State::Completed);
        // Three, each of them once with a nonce that was stale.
        let asked = asked(agent);
        assert!(asked.refresh >= 6, "{asked:?}");
        assert_eq!(asked.missed, 0, "consent is given");
    }
}

/// Data goes on past the time that coturn keeps a permission.
#[tokio::test]
async fn data_goes_on_over_permissions_that_are_renewed() {
    let options = Options { permission_lifetime: Some(4), ..Options::default() };
    let Some(coturn) = Coturn::start(&options) else { return };
    // Over TCP: each with a connection of its own to the server.
    let agents = connected(&coturn, &options, 1).await;
    let lost = lost_of(&connections(agents.each_ref()), Duration::from_secs(9)).await;
    assert_eq!(lost, 0, "nothing is lost on loopback");
    for agent in &agents {
        assert_eq!(agent.state(), State::Completed);
        // The first, and one every two seconds.
        let asked = asked(agent);
        assert!(asked.permission >= 4, "{asked:?}");
        assert_eq!(asked.missed, 0, "consent is given");
    }
}

/// Fifteen real minutes with coturn's own lifetimes, over UDP and TCP at once:
///
///     cargo test --test relayed fifteen_real_minutes -- --ignored --nocapture
#[tokio::test]
#[ignore = "takes fifteen minutes"]
async fn data_goes_on_for_fifteen_real_minutes() {
    let options = Options::default();
    let Some(coturn) = Coturn::start(&options) else { return };
    let talk = async |at| {
        let agents = connected(&coturn, &options, at).await;
        let (mut states, mut asked_of) = (Vec::new(), [Asked::default(), Asked::default()]);
        let mut lost = 0;
        // The log is bounded: it is read as it is written.
        for _ in 0..90 {
            lost += lost_of(&connections(agents.each_ref()), Duration::from_secs(10)).await;
            for (agent, sum) in agents.iter().zip(&mut asked_of) {
                let more = asked(agent);
                sum.refresh += more.refresh;
                sum.permission += more.permission;
                sum.channel += more.channel;
                sum.missed += more.missed;
                states.push(agent.state());
            }
        }
        (lost, states, asked_of)
    };
    let results: [_; 2] = tokio::join!(talk(0), talk(1)).into();
    for (uri, (lost, states, asked)) in uris(coturn.address).iter().zip(results) {
        println!("{uri}: {lost} lost, {asked:?}");
        assert_eq!(lost, 0, "{uri}");
        assert!(states.iter().all(|state| *state == State::Completed), "{uri}");
        for asked in asked {
            // An allocation and a channel of ten minutes, and permissions of five.
            assert!(asked.refresh >= 1 && asked.channel >= 2 && asked.permission >= 4, "{asked:?}");
            assert_eq!(asked.missed, 0, "{uri}");
        }
    }
}

/// The server dies and comes back: over TCP that is seen at once. The agents
/// restart by themselves, and data goes on.
#[tokio::test]
async fn a_server_that_is_started_again_is_used_again() {
    let options = Options::default();
    let Some(mut coturn) = Coturn::start(&options) else { return };
    let agents = connected(&coturn, &options, 1).await;
    let agents = agents.each_ref();
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
