//! A log, done all over again: the inputs that it kept are given to a new
//! core, and what comes of them is compared with what the log says came.
//!
//! The new core has secrets of its own, so passwords, fragments and
//! transaction ids differ from those of the recorded one; a log holds only
//! their numbers. Messages are written anew and signed with the new secrets,
//! those whose integrity was wrong with a wrong one. What decides behaviour
//! beside the inputs, the draws and the pacer's slots, is in the log.
//!
//! A log is somebody's file: cut short, edited, or made by another version.
//! Whatever it says, a replay ends with a result or an error, and what it
//! uses is bounded by the log's length and by limits of its own.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::time::Duration;

use thiserror::Error;

use crate::agent::record::stand_in_secrets;
use crate::agent::{
    Core, Credentials, Given, Happened, Input, LogRecord, RecordedConfig, RecordedInput,
    RemoteParameters,
};
use crate::rng::{Rng, Seed};
use crate::timer::{Pacer, Time};

/// The limits of a replay: a log that says more of these is refused.
const MAX_PAIRS: usize = 65_536;
const MAX_SERVERS: usize = 256;
const MAX_REWRITES: usize = 256;
const MAX_NETWORKS: usize = 4_096;
const MAX_COMPONENTS: usize = 1_024;
const MAX_PACING: Duration = Duration::from_secs(60);
/// The seed of the secrets in a replay. It is none itself, and no seed that a
/// test would use: the peer's transaction ids are not to meet ours.
const STAND_IN: Seed = Seed(*b"the stand-in secrets of a replay");
/// The largest UDP datagram.
const MAX_DATAGRAM: usize = 65_535;

/// What a replay came to.
#[derive(Debug)]
#[non_exhaustive]
pub struct Replayed {
    /// The core after the last input, to be asked for its pairs and so on.
    pub core: Core,
    /// How many inputs there were.
    pub inputs: u64,
    /// How many records were compared, inputs included.
    pub records: u64,
}

/// Why a log cannot be replayed, or what is wrong with it.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ReplayError {
    /// The first record is not the creation of an agent.
    #[error("the log does not begin with the creation of an agent")]
    NoCreation,
    /// There is more than one agent in the log.
    #[error("the log creates a second agent")]
    SecondCreation,
    /// The nomination policy is the application's own.
    #[error("the agent's nomination policy is not in the log")]
    Policy,
    /// The log asks for more than a replay allows.
    #[error("the log asks for {count} {what}, and {limit} are allowed")]
    TooMuch {
        /// Of what.
        what: &'static str,
        /// What it asks for.
        count: usize,
        /// What is allowed.
        limit: usize,
    },
    /// Records were lost when the log was kept.
    #[error("{count} records are missing before record {number}")]
    RecordsLost {
        /// The record after them, counted from 0.
        number: u64,
        /// How many.
        count: u64,
    },
    /// Something else came of the inputs than the log says.
    #[error("{0}")]
    Difference(Box<Difference>),
}

/// The first difference between a log and its replay.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// Which record, counted from 0.
    pub number: u64,
    /// When.
    pub at: Time,
    /// What the log says; `None` where it goes on with the next input.
    pub recorded: Option<Happened>,
    /// What came in the replay; `None` where nothing more came.
    pub replayed: Option<Happened>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Difference { number, at, recorded, replayed } = self;
        write!(f, "record {number} at {at} is {recorded:?}, in the replay {replayed:?}")
    }
}

/// Does the log over again; `records` are those of one agent, from its
/// creation on. A log that ends in the middle of what came of an input, as
/// when the process was killed, is replayed up to there.
///
/// # Errors
/// [`ReplayError`]: the log cannot be replayed, or says something else than
/// the replay.
pub fn replay(records: impl IntoIterator<Item = LogRecord>) -> Result<Replayed, ReplayError> {
    let mut records = records.into_iter().peekable();
    let first = records.next().ok_or(ReplayError::NoCreation)?;
    let Happened::Input(Given { what: RecordedInput::Create(config), draws, .. }) = &first.what
    else {
        return Err(ReplayError::NoCreation);
    };
    let mut replay = Replay::new(create(config, draws)?);
    replay.pending.push_back(first);
    loop {
        while let Some(result) = records.next_if(|next| !matches!(next.what, Happened::Input(_))) {
            replay.pending.push_back(result);
        }
        replay.compare(records.peek())?;
        let Some(LogRecord { at, what: Happened::Input(given) }) = records.next() else { break };
        replay.apply(&given, at)?;
        replay.pending.push_back(LogRecord { at, what: Happened::Input(given) });
    }
    let Replay { core, inputs, records, .. } = replay;
    Ok(Replayed { core, inputs, records })
}

