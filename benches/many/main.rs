//! Servers with many agents. 10,000 connected ones in this process, as cores
//! over a virtual network with real timers; and, with the feature `tokio`,
//! many on one UDP socket each side.
//!
//!     cargo bench --bench many
//!     cargo bench --bench many --no-default-features
//!
//! `FLOE_MANY_SECONDS` (30) is how long each steady state is watched,
//! `FLOE_MANY_AGENTS` (10000) the number of cores, `FLOE_MANY_PACED` (as many)
//! how many of them share one pacer in the set-up that takes minutes, and
//! `FLOE_MANY_PAIRS` (1000) the pairs on two sockets.

mod cpu;
mod memory;
mod server;
#[cfg(feature = "tokio")]
mod sockets;

use std::time::{Duration, Instant};

use floe::timer::Pacer;
use server::{Counts, Server};

pub(crate) type Error = Box<dyn std::error::Error + Send + Sync>;

/// Of one core, for consent and keepalives of all agents.
const MAX_CPU_PERCENT: f64 = 2.0;
/// Bytes of a connected agent.
const MAX_BYTES: usize = 8 * 1024;
/// Memory is linear where an agent among many costs as much as one among few.
const MAX_SPREAD_PERCENT: f64 = 3.0;
/// What concluded sessions hold is freed after 3 seconds.
const FREED: Duration = Duration::from_secs(4);
/// How long sleeping alone is watched.
const CONTROL: Duration = Duration::from_secs(5);
/// How much of virtual time is watched.
const VIRTUAL: Duration = Duration::from_secs(60);
/// Nobody waits longer for a set-up.
const PATIENCE: Duration = Duration::from_secs(600);
/// The resolution of timers as event loops have it.
const FINE: Duration = Duration::from_millis(1);
/// Resolutions of timers, and of those for consent, which `poll_timeout` tells
/// apart: every five seconds, give or take one at random, is due to no
/// millisecond.
const TICKS: [(Duration, Duration); 3] = [
    (FINE, Duration::from_millis(100)),
    (Duration::from_millis(10), Duration::from_millis(10)),
    (FINE, FINE),
];

fn main() -> Result<(), Error> {
    let seconds = Duration::from_secs(setting("FLOE_MANY_SECONDS", 30)?.into());
    let agents = setting("FLOE_MANY_AGENTS", 10_000)?.max(2);
    let paced = setting("FLOE_MANY_PACED", agents)?;

    for count in [agents / 10, agents / 5, agents / 2] {
        let (server, bytes) = set_up(count, count)?;
        println!("{count:>6} agents: {bytes} bytes each");
        drop(server);
    }
    let (few, many) = (set_up(agents / 10, agents / 10)?.1, set_up(agents, agents)?);
    let (mut server, bytes) = many;
    let spread = (bytes as f64 / few as f64 - 1.0) * 100.0;
    println!(
        "memory: {bytes} bytes an agent of {agents} (at most {MAX_BYTES}: {}), {spread:+.2} % \
         beside {} agents (at most {MAX_SPREAD_PERCENT}: {})",
        verdict(bytes <= MAX_BYTES),
        agents / 10,
        verdict(spread.abs() <= MAX_SPREAD_PERCENT),
    );
    for (tick, consent_tick) in TICKS {
        println!("control: sleeping alone, {tick:?} each: {:.2} % of a core", sleep(tick));
        server.set_ticks(tick, consent_tick);
        let how = format!("timers to {tick:?}, for consent to {consent_tick:?}");
        steady(&mut server, agents, seconds, &how);
    }
    // The same without the system's part: what sleeping costs, and what
    // others leave of the caches.
    server.leave_real_time();
    steady(&mut server, agents, VIRTUAL, "time that jumps");
    drop(server);

    for addresses in [agents, agents.div_ceil(100)] {
        pace(agents, addresses)?;
    }
    if paced > 0 {
        let took = pace(paced, 1)?;
        if paced < agents {
            let all = took * agents / paced;
            println!("        … which makes {:.1} s for {agents}", all.as_secs_f64());
        }
    }

    #[cfg(feature = "tokio")]
    sockets::run(setting("FLOE_MANY_PAIRS", 1_000)?, seconds)?;
    Ok(())
}

