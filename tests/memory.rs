//! What an agent's core costs in memory, counted by an allocator over many
//! agents: requested bytes, so that the numbers are the same on every run.
//!
//! tracing has no subscriber and the log is off, as on a server.
#![allow(unsafe_code)] // An allocator cannot be written without.
#![allow(clippy::unwrap_used)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use floe::agent::{
    BaseId, Config, Core, Event, Input, LocalAddress, RemoteParameters, SocketOp, State, StreamId,
};
use floe::candidate::Candidate;
use floe::check::Role;
use floe::rng::Seed;
use floe::timer::{Pacer, Time};

const AGENTS: usize = 4_000;
const MAX_IDLE: usize = 4 * 1024;
const MAX_CONNECTED: usize = 6 * 1024;

/// Counts what the current thread holds; below zero, and so wrapped around,
/// where it frees what another one gave it.
struct Counting;

thread_local! {
    static LIVE: Cell<usize> = const { Cell::new(0) };
}

fn count(change: impl Fn(usize) -> usize) {
    // A thread that ends frees its own storage last; nobody asks any more.
    let _ = LIVE.try_with(|live| live.set(change(live.get())));
}

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(|live| live.wrapping_add(layout.size()));
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        count(|live| live.wrapping_sub(layout.size()));
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(|live| live.wrapping_sub(layout.size()).wrapping_add(size));
        unsafe { System.realloc(at, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn live() -> usize {
    LIVE.with(Cell::get)
}

#[test]
fn an_idle_agent_with_one_candidate_is_small() {
    let before = live();
    let mut agents = Vec::with_capacity(AGENTS);
    for number in 0..AGENTS {
        agents.push(idle(Role::Controlling, number as u64));
    }
    let each = live().wrapping_sub(before) / AGENTS;
    println!("idle: {each} bytes an agent, {} of them the struct", size_of::<Core>());
    assert!(each <= MAX_IDLE, "{each} bytes");
}

#[test]
fn a_connected_agent_is_small() {
    let before = live();
    let mut agents = Vec::with_capacity(AGENTS);
    for number in 0..AGENTS / 2 {
        agents.extend(connected(number as u64));
    }
    let each = live().wrapping_sub(before) / AGENTS;
    println!("connected: {each} bytes an agent, {} of them the struct", size_of::<Core>());
    assert!(agents.iter().all(|agent| agent.state() == State::Completed));
    assert!(each <= MAX_CONNECTED, "{each} bytes");
}

/// An agent that has gathered one host candidate and told of it.
fn idle(role: Role, seed: u64) -> Core {
    gathered(role, seed).0
}

fn gathered(role: Role, seed: u64) -> (Core, Candidate) {
    let mut core = Core::new(Config::new(role), &Seed::from_number(seed), Pacer::new());
    core.add_stream(1).unwrap();
    let address = LocalAddress {
        ip: socket(role).ip(),
        interface: "eth0".into(),
        index: 1,
        prefix: None,
        temporary: None,
        deprecated: None,
    };
    core.handle_input(Time::ZERO, Input::LocalAddresses(&[address]));
    while let Some(op) = core.poll_socket_op() {
        assert!(matches!(op, SocketOp::BindUdp { base: BaseId(0), .. }), "{op:?}");
        let bound = Input::Bound { base: BaseId(0), local: socket(role) };
        core.handle_input(Time::ZERO, bound);
    }
    let mut ours = None;
    while let Some(event) = core.poll_event() {
        if let Event::Candidate { candidate, .. } = event {
            ours = Some(candidate);
        }
    }
    (core, ours.expect("a host candidate"))
}

fn socket(role: Role) -> SocketAddr {
    let address = match role {
        Role::Controlling => ([192, 0, 2, 1], 5000),
        Role::Controlled => ([192, 0, 2, 2], 5000),
    };
    address.into()
}

/// Two agents 10 ms apart, ten seconds after they met: they have completed,
/// and consent is running.
fn connected(number: u64) -> [Core; 2] {
    let roles = [Role::Controlling, Role::Controlled];
    let [ours, theirs] = [0, 1].map(|at| gathered(roles[at], number * 2 + at as u64));
    let mut cores = [ours.0, theirs.0];
    let candidates = [ours.1, theirs.1];
    for at in 0..2 {
        let credentials = cores[1 - at].local_credentials(StreamId(0)).unwrap().clone();
        let remote = RemoteParameters::new(&credentials.ufrag, &credentials.pwd);
        cores[at].set_remote_parameters(StreamId(0), remote, Time::ZERO).unwrap();
        cores[at].add_remote_candidate(StreamId(0), &candidates[1 - at], Time::ZERO).unwrap();
        cores[at].end_of_remote_candidates(StreamId(0), Time::ZERO).unwrap();
    }
    let mut wire = VecDeque::new();
    let mut now = Time::ZERO;
    while now < Time::from_millis(10_000) {
        for (at, core) in cores.iter_mut().enumerate() {
            let mut bytes = Vec::new();
            while core.poll_transmit(&mut bytes).is_some() {
                wire.push_back((now + Duration::from_millis(10), 1 - at, bytes.clone()));
            }
            while core.poll_event().is_some() {}
        }
        let timers = cores.iter().filter_map(|core| core.poll_timeout()).map(|(at, _)| at);
        let arrival = wire.front().map(|(arrives, ..)| *arrives);
        now = timers.chain(arrival).min().expect("consent never ends");
        while wire.front().is_some_and(|(arrives, ..)| *arrives <= now) {
            let Some((_, to, bytes)) = wire.pop_front() else { break };
            let from = socket(roles[1 - to]);
            let datagram = Input::Datagram { base: BaseId(0), from, bytes: &bytes };
            cores[to].handle_input(now, datagram);
        }
        for core in &mut cores {
            if core.poll_timeout().is_some_and(|(at, _)| at <= now) {
                core.handle_timeout(now);
            }
        }
    }
    cores
}