fn create(config: &RecordedConfig, draws: &[u64]) -> Result<Core, ReplayError> {
    at_most("pairs", config.max_pairs, MAX_PAIRS)?;
    at_most("STUN servers", config.stun_servers.len(), MAX_SERVERS)?;
    at_most("rewritten addresses", config.rewrites.len(), MAX_REWRITES)?;
    let policy = &config.remote_policy;
    let networks = policy.allow.len() + policy.deny.len() + policy.tcp_ports.len();
    at_most("rules for remote addresses", networks, MAX_NETWORKS)?;
    let pacing = |pacing: Duration| usize::try_from(pacing.as_secs()).unwrap_or(usize::MAX);
    at_most("seconds of pacing", pacing(config.pacing), pacing(MAX_PACING))?;
    let config = config.config().ok_or(ReplayError::Policy)?;
    let mut rng = Rng::new(&STAND_IN);
    rng.expect_draws(draws);
    Ok(Core::with_rng(config, rng, Pacer::new()))
}

fn at_most(what: &'static str, count: usize, limit: usize) -> Result<(), ReplayError> {
    if count > limit { Err(ReplayError::TooMuch { what, count, limit }) } else { Ok(()) }
}

struct Replay {
    core: Core,
    /// Records of the log that are to be compared.
    pending: VecDeque<LogRecord>,
    inputs: u64,
    records: u64,
    components: usize,
    bytes: Vec<u8>,
}

impl Replay {
    fn new(core: Core) -> Self {
        Replay {
            core,
            pending: VecDeque::new(),
            inputs: 1,
            records: 0,
            components: 0,
            bytes: Vec::new(),
        }
    }

