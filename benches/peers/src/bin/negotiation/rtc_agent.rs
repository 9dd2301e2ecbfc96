//! rtc-ice 0.21.

use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use rtc_ice::candidate::CandidateConfig;
use rtc_ice::candidate::candidate_host::CandidateHostConfig;
use rtc_ice::crypto::RTCCryptoProvider;
use rtc_ice::{Agent as IceAgent, AgentConfig};
use rtc_shared::{TransportContext, TransportMessage, TransportProtocol};
use sansio::Protocol;

use crate::network::{Agent, Packet};

static EPOCH: LazyLock<Instant> = LazyLock::new(Instant::now);
static CRYPTO: LazyLock<Arc<dyn RTCCryptoProvider>> =
    LazyLock::new(|| rtc_ice::crypto::default_provider().expect("a provider is built in"));

pub struct RtcAgent {
    agent: IceAgent,
}

impl RtcAgent {
    fn new(sockets: &[SocketAddr]) -> Self {
        let config = Arc::new(AgentConfig::default());
        let mut agent = IceAgent::new(*EPOCH, config, CRYPTO.clone()).expect("an agent");
        for socket in sockets {
            let base_config = CandidateConfig {
                network: "udp".to_owned(),
                address: socket.ip().to_string(),
                port: socket.port(),
                component: 1,
                ..CandidateConfig::default()
            };
            let config = CandidateHostConfig { base_config, ..CandidateHostConfig::default() };
            let candidate = config.new_candidate_host().expect("a candidate");
            agent.add_local_candidate(candidate).expect("taken");
        }
        RtcAgent { agent }
    }

    fn signal_to(&self, peer: &mut Self, controlling: bool) {
        let credentials = self.agent.get_local_credentials();
        let (ufrag, pwd) = (credentials.ufrag.clone(), credentials.pwd.clone());
        for candidate in self.agent.get_local_candidates() {
            peer.agent.add_remote_candidate(candidate.clone()).expect("taken");
        }
        peer.agent.start_connectivity_checks(*EPOCH, controlling, ufrag, pwd).expect("started");
    }
}

impl Agent for RtcAgent {
    type Datagram = BytesMut;
    type Machine = Vec<SocketAddr>;

    fn machine(sockets: &[SocketAddr]) -> Vec<SocketAddr> {
        sockets.to_vec()
    }

    fn connect(machines: &[Vec<SocketAddr>; 2]) -> [Self; 2] {
        let mut controlling = RtcAgent::new(&machines[0]);
        let mut controlled = RtcAgent::new(&machines[1]);
        controlling.signal_to(&mut controlled, false);
        controlled.signal_to(&mut controlling, true);
        [controlling, controlled]
    }

    fn deadline(&mut self) -> Option<Duration> {
        self.agent.poll_timeout().map(|at| at.saturating_duration_since(*EPOCH))
    }

    fn handle_timeout(&mut self, now: Duration) {
        self.agent.handle_timeout(*EPOCH + now).expect("handled");
    }

    fn receive(&mut self, now: Duration, packet: Packet<BytesMut>) {
        let message = TransportMessage {
            now: *EPOCH + now,
            transport: TransportContext {
                local_addr: packet.to,
                peer_addr: packet.from,
                transport_protocol: TransportProtocol::UDP,
                ecn: None,
            },
            message: packet.datagram,
        };
        self.agent.handle_read(message).expect("read");
    }

    fn send(&mut self, _now: Duration) -> Option<Packet<BytesMut>> {
        let TransportMessage { transport, message, .. } = self.agent.poll_write()?;
        Some(Packet { from: transport.local_addr, to: transport.peer_addr, datagram: message })
    }

    fn has_selected(&mut self) -> bool {
        while self.agent.poll_event().is_some() {}
        self.agent.get_selected_candidate_pair().is_some()
    }
}
