//! A peer that signals 2,000 candidates, in the orders that cost most: what
//! they cost in CPU, how many checks follow, and what is remembered.
//!
//! Reading the candidate lines counts, as does everything that the core does
//! until the last one is taken or refused.

use std::alloc::{GlobalAlloc, Layout, System};
use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use floe::agent::{Config, Core, Event, Input, LocalAddress, RemoteParameters, SocketOp, StreamId};
use floe::candidate::Candidate;
use floe::check::Role;
use floe::rng::Seed;
use floe::timer::{Pacer, Time};

const CANDIDATES: u32 = 2_000;
const ROUNDS: usize = 15;
const MAX_CPU: Duration = Duration::from_millis(10);
/// What 256 remembered candidates and 100 pairs may take.
const MAX_HELD: usize = 512 * 1024;
/// Ta, the default on both sides.
const TA: Duration = Duration::from_millis(5);
/// How long the checks that follow are counted: two seconds.
const WATCHED: Duration = Duration::from_secs(2);

/// Counts the bytes that are held.
struct Counting;

static LIVE: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to the system's allocator unchanged.
#[allow(unsafe_code)] // An allocator cannot be written without.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.fetch_add(layout.size(), Ordering::Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// An order of priorities and types.
type Order = fn(u32) -> (u32, &'static str);

const ORDERS: [(&str, Order); 3] = [
    // Each candidate makes an earlier one give way, as long as that is done.
    ("rising priorities", |n| (1_000_000 + n, "host")),
    ("falling priorities", |n| (2_000_000_000 - n, "host")),
    ("types in turn", |n| (1_000_000 + n, ["host", "srflx", "prflx", "relay"][n as usize % 4])),
];

fn main() {
    println!("{CANDIDATES} candidates of a hostile peer; medians of {ROUNDS} rounds");
    let mut passed = true;
    for bases in [1, 10, 50] {
        for (name, order) in ORDERS {
            passed &= case(bases, name, order);
        }
    }
    println!("{}", if passed { "pass" } else { "MISS" });
    std::process::exit(i32::from(!passed));
}

fn case(bases: u8, name: &str, order: Order) -> bool {
    let lines: Vec<String> = (0..CANDIDATES).map(|n| line(n, order)).collect();
    let mut times = Vec::new();
    let mut held = 0;
    let mut shortest = Duration::MAX;
    for _ in 0..ROUNDS {
        let mut core = listening(bases);
        let before = LIVE.load(Ordering::Relaxed);
        let start = cpu_time();
        for line in &lines {
            let candidate: Candidate = line.parse().expect("a candidate");
            let _ = core.add_remote_candidate(StreamId(0), &candidate, Time::ZERO);
        }
        times.push(cpu_time() - start);
        held = LIVE.load(Ordering::Relaxed).saturating_sub(before);
        shortest = shortest.min(spacing(&mut core));
    }
    times.sort();
    let cpu = times[ROUNDS / 2];
    println!(
        "  {bases:>2} bases, {name:<20} {:>6.2} ms CPU (target < {} ms), new checks {:?} apart \
         (target ≥ {TA:?}), {} KiB held (target ≤ {})",
        cpu.as_secs_f64() * 1e3,
        MAX_CPU.as_millis(),
        shortest,
        held / 1024,
        MAX_HELD / 1024,
    );
    cpu < MAX_CPU && shortest >= TA && held <= MAX_HELD
}

fn line(n: u32, order: Order) -> String {
    let (priority, kind) = order(n);
    let ip = Ipv4Addr::from(0x0a09_0000 + n);
    let related = if kind == "host" { "" } else { " raddr 10.0.0.1 rport 9" };
    format!("candidate:{n} 1 UDP {priority} {ip} {} typ {kind}{related}", 1024 + n)
}

/// An agent with so many bases that knows the peer's parameters.
fn listening(bases: u8) -> Core {
    let seed = Seed::from_number(7);
    let mut core = Core::new(Config::new(Role::Controlling), &seed, Pacer::new());
    let stream = core.add_stream(1).expect("a stream");
    let addresses: Vec<_> = (1..=bases).map(local_address).collect();
    core.handle_input(Time::ZERO, Input::LocalAddresses(&addresses));
    while let Some(op) = core.poll_socket_op() {
        let SocketOp::BindUdp { base, ip, .. } = op else { panic!("not expected: {op:?}") };
        let local = SocketAddr::new(ip, 5000);
        core.handle_input(Time::ZERO, Input::Bound { base, local });
    }
    let mut remote = RemoteParameters::new("abcd", "0123456789012345678901");
    remote.pacing = TA;
    core.set_remote_parameters(stream, remote, Time::ZERO).expect("parameters");
    while let Some(event) = core.poll_event() {
        assert!(!matches!(event, Event::Selected { .. }));
    }
    core
}

fn local_address(n: u8) -> LocalAddress {
    LocalAddress {
        ip: Ipv4Addr::new(192, 0, 2, n).into(),
        interface: "eth0".into(),
        index: 1,
        prefix: None,
        temporary: None,
        deprecated: None,
    }
}

/// The shortest time between two new checks, told apart by their transaction
/// ids, while nobody answers.
fn spacing(core: &mut Core) -> Duration {
    let mut seen = BTreeSet::new();
    let mut datagram = Vec::new();
    let mut now = Time::ZERO;
    let mut last = None;
    let mut spacing = Duration::MAX;
    while now < Time::ZERO + WATCHED {
        while core.poll_transmit(&mut datagram).is_some() {
            if seen.insert(datagram[8..20].to_vec()) {
                spacing = last.map_or(spacing, |last| spacing.min(now - last));
                last = Some(now);
            }
        }
        while core.poll_event().is_some() {}
        let Some((at, _)) = core.poll_timeout() else { break };
        now = at;
        core.handle_timeout(now);
    }
    assert!(seen.len() > 1, "checks were sent");
    spacing
}

/// The CPU time of this thread.
#[cfg(target_os = "linux")]
fn cpu_time() -> Duration {
    use nix::time::{ClockId, clock_gettime};
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).expect("the thread has a CPU clock").into()
}

/// Wall time, where the CPU's cannot be had.
#[cfg(not(target_os = "linux"))]
fn cpu_time() -> Duration {
    static START: std::sync::LazyLock<std::time::Instant> =
        std::sync::LazyLock::new(std::time::Instant::now);
    START.elapsed()
}
