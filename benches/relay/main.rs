//! Data through a TURN server on loopback: Debian's coturn, a process of its
//! own. Datagrams of 1,200 bytes go from an agent that has nothing but a relay
//! to one with a socket.
//!
//!     cargo bench --features server --bench relay [-- ROUNDS]
//!
//! Every round runs a hand-written loop that puts four bytes before each
//! datagram, our `Connection`, that of the crate `turn`, a direct `Connection`,
//! and the hand-written loop again; the others are compared with both of its
//! runs, and one of them with the other is the control. Ratios are medians over
//! the rounds. Their processor time is that of both ends, and of waiting
//! for a server that lets datagrams come one by one, which the direct path has
//! not to do. So what our client costs is measured by itself, both ways, beside
//! the same end of a direct path.

#[path = "../throughput/agents.rs"]
#[allow(dead_code)] // The other benchmark uses the rest.
mod agents;
#[path = "../throughput/channel.rs"]
#[allow(dead_code)]
mod channel;
mod client;
#[path = "../../tests/coturn/mod.rs"]
#[allow(dead_code)]
mod coturn;
mod hand;
mod rival;

use channel::{Cost, Error, PACKETS, SIZE, one_way, quartile, sorted};
use client::{Halves, halves};
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
    one_way(&by_hand).await?;
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
    let mut ends = Vec::new();
    for _ in 0..rounds {
        ends.push([halves(&relayed).await?, halves(&direct).await?, halves(&relayed).await?]);
    }
    report_client(&ends);
    Ok(())
}

fn report(rows: &[[Cost; 5]]) {
    let hand = |row: &[Cost; 5]| (row[0].wall + row[4].wall) / 2.0;
    let faster = |at: usize| sorted(rows.iter().map(|row| hand(row) / row[at].wall));
    let cpu = |at: usize| quartile(&sorted(rows.iter().map(|row| row[at].cpu)), 2);
    let ours = quartile(&faster(1), 2);
    let control = sorted(rows.iter().map(|row| row[0].wall / row[4].wall));
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
    println!(
        "processor of both ends a datagram: {:.0} ns, by hand {:.0}, `turn::client` {:.0}, direct \
         {:.0}",
        cpu(1),
        cpu(0),
        cpu(2),
        cpu(3),
    );
}

fn report_client(rows: &[[Halves; 3]]) {
    let median = |at: usize, half: fn(&Halves) -> f64| {
        quartile(&sorted(rows.iter().map(|row| half(&row[at]))), 2)
    };
    let both = |halves: &Halves| halves.send + halves.recv;
    let dearer = |at: usize| sorted(rows.iter().map(|row| both(&row[at]) / both(&row[1])));
    let (ours, control) = (quartile(&dearer(0), 2), dearer(2));
    println!(
        "processor of the client, of the direct path: {ours:.3} (target 1.15: {}), again {:.3} \
         [{:.3}, {:.3}]; sending {:.0} ns, direct {:.0}, receiving {:.0} ns, direct {:.0}",
        if ours <= 1.15 { "pass" } else { "MISS" },
        quartile(&control, 2),
        quartile(&control, 1),
        quartile(&control, 3),
        median(0, |half| half.send),
        median(1, |half| half.send),
        median(0, |half| half.recv),
        median(1, |half| half.recv),
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
