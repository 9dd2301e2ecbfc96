use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::config::AgentConfig;
use super::connection::Connection;
use super::drive::Shared;
use super::error::AgentError;
use super::stats::Stats;
use crate::agent::{
    Credentials, Event, LogRecord, RemoteParameters, Sockets, State, StateReason, StreamId,
};
use crate::candidate::{Candidate, ComponentId};
use crate::check::{PairId, Role};
use crate::turn::Secrets;

/// An ICE agent on real sockets. A clone is another handle on the same agent;
/// when the last handle is gone, [`Stream`]s and [`Connection`]s counted, every
/// socket is closed and every task ends.
///
/// The calls that concern a stream are those of the agent's first stream
/// ([`AgentConfig::components`] says how large it is); [`Agent::add_stream`]
/// makes more.
///
/// # Example
///
/// ```no_run
/// use floe::agent::{Event, RemoteParameters};
/// use floe::candidate::ComponentId;
/// use floe::check::Role;
/// use floe::{Agent, AgentConfig};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let mut config = AgentConfig::new(Role::Controlling);
/// config.ice.stun_servers.push("stun:stun.example.org".parse()?);
/// let agent = Agent::new(config)?;
///
/// // Signal our credentials and candidates to the peer …
/// println!("{:?}", agent.credentials());
/// agent.gather()?;
/// while let Some(event) = agent.next_event().await {
///     match event {
///         Event::Candidate { candidate, .. } => println!("{candidate}"),
///         Event::EndOfCandidates { .. } => break,
///         _ => {}
///     }
/// }
/// // … and take the peer's.
/// agent.set_remote(RemoteParameters::new("8hhY", "asd88fgpdd777uzjYhagZg"))?;
/// agent.add_remote_candidate(&"candidate:1 1 udp 2130706431 192.0.2.7 50000 typ host".parse()?)?;
/// agent.end_of_remote_candidates()?;
///
/// agent.connected().await?;
/// let connection = agent.connection(ComponentId::ONE).ok_or("no component 1")?;
/// connection.send(b"hello").await?;
/// let mut buffer = [0; 1_500];
/// let length = connection.recv(&mut buffer).await?;
/// println!("{:?}", &buffer[..length]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Agent {
    handle: Arc<Handle>,
    first: StreamId,
}

/// A data stream of an agent: credentials and candidates are its own.
#[derive(Clone)]
pub struct Stream {
    handle: Arc<Handle>,
    id: StreamId,
}

/// What all handles on an agent share. The tasks do not hold it.
pub(super) struct Handle {
    pub(super) shared: Arc<Shared>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        drop(self.shared.shut_down());
    }
}

impl Agent {
    /// Makes an agent with its first stream. Nothing is sent and no socket is
    /// bound before [`Agent::gather`].
    ///
    /// # Errors
    ///
    /// [`AgentError::NoRuntime`] outside of a tokio runtime,
    /// [`AgentError::NoRandomness`], and [`AgentError::Command`] for a number
    /// of components out of 1 to 256 or credentials out of the grammar.
    pub fn new(config: AgentConfig) -> Result<Self, AgentError> {
        let (components, credentials) = (config.components, config.credentials.clone());
        let shared = Shared::start(config)?;
        let handle = Arc::new(Handle { shared });
        let first = handle.shared.add_stream_with(components, credentials)?;
        Ok(Agent { handle, first })
    }

    /// The agent's first stream.
    pub fn stream(&self) -> Stream {
        Stream { handle: self.handle.clone(), id: self.first }
    }

    /// Adds a stream with components 1 to `components`. After
    /// [`Agent::gather`] it gathers its candidates at once.
    ///
    /// # Errors
    ///
    /// [`AgentError::Command`]: a number of components out of 1 to 256, or too
    /// many streams.
    pub fn add_stream(&self, components: u16) -> Result<Stream, AgentError> {
        let id = self.handle.shared.add_stream(components)?;
        Ok(Stream { handle: self.handle.clone(), id })
    }

    /// Restarts ICE for every stream (RFC 8445 §9): [`Event::Restarted`] and
    /// new candidates follow, to be signalled like the first. Data goes on over
    /// the paths that carry it until new pairs are selected.
    ///
    /// A peer that restarts needs no such call: give its new credentials to
    /// [`Stream::set_remote`], and [`Event::Restarted`] has ours to answer with.
    ///
    /// # Errors
    ///
    /// [`AgentError::Command`]: the agent is closed.
    pub fn restart(&self, sockets: Sockets) -> Result<(), AgentError> {
        self.handle.shared.restart_all(sockets)
    }

    /// Removes a stream other than the first: its sockets are closed and its
    /// connections give errors.
    ///
    /// # Errors
    ///
    /// [`AgentError::FirstStream`], [`AgentError::Command`]: there is no such
    /// stream any more.
    pub fn remove_stream(&self, stream: &Stream) -> Result<(), AgentError> {
        if stream.id == self.first {
            return Err(AgentError::FirstStream);
        }
        self.handle.shared.remove_stream(stream.id)
    }

