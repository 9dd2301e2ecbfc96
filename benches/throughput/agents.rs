//! Two agents of ours on loopback.

use std::net::Ipv4Addr;
use std::time::Duration;

use floe::agent::{Event, RemoteParameters};
use floe::candidate::{Candidate, ComponentId};
use floe::check::Role;
use floe::timer::Pacer;
use floe::{Agent, AgentConfig, Connection};

use crate::channel::{Channel, Error};

/// The pacing of both sides.
pub(crate) const TA: Duration = Duration::from_millis(5);

/// An agent on loopback with the candidates that it gathered.
pub(crate) async fn gathered(role: Role) -> Result<(Agent, Vec<Candidate>), Error> {
    gathered_as(role, |_| ()).await
}

/// [`gathered`] with other settings.
pub(crate) async fn gathered_as(
    role: Role,
    set: impl FnOnce(&mut AgentConfig),
) -> Result<(Agent, Vec<Candidate>), Error> {
    let mut config = AgentConfig::new(role);
    config.bind = vec![Ipv4Addr::LOCALHOST.into()];
    config.ice.include_loopback = true;
    config.ice.pacing = TA;
    // The two stand for two machines.
    config.pacer = Some(Pacer::new());
    set(&mut config);
    let agent = Agent::new(config)?;
    agent.gather()?;
    let mut candidates = Vec::new();
    while let Some(event) = agent.next_event().await {
        match event {
            Event::Candidate { candidate, .. } => candidates.push(candidate),
            Event::EndOfCandidates { .. } => break,
            _ => {}
        }
    }
    Ok((agent, candidates))
}

/// Tells `agent` what its peer would signal.
pub(crate) fn tell(
    agent: &Agent,
    (peer, candidates): &(Agent, Vec<Candidate>),
) -> Result<(), Error> {
    let credentials = peer.credentials();
    let mut parameters = RemoteParameters::new(&credentials.ufrag, &credentials.pwd);
    parameters.pacing = TA;
    for candidate in candidates {
        agent.add_remote_candidate(candidate)?;
    }
    agent.end_of_remote_candidates()?;
    agent.set_remote(parameters)?;
    Ok(())
}

/// Two agents that have connected, as their connections, which keep them.
pub(crate) async fn connected() -> Result<[Connection; 2], Error> {
    let (a, b) = (gathered(Role::Controlling).await?, gathered(Role::Controlled).await?);
    connect(a, b).await
}

/// The same for two that have gathered.
pub(crate) async fn connect(
    a: (Agent, Vec<Candidate>),
    b: (Agent, Vec<Candidate>),
) -> Result<[Connection; 2], Error> {
    tell(&a.0, &b)?;
    tell(&b.0, &a)?;
    tokio::try_join!(a.0.completed(), b.0.completed())?;
    let connection = |agent: &Agent| agent.connection(ComponentId::ONE).ok_or("no component 1");
    Ok([connection(&a.0)?, connection(&b.0)?])
}

impl Channel for Connection {
    async fn send(&self, datagram: &[u8]) -> Result<(), Error> {
        Ok(Connection::send(self, datagram).await?)
    }

    async fn recv(&self, buffer: &mut [u8]) -> Result<usize, Error> {
        Ok(Connection::recv(self, buffer).await?)
    }
}
