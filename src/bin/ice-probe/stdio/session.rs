//! The session behind the lines: what a line does to the agent, and what an
//! event of the agent prints.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use floe::agent::{self, Event, Sockets, State};
use floe::candidate::ComponentId;
use floe::driver::AgentError;
use floe::{Agent, Connection};

use super::lines::{Line, Writer};
use super::signalling::Signalling;
use super::stats;
use crate::args;
use crate::eventlog::EventLog;
use crate::jsonl::{BadLine, Input, Output};
use crate::outcome::Outcome;

/// An agent and what the lines so far have made of it.
pub(crate) struct Session {
    agent: Agent,
    connections: Vec<Connection>,
    ufrag: String,
    /// The agent has met its peer without signalling.
    has_met: bool,
    signalling: Signalling,
    state: State,
    selected: BTreeSet<ComponentId>,
    wait_selected: bool,
    outcome: Outcome,
    log: Option<EventLog>,
    writer: Writer,
}

impl Session {
    /// A session with `agent`, as the command line asked for.
    pub(crate) fn new(
        agent: Agent,
        args: &args::Stdio,
        log: Option<EventLog>,
        writer: Writer,
    ) -> Self {
        let components = (1..=args.shared.components).filter_map(ComponentId::new);
        let connections = components.filter_map(|c| agent.connection(c)).collect();
        Session {
            connections,
            ufrag: String::new(),
            has_met: args.rendezvous.peer.is_some(),
            signalling: Signalling::default(),
            state: State::New,
            selected: BTreeSet::new(),
            wait_selected: args.shared.wait_selected,
            outcome: Outcome::new(args.shared.servers(), args.shared.wants_host()),
            log,
            writer,
            agent,
        }
    }

    /// Prints the first line and starts to gather. After a rendezvous there is
    /// nothing to be told to the peer.
    pub(crate) async fn start(&mut self) -> Result<(), AgentError> {
        if self.has_met {
            self.ufrag = self.agent.credentials().ufrag.into();
            return Ok(());
        }
        let line = self.credentials_line(&self.agent.credentials(), None);
        self.print(&line).await;
        self.agent.gather()
    }

    /// Our credentials, which candidates carry from now on.
    fn credentials_line(
        &mut self,
        credentials: &agent::Credentials,
        answers: Option<Box<str>>,
    ) -> Output {
        self.ufrag = credentials.ufrag.to_string();
        Output::credentials(&self.agent, credentials, answers)
    }

    /// What the session has shown so far.
    pub(crate) fn outcome(&self) -> &Outcome {
        &self.outcome
    }

    /// Waits until nobody reads the output any more.
    pub(crate) async fn reader_gone(&self) {
        self.writer.reader_gone().await;
    }

    /// Waits for the next event of the agent.
    pub(crate) async fn next_event(&self) -> Option<Event> {
        self.agent.next_event().await
    }

    /// Prints a line.
    pub(crate) async fn print(&mut self, output: &Output) {
        self.writer.line(output.to_line()).await;
    }

    /// Does what a line asks for; breaks on `close`.
    pub(crate) async fn line(&mut self, line: Line) -> ControlFlow<()> {
        let input = match line {
            Line::Whole(bytes) => Input::parse(&bytes),
            Line::TooLong => Err(BadLine::too_long()),
        };
        let answer = match input {
            Ok(Input::Close) => return ControlFlow::Break(()),
            Ok(Input::Credentials(_) | Input::Remote { .. } | Input::Restart) if self.has_met => {
                Some(Output::error("refused", "a rendezvous has no signalling"))
            }
            Ok(Input::Credentials(parameters)) => {
                for answer in self.signalling.give_credentials(&self.agent, parameters) {
                    self.print(&answer).await;
                }
                None
            }
            Ok(Input::Remote { ufrag, remote }) => {
                self.signalling.give_trickled(&self.agent, ufrag.as_deref(), remote)
            }
            Ok(Input::Send { component, payload }) => self.send(component, &payload).await,
            Ok(Input::Restart) => self.restart(),
            Ok(Input::Stats) => Some(stats::line(&self.agent)),
            Ok(Input::Ignored) => None,
            Err(bad) => Some(bad.answer()),
        };
        if let Some(answer) = answer {
            self.print(&answer).await;
        }
        self.write_log();
        ControlFlow::Continue(())
    }

    fn restart(&self) -> Option<Output> {
        let result = self.agent.restart(Sockets::Keep);
        result.err().map(|error| Output::error("refused", error.to_string()))
    }

    async fn send(&self, component: ComponentId, payload: &[u8]) -> Option<Output> {
        let connected =
            matches!(self.state, State::Connected | State::Completed | State::Disconnected);
        let index = usize::from(component.number()) - 1;
        let Some(connection) = self.connections.get(index) else {
            let rule = format!("must be a number from 1 to {}", self.connections.len());
            return Some(BadLine::refused("component", rule).answer());
        };
        if !connected {
            return Some(Output::error("not-connected", "there is no valid pair to send on"));
        }
        if self.wait_selected && !self.selected.contains(&component) {
            return Some(Output::error(
                "not-connected",
                "no pair is selected, as --wait-selected wants",
            ));
        }
        match connection.send(payload).await {
            Ok(()) => None,
            Err(error) => Some(Output::error("send-failed", error.to_string())),
        }
    }

    /// Takes note of an event and prints it.
    pub(crate) async fn event(&mut self, event: Event) {
        self.outcome.event(&event);
        self.write_log();
        let line = match event {
            Event::Candidate { candidate, .. } => {
                Output::Candidate { candidate: candidate.to_string(), ufrag: self.ufrag.clone() }
            }
            Event::Restarted { credentials, answers, .. } => {
                self.credentials_line(&credentials, answers)
            }
            Event::Sync { message, .. } => {
                Output::Sync { message: message.into(), ufrag: self.ufrag.clone() }
            }
            Event::EndOfCandidates { .. } => Output::EndOfCandidates { ufrag: self.ufrag.clone() },
            Event::CandidateError { uri, code, text, .. } => {
                Output::CandidateError { url: uri.into(), code, text: text.into() }
            }
            Event::AddressRefused { ip, text } => {
                tracing::warn!("{ip} cannot be used: {text}");
                return;
            }
            Event::State { state, reason } => {
                self.state = state;
                Output::State { state: state.to_string(), reason: reason.to_string() }
            }
            Event::Selected { component, local, remote, .. } => {
                self.selected.insert(component);
                Output::Selected {
                    component: component.number(),
                    local: local.to_string(),
                    remote: remote.to_string(),
                }
            }
            _ => return,
        };
        self.print(&line).await;
    }

    /// Writes to the log what has happened since the last time.
    pub(crate) fn write_log(&mut self) {
        let Some(log) = &mut self.log else { return };
        self.agent.log_records().iter().for_each(|record| log.record(None, record));
    }

    /// Closes the agent; its last events are still to be read.
    pub(crate) async fn close(&self) {
        self.agent.close().await;
    }

    /// Waits until everything printed has gone out.
    pub(crate) async fn finish(mut self) {
        self.write_log();
        self.writer.finish().await;
    }
}
