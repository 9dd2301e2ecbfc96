//! The agent of a session: what it says goes to the other side, and what the
//! other side says to it.

use std::time::Duration;

use floe::Agent;
use floe::agent::{Event, State};
use floe::candidate::{Candidate, ComponentId};
use floe::check::PairState;
use floe::net::Protocol;
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};
use tokio::time::{self, Interval};

use super::secure::Fingerprint;
use super::view::View;
use crate::eventlog::EventLog;
use crate::jsonl::{Input, Output};
use crate::outcome::Outcome;
use crate::stdio::signalling::Signalling;
use crate::words;

/// How often the records of the agent are written to the log.
const LOG_INTERVAL: Duration = Duration::from_millis(50);

/// What the version of these lines is called.
const VERSION: u64 = 1;

/// Of what kind the selected pair is, and in words what it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Path {
    pub(crate) protocol: Protocol,
    pub(crate) words: String,
}

/// An agent and the lines between it and the other side's.
pub(crate) struct Negotiation<'a> {
    agent: Agent,
    /// Closed where lines were carried by a person.
    to_peer: mpsc::Sender<String>,
    from_peer: mpsc::Receiver<String>,
    signalling: Signalling,
    outcome: Outcome,
    log: Option<EventLog>,
    tick: Interval,
    view: &'a View,
    peer: watch::Sender<Option<Fingerprint>>,
    path: watch::Sender<Option<Path>>,
    /// Why the agent failed.
    failed: Option<String>,
}

impl<'a> Negotiation<'a> {
    pub(crate) fn new(
        agent: Agent,
        outcome: Outcome,
        log: Option<EventLog>,
        view: &'a View,
    ) -> Self {
        // Until there are lines.
        let (to_peer, from_peer) = (mpsc::channel(1).0, mpsc::channel(1).1);
        Negotiation {
            agent,
            to_peer,
            from_peer,
            signalling: Signalling::default(),
            outcome,
            log,
            tick: time::interval(LOG_INTERVAL),
            view,
            peer: watch::Sender::new(None),
            path: watch::Sender::new(None),
            failed: None,
        }
    }

    /// The agent.
    pub(crate) fn agent(&self) -> &Agent {
        &self.agent
    }

    /// What the session has shown so far.
    pub(crate) fn outcome(&self) -> &Outcome {
        &self.outcome
    }

    /// Why the agent failed.
    pub(crate) fn failed(&self) -> Option<&str> {
        self.failed.as_deref()
    }

    /// The certificate that the other side told of.
    pub(crate) fn peer(&self) -> watch::Receiver<Option<Fingerprint>> {
        self.peer.subscribe()
    }

    /// The selected pair.
    pub(crate) fn path(&self) -> watch::Receiver<Option<Path>> {
        self.path.subscribe()
    }

    /// From now on lines go to and fro.
    pub(crate) fn carry(&mut self, to: mpsc::Sender<String>, from: mpsc::Receiver<String>) {
        (self.to_peer, self.from_peer) = (to, from);
    }

    /// What the other side has to know before all candidates.
    pub(crate) fn first_lines(&self, ours: Fingerprint) -> [String; 2] {
        let hello = json!({
            "type": "hello",
            "version": VERSION,
            "fingerprint": ours.to_string(),
        });
        let credentials = Output::credentials(&self.agent, &self.agent.credentials(), None);
        [hello.to_string(), credentials.to_line()]
    }

    /// Says a line; one that there is no room for is lost, as where the
    /// rendezvous has gone.
    pub(crate) fn say(&self, line: String) {
        let _ = self.to_peer.try_send(line);
    }

