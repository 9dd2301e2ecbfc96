//! Two agents of webrtc-ice on loopback.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use tokio::sync::mpsc;
use webrtc_ice::agent::Agent;
use webrtc_ice::agent::agent_config::AgentConfig;
use webrtc_ice::candidate::{Candidate, CandidateType};
use webrtc_ice::mdns::MulticastDnsMode;
use webrtc_ice::network_type::NetworkType;
use webrtc_util::Conn;

use crate::channel::{Channel, Error};

/// A connection; its agent has to be kept beside it.
#[derive(Clone)]
pub struct Connection(Arc<dyn Conn + Send + Sync>);

impl Channel for Connection {
    async fn send(&self, datagram: &[u8]) -> Result<(), Error> {
        self.0.send(datagram).await?;
        Ok(())
    }

    async fn recv(&self, buffer: &mut [u8]) -> Result<usize, Error> {
        Ok(self.0.recv(buffer).await?)
    }
}

/// Two agents that have connected.
pub async fn connected() -> Result<([Agent; 2], [Connection; 2]), Error> {
    let agents = [agent(true).await?, agent(false).await?];
    for at in 0..2 {
        let candidates = gather(&agents[at]).await?;
        for candidate in &candidates {
            agents[1 - at].add_remote_candidate(candidate)?;
        }
    }
    let [a, b] = &agents;
    let (of_a, of_b) = (a.get_local_user_credentials().await, b.get_local_user_credentials().await);
    let ((_keep_a, cancel_a), (_keep_b, cancel_b)) = (mpsc::channel(1), mpsc::channel(1));
    let dial = a.dial(cancel_a, of_b.0, of_b.1);
    let accept = b.accept(cancel_b, of_a.0, of_a.1);
    let (dialled, accepted) = tokio::try_join!(dial, accept)?;
    let ends = [Connection(dialled), Connection(accepted)];
    Ok((agents, ends))
}

async fn agent(is_controlling: bool) -> Result<Agent, Error> {
    let loopback = |ip: IpAddr| ip == Ipv4Addr::LOCALHOST;
    let config = AgentConfig {
        is_controlling,
        network_types: vec![NetworkType::Udp4],
        candidate_types: vec![CandidateType::Host],
        multicast_dns_mode: MulticastDnsMode::Disabled,
        include_loopback: true,
        ip_filter: Arc::new(Some(Box::new(loopback))),
        ..AgentConfig::default()
    };
    Ok(Agent::new(config).await?)
}

async fn gather(agent: &Agent) -> Result<Vec<Arc<dyn Candidate + Send + Sync>>, Error> {
    let (sender, mut candidates) = mpsc::channel(64);
    agent.on_candidate(Box::new(move |candidate| {
        let sender = sender.clone();
        Box::pin(async move { drop(sender.send(candidate).await) })
    }));
    agent.gather_candidates()?;
    let mut gathered = Vec::new();
    // `None` stands for the end of candidates.
    while let Some(Some(candidate)) = candidates.recv().await {
        gathered.push(candidate);
    }
    Ok(gathered)
}
