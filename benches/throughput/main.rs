//! `Connection` beside bare tokio sockets on loopback: unconnected `send_to`
//! and `recv_from`, datagrams of 1,200 bytes, one worker thread.
//!
//!     cargo bench --bench throughput [-- ROUNDS]
//!
//! Every round runs the bare sockets, a connection and the bare sockets
//! again; the second bare run is the control, whose spread says what the
//! machine's noise is worth. Ratios are medians over the rounds.

mod agents;
mod channel;

use std::time::Instant;

use channel::{Cost, Error, PACKETS, SIZE, WINDOW, measure, quartile, sorted};
use floe::Connection;
use floe::check::Role;
use floe::driver::ReceiveBatch;

const DEFAULT_ROUNDS: usize = 21;

fn main() -> Result<(), Error> {
    // `cargo bench` adds an argument of its own.
    let mut arguments = std::env::args().skip(1).filter(|argument| !argument.starts_with("--"));
    let rounds = arguments.next().map_or(Ok(DEFAULT_ROUNDS), |rounds| rounds.parse())?;
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder.worker_threads(1).enable_all().build()?;
    runtime.block_on(async move { tokio::spawn(compare(rounds.max(1))).await? })
}

async fn compare(rounds: usize) -> Result<(), Error> {
    println!("{SIZE} bytes, {PACKETS} datagrams a run, {rounds} rounds; ratio to bare sockets");
    let bare = channel::bare().await?;
    let connections = agents::connected().await?;

    let mut rows = Vec::new();
    for _ in 0..rounds {
        let first = channel::one_way(&bare).await?;
        rows.push([first, channel::one_way(&connections).await?, channel::one_way(&bare).await?]);
    }
    report("one way, window 64", 0.97, &rows);

    // Those of before have switched to batches by now, as the sockets of a
    // busy connection do; those of a quiet one have not.
    let quiet = agents::connected().await?;
    rows.clear();
    for _ in 0..rounds {
        let first = channel::ping_pong(&bare).await?;
        rows.push([first, channel::ping_pong(&quiet).await?, channel::ping_pong(&bare).await?]);
    }
    report("ping-pong", 0.95, &rows);

    for (count, target) in [(10, 4.0), (54, 10.0)] {
        rows.clear();
        for _ in 0..rounds {
            let first = channel::one_way(&bare).await?;
            let batches = batches(&connections, count).await?;
            rows.push([first, batches, channel::one_way(&bare).await?]);
        }
        report(&format!("batches of {count}"), target, &rows);
    }
    times(rounds).await
}

/// As many batches of `count` datagrams at a time as the window holds.
async fn batches([a, b]: &[Connection; 2], count: usize) -> Result<Cost, Error> {
    let datagrams = vec![7; count * SIZE];
    let mut batch = ReceiveBatch::new();
    let in_window = WINDOW / count;
    let windows = PACKETS / (in_window * count);
    measure(windows * in_window * count, async {
        for _ in 0..windows {
            for _ in 0..in_window {
                a.send_batch(&datagrams, SIZE).await?;
            }
            let mut received = 0;
            while received < in_window * count {
                received += b.recv_batch(&mut batch).await?;
                std::hint::black_box(batch.iter().map(<[u8]>::len).sum::<usize>());
            }
        }
        Ok(())
    })
    .await
}

fn report(name: &str, target: f64, rows: &[[Cost; 3]]) {
    let ratios = |at: usize| sorted(rows.iter().map(|row| row[0].wall / row[at].wall));
    let cpu = |at: usize| quartile(&sorted(rows.iter().map(|row| row[at].cpu)), 2);
    let (ours, control) = (quartile(&ratios(1), 2), ratios(2));
    // Inside the control's spread a result counts as equal.
    let equal = quartile(&control, 1) <= ours && target <= 1.0;
    let verdict = if ours >= target || equal { "pass" } else { "MISS" };
    println!(
        "{name:<20} {ours:6.3}  (target {target}: {verdict})  control {:.3} [{:.3}, {:.3}]  \
         cpu/datagram {:.0} ns, bare {:.0} ns",
        quartile(&control, 2),
        quartile(&control, 1),
        quartile(&control, 3),
        cpu(1),
        cpu(0),
    );
}

/// From both sides having candidates to both having a path, and a selected pair.
async fn times(rounds: usize) -> Result<(), Error> {
    let (mut connected, mut completed) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let a = agents::gathered(Role::Controlling).await?;
        let b = agents::gathered(Role::Controlled).await?;
        let start = Instant::now();
        agents::tell(&a.0, &b)?;
        agents::tell(&b.0, &a)?;
        tokio::try_join!(a.0.connected(), b.0.connected())?;
        connected.push(start.elapsed().as_secs_f64() * 1e3);
        tokio::try_join!(a.0.completed(), b.0.completed())?;
        completed.push(start.elapsed().as_secs_f64() * 1e3);
    }
    let limit = 2.0 * agents::TA.as_secs_f64() * 1e3 + 1.0;
    for (name, times, limit) in [("connected", connected, 1.0), ("completed", completed, limit)] {
        let times = sorted(times.into_iter());
        let (least, median, most) = (times[0], quartile(&times, 2), times[times.len() - 1]);
        let verdict = if median <= limit { "pass" } else { "MISS" };
        println!(
            "{name:<20} {median:6.3} ms  (at most {limit}: {verdict})  [{least:.3}, {most:.3}]"
        );
    }
    Ok(())
}
