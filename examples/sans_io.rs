//! The run loop by hand: two cores, without tokio, sockets or a clock. The
//! network is a queue that delays by 20 ms, and time is a number that jumps
//! to whatever is next, so this ends at once and always in the same way.
//!
//! ```sh
//! cargo run --example sans_io --no-default-features
//! ```

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use floe::agent::{
    BaseId, Config, Core, Event, Input, LocalAddress, RemoteParameters, SocketOp, State, StreamId,
};
use floe::check::Role;
use floe::rng::Seed;
use floe::timer::{Pacer, Time};

const ONE_WAY: Duration = Duration::from_millis(20);

/// A datagram on its way.
struct Packet {
    arrives: Time,
    from: SocketAddr,
    to: SocketAddr,
    bytes: Vec<u8>,
}

/// A machine: its address, its core, and the sockets that the core asked for.
struct Machine {
    name: &'static str,
    ip: IpAddr,
    core: Core,
    stream: StreamId,
    bound: BTreeMap<BaseId, SocketAddr>,
}

impl Machine {
    fn new(name: &'static str, last: u8, role: Role) -> Result<Self, Box<dyn std::error::Error>> {
        // A real program takes the seed from the operating system, and gives
        // one pacer to all its agents.
        let seed = Seed::from_number(last.into());
        let mut core = Core::new(Config::new(role), &seed, Pacer::new());
        let stream = core.add_stream(1)?;
        Ok(Machine { name, ip: [192, 0, 2, last].into(), core, stream, bound: BTreeMap::new() })
    }

    /// Drains everything that the core wants, after every change.
    fn drain(&mut self, now: Time, network: &mut VecDeque<Packet>) -> Vec<Event> {
        let mut events = Vec::new();
        let mut bytes = Vec::new();
        loop {
            if let Some(transmit) = self.core.poll_transmit(&mut bytes) {
                let from = self.bound[&transmit.base];
                let arrives = now + ONE_WAY;
                network.push_back(Packet { arrives, from, to: transmit.to, bytes: bytes.clone() });
            } else if let Some(op) = self.core.poll_socket_op() {
                if let SocketOp::BindUdp { base, ip, .. } = op {
                    let local = SocketAddr::new(ip, 40_000);
                    self.bound.insert(base, local);
                    self.core.handle_input(now, Input::Bound { base, local });
                }
            } else if let Some(event) = self.core.poll_event() {
                println!("{:>5} ms  {}: {}", now.as_millis_f64(), self.name, describe(&event));
                events.push(event);
            } else {
                return events;
            }
        }
    }
}

fn describe(event: &Event) -> String {
    match event {
        Event::Candidate { candidate, .. } => candidate.to_string(),
        Event::State { state, reason } => format!("{state}, because {reason}"),
        Event::Selected { local, remote, .. } => format!("selected {local} and {remote}"),
        Event::EndOfCandidates { .. } => "that was the last candidate".to_owned(),
        Event::SendPath { path: Some((_, to)), .. } => format!("data may go to {to}"),
        Event::PathOpened { from, .. } => format!("data may come from {from}"),
        event => format!("{event:?}"),
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut now = Time::from_millis(0);
    let mut network = VecDeque::new();
    let mut machines =
        [Machine::new("alice", 1, Role::Controlling)?, Machine::new("bob", 2, Role::Controlled)?];

    // Gather, and carry over what each has to tell the other.
    for at in 0..2 {
        let (ip, stream) = (machines[at].ip, machines[at].stream);
        let credentials = machines[at].core.local_credentials(stream).ok_or("it was added")?;
        let parameters = RemoteParameters::new(&credentials.ufrag, &credentials.pwd);
        let peer = machines[1 - at].stream;
        machines[1 - at].core.set_remote_parameters(peer, parameters, now)?;
        let address = LocalAddress {
            ip,
            interface: "eth0".into(),
            index: 1,
            prefix: Some(24),
            temporary: None,
            deprecated: None,
        };
        machines[at].core.handle_input(now, Input::LocalAddresses(&[address]));
        for event in machines[at].drain(now, &mut network) {
            match event {
                Event::Candidate { candidate, .. } => {
                    machines[1 - at].core.add_remote_candidate(peer, &candidate, now)?;
                }
                Event::EndOfCandidates { .. } => {
                    machines[1 - at].core.end_of_remote_candidates(peer, now)?;
                }
                _ => {}
            }
        }
    }

    // The run loop: one change, then drain, then on to whatever is next.
    while machines.iter().any(|machine| machine.core.state() < State::Completed) {
        for machine in &mut machines {
            machine.drain(now, &mut network);
        }
        let deadlines = machines.iter().filter_map(|machine| machine.core.poll_timeout());
        let arrivals = network.front().map(|packet| packet.arrives);
        now = deadlines.map(|(at, _why)| at).chain(arrivals).min().ok_or("nothing is left")?;
        let due = network.front().is_some_and(|packet| packet.arrives <= now);
        match if due { network.pop_front() } else { None } {
            Some(Packet { from, to, bytes, .. }) => {
                let [a, b] = &mut machines;
                let machine = if a.ip == to.ip() { a } else { b };
                let base = machine.bound.iter().find(|(_, local)| **local == to);
                let base = *base.ok_or("it was sent to a candidate")?.0;
                machine.core.handle_input(now, Input::Datagram { base, from, bytes: &bytes });
            }
            None => machines.iter_mut().for_each(|machine| machine.core.handle_timeout(now)),
        }
    }
    println!("{:>5} ms  both have completed", now.as_millis_f64());
    Ok(())
}