    /// Lists the addresses of this machine, binds sockets to them and starts
    /// to gather candidates, which come as [`Event::Candidate`]. Only the
    /// first call counts.
    ///
    /// # Errors
    ///
    /// [`AgentError::Interfaces`], [`AgentError::Closed`].
    pub fn gather(&self) -> Result<(), AgentError> {
        self.handle.shared.gather()
    }

    /// The next event: candidates, candidate errors, states and selected
    /// pairs, for all streams. `None` once the agent is closed and all events
    /// were read. Where several tasks wait, each event goes to one of them.
    ///
    /// Events that are not read cost bounded memory: where many wait, those
    /// that a later state or selected pair has overtaken are forgotten.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: an event that was not returned stays.
    pub async fn next_event(&self) -> Option<Event> {
        self.handle.shared.events.next().await
    }

    /// Waits until every component of every stream has a valid pair, so that
    /// data may be sent ([`State::Connected`] or [`State::Completed`]).
    ///
    /// # Errors
    ///
    /// [`AgentError::Failed`], [`AgentError::Closed`].
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn connected(&self) -> Result<(), AgentError> {
        self.handle.shared.reached(&[State::Connected, State::Completed]).await
    }

    /// Waits until every component has its selected pair and checks have
    /// ended ([`State::Completed`]).
    ///
    /// # Errors
    ///
    /// [`AgentError::Failed`], [`AgentError::Closed`].
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn completed(&self) -> Result<(), AgentError> {
        self.handle.shared.reached(&[State::Completed]).await
    }

    /// The state.
    pub fn state(&self) -> State {
        self.handle.shared.with_core(|core| core.state())
    }

    /// The role; a conflict may have changed it.
    pub fn role(&self) -> Role {
        self.handle.shared.with_core(|core| core.role())
    }

    /// What we can do, in the words of `ice-options` (RFC 8839 §5.6): to be
    /// signalled, and given to the peer's [`Stream::set_remote`].
    pub fn options(&self) -> Vec<&'static str> {
        self.handle.shared.with_core(|core| core.options())
    }

    /// Uses another user and password towards the TURN server with this URI, such
    /// as a provider gives for a term. [`Event::SecretsExpired`] says when it is
    /// time, at the latest.
    ///
    /// # Errors
    ///
    /// [`AgentError::Command`]: there is no such server, or the agent is closed.
    pub fn renew_secrets(&self, uri: &str, secrets: Secrets) -> Result<(), AgentError> {
        self.handle.shared.renew_secrets(uri, secrets)
    }

    /// Nominates a valid pair of [`Agent::stats`], by the application's choice:
    /// before a pair of its component is selected, or at any time where both
    /// sides list the option `renomination`.
    ///
    /// # Errors
    ///
    /// [`AgentError::Command`]: we are not controlling, the pair is not valid,
    /// or the peer knows no renomination.
    pub fn nominate(&self, pair: PairId) -> Result<(), AgentError> {
        self.handle.shared.nominate(pair)
    }

    /// The best valid pair of a component of the first stream, if there is one.
    pub fn best_pair(&self, component: ComponentId) -> Option<PairId> {
        self.handle.shared.with_core(|core| core.best_pair(self.first, component))
    }

    /// Whether there is any local candidate.
    pub(super) fn has_candidates(&self) -> bool {
        !self.stats().local_candidates.is_empty()
    }

    /// Tells when the state changes; it does not keep the agent.
    pub(super) fn watch_state(&self) -> watch::Receiver<(State, StateReason)> {
        self.handle.shared.watch_state()
    }

    /// Ta: what we offer, or the larger of both sides' once theirs is known.
    pub fn pacing(&self) -> Duration {
        self.handle.shared.with_core(|core| core.pacing())
    }

    /// Candidates, pairs, transports and counters.
    pub fn stats(&self) -> Stats {
        self.handle.shared.stats()
    }

    /// The records of what happened since the last call; empty unless
    /// [`crate::agent::Config::log`] is set. Their times are durations since
    /// a moment that all agents of the process share.
    pub fn log_records(&self) -> Vec<LogRecord> {
        let records =
            |core: &mut crate::agent::Core| std::iter::from_fn(|| core.poll_log()).collect();
        self.handle.shared.with_core(records)
    }

    /// Closes the agent for all handles: sockets are closed when it returns,
    /// connections give errors, events end.
    ///
    /// # Cancel safety
    ///
    /// The agent is closed from the first poll on; only the wait for its
    /// sockets is cancelled.
    pub async fn close(&self) {
        for socket in self.handle.shared.shut_down() {
            socket.stop().await;
        }
    }

    /// [`Stream::credentials`] of the first stream.
    pub fn credentials(&self) -> Credentials {
        let credentials = self.handle.shared.credentials(self.first);
        credentials.expect("invariant: the first stream is never removed")
    }

    /// [`Stream::set_remote`] of the first stream.
    ///
    /// # Errors
    ///
    /// Those of [`Stream::set_remote`].
    pub fn set_remote(&self, parameters: RemoteParameters) -> Result<(), AgentError> {
        self.handle.shared.set_remote(self.first, parameters)
    }

    /// [`Stream::add_remote_candidate`] of the first stream.
    ///
    /// # Errors
    ///
    /// Those of [`Stream::add_remote_candidate`].
    pub fn add_remote_candidate(&self, candidate: &Candidate) -> Result<(), AgentError> {
        self.handle.shared.add_remote_candidate(self.first, candidate)
    }

    /// [`Stream::end_of_remote_candidates`] of the first stream.
    ///
    /// # Errors
    ///
    /// Those of [`Stream::end_of_remote_candidates`].
    pub fn end_of_remote_candidates(&self) -> Result<(), AgentError> {
        self.handle.shared.end_of_remote_candidates(self.first)
    }

    /// [`Stream::handle_sync`] of the first stream.
    ///
    /// # Errors
    ///
    /// Those of [`Stream::handle_sync`].
    pub fn handle_sync(&self, message: &str) -> Result<(), AgentError> {
        self.handle.shared.handle_sync(self.first, message)
    }

    /// [`Stream::connection`] of the first stream.
    pub fn connection(&self, component: ComponentId) -> Option<Connection> {
        connection(&self.handle, self.first, component)
    }
}

