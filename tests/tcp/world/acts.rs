//! What tests do with the two agents, and ask of them.

use std::net::SocketAddr;
use std::time::Duration;

use floe::agent::replay::replay;
use floe::agent::{Sockets, State};

use crate::machine::{Machine, STREAM};
use crate::model::{HostId, INTERNET};
use crate::world::World;

impl World {
    /// A host at this address that accepts connections, and answers with this.
    pub fn add_stranger(&mut self, address: SocketAddr, answer: &[u8]) -> HostId {
        let host = self.network.add_host(address.ip(), INTERNET, Duration::from_millis(10));
        self.network.listen(host, address, 128).unwrap();
        self.stranger = Some((host, answer.to_vec()));
        host
    }

    pub fn restart(&mut self, side: usize) {
        let now = self.now();
        self.machines[side].core.restart(STREAM, Sockets::Keep, now).unwrap();
        self.machines[side].drain(&mut self.network);
    }

    pub fn reset(&mut self, side: usize) {
        let World { machines, network, .. } = self;
        machines[side].reset_all(network);
    }

    pub fn pause(&mut self, side: usize, paused: bool) {
        let World { machines, network, .. } = self;
        machines[side].pause(network, paused);
    }

    /// Both end; what they did comes out of their logs once more.
    pub fn close(&mut self) {
        for machine in &mut self.machines {
            let now = self.network.now();
            machine.core.close(now);
            machine.drain(&mut self.network);
            let records = std::mem::take(&mut machine.records);
            let count = records.len() as u64;
            let replayed = replay(records).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(replayed.records, count);
            assert_eq!(machine.core.lost_log_records(), 0);
        }
    }

    /// All that is known of how it came to this.
    pub fn describe(&self) {
        for (side, machine) in self.machines.iter().enumerate() {
            println!("side {side} at {}: {:?}", self.now(), machine.core.state());
            machine.states.iter().for_each(|state| println!("  {state:?}"));
            for pair in machine.pairs() {
                println!(
                    "  {:?} {:?} {:?} -> {:?}: {:?} {:?}, {} sent, {} answered, {} received",
                    pair.id,
                    pair.local.tcp_type,
                    pair.local.address(),
                    pair.remote.address(),
                    pair.state,
                    pair.reason,
                    pair.sent,
                    pair.answered,
                    pair.received
                );
            }
            println!("  open: {:?}", machine.open().collect::<Vec<_>>());
        }
    }

    /// Runs until both are connected; true if they were within 45 s.
    pub fn connects(&mut self) -> bool {
        self.run_for(Duration::from_secs(45), |w| w.machines.iter().all(Machine::connected));
        self.machines.iter().all(Machine::connected)
    }

    /// Runs until both have completed.
    pub fn completes(&mut self) -> bool {
        let is_completed = |m: &Machine| m.core.state() == State::Completed;
        self.run_for(Duration::from_secs(45), |w| w.machines.iter().all(is_completed));
        self.machines.iter().all(is_completed)
    }

    /// Each sends the other a datagram, and has it within a second.
    pub fn exchanges(&mut self, text: &[u8]) -> bool {
        for side in 0..2 {
            let bytes = [text, &[side as u8]].concat();
            if !self.machines[side].send(&mut self.network, &bytes) {
                return false;
            }
        }
        let has = |world: &World, side: usize| {
            let expected = [text, &[1 - side as u8]].concat();
            world.machines[side].received.contains(&expected)
        };
        self.run_for(Duration::from_secs(1), |world| has(world, 0) && has(world, 1));
        has(self, 0) && has(self, 1)
    }
}
