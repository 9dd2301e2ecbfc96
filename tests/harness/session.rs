//! Two agents behind JSON Lines, and the test between them as signalling.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::namespace::Namespace;

/// No test with real agents runs longer; then it ends the processes that it
/// started and fails.
pub(crate) const TEST_LIMIT: Duration = Duration::from_secs(30);

/// How long an agent has to end by itself when its test is over.
const GRACE: Duration = Duration::from_secs(2);

/// Lines that agents may be ahead of the test.
const BACKLOG: usize = 1024;

/// A line that an agent printed, or `None` at the end of its output.
type Printed = (usize, Instant, Option<String>);

/// Two agents, 0 and 1.
pub(crate) struct Session {
    /// What is known of each.
    pub(crate) sides: [Side; 2],
    printed: Receiver<Printed>,
    deadline: Instant,
    /// Per side, whether its lines go on to the other side, or are held.
    forwarding: [bool; 2],
    /// Per side, whether they are held until all of a generation's are there.
    complete: [bool; 2],
    /// Per side, whether the other one learns of none of its candidates.
    withheld: [bool; 2],
    /// Both were told to close, so that their end is no fault.
    closing: bool,
    transcript: Vec<String>,
}

/// One agent as its lines show it.
pub(crate) struct Side {
    name: String,
    child: Child,
    input: Option<ChildStdin>,
    held: Vec<String>,
    /// Its states, each with the time at which it was printed.
    pub(crate) states: Vec<(Instant, String)>,
    /// Its candidate lines.
    pub(crate) candidates: Vec<String>,
    /// It has announced the end of its present generation's candidates.
    pub(crate) gathered: bool,
    /// Its fragments, one a generation.
    pub(crate) ufrags: Vec<String>,
    /// Per component, the selected pair's local and remote candidate.
    pub(crate) selected: BTreeMap<u64, (String, String)>,
    /// What it received: component and payload.
    pub(crate) received: Vec<(u64, Vec<u8>)>,
    /// Its `error` lines.
    pub(crate) errors: Vec<String>,
    /// What a foreign agent says beyond the contract.
    pub(crate) more: Vec<Value>,
    ended: bool,
}

impl Session {
    /// Starts both agents, each in its namespace where one is given. Nothing
    /// is forwarded yet.
    pub(crate) fn start(agents: [(&str, Command, Option<&Namespace>); 2]) -> Self {
        let (sender, printed) = sync_channel(BACKLOG);
        let mut index = 0;
        let sides = agents.map(|(name, command, namespace)| {
            let side = Side::start(name, command, namespace, index, sender.clone());
            index += 1;
            side
        });
        let deadline = Instant::now() + TEST_LIMIT;
        Self {
            sides,
            printed,
            deadline,
            forwarding: [false; 2],
            complete: [false; 2],
            withheld: [false; 2],
            closing: false,
            transcript: Vec::new(),
        }
    }

    /// Passes on a side's lines only when all of its candidates are there,
    /// where its flag is set. In force for every generation.
    pub(crate) fn pass_complete_lists(&mut self, complete: [bool; 2]) {
        self.complete = complete;
    }

    /// Keeps a side's candidates, and their end, from the other one.
    pub(crate) fn withhold_candidates(&mut self, side: usize) {
        self.withheld[side] = true;
    }

    /// Gives the test more time than [`TEST_LIMIT`].
    pub(crate) fn extend(&mut self, time: Duration) {
        self.deadline += time;
    }

    /// Passes on what is held, and from now on every line as it comes.
    /// Gives the time at which the second agent had its lines.
    pub(crate) fn forward(&mut self) -> Instant {
        for from in [0, 1] {
            self.forward_from(from);
        }
        Instant::now()
    }

    /// Passes on what is held of one side, and from now on every line as it
    /// comes.
    pub(crate) fn forward_from(&mut self, from: usize) {
        self.forwarding[from] = true;
        self.pass(from);
    }

    /// Holds back every line from now on.
    pub(crate) fn hold(&mut self) {
        self.forwarding = [false; 2];
    }

    /// Passes on what a side's peer may have.
    fn pass(&mut self, from: usize) {
        if self.forwarding[from] && (self.sides[from].gathered || !self.complete[from]) {
            let held = std::mem::take(&mut self.sides[from].held);
            let lines: String = held.iter().map(|line| format!("{line}\n")).collect();
            self.sides[1 - from].write(&lines);
        }
    }

