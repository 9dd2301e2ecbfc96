//! A rendezvous without signalling on real sockets.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rand::TryRngCore as _;
use tokio::sync::Notify;

use super::agent::Agent;
use super::config::AgentConfig;
use super::error::AgentError;
use super::transport;
use crate::agent::meet::{Meet, PORTS_AT_A_TIME, Progress, Step, next_step};
use crate::agent::{Credentials, State};
use crate::candidate::ComponentId;
use crate::punch::{Meeting, Rendezvous};

/// The wall clock may be set; it is looked at this often at least.
const LOOK: Duration = Duration::from_secs(1);

/// Meets a peer that knows the same secret and our IP address, as we know its,
/// while both have clocks that are right to some seconds: no server, no
/// signalling. Returns the agent that is connected, [`State::Completed`].
///
/// Both sides call it at any time, and wait: it goes on, through one bucket of
/// time after the other, until they have met or the future is dropped, which
/// closes all its sockets. See [`crate::punch::rendezvous`] for what it needs
/// of the NATs on the way, and what knowing the secret means.
///
/// `settings` gives the settings of each agent. Those that do not fit are
/// replaced: [`Meet::configure`] has them, and ports, components, credentials
/// and shared sockets are the rendezvous's own. Of [`Config::transports`] UDP
/// and TCP by simultaneous open count. Where neither addresses nor interfaces
/// are chosen, the address is used from which the system would reach the peer.
///
/// The agent cannot restart ICE, for the peer would not learn of it.
///
/// [`Config::transports`]: crate::agent::Config::transports
///
/// # Errors
///
/// [`AgentError::NoPort`]: at the start no port can be bound, or no transport
/// is left; [`AgentError::Command`]: the policy refuses the peer's address;
/// [`AgentError::NoRuntime`], [`AgentError::NoRandomness`],
/// [`AgentError::Interfaces`].
///
/// # Cancel safety
///
/// Cancel safe.
pub async fn meet(
    rendezvous: &Rendezvous,
    peer: IpAddr,
    settings: impl Fn() -> AgentConfig,
) -> Result<Agent, AgentError> {
    let tie_breaker = rand::rngs::OsRng.try_next_u64().map_err(|_| AgentError::NoRandomness)?;
    let peer = peer.to_canonical();
    let mut sessions = Sessions {
        rendezvous,
        meet: Meet { peer, tie_breaker },
        settings,
        all: Vec::new(),
        refused: Vec::new(),
        wake: Arc::default(),
    };
    sessions.arrange(since_unix()).await?;
    if sessions.all.is_empty() {
        return Err(AgentError::NoPort);
    }
    loop {
        let now = since_unix();
        sessions.arrange(now).await?;
        match next_step(sessions.all.iter().map(|session| (session.key, session.progress()))) {
            Step::Done(key) => return sessions.finish(key).await,
            Step::Nominate(key) => sessions.nominate(key),
            Step::Wait => {}
        }
        let pause = Rendezvous::changes_in(now).min(LOOK);
        tokio::select! {
            () = sessions.wake.notified() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
}

fn since_unix() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// Bucket and port.
type Key = (u64, u16);

struct Session {
    key: Key,
    agent: Agent,
    nominated: bool,
}

impl Session {
    fn progress(&self) -> Progress {
        let (state, role) = (self.agent.state(), self.agent.role());
        Progress { state, role, nominated: self.nominated }
    }

    fn is_valid(&self) -> bool {
        matches!(self.agent.state(), State::Connected | State::Completed)
    }
}

struct Sessions<'a, F> {
    rendezvous: &'a Rendezvous,
    meet: Meet,
    settings: F,
    all: Vec<Session>,
    /// Ports that could not be bound.
    refused: Vec<Key>,
    /// The state of an agent changed.
    wake: Arc<Notify>,
}

impl<F: Fn() -> AgentConfig> Sessions<'_, F> {
    /// Ends what is over, and begins what has begun, or failed and is not over.
    async fn arrange(&mut self, now: Duration) -> Result<(), AgentError> {
        let meetings = self.rendezvous.meetings(now);
        let lasts = |key: &Key| meetings.iter().any(|meeting| meeting.bucket == key.0);
        self.refused.retain(lasts);
        let is_over = |session: &mut Session| {
            let failed = matches!(session.agent.state(), State::Failed | State::Closed);
            failed || !(lasts(&session.key) || session.is_valid())
        };
        let over: Vec<Session> = self.all.extract_if(.., is_over).collect();
        for session in over {
            session.agent.close().await;
        }
        for meeting in &meetings {
            self.fill(meeting)?;
        }
        Ok(())
    }

    /// Begins as many sessions of a meeting as are missing.
    fn fill(&mut self, meeting: &Meeting) -> Result<(), AgentError> {
        let of_it = |session: &&Session| session.key.0 == meeting.bucket;
        let mut missing = PORTS_AT_A_TIME.saturating_sub(self.all.iter().filter(of_it).count());
        for port in meeting.ports {
            let key = (meeting.bucket, port);
            let is_known = self.refused.contains(&key) || self.all.iter().any(|s| s.key == key);
            if missing == 0 || is_known {
                continue;
            }
            match self.begin(meeting, port)? {
                Some(agent) => {
                    self.all.push(Session { key, agent, nominated: false });
                    missing -= 1;
                }
                None => self.refused.push(key),
            }
        }
        Ok(())
    }

    /// An agent on a port; `None` where it cannot be bound.
    fn begin(&self, meeting: &Meeting, port: u16) -> Result<Option<Agent>, AgentError> {
        let config = self.config(meeting, port);
        let parameters = self.meet.parameters(meeting, &config.ice);
        let candidates = self.meet.candidates(port, config.ice.transports);
        let agent = Agent::new(config)?;
        agent.gather()?;
        if !agent.has_candidates() {
            return Ok(None);
        }
        tracing::debug!(bucket = meeting.bucket, port, "a session of the meeting begins");
        let mut state = agent.watch_state();
        let wake = self.wake.clone();
        tokio::spawn(async move {
            while state.changed().await.is_ok() {
                wake.notify_one();
            }
        });
        agent.set_remote(parameters)?;
        for candidate in &candidates {
            agent.add_remote_candidate(candidate)?;
        }
        agent.end_of_remote_candidates()?;
        Ok(Some(agent))
    }

    fn config(&self, meeting: &Meeting, port: u16) -> AgentConfig {
        let mut config = (self.settings)();
        self.meet.configure(&mut config.ice);
        config.credentials = Some(Credentials::of(meeting));
        config.components = 1;
        config.ports = Some(port..=port);
        config.sockets.clear();
        if config.bind.is_empty() && config.interfaces.is_empty() {
            config.bind.extend(transport::source_towards(self.meet.peer));
        }
        config
    }

    fn nominate(&mut self, key: Key) {
        let Some(session) = self.all.iter_mut().find(|session| session.key == key) else { return };
        let pair = session.agent.best_pair(ComponentId::ONE);
        // Where the pair is gone again, the state tells, or another becomes valid.
        session.nominated = pair.is_some_and(|pair| session.agent.nominate(pair).is_ok());
    }

    /// Closes all sessions but one.
    async fn finish(self, key: Key) -> Result<Agent, AgentError> {
        let mut chosen = None;
        for session in self.all {
            if session.key == key {
                chosen = Some(session.agent);
            } else {
                session.agent.close().await;
            }
        }
        chosen.ok_or(AgentError::Closed)
    }
}
