//! A server with many cores: a clock, one heap of timers and a network that
//! is a queue. This is the run loop of `floe::agent`, once for all of them.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use floe::agent::{
    BaseId, Config, Core, Event, Input, LocalAddress, RemoteParameters, SocketOp, State, StreamId,
};
use floe::candidate::Candidate;
use floe::check::Role;
use floe::rng::Seed;
use floe::timer::{Pacer, Reason, Time};

use crate::Error;

/// How long a datagram is on its way.
const ONE_WAY: Duration = Duration::from_millis(10);
const STREAM: StreamId = StreamId(0);
const FIRST_PORT: u16 = 10_000;
const NEVER: Time = Time::from_nanos(u64::MAX);

/// What is looked at of an agent without its core, which is not in the cache.
#[derive(Clone, Copy)]
struct Entry {
    deadline: Time,
    /// When its timer in the heap is; others of it are stale.
    armed: Time,
    state: State,
}

struct Packet {
    arrives: Time,
    from: u32,
    to: u32,
    bytes: Vec<u8>,
}

/// How many agents are in a state, and what the server did.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    /// Agents with a path now, and those with a selected pair.
    pub(crate) connected: usize,
    pub(crate) completed: usize,
    /// Times that an agent was disconnected or failed.
    pub(crate) lost: usize,
    pub(crate) datagrams: u64,
    /// Calls of `handle_timeout`, and of the system to sleep.
    pub(crate) timeouts: u64,
    pub(crate) sleeps: u64,
}

pub(crate) struct Server {
    epoch: Instant,
    /// Where time does not pass but jumps to what is next: how far it has come.
    virtual_now: Option<Time>,
    /// The resolution of its timers, and of those for consent.
    tick: Duration,
    consent_tick: Duration,
    addresses: u32,
    pacers: Vec<Pacer>,
    cores: Vec<Core>,
    entries: Vec<Entry>,
    timers: BinaryHeap<Reverse<(Time, u32)>>,
    wire: VecDeque<Packet>,
    spare: Vec<Vec<u8>>,
    counts: Counts,
}

impl Server {
    /// A server with so many agents, each two of which are a pair. They are
    /// spread over some addresses, each of which has a pacer.
    pub(crate) fn new(agents: u32, addresses: u32, tick: Duration) -> Result<Self, Error> {
        let mut server = Server {
            epoch: Instant::now(),
            virtual_now: None,
            tick,
            consent_tick: tick,
            addresses,
            pacers: (0..addresses).map(|_| Pacer::new()).collect(),
            cores: Vec::with_capacity(agents as usize),
            entries: Vec::with_capacity(agents as usize),
            timers: BinaryHeap::with_capacity(2 * agents as usize),
            wire: VecDeque::new(),
            spare: Vec::new(),
            counts: Counts::default(),
        };
        for number in 0..agents {
            server.add(number)?;
        }
        Ok(server)
    }

    /// Adds an agent, which gathers at once.
    fn add(&mut self, number: u32) -> Result<(), Error> {
        let role = if number.is_multiple_of(2) { Role::Controlling } else { Role::Controlled };
        let pacer = self.pacers[(number % self.addresses) as usize].clone();
        let mut core = Core::new(Config::new(role), &Seed::from_number(number.into()), pacer);
        core.add_stream(1)?;
        let address = LocalAddress {
            ip: self.address(number).ip(),
            interface: "eth0".into(),
            index: 1,
            prefix: None,
            temporary: None,
            deprecated: None,
        };
        let now = self.now();
        core.handle_input(now, Input::LocalAddresses(&[address]));
        self.cores.push(core);
        self.entries.push(Entry { deadline: NEVER, armed: NEVER, state: State::New });
        Ok(())
    }

    fn address(&self, number: u32) -> SocketAddr {
        let [_, a, b, c] = (number % self.addresses + 1).to_be_bytes();
        let row = u16::try_from(number / self.addresses).ok();
        let port = row.and_then(|row| FIRST_PORT.checked_add(row)).expect("fewer than 55,000 each");
        SocketAddr::new(IpAddr::from([10, a, b, c]), port)
    }

