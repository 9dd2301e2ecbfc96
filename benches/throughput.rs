//! `Connection` beside bare tokio sockets on loopback: unconnected `send_to`
//! and `recv_from`, datagrams of 1,200 bytes, one worker thread.
//!
//!     cargo bench --bench throughput [-- ROUNDS]
//!
//! Every round runs the bare sockets, a connection and the bare sockets
//! again; the second bare run is the control, whose spread says what the
//! machine's noise is worth. Ratios are medians over the rounds.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use floe::agent::{Event, RemoteParameters};
use floe::candidate::{Candidate, ComponentId};
use floe::check::Role;
use floe::driver::ReceiveBatch;
use floe::timer::Pacer;
use floe::{Agent, AgentConfig, Connection};
use tokio::net::UdpSocket;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

const SIZE: usize = 1_200;
const WINDOW: usize = 64;
const PACKETS: usize = 64 * 500;
const DEFAULT_ROUNDS: usize = 21;
/// The pacing of both sides.
const TA: Duration = Duration::from_millis(5);

fn main() -> Result<()> {
    // `cargo bench` adds an argument of its own.
    let mut arguments = std::env::args().skip(1).filter(|argument| !argument.starts_with("--"));
    let rounds = arguments.next().map_or(Ok(DEFAULT_ROUNDS), |rounds| rounds.parse())?;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    runtime.block_on(async move { tokio::spawn(compare(rounds)).await? })
}

async fn compare(rounds: usize) -> Result<()> {
    println!("{SIZE} bytes, {PACKETS} datagrams a run, {rounds} rounds; ratio to bare sockets");
    let bare = Bare::new().await?;
    let (agents, connections) = connected().await?;
    let [a, b] = &connections;

    let mut rows = Vec::new();
    for _ in 0..rounds {
        rows.push([bare.one_way().await?, one_way(a, b).await?, bare.one_way().await?]);
    }
    report("one way, window 64", 0.97, &rows);

    // The sockets of the first pair may have switched to batches by now, as
    // those of a busy connection do; a quiet one has not.
    let (quiet_agents, quiet) = connected().await?;
    rows.clear();
    for _ in 0..rounds {
        rows.push([bare.ping_pong().await?, ping_pong(&quiet).await?, bare.ping_pong().await?]);
    }
    report("ping-pong", 0.95, &rows);

    for (count, target) in [(10, 4.0), (54, 10.0)] {
        rows.clear();
        for _ in 0..rounds {
            let batches = batches(a, b, count).await?;
            rows.push([bare.one_way().await?, batches, bare.one_way().await?]);
        }
        report(&format!("batches of {count}"), target, &rows);
    }
    drop((agents, quiet_agents));
    times(rounds).await
}

/// One run: wall-clock and processor time for each datagram, in nanoseconds.
#[derive(Clone, Copy)]
struct Cost {
    wall: f64,
    cpu: f64,
}

async fn measure(packets: usize, run: impl Future<Output = Result<()>>) -> Result<Cost> {
    let (cpu, start) = (cpu_time(), Instant::now());
    run.await?;
    let wall = start.elapsed().as_nanos() as f64 / packets as f64;
    Ok(Cost { wall, cpu: (cpu_time() - cpu) / packets as f64 })
}

/// Nanoseconds that the threads of this process ran; NaN where the system
/// does not say.
fn cpu_time() -> f64 {
    let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let times = tasks.map(|task| -> Option<f64> {
        let text = std::fs::read_to_string(task.path().join("schedstat")).ok()?;
        text.split_ascii_whitespace().next()?.parse().ok()
    });
    times.sum::<Option<f64>>().filter(|time| *time > 0.0).unwrap_or(f64::NAN)
}

fn report(name: &str, target: f64, rows: &[[Cost; 3]]) {
    let ratios = |at: usize| sorted(rows.iter().map(|row| row[0].wall / row[at].wall));
    let cpu = |at: usize| median(&sorted(rows.iter().map(|row| row[at].cpu)));
    let (ours, control) = (ratios(1), ratios(2));
    let quartile = |values: &[f64], quarter: usize| values[values.len() * quarter / 4];
    let (low, high) = (quartile(&control, 1), quartile(&control, 3));
    let verdict = if median(&ours) >= target { "pass" } else { "MISS" };
    println!(
        "{name:<20} {:6.3}  (target {target}: {verdict})  control {:.3} [{low:.3}, {high:.3}]  \
         cpu/datagram {:.0} ns, bare {:.0} ns",
        median(&ours),
        median(&control),
        cpu(1),
        cpu(0),
    );
}

fn sorted(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values
}

fn median(sorted: &[f64]) -> f64 {
    sorted[sorted.len() / 2]
}

/// Two unconnected sockets.
struct Bare {
    sockets: [std::sync::Arc<UdpSocket>; 2],
    addresses: [SocketAddr; 2],
}

impl Bare {
    async fn new() -> Result<Self> {
        let a = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let b = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let addresses = [a.local_addr()?, b.local_addr()?];
        Ok(Bare { sockets: [a.into(), b.into()], addresses })
    }

    async fn one_way(&self) -> Result<Cost> {
        let [a, b] = &self.sockets;
        let (datagram, mut buffer) = ([7; SIZE], [0; 2_048]);
        measure(PACKETS, async {
            for _ in 0..PACKETS / WINDOW {
                for _ in 0..WINDOW {
                    a.send_to(&datagram, self.addresses[1]).await?;
                }
                for _ in 0..WINDOW {
                    b.recv_from(&mut buffer).await?;
                }
            }
            Ok(())
        })
        .await
    }

