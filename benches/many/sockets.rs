//! The driver: many agents on one UDP socket each side, over loopback.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use floe::agent::{Event, RemoteParameters};
use floe::candidate::Candidate;
use floe::check::Role;
use floe::driver::SharedSocket;
use floe::timer::Pacer;
use floe::{Agent, AgentConfig};

use crate::{Error, cpu, memory};

/// Consent checks of a pair: two agents, each every 5 seconds on average.
const CHECKS_PER_SECOND: f64 = 2.0 / 5.0;

/// Runs a tenth of the pairs and all of them: what a check costs must not grow
/// with them.
pub(crate) fn run(pairs: u32, time: Duration) -> Result<(), Error> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder.worker_threads(1).enable_all().build()?;
    for pairs in [pairs / 10, pairs].into_iter().filter(|pairs| *pairs > 0) {
        runtime.block_on(async move { tokio::spawn(measure(pairs, time)).await? })?;
    }
    Ok(())
}

async fn measure(pairs: u32, time: Duration) -> Result<(), Error> {
    let before = memory::live();
    let ends = [shared()?, shared()?];
    let (cpu, start) = (cpu::seconds(), Instant::now());
    let mut agents = Vec::new();
    for _ in 0..pairs {
        let roles = [Role::Controlling, Role::Controlled];
        let (a, b) = (gathered(roles[0], &ends[0]).await?, gathered(roles[1], &ends[1]).await?);
        tell(&a.0, &b)?;
        tell(&b.0, &a)?;
        agents.extend([a.0, b.0]);
    }
    for agent in &agents {
        agent.completed().await?;
    }
    println!(
        "{pairs} pairs on two UDP sockets: completed after {:.2} s, {:.2} s of processor",
        start.elapsed().as_secs_f64(),
        cpu::seconds() - cpu,
    );
    let (cpu, start) = (cpu::seconds(), Instant::now());
    tokio::time::sleep(time).await;
    let (cpu, wall) = (cpu::seconds() - cpu, start.elapsed().as_secs_f64());
    let checks = f64::from(pairs) * CHECKS_PER_SECOND * wall;
    println!(
        "        steady: {:.2} % of a core (no target), {:.1} µs a consent check with its answer, \
         system calls included; {} bytes an agent; {} datagrams for nobody",
        cpu / wall * 100.0,
        cpu / checks * 1e6,
        (memory::live() - before) / agents.len(),
        ends.iter().map(SharedSocket::unrouted).sum::<u64>(),
    );
    let (cpu, start) = (cpu::seconds(), Instant::now());
    for agent in &agents {
        agent.close().await;
    }
    println!(
        "        closed after {:.3} s, {:.3} s of processor",
        start.elapsed().as_secs_f64(),
        cpu::seconds() - cpu,
    );
    Ok(())
}

fn shared() -> Result<SharedSocket, Error> {
    Ok(SharedSocket::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?)
}

async fn gathered(role: Role, socket: &SharedSocket) -> Result<(Agent, Vec<Candidate>), Error> {
    let mut config = AgentConfig::new(role);
    config.sockets = vec![socket.clone()];
    config.ice.include_loopback = true;
    // Each stands for a machine.
    config.pacer = Some(Pacer::new());
    let agent = Agent::new(config)?;
    agent.gather()?;
    let mut candidates = Vec::new();
    while let Some(event) = agent.next_event().await {
        match event {
            Event::Candidate { candidate, .. } => candidates.push(candidate),
            Event::EndOfCandidates { .. } => break,
            _ => {}
        }
    }
    Ok((agent, candidates))
}

/// Tells `agent` what its peer would signal.
fn tell(agent: &Agent, (peer, candidates): &(Agent, Vec<Candidate>)) -> Result<(), Error> {
    let credentials = peer.credentials();
    let mut parameters = RemoteParameters::new(&credentials.ufrag, &credentials.pwd);
    parameters.pacing = Pacer::MIN_SPACING;
    for candidate in candidates {
        agent.add_remote_candidate(candidate)?;
    }
    agent.end_of_remote_candidates()?;
    agent.set_remote(parameters)?;
    Ok(())
}