impl Stream {
    /// Its number.
    pub fn id(&self) -> StreamId {
        self.id
    }

    /// Our credentials, to be signalled to the peer.
    ///
    /// # Errors
    ///
    /// [`AgentError::Command`]: the stream was removed.
    pub fn credentials(&self) -> Result<Credentials, AgentError> {
        self.handle.shared.credentials(self.id)
    }

    /// What the peer signalled of the stream: checks start. May be called
    /// before or after candidates are added. Other credentials than before
    /// mean that the peer restarts ICE: [`Event::Restarted`] answers.
    ///
    /// # Errors
    ///
    /// [`AgentError::Command`]; the session is as it was.
    pub fn set_remote(&self, parameters: RemoteParameters) -> Result<(), AgentError> {
        self.handle.shared.set_remote(self.id, parameters)
    }

    /// [`Agent::restart`] for this stream alone. Returns the new credentials.
    ///
    /// # Errors
    ///
    /// [`AgentError::Command`]: the agent is closed, or the stream was removed.
    pub fn restart(&self, sockets: Sockets) -> Result<Credentials, AgentError> {
        self.handle.shared.restart(self.id, sockets)
    }

    /// Revokes our consent to be sent to (RFC 7675 §5.2): the peer is told at
    /// its next check, and nothing is sent to it any more. Only a restart
    /// brings the stream back.
    ///
    /// # Errors
    ///
    /// [`AgentError::Command`]: the agent is closed, or the stream was removed.
    pub fn revoke_consent(&self) -> Result<(), AgentError> {
        self.handle.shared.revoke_consent(self.id)
    }

    /// A candidate that the peer signalled.
    ///
    /// # Errors
    ///
    /// [`AgentError::Command`]: it was not taken; the session goes on.
    pub fn add_remote_candidate(&self, candidate: &Candidate) -> Result<(), AgentError> {
        self.handle.shared.add_remote_candidate(self.id, candidate)
    }

    /// The peer signals no more candidates of the stream.
    ///
    /// # Errors
    ///
    /// [`AgentError::Command`]: the agent is closed.
    pub fn end_of_remote_candidates(&self) -> Result<(), AgentError> {
        self.handle.shared.end_of_remote_candidates(self.id)
    }

    /// A message of the peer's [`Event::Sync`].
    ///
    /// # Errors
    ///
    /// [`AgentError::Command`]: it is no such message, or the agent is closed.
    pub fn handle_sync(&self, message: &str) -> Result<(), AgentError> {
        self.handle.shared.handle_sync(self.id, message)
    }

    /// The connection of a component, if the stream has it. It can be had at
    /// any time, and carries data once the component has a valid pair.
    pub fn connection(&self, component: ComponentId) -> Option<Connection> {
        connection(&self.handle, self.id, component)
    }
}

fn connection(
    handle: &Arc<Handle>,
    stream: StreamId,
    component: ComponentId,
) -> Option<Connection> {
    let component = handle.shared.component(stream, component)?;
    Some(Connection::new(handle.clone(), component))
}

impl fmt::Debug for Agent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Agent").field("state", &self.state()).finish_non_exhaustive()
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream").field("id", &self.id).finish_non_exhaustive()
    }
}
