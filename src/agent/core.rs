//! The core and its commands.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::Duration;

use crate::agent::base::Base;
use crate::agent::gathering::GatherPace;
use crate::agent::keepalive::Kept;
use crate::agent::log::Log;
use crate::agent::network::Place;
use crate::agent::outgoing::Outgoing;
use crate::agent::relay::Relays;
use crate::agent::remote::Held;
use crate::agent::state::Reported;
use crate::agent::stats::Selections;
use crate::agent::stream::{Session, Stream};
use crate::agent::{
    BaseId, CommandError, Config, Credentials, DropCounts, DropReason, Event, Happened, Input,
    LogRecord, SocketOp, State, StateReason, StreamId,
};
use crate::candidate::{Candidate, Foundations, Kind};
use crate::check::{Checks, Limits, PairId, Role};
use crate::net;
use crate::punch::Timing;
use crate::rng::Rng;
use crate::tcp::Connections;
use crate::timer::{Pacer, Reason, Time};

/// Streams of an agent.
const MAX_STREAMS: usize = 1_024;
/// Peer-reflexive remote candidates a stream.
const MAX_FOUND: usize = 128;

/// How long a stream without a valid pair is given after the last that was
/// learnt of it by gathering or signalling: the lifetime of a check, and
/// time to check what the peer's last retransmission showed.
pub(super) const DECISION: Duration = Duration::from_secs(55);

/// The core of an agent.
#[derive(Debug)]
pub struct Core {
    pub(super) config: Config,
    pub(super) rng: Rng,
    pub(super) pacer: Pacer,
    /// By number.
    pub(super) streams: Vec<Stream>,
    next_stream: u16,
    /// By number.
    pub(super) bases: Vec<Base>,
    pub(super) next_base: u32,
    /// The machine's addresses were given once.
    pub(super) has_begun: bool,
    /// Those that qualified.
    pub(super) places: Box<[Place]>,
    pub(super) checks: Checks,
    pub(super) foundations: Foundations,
    /// TCP connections and attempts at them.
    pub(super) tcp: Connections,
    pub(super) relays: Relays,
    pub(super) gather_pace: GatherPace,
    pub(super) kept: Vec<Kept>,
    /// Remote candidates that wait for an address, or to be judged.
    pub(super) held: Vec<Held>,
    /// Names that are signalled in the place of our addresses.
    pub(super) names: Vec<(IpAddr, Box<str>)>,
    pub(super) outgoing: VecDeque<Outgoing>,
    pub(super) socket_ops: VecDeque<SocketOp>,
    pub(super) events: VecDeque<Event>,
    pub(super) drops: DropCounts,
    pub(super) log: Log,
    pub(super) reported: Reported,
    pub(super) selections: Selections,
}

impl Core {
    /// [`Core::new`] with a random source.
    pub(super) fn with_rng(config: Config, mut rng: Rng, pacer: Pacer) -> Self {
        let mut pacer = pacer;
        if config.log {
            rng.keep_draws();
            pacer = pacer.keeping_slots();
        }
        let limits = Limits {
            pairs: config.max_pairs,
            remotes: config.max_remote_candidates.min(16_384),
            found: MAX_FOUND,
        };
        let policy = config.nomination.clone();
        let tie_breaker = config.tie_breaker.unwrap_or_else(|| rng.number());
        let mut checks = Checks::new(config.role, tie_breaker, config.pacing, limits, policy);
        if config.lite {
            checks.set_lite();
        }
        let mut core = Core {
            tcp: Connections::default(),
            relays: Relays::default(),
            gather_pace: GatherPace::default(),
            kept: Vec::new(),
            held: Vec::new(),
            names: Vec::new(),
            log: Log::new(config.log),
            config,
            rng,
            pacer,
            streams: Vec::new(),
            next_stream: 0,
            bases: Vec::new(),
            next_base: 0,
            has_begun: false,
            places: Box::default(),
            checks,
            foundations: Foundations::new(),
            outgoing: VecDeque::new(),
            socket_ops: VecDeque::new(),
            events: VecDeque::new(),
            drops: DropCounts::default(),
            reported: Reported::default(),
            selections: Selections::default(),
        };
        core.record_creation();
        core
    }

    pub(super) fn do_add_stream(
        &mut self,
        components: u16,
        credentials: Option<Credentials>,
    ) -> Result<StreamId, CommandError> {
        self.must_be_open()?;
        if let Some(credentials) = &credentials {
            credentials.check()?;
        }
        if !matches!(components, 1..=256) {
            return Err(CommandError::Components(components));
        }
        if self.next_stream == u16::MAX || self.streams.len() >= MAX_STREAMS {
            return Err(CommandError::TooManyStreams);
        }
        let id = StreamId(self.next_stream);
        self.next_stream += 1;
        let list = self.checks.add_stream(components);
        let session = match credentials {
            Some(credentials) => Session::with(list, &self.config, credentials),
            None => self.new_session(list),
        };
        self.streams.reserve_exact(1);
        self.streams.push(Stream::new(id, components, session));
        if self.has_begun {
            self.socket_ops.push_back(SocketOp::ListAddresses);
        }
        Ok(id)
    }

