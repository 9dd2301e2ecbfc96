//! One of the two agents of a run.

use std::collections::BTreeMap;

use floe::Agent;
use floe::agent::{Event, Happened, LogRecord, RemoteParameters, State};
use floe::driver::AgentError;
use floe::timer::Time;

#[cfg(target_os = "linux")]
use super::crossing::Namespace;
use super::report::{AgentReport, Selected};
use crate::stdio::stats;

/// An agent, and what it reported.
pub(crate) struct Side {
    /// What the report calls it.
    pub(crate) name: &'static str,
    /// The agent.
    pub(crate) agent: Agent,
    home: Home,
    candidates: Vec<String>,
    errors: Vec<String>,
    selected: BTreeMap<u16, Selected>,
    state: State,
    failure: Option<String>,
    gathered: bool,
    records: Vec<LogRecord>,
}

/// Where calls of an agent are made: a socket belongs to the network of the
/// thread that makes it.
pub(crate) enum Home {
    /// On the calling thread.
    Here,
    /// On one in a network of its own.
    #[cfg(target_os = "linux")]
    Namespace(Namespace),
}

impl Home {
    /// Makes a call.
    pub(crate) fn call<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        match self {
            Home::Here => work(),
            #[cfg(target_os = "linux")]
            Home::Namespace(namespace) => namespace.call(work),
        }
    }
}

/// A record, and whose it is.
pub(crate) type Named = (&'static str, LogRecord);

impl Side {
    /// A side that has reported nothing.
    pub(crate) fn new(name: &'static str, agent: Agent, home: Home) -> Self {
        Side {
            name,
            agent,
            home,
            candidates: Vec::new(),
            errors: Vec::new(),
            selected: BTreeMap::new(),
            state: State::New,
            failure: None,
            gathered: false,
            records: Vec::new(),
        }
    }

    /// Does what signalling does at first.
    pub(crate) fn accept_credentials_of(&self, peer: &Side) {
        let credentials = peer.agent.credentials();
        let mut parameters = RemoteParameters::new(&credentials.ufrag, &credentials.pwd);
        parameters.pacing = peer.agent.pacing();
        if let Err(error) = self.home.call(|| self.agent.set_remote(parameters)) {
            tracing::warn!(%error, "credentials refused");
        }
    }

    /// Starts to gather.
    pub(crate) fn gather(&self) -> Result<(), AgentError> {
        self.home.call(|| self.agent.gather())
    }

    /// When what happened last happened.
    pub(crate) fn last_record(&mut self) -> Option<Time> {
        self.take_records();
        self.records.last().map(|record| record.at)
    }

    /// Takes note of what has happened up to now.
    pub(crate) fn take_records(&mut self) {
        self.records.extend(self.agent.log_records());
    }

    /// Takes note of an event, and tells the peer what it has to know.
    pub(crate) fn event(&mut self, event: Event, peer: &Side) {
        self.take_records();
        match event {
            Event::Candidate { candidate, .. } => {
                self.candidates.push(candidate.to_string());
                let told = peer.home.call(|| peer.agent.add_remote_candidate(&candidate));
                if let Err(error) = told {
                    tracing::warn!(%error, "candidate refused");
                }
            }
            Event::Sync { message, .. } => {
                if let Err(error) = peer.home.call(|| peer.agent.handle_sync(&message)) {
                    tracing::warn!(%error, "message of the agreement on T0 refused");
                }
            }
            Event::EndOfCandidates { .. } => {
                self.gathered = true;
                if let Err(error) = peer.home.call(|| peer.agent.end_of_remote_candidates()) {
                    tracing::warn!(%error, "end of candidates refused");
                }
            }
            Event::CandidateError { uri, code, text, .. } => {
                self.errors.push(format!("{uri}: {text} ({code})"));
            }
            Event::AddressRefused { ip, text } => {
                self.errors.push(format!("{ip} cannot be used: {text}"));
            }
            Event::State { state, reason } => {
                self.state = state;
                if state == State::Failed {
                    self.failure = Some(reason.to_string());
                }
            }
            Event::Selected { component, local, remote, .. } => {
                let component = component.number();
                let selected =
                    Selected { component, local: local.to_string(), remote: remote.to_string() };
                self.selected.insert(component, selected);
            }
            _ => {}
        }
    }

    /// Why it failed, if it did.
    pub(crate) fn failure(&self) -> Option<String> {
        self.failure.as_ref().map(|reason| format!("{} failed: {reason}", self.name))
    }

    /// Whether it failed.
    pub(crate) fn has_failed(&self) -> bool {
        self.failure.is_some()
    }

    /// Whether it has its selected pairs.
    pub(crate) fn has_completed(&self) -> bool {
        self.state == State::Completed
    }

    /// Whether it has all its candidates.
    pub(crate) fn has_gathered(&self) -> bool {
        self.gathered
    }

    /// What there is to say of it.
    pub(crate) fn report(&self) -> AgentReport {
        AgentReport {
            name: self.name.into(),
            role: self.agent.role().to_string(),
            candidates: self.candidates.clone(),
            errors: self.errors.clone(),
            pairs: stats::pairs(&self.agent.stats()).collect(),
            selected: self.selected.values().cloned().collect(),
        }
    }

    /// All that was taken note of.
    pub(crate) fn into_records(self) -> impl Iterator<Item = Named> {
        let name = self.name;
        self.records.into_iter().map(move |record| (name, record))
    }
}

/// When the second of two agents came to `state` for the first time.
pub(crate) fn both_reached(records: &[Named], state: State) -> Option<Time> {
    let mut first: BTreeMap<&str, Time> = BTreeMap::new();
    for (name, record) in records {
        if matches!(record.what, Happened::State { state: s, .. } if s == state) {
            first.entry(name).or_insert(record.at);
        }
    }
    (first.len() == 2).then(|| first.into_values().max()).flatten()
}
