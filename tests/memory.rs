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
    BaseId, Config, Core, Credentials, Event, Input, LocalAddress, RemoteParameters, SocketOp,
    Sockets, State, StreamId,
};
use floe::candidate::Candidate;
use floe::check::Role;
use floe::rng::Seed;
use floe::timer::{Pacer, Time};

const AGENTS: usize = 4_000;
const MAX_IDLE: usize = 4 * 1024;
const MAX_CONNECTED: usize = 6 * 1024;
/// Whatever it has been through.
const MAX_EVER: usize = 8 * 1024;

/// Counts what the current thread holds; below zero, and so wrapped around,
/// where it frees what another one gave it.
struct Counting;

thread_local! {
    static LIVE: Cell<usize> = const { Cell::new(0) };
    /// How often memory was asked for.
    static CALLS: Cell<usize> = const { Cell::new(0) };
}

fn called() {
    let _ = CALLS.try_with(|calls| calls.set(calls.get() + 1));
}

fn count(change: impl Fn(usize) -> usize) {
    // A thread that ends frees its own storage last; nobody asks any more.
    let _ = LIVE.try_with(|live| live.set(change(live.get())));
}

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        called();
        count(|live| live.wrapping_add(layout.size()));
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        count(|live| live.wrapping_sub(layout.size()));
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        called();
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
fn a_connected_agent_is_small_however_many_there_are() {
    let [few, many] = [AGENTS / 4, AGENTS].map(|agents| {
        let before = live();
        let mut pairs = Vec::with_capacity(agents / 2);
        pairs.extend((0..agents / 2).map(|number| Pair::connected(number as u64).cores));
        assert!(pairs.as_flattened().iter().all(|agent| agent.state() == State::Completed));
        live().wrapping_sub(before) / agents
    });
    println!("connected: {many} bytes an agent, {} of them the struct", size_of::<Core>());
    assert!(many <= MAX_CONNECTED, "{many} bytes");
    assert!(many.abs_diff(few) <= few / 50, "{few} bytes each of a few, {many} of many");
}

#[test]
fn restarts_leave_nothing_behind() {
    const PAIRS: usize = 100;
    const RESTARTS: usize = 10;
    // By the number of restarts.
    let mut most = [0; RESTARTS + 1];
    for number in 0..PAIRS {
        let start = live();
        let mut pair = Pair::connected(number as u64);
        for (at, most) in most.iter_mut().enumerate() {
            if at > 0 {
                pair.restart(at % 2);
            }
            assert!(pair.cores.iter().all(|agent| agent.state() == State::Completed));
            *most = pair.bytes(start).max(*most);
        }
    }
    println!("restarted: at most {most:?} bytes an agent, by the number of restarts");
    assert!(most.iter().all(|bytes| *bytes <= MAX_EVER), "{most:?} bytes");
    assert!(most[RESTARTS] <= most[1], "each restart leaves something: {most:?}");
}

#[test]
fn consent_asks_for_no_memory() {
    let mut pair = Pair::connected(1);
    let held = live();
    let (calls, sent) = (CALLS.get(), pair.sent);
    pair.run(Duration::from_secs(3_600));
    let (calls, sent) = (CALLS.get() - calls, pair.sent - sent);
    assert_eq!(live(), held);
    println!("consent: memory was asked for {calls} times for {sent} messages");
    assert!(sent > 2_500, "{sent} messages");
    // Queues keep room for one message; two in the same instant are rare.
    assert!(calls * 100 <= sent, "{calls} for {sent} messages");
}

/// An agent that has gathered one host candidate and told of it.
fn idle(role: Role, seed: u64) -> Core {
    gathered(role, seed).0
}