    async fn ping_pong(&self) -> Result<Cost> {
        let [a, b] = self.sockets.clone();
        let echo = tokio::spawn(async move {
            let mut buffer = [0; 2_048];
            for _ in 0..PACKETS / 8 {
                let (len, from) = b.recv_from(&mut buffer).await?;
                b.send_to(&buffer[..len], from).await?;
            }
            Result::Ok(())
        });
        let (datagram, mut buffer) = ([7; SIZE], [0; 2_048]);
        let cost = measure(PACKETS / 4, async {
            for _ in 0..PACKETS / 8 {
                a.send_to(&datagram, self.addresses[1]).await?;
                a.recv_from(&mut buffer).await?;
            }
            Ok(())
        })
        .await;
        echo.await??;
        cost
    }
}

async fn one_way(a: &Connection, b: &Connection) -> Result<Cost> {
    let (datagram, mut buffer) = ([7; SIZE], [0; 2_048]);
    measure(PACKETS, async {
        for _ in 0..PACKETS / WINDOW {
            for _ in 0..WINDOW {
                a.send(&datagram).await?;
            }
            for _ in 0..WINDOW {
                b.recv(&mut buffer).await?;
            }
        }
        Ok(())
    })
    .await
}

async fn ping_pong([a, b]: &[Connection; 2]) -> Result<Cost> {
    let b = b.clone();
    let echo = tokio::spawn(async move {
        let mut buffer = [0; 2_048];
        for _ in 0..PACKETS / 8 {
            let len = b.recv(&mut buffer).await?;
            b.send(&buffer[..len]).await?;
        }
        Result::Ok(())
    });
    let (datagram, mut buffer) = ([7; SIZE], [0; 2_048]);
    let cost = measure(PACKETS / 4, async {
        for _ in 0..PACKETS / 8 {
            a.send(&datagram).await?;
            a.recv(&mut buffer).await?;
        }
        Ok(())
    })
    .await;
    echo.await??;
    cost
}

async fn batches(a: &Connection, b: &Connection, count: usize) -> Result<Cost> {
    let datagrams = vec![7; count * SIZE];
    let mut batch = ReceiveBatch::new();
    let a_window = WINDOW / count;
    let windows = PACKETS / (a_window * count);
    measure(windows * a_window * count, async {
        for _ in 0..windows {
            for _ in 0..a_window {
                a.send_batch(&datagrams, SIZE).await?;
            }
            let mut received = 0;
            while received < a_window * count {
                received += b.recv_batch(&mut batch).await?;
                // Every byte is looked at in no case, every datagram in all.
                std::hint::black_box(batch.iter().map(<[u8]>::len).sum::<usize>());
            }
        }
        Ok(())
    })
    .await
}

async fn times(rounds: usize) -> Result<()> {
    let (mut connected, mut completed) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let agents = [agent(Role::Controlling)?, agent(Role::Controlled)?];
        let candidates = [gather(&agents[0]).await?, gather(&agents[1]).await?];
        let start = Instant::now();
        exchange(&agents, &candidates)?;
        tokio::try_join!(agents[0].connected(), agents[1].connected())?;
        connected.push(start.elapsed().as_secs_f64() * 1e3);
        tokio::try_join!(agents[0].completed(), agents[1].completed())?;
        completed.push(start.elapsed().as_secs_f64() * 1e3);
    }
    let limit = 2.0 * TA.as_secs_f64() * 1e3 + 1.0;
    for (name, times, limit) in [("connected", connected, 1.0), ("completed", completed, limit)] {
        let times = sorted(times.into_iter());
        let verdict = if median(&times) <= limit { "pass" } else { "MISS" };
        let (least, most) = (times[0], times[times.len() - 1]);
        let median = median(&times);
        println!(
            "{name:<20} {median:6.3} ms  (at most {limit}: {verdict})  [{least:.3}, {most:.3}]"
        );
    }
    Ok(())
}

fn agent(role: Role) -> Result<Agent> {
    let mut config = AgentConfig::new(role);
    config.bind = vec![Ipv4Addr::LOCALHOST.into()];
    config.ice.include_loopback = true;
    config.ice.pacing = TA;
    // The two stand for two machines.
    config.pacer = Some(Pacer::new());
    Ok(Agent::new(config)?)
}

async fn gather(agent: &Agent) -> Result<Vec<Candidate>> {
    agent.gather()?;
    let mut candidates = Vec::new();
    while let Some(event) = agent.next_event().await {
        match event {
            Event::Candidate { candidate, .. } => candidates.push(candidate),
            Event::EndOfCandidates { .. } => break,
            _ => {}
        }
    }
    Ok(candidates)
}

fn exchange(agents: &[Agent; 2], candidates: &[Vec<Candidate>; 2]) -> Result<()> {
    for at in 0..2 {
        let (agent, peer) = (&agents[at], &agents[1 - at]);
        let credentials = peer.credentials();
        let mut parameters = RemoteParameters::new(&credentials.ufrag, &credentials.pwd);
        parameters.pacing = TA;
        for candidate in &candidates[1 - at] {
            agent.add_remote_candidate(candidate)?;
        }
        agent.end_of_remote_candidates()?;
        agent.set_remote(parameters)?;
    }
    Ok(())
}

async fn connected() -> Result<([Agent; 2], [Connection; 2])> {
    let agents = [agent(Role::Controlling)?, agent(Role::Controlled)?];
    let candidates = [gather(&agents[0]).await?, gather(&agents[1]).await?];
    exchange(&agents, &candidates)?;
    tokio::try_join!(agents[0].completed(), agents[1].completed())?;
    let connection = |agent: &Agent| agent.connection(ComponentId::ONE).ok_or("no component 1");
    let connections = [connection(&agents[0])?, connection(&agents[1])?];
    Ok((agents, connections))
}