    /// Writes a line to an agent.
    pub(crate) fn tell(&mut self, side: usize, line: &Value) {
        self.transcript.push(format!("to {} {line}", self.sides[side].name));
        self.sides[side].write(&format!("{line}\n"));
    }

    /// Handles lines until `done`.
    ///
    /// # Panics
    ///
    /// With all lines so far, if the test's time is over or an agent ended.
    pub(crate) fn until(&mut self, what: &str, done: impl Fn(&[Side; 2]) -> bool) {
        while !done(&self.sides) {
            self.step(what, Duration::MAX);
        }
    }

    /// Handles the next line, or none if none comes within `wait`.
    ///
    /// # Panics
    ///
    /// As [`Session::until`].
    pub(crate) fn step(&mut self, what: &str, wait: Duration) {
        let left = self.deadline.saturating_duration_since(Instant::now());
        match self.printed.recv_timeout(left.min(wait)) {
            Ok((side, at, Some(line))) => self.take(side, at, line),
            Ok((side, _, None)) => {
                self.sides[side].ended = true;
                if !self.closing {
                    let name = &self.sides[side].name;
                    self.fail(&format!("{name} ended before {what}"));
                }
            }
            Err(RecvTimeoutError::Timeout) if left > wait => {}
            Err(RecvTimeoutError::Timeout) => self.fail(&format!("no time left for {what}")),
            Err(RecvTimeoutError::Disconnected) => self.fail(&format!("no agent left: {what}")),
        }
    }

    /// Waits until both have printed their candidates and their end.
    pub(crate) fn until_gathered(&mut self) {
        self.until("all candidates", |sides| sides.iter().all(|side| side.gathered));
    }

    /// Waits until both were in a state that lets data through.
    pub(crate) fn until_connected(&mut self) {
        self.until("connected", |sides| sides.iter().all(|side| side.connected_at().is_some()));
    }

    /// Waits until both have completed.
    pub(crate) fn until_completed(&mut self) {
        self.until("completed", |sides| sides.iter().all(|side| side.since("completed").is_some()));
    }

    /// Sends every payload on every component, in both directions, one after
    /// the other, and waits for each to arrive unchanged.
    pub(crate) fn exchange(&mut self, components: u64, payloads: &[Vec<u8>]) {
        for (component, from) in (1..=components).flat_map(|one| [(one, 0), (one, 1)]) {
            for payload in payloads {
                let to = 1 - from;
                let before = self.sides[to].received.len();
                self.send(from, component, payload);
                self.until("the payload", |sides| sides[to].received.len() > before);
                let (on, got) = &self.sides[to].received[before];
                assert_eq!((*on, got), (component, payload), "from {}", self.sides[from].name);
            }
        }
    }

    /// Sends a payload on a component.
    pub(crate) fn send(&mut self, from: usize, component: u64, payload: &[u8]) {
        let line = send_line(component, payload);
        self.sides[from].write(&format!("{line}\n"));
    }

    /// Closes both and waits for their processes to end by themselves, and
    /// without a fault.
    pub(crate) fn close(self) {
        self.close_with([0; 2]);
    }

    /// The same, with these exit codes.
    pub(crate) fn close_with(self, codes: [i32; 2]) {
        let names = self.sides.each_ref().map(|side| side.name.clone());
        for ((name, status), code) in names.iter().zip(self.end()).zip(codes) {
            assert_eq!(status.code(), Some(code), "{name} exited with {status}");
        }
    }

    /// Closes both and waits for their processes to end by themselves; gives
    /// how they ended.
    pub(crate) fn end(mut self) -> [ExitStatus; 2] {
        self.closing = true;
        for side in &mut self.sides {
            side.write("{\"type\":\"close\"}\n");
            side.input = None;
        }
        self.until("the end of both", |sides| sides.iter().all(|side| side.ended));
        self.sides.each_mut().map(|side| side.child.wait().expect("a child can be waited for"))
    }

