//! floe's core.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use floe::agent::{
    BaseId, Config, Core, Event, Input, LocalAddress, RemoteParameters, SocketOp, StreamId,
};
use floe::candidate::Candidate;
use floe::check::Role;
use floe::rng::Seed;
use floe::timer::{Pacer, Time};

use crate::network::{Agent, Packet, socket_of};

pub struct FloeAgent {
    core: Core,
    stream: StreamId,
    candidates: Vec<Candidate>,
    machine: Rc<Machine>,
    selected: bool,
}

/// What a driver has before it makes an agent.
pub struct Machine {
    addresses: Vec<LocalAddress>,
    sockets: Vec<SocketAddr>,
    /// Buffers of datagrams that were received, to be written again.
    buffers: RefCell<Vec<Vec<u8>>>,
}

impl FloeAgent {
    fn new(role: Role, seed: u64, machine: &Rc<Machine>) -> Self {
        let seed = Seed::from_number(seed);
        let mut core = Core::new(Config::new(role), &seed, Pacer::new());
        let stream = core.add_stream(1).expect("a stream");
        core.handle_input(Time::ZERO, Input::LocalAddresses(&machine.addresses));
        while let Some(op) = core.poll_socket_op() {
            let SocketOp::BindUdp { base, .. } = op else { panic!("not expected: {op:?}") };
            let local = machine.sockets[base.0 as usize];
            core.handle_input(Time::ZERO, Input::Bound { base, local });
        }
        let candidates = Vec::with_capacity(machine.sockets.len());
        let machine = Rc::clone(machine);
        let mut agent = FloeAgent { core, stream, candidates, machine, selected: false };
        agent.read_events();
        agent
    }

    fn read_events(&mut self) {
        while let Some(event) = self.core.poll_event() {
            match event {
                Event::Candidate { candidate, .. } => self.candidates.push(candidate),
                Event::Selected { .. } => self.selected = true,
                _ => {}
            }
        }
    }

    fn signal_to(&self, peer: &mut FloeAgent) {
        let credentials = self.core.local_credentials(self.stream).expect("credentials");
        let mut parameters = RemoteParameters::new(&credentials.ufrag, &credentials.pwd);
        parameters.pacing = self.core.pacing();
        let (core, stream) = (&mut peer.core, peer.stream);
        core.set_remote_parameters(stream, parameters, Time::ZERO).expect("parameters");
        for candidate in &self.candidates {
            core.add_remote_candidate(stream, candidate, Time::ZERO).expect("a candidate");
        }
        core.end_of_remote_candidates(stream, Time::ZERO).expect("the end");
    }
}

impl Agent for FloeAgent {
    type Datagram = Vec<u8>;
    type Machine = Rc<Machine>;

    fn machine(sockets: &[SocketAddr]) -> Rc<Machine> {
        let addresses = sockets.iter().map(local_address).collect();
        Rc::new(Machine { addresses, sockets: sockets.to_vec(), buffers: RefCell::default() })
    }

    fn connect(machines: &[Rc<Machine>; 2]) -> [Self; 2] {
        let mut controlling = FloeAgent::new(Role::Controlling, 1, &machines[0]);
        let mut controlled = FloeAgent::new(Role::Controlled, 2, &machines[1]);
        controlling.signal_to(&mut controlled);
        controlled.signal_to(&mut controlling);
        [controlling, controlled]
    }

    fn deadline(&mut self) -> Option<Duration> {
        self.core.poll_timeout().map(|(at, _)| at.since_epoch())
    }

    fn handle_timeout(&mut self, now: Duration) {
        self.core.handle_timeout(Time::ZERO + now);
    }

    fn receive(&mut self, now: Duration, packet: Packet<Vec<u8>>) {
        let base = BaseId(socket_of(packet.to));
        let input = Input::Datagram { base, from: packet.from, bytes: &packet.datagram };
        self.core.handle_input(Time::ZERO + now, input);
        self.machine.buffers.borrow_mut().push(packet.datagram);
    }

    fn send(&mut self, _now: Duration) -> Option<Packet<Vec<u8>>> {
        let mut buffers = self.machine.buffers.borrow_mut();
        let mut datagram = buffers.pop().unwrap_or_else(|| Vec::with_capacity(256));
        let Some(transmit) = self.core.poll_transmit(&mut datagram) else {
            buffers.push(datagram);
            return None;
        };
        let from = self.machine.sockets[transmit.base.0 as usize];
        Some(Packet { from, to: transmit.to, datagram })
    }

    fn has_selected(&mut self) -> bool {
        self.read_events();
        self.selected
    }
}

fn local_address(socket: &SocketAddr) -> LocalAddress {
    LocalAddress {
        ip: socket.ip(),
        interface: "eth0".into(),
        index: 1,
        prefix: None,
        temporary: None,
        deprecated: None,
    }
}