    /// The agent with this address.
    fn number(&self, address: SocketAddr) -> Option<u32> {
        let IpAddr::V4(ip) = address.ip() else { return None };
        let [_, a, b, c] = ip.octets();
        let index = u32::from_be_bytes([0, a, b, c]).checked_sub(1)?;
        let row = u32::from(address.port().checked_sub(FIRST_PORT)?);
        Some(row * self.addresses + index)
    }

    /// Carries over what the two of each pair have to tell each other: checks
    /// start.
    pub(crate) fn signal(&mut self) -> Result<(), Error> {
        let mut candidates: Vec<Vec<Candidate>> = Vec::new();
        for number in 0..self.cores.len() {
            candidates.push(self.drain(number as u32));
        }
        let now = self.now();
        for number in 0..self.cores.len() {
            let peer = number ^ 1;
            let theirs = self.cores[peer].local_credentials(STREAM).ok_or("no stream")?;
            let mut parameters = RemoteParameters::new(&theirs.ufrag, &theirs.pwd);
            parameters.pacing = Pacer::MIN_SPACING;
            let core = &mut self.cores[number];
            core.set_remote_parameters(STREAM, parameters, now)?;
            for candidate in &candidates[peer] {
                core.add_remote_candidate(STREAM, candidate, now)?;
            }
            core.end_of_remote_candidates(STREAM, now)?;
            self.drain(number as u32);
        }
        Ok(())
    }

    /// Works until `is_over` says so, which is asked after each round of what
    /// was due. Returns false if `limit` came first.
    pub(crate) fn run(&mut self, limit: Duration, is_over: impl Fn(&Counts) -> bool) -> bool {
        let end = self.now() + limit;
        loop {
            let now = self.now();
            self.deliver(now);
            self.expire(now);
            if is_over(&self.counts) {
                return true;
            }
            if now >= end {
                return false;
            }
            let timer = self.timers.peek().map_or(NEVER, |Reverse((at, _))| *at);
            let arrival = self.wire.front().map_or(NEVER, |packet| packet.arrives);
            self.sleep_until(timer.min(arrival).min(end));
        }
    }

    /// The work of a while.
    pub(crate) fn run_for(&mut self, time: Duration) -> Counts {
        let before = self.counts;
        self.run(time, |_| false);
        let after = self.counts;
        Counts {
            lost: after.lost - before.lost,
            datagrams: after.datagrams - before.datagrams,
            timeouts: after.timeouts - before.timeouts,
            sleeps: after.sleeps - before.sleeps,
            ..after
        }
    }

    pub(crate) fn set_ticks(&mut self, tick: Duration, consent_tick: Duration) {
        (self.tick, self.consent_tick) = (tick, consent_tick);
    }

    pub(crate) fn counts(&self) -> Counts {
        self.counts
    }

    pub(crate) fn now(&self) -> Time {
        self.virtual_now.unwrap_or_else(|| Time::ZERO + self.epoch.elapsed())
    }

    /// From now on time jumps, and nothing sleeps.
    pub(crate) fn leave_real_time(&mut self) {
        self.virtual_now = Some(self.now());
    }

    /// When the first pacer is free again.
    pub(crate) fn paced_until(&self) -> Time {
        self.pacers[0].reserve(Time::ZERO)
    }

    /// The bytes of what is the server's and no agent's.
    pub(crate) fn own_bytes(&self) -> usize {
        let buffers = self.wire.iter().map(|packet| &packet.bytes).chain(&self.spare);
        buffers.map(Vec::capacity).sum::<usize>()
            + self.wire.capacity() * size_of::<Packet>()
            + self.spare.capacity() * size_of::<Vec<u8>>()
            + self.timers.capacity() * size_of::<Reverse<(Time, u32)>>()
            + self.entries.capacity() * size_of::<Entry>()
    }