    fn take(&mut self, from: usize, at: Instant, line: String) {
        self.transcript.push(format!("{} {line}", self.sides[from].name));
        let Ok(object) = serde_json::from_str::<Value>(&line) else {
            self.fail(&format!("{} printed no JSON: {line}", self.sides[from].name));
        };
        let withheld = self.withheld[from] && object["type"] != "credentials";
        if self.sides[from].note(at, object) && !withheld {
            self.sides[from].held.push(line);
            self.pass(from);
        }
    }

    /// Ends the test.
    ///
    /// # Panics
    ///
    /// Always, with all lines so far.
    pub(crate) fn fail(&self, why: &str) -> ! {
        panic!("{why}; the lines so far:\n{}", self.transcript.join("\n"));
    }
}

impl Side {
    fn start(
        name: &str,
        mut command: Command,
        namespace: Option<&Namespace>,
        index: usize,
        lines: SyncSender<Printed>,
    ) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut spawn = || command.spawn();
        let mut child = match namespace {
            Some(namespace) => namespace.run(spawn),
            None => spawn(),
        }
        .unwrap_or_else(|error| panic!("{name} does not start: {error}"));
        let output = child.stdout.take().expect("stdout was asked for");
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if lines.send((index, Instant::now(), Some(line))).is_err() {
                    return;
                }
            }
            // The test is over where nobody takes it.
            let _ = lines.send((index, Instant::now(), None));
        });
        Self {
            name: format!("[{index} {name}]"),
            input: child.stdin.take(),
            child,
            held: Vec::new(),
            states: Vec::new(),
            candidates: Vec::new(),
            gathered: false,
            ufrags: Vec::new(),
            selected: BTreeMap::new(),
            received: Vec::new(),
            errors: Vec::new(),
            more: Vec::new(),
            ended: false,
        }
    }

    /// When it first said that data may flow.
    pub(crate) fn connected_at(&self) -> Option<Instant> {
        self.since("connected").into_iter().chain(self.since("completed")).min()
    }

    /// When it first printed this state.
    pub(crate) fn since(&self, state: &str) -> Option<Instant> {
        self.states.iter().find(|(_, name)| name == state).map(|(at, _)| *at)
    }

    /// How often it has printed this state.
    pub(crate) fn times(&self, state: &str) -> usize {
        self.states.iter().filter(|(_, name)| name == state).count()
    }

    /// Keeps what a line says; true for a line that is meant for the peer.
    fn note(&mut self, at: Instant, object: Value) -> bool {
        let text = |key: &str| object[key].as_str().unwrap_or_default().to_owned();
        let component = object["component"].as_u64().unwrap_or(1);
        match object["type"].as_str().unwrap_or_default() {
            "credentials" => {
                self.ufrags.push(text("ufrag"));
                self.gathered = false;
                return true;
            }
            "sync" => return true,
            "candidate" => {
                self.candidates.push(text("candidate"));
                return true;
            }
            "end-of-candidates" => {
                self.gathered = true;
                return true;
            }
            "state" => self.states.push((at, text("state"))),
            "selected" => {
                self.selected.insert(component, (text("local"), text("remote")));
            }
            "received" => self.received.push((component, payload(&object))),
            "error" => self.errors.push(object.to_string()),
            _ => self.more.push(object),
        }
        false
    }

    /// Writes to its input; an agent that has ended shows by its output.
    fn write(&mut self, lines: &str) {
        if let Some(input) = &mut self.input {
            let _ = input.write_all(lines.as_bytes());
        }
    }
}

impl Drop for Side {
    fn drop(&mut self) {
        // The end of its input ends it, with what it has started and stored.
        self.input = None;
        let patience = Instant::now() + GRACE;
        while Instant::now() < patience && matches!(self.child.try_wait(), Ok(None)) {
            thread::sleep(GRACE / 200);
        }
        // Both fail only where the child has ended and been waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn send_line(component: u64, payload: &[u8]) -> Value {
    match std::str::from_utf8(payload) {
        Ok(text) => json!({"type": "send", "component": component, "text": text}),
        Err(_) => {
            json!({"type": "send", "component": component, "base64": STANDARD.encode(payload)})
        }
    }
}

fn payload(object: &Value) -> Vec<u8> {
    match (object["text"].as_str(), object["base64"].as_str()) {
        (Some(text), _) => text.as_bytes().to_vec(),
        (None, Some(encoded)) => STANDARD.decode(encoded).expect("base64, standard, padded"),
        (None, None) => panic!("a received line without payload: {object}"),
    }
}
