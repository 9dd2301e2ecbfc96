//! rice-proto 0.4.

use std::net::SocketAddr;
use std::time::Duration;

use rice_proto::agent::{Agent as IceAgent, AgentPoll};
use rice_proto::candidate::{Candidate, CandidateType, TransportType};
use rice_proto::stream::Credentials;
use stun_proto::Instant;
use stun_proto::agent::Transmit;

use crate::network::{Agent, Packet};

const COMPONENT: usize = 1;

pub struct RiceAgent {
    agent: IceAgent,
    stream: usize,
    candidates: Vec<Candidate>,
    /// What the last poll asked to be called at.
    deadline: Option<Duration>,
    selected: bool,
}

impl RiceAgent {
    fn new(controlling: bool, sockets: &[SocketAddr]) -> Self {
        let mut agent = IceAgent::builder().controlling(controlling).build();
        let id = agent.add_stream();
        let mut stream = agent.mut_stream(id).expect("the stream");
        stream.add_component().expect("a component");
        let ufrag = rice_proto::random_string(8);
        let passwd = rice_proto::random_string(24);
        stream.set_local_credentials(Credentials { ufrag, passwd });
        let candidates: Vec<_> = (1u8..).zip(sockets).map(|(n, s)| candidate(n, *s)).collect();
        for candidate in &candidates {
            assert!(stream.add_local_candidate(candidate.clone()));
        }
        stream.end_of_local_candidates();
        RiceAgent { agent, stream: id, candidates, deadline: None, selected: false }
    }

    fn signal_to(&self, peer: &mut Self) {
        let ours = self.agent.stream(self.stream).and_then(|s| s.local_credentials());
        let mut stream = peer.agent.mut_stream(peer.stream).expect("the stream");
        stream.set_remote_credentials(ours.expect("credentials"));
        for candidate in &self.candidates {
            stream.add_remote_candidate(candidate.clone());
        }
        stream.end_of_remote_candidates();
    }

    /// Handles everything that is due.
    fn poll(&mut self, now: Duration) {
        loop {
            match self.agent.poll(instant(now)) {
                AgentPoll::WaitUntil(at) => {
                    let nanos = u64::try_from(at.as_nanos()).expect("after the epoch");
                    self.deadline = Some(Duration::from_nanos(nanos));
                    return;
                }
                AgentPoll::SelectedPair(_) => self.selected = true,
                _ => {}
            }
        }
    }
}

/// A host candidate with the priority of RFC 8445 §5.1.2, the first highest.
fn candidate(number: u8, socket: SocketAddr) -> Candidate {
    let foundation = number.to_string();
    let local_preference = u32::from(u16::MAX - u16::from(number));
    let priority = (126 << 24) | (local_preference << 8) | 255;
    Candidate::builder(COMPONENT, CandidateType::Host, TransportType::Udp, &foundation, socket)
        .priority(priority)
        .build()
}

fn instant(now: Duration) -> Instant {
    Instant::from_nanos(i64::try_from(now.as_nanos()).expect("within range"))
}

impl Agent for RiceAgent {
    type Datagram = Box<[u8]>;
    type Machine = Vec<SocketAddr>;

    fn machine(sockets: &[SocketAddr]) -> Vec<SocketAddr> {
        sockets.to_vec()
    }

    fn connect(machines: &[Vec<SocketAddr>; 2]) -> [Self; 2] {
        let mut controlling = RiceAgent::new(true, &machines[0]);
        let mut controlled = RiceAgent::new(false, &machines[1]);
        controlling.signal_to(&mut controlled);
        controlled.signal_to(&mut controlling);
        for agent in [&mut controlling, &mut controlled] {
            agent.poll(Duration::ZERO);
        }
        [controlling, controlled]
    }

    fn deadline(&mut self) -> Option<Duration> {
        self.deadline
    }

    fn handle_timeout(&mut self, now: Duration) {
        self.poll(now);
    }

    fn receive(&mut self, now: Duration, packet: Packet<Box<[u8]>>) {
        let transmit = Transmit::new(packet.datagram, TransportType::Udp, packet.from, packet.to);
        let mut stream = self.agent.mut_stream(self.stream).expect("the stream");
        stream.handle_incoming_data(COMPONENT, transmit, instant(now));
        self.poll(now);
    }

    fn send(&mut self, now: Duration) -> Option<Packet<Box<[u8]>>> {
        let transmit = self.agent.poll_transmit(instant(now))?.transmit;
        Some(Packet { from: transmit.from, to: transmit.to, datagram: transmit.data })
    }

    fn has_selected(&mut self) -> bool {
        self.selected
    }
}