    /// Our credentials for a stream: those of its current session.
    pub fn local_credentials(&self, stream: StreamId) -> Option<&Credentials> {
        self.stream(stream).map(|s| &s.current.local)
    }

    /// The streams.
    pub fn streams(&self) -> impl Iterator<Item = StreamId> + use<> {
        let streams: Vec<StreamId> = self.streams.iter().map(|stream| stream.id).collect();
        streams.into_iter()
    }

    pub(super) fn do_nominate(&mut self, pair: PairId, now: Time) -> Result<(), CommandError> {
        self.must_be_open()?;
        self.checks.nominate(pair).map_err(CommandError::NotNominated)?;
        self.advance(now);
        Ok(())
    }

    /// The role; a conflict may have changed it.
    pub fn role(&self) -> Role {
        self.checks.role()
    }

    /// The state.
    pub fn state(&self) -> State {
        self.reported.state()
    }

    /// Ta: what we offer, or the larger of both sides' once theirs is known.
    pub fn pacing(&self) -> Duration {
        self.checks.pacing()
    }

    /// What was dropped, by reason.
    pub fn drops(&self) -> &DropCounts {
        &self.drops
    }

    pub(super) fn do_add_remote_candidate(
        &mut self,
        stream: StreamId,
        candidate: &Candidate,
        now: Time,
    ) -> Result<(), CommandError> {
        self.must_be_open()?;
        let session = &self.stream_mut(stream)?.current;
        let list = session.list;
        if session.remote_done && !self.checks.is_continual(list) {
            return Err(CommandError::AfterEnd);
        }
        if self.is_of_another_session(stream, candidate) {
            self.drop_now(DropReason::Candidate, None, now);
            return Err(CommandError::Ignored("it belongs to another ICE session"));
        }
        let placed = self.place_remote(stream, candidate, now);
        self.advance(now);
        placed
    }

    /// RFC 8838 §9: a candidate may say by the extension `ufrag` which session
    /// it belongs to; without the peer's parameters that cannot be told yet.
    pub(super) fn is_of_another_session(&self, stream: StreamId, candidate: &Candidate) -> bool {
        let remote = self.stream(stream).and_then(|s| s.current.remote.as_ref());
        let said = candidate.extensions.iter().find(|(name, _)| &**name == "ufrag");
        remote.zip(said).is_some_and(|(remote, (_, said))| *said != remote.credentials.ufrag)
    }

    pub(super) fn do_end_of_remote_candidates(
        &mut self,
        stream: StreamId,
        now: Time,
    ) -> Result<(), CommandError> {
        self.must_be_open()?;
        let session = &mut self.stream_mut(stream)?.current;
        session.remote_done = true;
        let list = session.list;
        self.finish_remote(stream, list, now);
        self.advance(now);
        Ok(())
    }

    pub(super) fn do_close(&mut self, now: Time) {
        if self.state() == State::Closed {
            return;
        }
        self.checks.close();
        for stream in &mut self.streams {
            stream.current.gathering.close();
            stream.current.timing = Timing::None;
            stream.current.punches.clear();
            stream.free_at = None;
        }
        self.gather_pace = GatherPace::default();
        self.kept.clear();
        self.tcp.close();
        self.held.clear();
        self.outgoing.clear();
        self.release_relays(|_| true, now);
        let bases: Vec<BaseId> = self.bases.iter().map(|base| base.id).collect();
        bases.into_iter().for_each(|base| self.close_base(base, now));
        self.report_closed(now);
    }

    pub(super) fn do_handle_input(&mut self, now: Time, input: Input<'_>) {
        if self.state() == State::Closed {
            return self.handle_input_when_closed(&input, now);
        }
        match input {
            Input::Datagram { base, from, bytes } => {
                self.handle_datagram(base, net::canonical(from), bytes, now);
            }
            Input::LocalAddresses(addresses) => self.addresses_known(addresses, now),
            Input::Woke { slept } => self.woke(slept, now),
            Input::Bound { base, local } => self.bound(base, net::canonical(local), now),
            Input::BindFailed { base, error } => self.bind_failed(base, error, now),
            Input::Resolved { server, addresses } => self.resolved(server, addresses, now),
            Input::NameResolved { name, addresses } => self.name_resolved(name, addresses, now),
            Input::SendError { base, to, kind } => {
                let kind = net::error_with_word(kind);
                self.checks.path_error(base.0, net::canonical(to), kind);
                self.server_error(base, net::canonical(to), kind);
            }
            Input::Connected { .. }
            | Input::ConnectFailed { .. }
            | Input::ServerRefused { .. }
            | Input::Accepted { .. }
            | Input::Inspected { .. }
            | Input::Disconnected { .. }
            | Input::NotStun { .. } => self.connection_input(&input, now),
        }
        self.advance(now);
    }