    fn sleep_until(&mut self, time: Time) {
        let time = round_up(time, self.tick);
        let rest = time - self.now();
        if let Some(now) = &mut self.virtual_now {
            *now = time.max(*now);
        } else if !rest.is_zero() {
            self.counts.sleeps += 1;
            std::thread::sleep(rest);
        }
    }

    fn deliver(&mut self, now: Time) {
        while self.wire.front().is_some_and(|packet| packet.arrives <= now) {
            let Some(Packet { from, to, bytes, .. }) = self.wire.pop_front() else { return };
            let from = self.address(from);
            let base = BaseId(0);
            let core = &mut self.cores[to as usize];
            core.handle_input(now, Input::Datagram { base, from, bytes: &bytes });
            self.spare.push(bytes);
            self.counts.datagrams += 1;
            self.drain(to);
        }
    }

    fn expire(&mut self, now: Time) {
        while let Some(&Reverse((at, number))) = self.timers.peek().filter(|t| t.0.0 <= now) {
            self.timers.pop();
            let agent = &mut self.entries[number as usize];
            if agent.armed != at {
                continue;
            }
            agent.armed = NEVER;
            if agent.deadline <= now {
                self.cores[number as usize].handle_timeout(now);
                self.counts.timeouts += 1;
                self.drain(number);
            } else {
                self.arm(number);
            }
        }
    }

    /// An earlier deadline is put into the heap at once; a later one when the
    /// entry for the earlier one has come.
    fn arm(&mut self, number: u32) {
        let agent = &mut self.entries[number as usize];
        if agent.deadline < agent.armed {
            agent.armed = agent.deadline;
            self.timers.push(Reverse((agent.deadline, number)));
        }
    }

    /// Does all that an agent wants; returns the candidates that it told of.
    fn drain(&mut self, number: u32) -> Vec<Candidate> {
        let mut candidates = Vec::new();
        let now = self.now();
        loop {
            let mut bytes = self.spare.pop().unwrap_or_default();
            let core = &mut self.cores[number as usize];
            if let Some(transmit) = core.poll_transmit(&mut bytes) {
                let to = self.number(transmit.to).filter(|to| (*to as usize) < self.cores.len());
                if let Some(to) = to {
                    self.wire.push_back(Packet { arrives: now + ONE_WAY, from: number, to, bytes });
                }
                continue;
            }
            self.spare.push(bytes);
            if let Some(op) = core.poll_socket_op() {
                if let SocketOp::BindUdp { base, .. } = op {
                    let local = self.address(number);
                    let core = &mut self.cores[number as usize];
                    core.handle_input(now, Input::Bound { base, local });
                }
            } else if let Some(event) = core.poll_event() {
                match event {
                    Event::Candidate { candidate, .. } => candidates.push(candidate),
                    Event::State { state, .. } => self.entered(number, state),
                    _ => {}
                }
            } else {
                break;
            }
        }
        let deadline = match self.cores[number as usize].poll_timeout() {
            Some((at, Reason::Consent)) => round_up(at, self.consent_tick),
            Some((at, _)) => at,
            None => NEVER,
        };
        self.entries[number as usize].deadline = deadline;
        self.arm(number);
        candidates
    }

    fn entered(&mut self, number: u32, state: State) {
        let before = std::mem::replace(&mut self.entries[number as usize].state, state);
        let has_path = |state| matches!(state, State::Connected | State::Completed);
        let Counts { connected, completed, lost, .. } = &mut self.counts;
        *connected += usize::from(has_path(state));
        *connected -= usize::from(has_path(before));
        *completed += usize::from(state == State::Completed);
        *completed -= usize::from(before == State::Completed);
        *lost += usize::from(matches!(state, State::Disconnected | State::Failed));
    }
}

/// The first tick at or after `time`.
fn round_up(time: Time, tick: Duration) -> Time {
    let tick = u64::try_from(tick.as_nanos()).unwrap_or(u64::MAX).max(1);
    Time::from_nanos(time.as_nanos().div_ceil(tick).saturating_mul(tick))
}
