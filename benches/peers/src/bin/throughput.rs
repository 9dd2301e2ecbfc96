//! A connection of floe, one of webrtc-ice and bare tokio sockets on the same
//! loopback, in turn.
//!
//!     cargo run --release --bin throughput [-- ROUNDS]
//!
//! Ratios are against the bare sockets of the same round, medians over the
//! rounds; the second bare run of each round is the control.

#[path = "../../../throughput/agents.rs"]
mod agents;
#[path = "../../../throughput/channel.rs"]
mod channel;
#[path = "../throughput/webrtc.rs"]
mod webrtc;

use channel::{Channel, Cost, Error, PACKETS, SIZE, quartile, sorted};

const DEFAULT_ROUNDS: usize = 21;
const NAMES: [&str; 4] = ["bare", "floe", "webrtc-ice", "bare again"];

fn main() -> Result<(), Error> {
    let rounds = std::env::args().nth(1).map_or(Ok(DEFAULT_ROUNDS), |rounds| rounds.parse())?;
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder.worker_threads(1).enable_all().build()?;
    runtime.block_on(async move { tokio::spawn(compare(rounds.max(1))).await? })
}

/// One discipline.
async fn run<C: Channel>(one_way: bool, ends: &[C; 2]) -> Result<Cost, Error> {
    if one_way { channel::one_way(ends).await } else { channel::ping_pong(ends).await }
}

async fn compare(rounds: usize) -> Result<(), Error> {
    println!("{SIZE} bytes, {PACKETS} datagrams a run, {rounds} rounds; ratio to bare sockets");
    for (name, one_way) in [("one way, window 64", true), ("ping-pong", false)] {
        let bare = channel::bare().await?;
        let floe = agents::connected().await?;
        let (_agents, webrtc) = webrtc::connected().await?;
        let mut rows = Vec::new();
        for _ in 0..rounds {
            rows.push([
                run(one_way, &bare).await?,
                run(one_way, &floe).await?,
                run(one_way, &webrtc).await?,
                run(one_way, &bare).await?,
            ]);
        }
        report(name, &rows);
    }
    Ok(())
}

fn report(name: &str, rows: &[[Cost; 4]]) {
    println!("{name}");
    for (at, contestant) in NAMES.into_iter().enumerate() {
        let ratios = sorted(rows.iter().map(|row| row[0].wall / row[at].wall));
        let cpu = sorted(rows.iter().map(|row| row[at].cpu));
        println!(
            "  {contestant:<11} {:.3} [{:.3}, {:.3}]  cpu/datagram {:.0} ns",
            quartile(&ratios, 2),
            quartile(&ratios, 1),
            quartile(&ratios, 3),
            quartile(&cpu, 2),
        );
    }
}