    /// A socket that was asked for before the agent was closed comes too late.
    fn handle_input_when_closed(&mut self, input: &Input<'_>, now: Time) {
        match input {
            Input::Bound { base, .. } => self.socket_ops.push_back(SocketOp::Close { base: *base }),
            Input::Datagram { from, .. } => self.drop_now(DropReason::Closed, Some(*from), now),
            _ => {}
        }
    }

    pub(super) fn do_handle_timeout(&mut self, now: Time) {
        if self.state() != State::Closed {
            self.advance(now);
        }
    }

    /// When [`Core::handle_timeout`] is to be called, and what for.
    pub fn poll_timeout(&self) -> Option<(Time, Reason)> {
        let gather = self.next_gathering().map(|t| (t, Reason::Gather));
        let free = self.next_free().map(|t| (t, Reason::Free));
        let keepalive = self.next_keepalive().map(|t| (t, Reason::Keepalive));
        let punch = self.next_timing().into_iter().chain(self.next_punch());
        let connect = self.tcp.poll_timeout().into_iter().chain(punch).min();
        let connect = connect.map(|t| (t, Reason::Connect));
        let relay = self.next_relay().map(|t| (t, Reason::Relay));
        [self.checks.poll_timeout(), gather, relay, keepalive, free, connect]
            .into_iter()
            .flatten()
            .min()
    }

    /// The next thing that only the driver can do.
    pub fn poll_socket_op(&mut self) -> Option<SocketOp> {
        let at_rest = self.is_at_rest();
        next(&mut self.socket_ops, at_rest, 0)
    }

    /// The next thing that the application may want to know.
    pub fn poll_event(&mut self) -> Option<Event> {
        let at_rest = self.is_at_rest();
        next(&mut self.events, at_rest, 0)
    }

    /// No checks are running, as in most agents most of the time.
    pub(super) fn is_at_rest(&self) -> bool {
        !matches!(self.state(), State::Checking | State::Connected)
    }

    /// The next record of what happened; only with [`Config::log`].
    pub fn poll_log(&mut self) -> Option<LogRecord> {
        self.log.poll()
    }

    /// Records that were lost because nobody read them in time.
    pub fn lost_log_records(&self) -> u64 {
        self.log.lost()
    }

    /// Every change ends here: what is due is done, and what came of it is
    /// reported.
    pub(super) fn advance(&mut self, now: Time) {
        self.settle_tcp(now);
        self.advance_held(now);
        self.advance_gathering(now);
        self.advance_relays(now);
        self.advance_punches(now);
        self.checks.advance(now, &self.pacer, &mut self.rng);
        self.advance_keepalives(now);
        self.leave_dead_paths(now);
        self.free(now);
        self.report(now);
        self.advance_tcp(now);
        self.ask_relays(now);
        self.advance_timing(now);
    }

    pub(super) fn drop_now(
        &mut self,
        reason: DropReason,
        from: Option<std::net::SocketAddr>,
        now: Time,
    ) {
        self.drops.add(reason);
        tracing::debug!(%reason, ?from, "dropped");
        self.log.add(now, || Happened::Dropped { reason, from });
    }

    pub(super) fn must_be_open(&self) -> Result<(), CommandError> {
        if self.state() == State::Closed { Err(CommandError::Closed) } else { Ok(()) }
    }

    pub(super) fn stream(&self, id: StreamId) -> Option<&Stream> {
        let at = self.streams.binary_search_by_key(&id, |stream| stream.id).ok()?;
        self.streams.get(at)
    }

    pub(super) fn stream_mut(&mut self, id: StreamId) -> Result<&mut Stream, CommandError> {
        let at = self.streams.binary_search_by_key(&id, |stream| stream.id);
        let stream = at.ok().and_then(|at| self.streams.get_mut(at));
        stream.ok_or(CommandError::UnknownStream(id))
    }

    fn report_closed(&mut self, now: Time) {
        self.report(now);
        self.enter(State::Closed, StateReason::Closed, now);
    }

    /// Whether a candidate of this type may be signalled.
    pub(super) fn signals(&self, kind: Kind) -> bool {
        match kind {
            Kind::Host => self.config.gather_host,
            Kind::ServerReflexive => self.config.gather_server_reflexive,
            Kind::Relayed => self.config.gather_relayed,
            Kind::PeerReflexive => false,
        }
    }
}

/// The next of a queue. An agent at rest gives the memory of an empty one
/// back, but for what it needs again every few seconds.
pub(super) fn next<T>(queue: &mut VecDeque<T>, at_rest: bool, keep: usize) -> Option<T> {
    if queue.is_empty() && at_rest {
        queue.shrink_to(keep);
    }
    queue.pop_front()
}