    /// Looks after the agent while `work` is done; `None` if the agent failed
    /// before it was.
    pub(crate) async fn beside<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        tokio::pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return Some(done),
                () = self.step() => {
                    if self.failed.is_some() {
                        return None;
                    }
                }
            }
        }
    }

    /// Takes one thing that happened. Cancel safe: it waits before it takes.
    async fn step(&mut self) {
        tokio::select! {
            event = self.agent.next_event() => match event {
                Some(event) => self.event(event),
                None => self.failed = Some("the agent was closed".to_owned()),
            },
            Some(line) = self.from_peer.recv() => self.heard(&line),
            _ = self.tick.tick() => self.write_log(),
        }
    }

    /// A line of the other side.
    pub(crate) fn heard(&mut self, line: &str) {
        if let Ok(Value::Object(object)) = serde_json::from_str(line)
            && object.get("type") == Some(&json!("hello"))
        {
            let text = object.get("fingerprint").and_then(Value::as_str).unwrap_or_default();
            // The first that was told holds.
            if self.peer.borrow().is_none() {
                self.peer.send_replace(Fingerprint::parse(text));
            }
            return;
        }
        let answers = match Input::parse(line.as_bytes()) {
            Ok(Input::Credentials(parameters)) => {
                self.signalling.give_credentials(&self.agent, parameters)
            }
            Ok(Input::Remote { ufrag, remote }) => {
                let answer = self.signalling.give_trickled(&self.agent, ufrag.as_deref(), remote);
                answer.into_iter().collect()
            }
            Ok(_) => Vec::new(),
            Err(bad) => vec![bad.answer()],
        };
        for answer in answers {
            self.view.detail(&format!("of the other side's lines: {}", answer.to_line()));
        }
        self.write_log();
    }

    fn event(&mut self, event: Event) {
        self.outcome.event(&event);
        self.write_log();
        let ufrag = || self.agent.credentials().ufrag.to_string();
        let line = match event {
            Event::Candidate { candidate, .. } => {
                self.view.detail(&format!("candidate {}", words::candidate(&candidate)));
                Output::Candidate { candidate: candidate.to_string(), ufrag: ufrag() }
            }
            Event::Restarted { credentials, answers, .. } => {
                self.view.line("the network changed: looking for another path");
                Output::credentials(&self.agent, &credentials, answers)
            }
            Event::Sync { message, .. } => Output::Sync { message: message.into(), ufrag: ufrag() },
            Event::EndOfCandidates { .. } => Output::EndOfCandidates { ufrag: ufrag() },
            Event::CandidateError { uri, text, .. } => {
                return self.view.line(&format!("no answer of {uri}: {text}"));
            }
            Event::AddressRefused { ip, text } => {
                return self.view.line(&format!("{ip} cannot be used: {text}"));
            }
            Event::State { state, reason } => {
                match state {
                    State::Disconnected => self.view.line(&format!("no answer: {reason}")),
                    State::Failed => self.failed = Some(reason.to_string()),
                    _ => self.view.detail(&format!("{state}: {reason}")),
                }
                return;
            }
            Event::Selected { local, remote, .. } => return self.selected(&local, &remote),
            _ => return,
        };
        self.say(line.to_line());
    }

    fn selected(&mut self, local: &Candidate, remote: &Candidate) {
        let [ours, theirs] = [local, remote].map(words::place);
        let by = local.tcp_type.map_or("UDP".to_owned(), |tcp_type| format!("TCP ({tcp_type})"));
        let words = format!("{by} {ours} to {theirs}");
        self.view.line(&match self.path.borrow().is_some() {
            false => format!("path: {words}"),
            true => format!("path changed: {words}"),
        });
        let protocol = if local.tcp_type.is_some() { Protocol::Tcp } else { Protocol::Udp };
        self.path.send_replace(Some(Path { protocol, words }));
    }

    /// The round-trip time of the path.
    pub(crate) fn round_trip(agent: &Agent) -> Option<Duration> {
        let stats = agent.stats();
        let mut pairs = stats.pairs.iter().flat_map(|(_, pairs)| pairs);
        let is_used = |pair: &&floe::agent::PairReport| {
            pair.selected
                && pair.component == ComponentId::ONE
                && pair.state == PairState::Succeeded
        };
        pairs.find(is_used).and_then(|pair| pair.rtt)
    }

    /// Gathers to the end; the lines that tell of it.
    pub(crate) async fn gathered(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        while let Some(event) = self.agent.next_event().await {
            self.outcome.event(&event);
            let ufrag = self.agent.credentials().ufrag.to_string();
            match event {
                Event::Candidate { candidate, .. } => {
                    let line = Output::Candidate { candidate: candidate.to_string(), ufrag };
                    lines.push((candidate.priority, line.to_line()));
                }
                Event::CandidateError { uri, text, .. } => {
                    self.view.line(&format!("no answer of {uri}: {text}"));
                }
                Event::EndOfCandidates { .. } => break,
                _ => {}
            }
        }
        lines.sort_by_key(|(priority, _)| std::cmp::Reverse(*priority));
        lines.into_iter().map(|(_, line)| line).collect()
    }

    /// Writes to the log what has happened since the last time.
    pub(crate) fn write_log(&mut self) {
        let Some(log) = &mut self.log else { return };
        self.agent.log_records().iter().for_each(|record| log.record(None, record));
    }
}
