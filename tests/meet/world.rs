//! Two sides, each behind a NAT of the model, and nothing that signals.

use std::net::IpAddr;
use std::time::Duration;

use floe::agent::Transports;
use floe::punch::{Rendezvous, Secret};
use floe::rng::{Rng, Seed};
use floe::timer::Time;

use crate::model::{INTERNET, Nat, Network, Rules};
use crate::side::{self, Side};

/// Some day in 2027.
pub const DAY: Duration = Duration::from_secs(1_800_000_000);

pub struct Plan {
    pub nats: [Rules; 2],
    pub rtt: Duration,
    pub transports: Transports,
    /// What the clocks say at the beginning.
    pub clocks: [Duration; 2],
    /// When each side starts.
    pub starts: [Duration; 2],
    /// The number of each side's secret.
    pub secrets: [u64; 2],
    /// Whom each side takes for its peer.
    pub peers: [IpAddr; 2],
}

impl Plan {
    pub fn new(nats: [Rules; 2], transports: Transports) -> Self {
        Plan {
            nats,
            rtt: Duration::from_millis(40),
            transports,
            clocks: [DAY; 2],
            starts: [Duration::ZERO; 2],
            secrets: [1; 2],
            peers: [outside(1), outside(0)],
        }
    }
}

pub fn outside(side: usize) -> IpAddr {
    [203, 0, 113, side as u8 + 1].into()
}

pub fn rendezvous(number: u64) -> Rendezvous {
    let text = Secret::new_text(&mut Rng::new(&Seed::from_number(number)));
    Rendezvous::new(text.parse().unwrap())
}

pub struct World {
    pub network: Network,
    pub sides: [Side; 2],
}

impl World {
    pub fn new(plan: &Plan) -> Self {
        let mut network = Network::new(1);
        let sides = [0, 1].map(|side: usize| {
            let nat = Nat::new(plan.nats[side], Some(outside(side)), 20_000);
            let realm = Some(network.add_nat(nat, INTERNET, plan.rtt / 4));
            let ip: IpAddr = [10, side as u8 + 1, 0, 2].into();
            Side::new(side::Plan {
                host: network.add_host(ip, realm, Duration::ZERO),
                ip,
                peer: plan.peers[side],
                rendezvous: rendezvous(plan.secrets[side]),
                tie_breaker: 1_000 * (side as u64 + 1),
                transports: plan.transports,
                clock: plan.clocks[side],
                start: Time::ZERO + plan.starts[side],
            })
        });
        World { network, sides }
    }

    /// Runs until `done`; true if it was within `time`.
    pub fn run(&mut self, time: Duration, done: impl Fn(&World) -> bool) -> bool {
        let end = self.network.now() + time;
        for _ in 0..2_000_000 {
            if done(self) {
                return true;
            }
            let deadlines = self.sides.iter().filter_map(Side::deadline);
            let next = deadlines.chain(self.network.next_event_time()).min();
            let next = next.unwrap_or(end).min(end);
            if next == end && self.network.now() == end {
                return false;
            }
            for happened in self.network.advance(next) {
                let side = self.sides.iter().position(|side| side.host == happened.host).unwrap();
                self.sides[side].happened(&mut self.network, happened.event);
            }
            for side in 0..2 {
                self.sides[side].tick(&mut self.network);
            }
        }
        panic!("no end after two million steps");
    }

    /// Runs until both sides have met; true if they have within `time`.
    pub fn meet(&mut self, time: Duration) -> bool {
        self.run(time, |world| world.sides.iter().all(|side| side.done.is_some()))
    }

    /// Each sends the other a datagram, and has it within a second.
    pub fn exchanges(&mut self) -> bool {
        for side in 0..2 {
            let machine = self.sides[side].machine().unwrap();
            if !machine.send(&mut self.network, &[b'x', side as u8]) {
                return false;
            }
        }
        let has = |world: &World, side: usize| {
            let (key, _) = world.sides[side].done.unwrap();
            let received = &world.sides[side].sessions[&key].machine.received;
            received.contains(&vec![b'x', 1 - side as u8])
        };
        self.run(Duration::from_secs(1), |world| has(world, 0) && has(world, 1))
    }
}
