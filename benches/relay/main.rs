//! Data through a TURN server on loopback: Debian's coturn, a process of its
//! own. Datagrams of 1,200 bytes go from an agent that has nothing but a relay
//! to one with a socket.
//!
//!     cargo bench --features server --bench relay [-- ROUNDS]
//!
//! Every round runs a hand-written loop that puts four bytes before each
//! datagram, our `Connection`, that of the crate `turn`, a direct `Connection`,
//! and the hand-written loop again, which is the control. Ratios are medians
//! over the rounds.

#[path = "../throughput/agents.rs"]
#[allow(dead_code)] // The other benchmark uses the rest.
mod agents;
#[path = "../throughput/channel.rs"]
#[allow(dead_code)]
mod channel;
#[path = "../../tests/coturn/mod.rs"]
#[allow(dead_code)]
mod coturn;
mod hand;
mod rival;

use channel::{Cost, Error, PACKETS, SIZE, one_way, quartile, sorted};
use coturn::{Coturn, Options, PASSWORD, USER};
use floe::agent::TurnServer;
use floe::check::Role;
use floe::{AgentConfig, Connection};

const DEFAULT_ROUNDS: usize = 15;

fn main() -> Result<(), Error> {
    // `cargo bench` adds an argument of its own.
    let mut arguments = std::env::args().skip(1).filter(|argument| !argument.starts_with("--"));
    let rounds = arguments.next().map_or(Ok(DEFAULT_ROUNDS), |rounds| rounds.parse())?;
    let Some(coturn) = Coturn::start(&Options::default()) else { return Ok(()) };
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder.worker_threads(1).enable_all().build()?;
    runtime.block_on(async move { tokio::spawn(compare(rounds.max(1), coturn)).await? })
}

async fn compare(rounds: usize, coturn: Coturn) -> Result<(), Error> {
    println!("{SIZE} bytes, {PACKETS} datagrams a run, {rounds} rounds, one way, window 64");
    let by_hand = hand::connected(coturn.address).await?;
    let relayed = relayed(&coturn).await?;
    let rival = rival::connected(coturn.address).await?;
    let direct = agents::connected().await?;
    let mut rows = Vec::new();
    for _ in 0..rounds {
        rows.push([
            one_way(&by_hand).await?,
            one_way(&relayed).await?,
            one_way(&rival).await?,
            one_way(&direct).await?,
            one_way(&by_hand).await?,
        ]);
    }
    report(&rows);
    Ok(())
}

fn report(rows: &[[Cost; 5]]) {
    let faster = |at: usize| sorted(rows.iter().map(|row| row[0].wall / row[at].wall));
    let cpu = |at: usize| quartile(&sorted(rows.iter().map(|row| row[at].cpu)), 2);
    let ours = quartile(&faster(1), 2);
    let control = faster(4);
    let verdict = |pass: bool| if pass { "pass" } else { "MISS" };
    println!(
        "throughput, of the hand-written loop: {ours:.3} (target 0.95: {}), `turn::client` {:.3}, \
         control {:.3} [{:.3}, {:.3}]",
        verdict(ours >= 0.95),
        quartile(&faster(2), 2),
        quartile(&control, 2),
        quartile(&control, 1),
        quartile(&control, 3),
    );
    let dearer = cpu(1) / cpu(3);
    println!(
        "processor, of the direct path: {dearer:.3} (target 1.15: {}); {:.0} ns a datagram, direct \
         {:.0}, by hand {:.0}, `turn::client` {:.0}",
        verdict(dearer <= 1.15),
        cpu(1),
        cpu(3),
        cpu(0),
        cpu(2),
    );
}

/// An agent with nothing but a relay, and one with a socket.
async fn relayed(coturn: &Coturn) -> Result<[Connection; 2], Error> {
    let server = TurnServer::new(&format!("turn:{}", coturn.address), USER, PASSWORD)?;
    let relay_only = |config: &mut AgentConfig| {
        config.ice.turn_servers = vec![server];
        (config.ice.gather_host, config.ice.gather_server_reflexive) = (false, false);
    };
    let a = agents::gathered_as(Role::Controlling, relay_only).await?;
    agents::connect(a, agents::gathered(Role::Controlled).await?).await
}
