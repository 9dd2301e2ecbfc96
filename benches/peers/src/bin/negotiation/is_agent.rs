//! `is` 0.12, called in two ways.

use std::marker::PhantomData;
use std::net::SocketAddr;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use is::stun::{StunMessage, StunPacket};
use is::{Candidate, IceAgent, IceAgentEvent, IceCreds, Protocol};

use crate::network::{Agent, Packet};

/// Its timeout is handled when it says so, and after every datagram too: a
/// pair that is valid is nominated at once.
pub struct Eager;
/// The same, up to its own report: the controlling side says that a pair is
/// nominated before the nomination is sent.
pub struct EagerReport;
/// Its timeout is handled when it says so: nothing new is sent for 50 ms
/// after the first check.
pub struct Relaxed;

pub trait Calls {
    const EAGER: bool;
    /// The controlling side waits until its nomination is answered.
    const ANSWERED: bool;
}

impl Calls for Eager {
    const EAGER: bool = true;
    const ANSWERED: bool = true;
}

impl Calls for EagerReport {
    const EAGER: bool = true;
    const ANSWERED: bool = false;
}

impl Calls for Relaxed {
    const EAGER: bool = false;
    const ANSWERED: bool = true;
}

static EPOCH: LazyLock<Instant> = LazyLock::new(Instant::now);

pub struct IsAgent<C> {
    agent: IceAgent,
    nominated: bool,
    calls: PhantomData<C>,
}

impl<C: Calls> IsAgent<C> {
    fn new(controlling: bool, sockets: &[SocketAddr]) -> Self {
        let mut agent = IceAgent::new(IceCreds::new());
        agent.set_controlling(controlling);
        for socket in sockets {
            let candidate = Candidate::host(*socket, Protocol::Udp).expect("a candidate");
            agent.add_local_candidate(candidate).expect("not redundant");
        }
        IsAgent { agent, nominated: false, calls: PhantomData }
    }

    fn signal_to(&self, peer: &mut Self) {
        peer.agent.set_remote_credentials(self.agent.local_credentials().clone());
        for candidate in self.agent.local_candidates() {
            peer.agent.add_remote_candidate(candidate);
        }
    }
}

impl<C: Calls> Agent for IsAgent<C> {
    type Datagram = Vec<u8>;
    type Machine = Vec<SocketAddr>;

    fn machine(sockets: &[SocketAddr]) -> Vec<SocketAddr> {
        sockets.to_vec()
    }

    fn connect(machines: &[Vec<SocketAddr>; 2]) -> [Self; 2] {
        let mut controlling = IsAgent::new(true, &machines[0]);
        let mut controlled = IsAgent::new(false, &machines[1]);
        controlling.signal_to(&mut controlled);
        controlled.signal_to(&mut controlling);
        for agent in [&mut controlling, &mut controlled] {
            agent.agent.handle_timeout(*EPOCH);
        }
        [controlling, controlled]
    }

    fn deadline(&mut self) -> Option<Duration> {
        self.agent.poll_timeout().map(|at| at.saturating_duration_since(*EPOCH))
    }

    fn handle_timeout(&mut self, now: Duration) {
        self.agent.handle_timeout(*EPOCH + now);
    }

    fn receive(&mut self, now: Duration, packet: Packet<Vec<u8>>) {
        let message = StunMessage::parse(&packet.datagram).expect("a STUN message");
        let (source, destination) = (packet.from, packet.to);
        let packet = StunPacket { proto: Protocol::Udp, source, destination, message };
        self.agent.handle_packet(*EPOCH + now, packet);
        if C::EAGER {
            self.agent.handle_timeout(*EPOCH + now);
        }
    }

    fn send(&mut self, _now: Duration) -> Option<Packet<Vec<u8>>> {
        let transmit = self.agent.poll_transmit()?;
        let (from, to) = (transmit.source, transmit.destination);
        Some(Packet { from, to, datagram: transmit.contents.into() })
    }

    fn has_selected(&mut self) -> bool {
        while let Some(event) = self.agent.poll_event() {
            self.nominated |= matches!(event, IceAgentEvent::NominatedSend { .. });
        }
        // The first answer made the pair valid, the second one selected it.
        let answers = if C::ANSWERED && self.agent.controlling() { 2 } else { 0 };
        self.nominated && self.agent.nominated_pair_responses_received() >= Some(answers)
    }
}
