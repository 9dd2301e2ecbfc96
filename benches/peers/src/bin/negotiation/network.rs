//! The network: packets arrive 10 ms after they were sent, and nothing else
//! takes time.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

const ONE_WAY: Duration = Duration::from_millis(10);
/// The first socket of a machine has this port, the next one the next.
const FIRST_PORT: u16 = 5000;

/// A contestant. Times are durations since an epoch of the network's.
pub trait Agent: Sized {
    /// A datagram as this agent gives it out.
    type Datagram;
    /// What a machine with sockets is to such an agent; made beforehand.
    type Machine;

    fn machine(sockets: &[SocketAddr]) -> Self::Machine;
    /// Two agents, the first one controlling, that know each other's
    /// credentials and candidates.
    fn connect(machines: &[Self::Machine; 2]) -> [Self; 2];
    /// When to call [`Agent::handle_timeout`].
    fn deadline(&mut self) -> Option<Duration>;
    fn handle_timeout(&mut self, now: Duration);
    fn receive(&mut self, now: Duration, packet: Packet<Self::Datagram>);
    fn send(&mut self, now: Duration) -> Option<Packet<Self::Datagram>>;
    /// It has reported the pair that it will use. Called after each step;
    /// reads what the agent has to report.
    fn has_selected(&mut self) -> bool;
}

/// A datagram on its way.
pub struct Packet<D> {
    pub from: SocketAddr,
    pub to: SocketAddr,
    pub datagram: D,
}

/// How a negotiation went.
#[derive(Clone, Copy, Debug, Default)]
pub struct Outcome {
    /// When the second agent reported its selected pair.
    pub selected: Duration,
    /// Packets sent until then.
    pub packets: usize,
}

/// Sockets at `count` addresses on either side.
pub fn addresses(count: u8) -> [Vec<SocketAddr>; 2] {
    [1, 2].map(|machine| {
        let socket =
            |n: u8| (Ipv4Addr::new(10, machine, 0, n + 1), FIRST_PORT + u16::from(n)).into();
        (0..count).map(socket).collect()
    })
}

/// Which socket of a machine has the address.
pub fn socket_of(address: SocketAddr) -> u32 {
    u32::from(address.port() - FIRST_PORT)
}

/// Runs until both have selected; gives the agents back with what it took.
pub fn negotiate<A: Agent>(machines: &[A::Machine; 2]) -> ([A; 2], Outcome) {
    let mut agents = A::connect(machines);
    let mut wire: VecDeque<(Duration, usize, Packet<A::Datagram>)> = VecDeque::new();
    let mut now = Duration::ZERO;
    let mut packets = 0;
    let mut deadlines = [None; 2];
    let mut selected = [false; 2];
    let mut touched = [true; 2];
    for _ in 0..1_000_000 {
        for at in 0..2 {
            if !touched[at] {
                continue;
            }
            while let Some(packet) = agents[at].send(now) {
                packets += 1;
                wire.push_back((now + ONE_WAY, 1 - at, packet));
            }
            selected[at] |= agents[at].has_selected();
            deadlines[at] = agents[at].deadline();
        }
        if selected == [true; 2] {
            return (agents, Outcome { selected: now, packets });
        }
        let arrival = wire.front().map(|(arrives, ..)| *arrives);
        let next = deadlines.into_iter().chain([arrival]).flatten().min();
        now = now.max(next.expect("something is always to be done"));
        touched = [false; 2];
        while let Some((_, to, packet)) = wire.pop_front_if(|(arrives, ..)| *arrives <= now) {
            agents[to].receive(now, packet);
            touched[to] = true;
        }
        for at in 0..2 {
            if deadlines[at].is_some_and(|deadline| deadline <= now) {
                agents[at].handle_timeout(now);
                touched[at] = true;
            }
        }
    }
    panic!("no pair was selected in a million steps");
}