    /// Compares what came of the input that was applied last. `next` is the
    /// next input of the log, if there is one.
    fn compare(&mut self, next: Option<&LogRecord>) -> Result<(), ReplayError> {
        // The first records of an agent wait for the first moment.
        let mut any = false;
        while let Some(replayed) = self.core.poll_log() {
            any = true;
            let Some(recorded) = self.pending.pop_front() else {
                // The log ends here, perhaps within what came of the input.
                let Some(next) = next else { return Ok(()) };
                return Err(self.difference(next.at, None, Some(replayed.what)));
            };
            let at = recorded.at;
            if let Happened::RecordsLost { count } = recorded.what {
                return Err(ReplayError::RecordsLost { number: self.records, count });
            }
            if recorded != replayed {
                let (recorded, replayed) = (Some(recorded.what), Some(replayed.what));
                return Err(self.difference(at, recorded, replayed));
            }
            self.records += 1;
        }
        match self.pending.pop_front() {
            Some(LogRecord { what: Happened::RecordsLost { count }, .. }) if any => {
                Err(ReplayError::RecordsLost { number: self.records, count })
            }
            Some(recorded) if any => Err(self.difference(recorded.at, Some(recorded.what), None)),
            Some(recorded) => {
                self.pending.push_front(recorded);
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn difference(
        &self,
        at: Time,
        recorded: Option<Happened>,
        replayed: Option<Happened>,
    ) -> ReplayError {
        let number = self.records;
        ReplayError::Difference(Box::new(Difference { number, at, recorded, replayed }))
    }

    fn count_components(&mut self, more: u16) -> Result<(), ReplayError> {
        self.components += usize::from(more);
        at_most("components", self.components, MAX_COMPONENTS)
    }

    /// Gives an input to the core.
    fn apply(&mut self, given: &Given, at: Time) -> Result<(), ReplayError> {
        self.inputs += 1;
        self.core.rng.expect_draws(&given.draws);
        self.core.pacer.expect_slots(given.slots.iter().map(|after| at + *after));
        // A command that was refused is refused again, which is compared.
        match &given.what {
            RecordedInput::Create(_) => return Err(ReplayError::SecondCreation),
            RecordedInput::AddStream { components } => {
                self.count_components(*components)?;
                let _ = self.core.add_stream(*components);
            }
            RecordedInput::AddStreamWith { components, ufrag, password } => {
                self.count_components(*components)?;
                let credentials = Credentials { ufrag: ufrag.clone(), pwd: stand_in(*password) };
                let _ = self.core.add_stream_with(*components, credentials);
            }
            RecordedInput::RemoveStream { stream } => {
                let _ = self.core.remove_stream(*stream, at);
            }
            RecordedInput::Restart { stream, sockets } => {
                let _ = self.core.restart(*stream, *sockets, at);
            }
            RecordedInput::Nominate { pair } => {
                let _ = self.core.nominate(*pair, at);
            }
            RecordedInput::RenewSecrets { uri, username } => {
                let secrets = stand_in_secrets(username.clone());
                let _ = self.core.renew_secrets(uri, secrets, at);
            }
            RecordedInput::RevokeConsent { stream } => {
                let _ = self.core.revoke_consent(*stream, at);
            }
            RecordedInput::RemoteParameters {
                stream,
                ufrag,
                password,
                pacing,
                lite,
                options,
                answers,
            } => {
                let answers = answers.map(|answers| self.core.rebuilt_fragment(*stream, answers));
                let parameters = RemoteParameters {
                    credentials: Credentials { ufrag: ufrag.clone(), pwd: stand_in(*password) },
                    pacing: *pacing,
                    lite: *lite,
                    options: options.clone(),
                    answers,
                };
                let _ = self.core.set_remote_parameters(*stream, parameters, at);
            }
            RecordedInput::RemoteCandidate { stream, candidate } => {
                let _ = self.core.add_remote_candidate(*stream, candidate, at);
            }
            RecordedInput::EndOfRemoteCandidates { stream } => {
                let _ = self.core.end_of_remote_candidates(*stream, at);
            }
            RecordedInput::Sync { stream, message } => {
                let _ = self.core.handle_sync(*stream, message, at);
            }
            RecordedInput::Close => self.core.close(at),
            RecordedInput::Timeout => self.core.handle_timeout(at),
            input => self.apply_input(input, at)?,
        }
        // What the core wants is in its log; nobody else does anything.
        self.core.outgoing.clear();
        self.core.socket_ops.clear();
        self.core.events.clear();
        Ok(())
    }

    fn apply_input(&mut self, input: &RecordedInput, at: Time) -> Result<(), ReplayError> {
        let error;
        let input = match input {
            RecordedInput::LocalAddresses { addresses } => Input::LocalAddresses(addresses),
            RecordedInput::Bound { base, local } => Input::Bound { base: *base, local: *local },
            RecordedInput::BindFailed { base, error: kind, text } => {
                error = io::Error::new(*kind, &**text);
                Input::BindFailed { base: *base, error: &error }
            }
            RecordedInput::Resolved { server, addresses } => {
                Input::Resolved { server: *server, addresses }
            }
            RecordedInput::NameResolved { name, addresses } => {
                Input::NameResolved { name, addresses }
            }
            RecordedInput::SendError { base, to, error } => {
                Input::SendError { base: *base, to: *to, kind: *error }
            }
            RecordedInput::Connected { base, to, local } => {
                Input::Connected { base: *base, to: *to, local: *local }
            }
            RecordedInput::ConnectFailed { base, to, error } => {
                Input::ConnectFailed { base: *base, to: *to, kind: *error }
            }
            RecordedInput::ServerRefused { base, cause, text } => {
                Input::ServerRefused { base: *base, cause: *cause, text }
            }
            RecordedInput::Accepted { base, from } => Input::Accepted { base: *base, from: *from },
            RecordedInput::Inspected { base, to, handshake } => {
                Input::Inspected { base: *base, to: *to, handshake: *handshake }
            }
            RecordedInput::Disconnected { base, from } => {
                Input::Disconnected { base: *base, from: *from, kind: None }
            }
            RecordedInput::Broken { base, from, error } => {
                Input::Disconnected { base: *base, from: *from, kind: Some(*error) }
            }
            RecordedInput::NotStun { base, from } => Input::NotStun { base: *base, from: *from },
            RecordedInput::Woke { slept } => Input::Woke { slept: *slept },
            RecordedInput::Datagram { base, from, message } => {
                self.core.rebuild(*base, message, &mut self.bytes);
                Input::Datagram { base: *base, from: *from, bytes: &self.bytes }
            }
            RecordedInput::Malformed { base, from, length } => {
                at_most("bytes of a datagram", *length, MAX_DATAGRAM)?;
                self.bytes.clear();
                // With the top bits set it is no message, whatever its length.
                self.bytes.resize(*length, 0xff);
                Input::Datagram { base: *base, from: *from, bytes: &self.bytes }
            }
            RecordedInput::Create(_)
            | RecordedInput::AddStream { .. }
            | RecordedInput::AddStreamWith { .. }
            | RecordedInput::RemoveStream { .. }
            | RecordedInput::Restart { .. }
            | RecordedInput::RevokeConsent { .. }
            | RecordedInput::RenewSecrets { .. }
            | RecordedInput::Nominate { .. }
            | RecordedInput::RemoteParameters { .. }
            | RecordedInput::RemoteCandidate { .. }
            | RecordedInput::EndOfRemoteCandidates { .. }
            | RecordedInput::Sync { .. }
            | RecordedInput::Close
            | RecordedInput::Timeout => return Ok(()),
        };
        self.core.handle_input(at, input);
        Ok(())
    }
}

/// What stands for the password with this number.
fn stand_in(number: Option<u32>) -> Box<str> {
    number.map(|number| format!("standInForAPassword{number:010}")).unwrap_or_default().into()
}