fn gathered(role: Role, seed: u64) -> (Core, Candidate) {
    let mut core = Core::new(Config::new(role), &Seed::from_number(seed), Pacer::new());
    core.add_stream(1).unwrap();
    core.handle_input(Time::ZERO, Input::LocalAddresses(&[address(role)]));
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

fn address(role: Role) -> LocalAddress {
    LocalAddress {
        ip: socket(role).ip(),
        interface: "eth0".into(),
        index: 1,
        prefix: None,
        temporary: None,
        deprecated: None,
    }
}

fn socket(role: Role) -> SocketAddr {
    let address = match role {
        Role::Controlling => ([192, 0, 2, 1], 5000),
        Role::Controlled => ([192, 0, 2, 2], 5000),
    };
    address.into()
}

/// Two agents 10 ms apart, and the wire between them.
struct Pair {
    cores: [Core; 2],
    now: Time,
    /// When each message arrives, and at which of the two.
    wire: VecDeque<(Time, usize, Vec<u8>)>,
    /// Buffers that were used.
    spare: Vec<Vec<u8>>,
    sent: usize,
}

const ROLES: [Role; 2] = [Role::Controlling, Role::Controlled];

impl Pair {
    /// Ten seconds after they met: they have completed, and consent is running.
    fn connected(number: u64) -> Self {
        let [ours, theirs] = [0, 1].map(|at| gathered(ROLES[at], number * 2 + at as u64));
        let candidates = [ours.1, theirs.1];
        let cores = [ours.0, theirs.0];
        // No queue here grows while memory is counted.
        let spare = (0..8).map(|_| Vec::with_capacity(256)).collect();
        let wire = VecDeque::with_capacity(8);
        let mut pair = Pair { cores, now: Time::ZERO, wire, spare, sent: 0 };
        for at in 0..2 {
            let credentials = pair.cores[1 - at].local_credentials(StreamId(0)).unwrap().clone();
            pair.tell(at, &credentials, &candidates[1 - at]);
        }
        pair.run(Duration::from_secs(10));
        pair
    }

    fn tell(&mut self, at: usize, credentials: &Credentials, candidate: &Candidate) {
        let remote = RemoteParameters::new(&credentials.ufrag, &credentials.pwd);
        let (core, now) = (&mut self.cores[at], self.now);
        core.set_remote_parameters(StreamId(0), remote, now).unwrap();
        core.add_remote_candidate(StreamId(0), candidate, now).unwrap();
        core.end_of_remote_candidates(StreamId(0), now).unwrap();
    }

    /// One of them restarts, the other answers; again ten seconds.
    fn restart(&mut self, at: usize) {
        let offered = self.cores[at].restart(StreamId(0), Sockets::Keep, self.now).unwrap();
        let candidate = self.gather(at);
        self.tell(1 - at, &offered, &candidate);
        let answered = self.cores[1 - at].local_credentials(StreamId(0)).unwrap().clone();
        let candidate = self.gather(1 - at);
        self.tell(at, &answered, &candidate);
        self.run(Duration::from_secs(10));
    }

    /// Answers what a restart asks for.
    fn gather(&mut self, at: usize) -> Candidate {
        let mut listed = false;
        while let Some(op) = self.cores[at].poll_socket_op() {
            match op {
                SocketOp::ListAddresses => {
                    let addresses = [address(ROLES[at])];
                    self.cores[at].handle_input(self.now, Input::LocalAddresses(&addresses));
                    listed = true;
                }
                SocketOp::Keep { base: BaseId(0) } => {}
                op => panic!("{op:?}"),
            }
        }
        assert!(listed);
        let mut candidate = None;
        while let Some(event) = self.cores[at].poll_event() {
            if let Event::Candidate { candidate: ours, .. } = event {
                candidate = Some(ours);
            }
        }
        candidate.expect("a host candidate")
    }

    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            (0..2).for_each(|at| self.drain(at));
            let timers = self.cores.iter().filter_map(|core| core.poll_timeout()).map(|(at, _)| at);
            let arrival = self.wire.front().map(|(arrives, ..)| *arrives);
            self.now = timers.chain(arrival).min().expect("consent never ends");
            while self.wire.front().is_some_and(|(arrives, ..)| *arrives <= self.now) {
                let Some((_, to, bytes)) = self.wire.pop_front() else { break };
                let from = socket(ROLES[1 - to]);
                let datagram = Input::Datagram { base: BaseId(0), from, bytes: &bytes };
                self.cores[to].handle_input(self.now, datagram);
                self.spare.push(bytes);
                self.sent += 1;
            }
            for core in &mut self.cores {
                if core.poll_timeout().is_some_and(|(at, _)| at <= self.now) {
                    core.handle_timeout(self.now);
                }
            }
        }
    }

    fn drain(&mut self, at: usize) {
        loop {
            let mut bytes = self.spare.pop().expect("few messages are on their way");
            if self.cores[at].poll_transmit(&mut bytes).is_none() {
                self.spare.push(bytes);
                break;
            }
            self.wire.push_back((self.now + Duration::from_millis(10), 1 - at, bytes));
        }
        while self.cores[at].poll_event().is_some() {}
    }

    /// What each of the two has of what is held beyond `start`.
    fn bytes(&self, start: usize) -> usize {
        let buffers = self.wire.iter().map(|(.., bytes)| bytes).chain(&self.spare);
        let wire = self.wire.capacity() * size_of::<(Time, usize, Vec<u8>)>();
        let spare = self.spare.capacity() * size_of::<Vec<u8>>();
        let own = buffers.map(Vec::capacity).sum::<usize>() + wire + spare;
        size_of::<Core>() + live().wrapping_sub(start).wrapping_sub(own) / 2
    }
}