/// Connects agents that wait for no other, and lets them come to rest.
/// Returns them, and what each holds.
fn set_up(agents: u32, addresses: u32) -> Result<(Server, usize), Error> {
    let before = memory::live();
    let mut server = Server::new(agents, addresses, FINE)?;
    server.signal()?;
    let all = agents as usize;
    if !server.run(PATIENCE, |counts| counts.completed == all) {
        return Err(format!("not all completed: {:?}", server.counts()).into());
    }
    server.run_for(FREED);
    let bytes = memory::live() - before - server.own_bytes();
    Ok((server, bytes / agents as usize))
}

/// Watches agents that have completed.
fn steady(server: &mut Server, agents: u32, time: Duration, how: &str) {
    let (cpu, calls, start) = (cpu::seconds(), memory::calls(), server.now());
    let counts = server.run_for(time);
    let (cpu, wall) = (cpu::seconds() - cpu, (server.now() - start).as_secs_f64());
    let Counts { datagrams, timeouts, sleeps, lost, .. } = counts;
    // A request and its answer.
    let checks = datagrams as f64 / 2.0;
    let percent = cpu / wall * 100.0;
    println!(
        "steady, {how}: {percent:.2} % of a core for {agents} agents (at most \
         {MAX_CPU_PERCENT}: {}), {:.2} µs a consent check with its answer",
        verdict(percent <= MAX_CPU_PERCENT),
        cpu / checks * 1e6,
    );
    println!(
        "        {checks} checks in {wall:.1} s, {timeouts} timeouts, {sleeps} sleeps, {:.1} \
         allocations a check, {lost} disconnected",
        (memory::calls() - calls) as f64 / checks,
    );
}

/// What waking up costs where nothing is to be done, in per cent of a core:
/// the part of the system, and of whoever else runs on this machine.
fn sleep(tick: Duration) -> f64 {
    let (cpu, start) = (cpu::seconds(), Instant::now());
    while start.elapsed() < CONTROL {
        std::thread::sleep(tick);
    }
    (cpu::seconds() - cpu) / start.elapsed().as_secs_f64() * 100.0
}

/// Measures the set-up of agents on so many addresses, with a pacer each.
fn pace(agents: u32, addresses: u32) -> Result<Duration, Error> {
    let all = agents as usize;
    let mut server = Server::new(agents, addresses, FINE)?;
    let cpu = cpu::seconds();
    let start = server.now();
    server.signal()?;
    let is_up = server.run(PATIENCE, |counts| counts.connected == all);
    let connected = server.now() - start;
    let is_up = is_up && server.run(PATIENCE, |counts| counts.completed == all);
    let completed = server.now() - start;
    let cpu = cpu::seconds() - cpu;
    let paced = server.paced_until() - start;
    let slots = paced.as_secs_f64() / Pacer::MIN_SPACING.as_secs_f64();
    let each = agents.div_ceil(addresses);
    println!(
        "set-up: {agents} agents, {each} to a pacer: connected after {:.2} s, completed after {:.2} \
         s, {cpu:.2} s of processor{}",
        connected.as_secs_f64(),
        completed.as_secs_f64(),
        if is_up { "" } else { ", NOT ALL OF THEM" },
    );
    if addresses == 1 {
        println!(
            "        {slots:.0} slots of 5 ms, {:.2} an agent, are {:.1} s; {} disconnected",
            slots / f64::from(agents),
            paced.as_secs_f64(),
            server.counts().lost,
        );
    }
    Ok(completed)
}

pub(crate) fn verdict(is_met: bool) -> &'static str {
    if is_met { "pass" } else { "MISS" }
}

fn setting(name: &str, default: u32) -> Result<u32, Error> {
    match std::env::var(name) {
        Ok(text) => Ok(text.parse().map_err(|error| format!("{name}={text}: {error}"))?),
        Err(_) => Ok(default),
    }
}
