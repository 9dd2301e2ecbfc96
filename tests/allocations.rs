//! The data path allocates nothing per datagram once it is warm.

#![cfg(feature = "tokio")]
#![allow(unsafe_code, clippy::unwrap_used)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use floe::agent::{Event, RemoteParameters};
use floe::candidate::ComponentId;
use floe::check::Role;
use floe::driver::ReceiveBatch;
use floe::{Agent, AgentConfig, Connection};

/// Counts what is asked for.
struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

// SAFETY: all work is done by the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller keeps the contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller keeps the contract.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Datagrams of a measurement. Checks for consent come every few seconds and
/// may allocate; a measurement takes milliseconds.
const DATAGRAMS: u64 = 4_000;

/// What a whole measurement may allocate: enough for a check that happens to
/// fall into it, and far less than one for each datagram.
const SLACK: u64 = 40;

async fn connected() -> (Agent, Agent) {
    let agents = [Role::Controlling, Role::Controlled].map(|role| {
        let mut config = AgentConfig::new(role);
        config.bind = vec![std::net::Ipv4Addr::LOCALHOST.into()];
        config.ice.include_loopback = true;
        // What the machine's interfaces do meanwhile is not to be counted.
        config.watch_network = false;
        Agent::new(config).unwrap()
    });
    for (at, agent) in agents.iter().enumerate() {
        let peer = &agents[1 - at];
        agent.gather().unwrap();
        while let Some(event) = agent.next_event().await {
            match event {
                Event::Candidate { candidate, .. } => {
                    peer.add_remote_candidate(&candidate).unwrap()
                }
                Event::EndOfCandidates { .. } => break,
                _ => {}
            }
        }
        let credentials = agent.credentials();
        peer.set_remote(RemoteParameters::new(&credentials.ufrag, &credentials.pwd)).unwrap();
    }
    for agent in &agents {
        agent.completed().await.unwrap();
    }
    let [a, b] = agents;
    (a, b)
}

async fn ping_pong(a: &Connection, b: &Connection, count: u64) {
    let (mut there, mut back) = ([0; 2_048], [0; 2_048]);
    for _ in 0..count / 2 {
        a.send(&[1; 1_200]).await.unwrap();
        let len = b.recv(&mut there).await.unwrap();
        b.send(&there[..len]).await.unwrap();
        a.recv(&mut back).await.unwrap();
    }
}

async fn one_way(a: &Connection, b: &Connection, count: u64) {
    let mut buffer = [0; 2_048];
    for _ in 0..count / 50 {
        for _ in 0..50 {
            a.send(&[1; 1_200]).await.unwrap();
        }
        for _ in 0..50 {
            b.recv(&mut buffer).await.unwrap();
        }
    }
}

async fn batches(a: &Connection, b: &Connection, batch: &mut ReceiveBatch, count: u64) {
    for _ in 0..count / 50 {
        a.send_batch(&[1; 50 * 1_200], 1_200).await.unwrap();
        let mut received = 0;
        while received < 50 {
            received += b.recv_batch(batch).await.unwrap();
        }
    }
}

macro_rules! assert_free {
    ($what:literal, $run:expr) => {{
        // The first run warms buffers up.
        $run;
        let before = ALLOCATIONS.load(Ordering::Relaxed);
        $run;
        let count = ALLOCATIONS.load(Ordering::Relaxed) - before;
        assert!(count <= SLACK, "{}: {count} allocations for {DATAGRAMS} datagrams", $what);
    }};
}

#[test]
fn the_steady_state_allocates_nothing_per_datagram() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let work = async {
        let (agent, peer) = connected().await;
        let a = agent.connection(ComponentId::ONE).unwrap();
        let b = peer.connection(ComponentId::ONE).unwrap();
        assert_free!("ping-pong", ping_pong(&a, &b, DATAGRAMS).await);
        assert_free!("one way", one_way(&a, &b, DATAGRAMS).await);
        let mut batch = ReceiveBatch::new();
        assert_free!("batches", batches(&a, &b, &mut batch, DATAGRAMS).await);
    };
    runtime.block_on(async {
        tokio::time::timeout(Duration::from_secs(60), work).await.expect("the test hangs");
    });
}
