//! An agent's core alone in the world: the test is its driver, its peer and
//! its STUN server.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use floe::agent::{
    BaseId, Config, Core, Event, Input, LocalAddress, RemoteParameters, SocketOp, StreamId,
    Transmit,
};
use floe::candidate::Candidate;
use floe::check::Role;
use floe::rng::Seed;
use floe::stun::{CheckParameters, CheckTemplate, Class, IntegrityKey, Message, TransactionId};
use floe::timer::{Pacer, Time};

use crate::bench::{address, millis};

pub(crate) const STREAM: StreamId = StreamId(0);
/// The peer's credentials.
pub(crate) const UFRAG: &str = "peer";
pub(crate) const PWD: &str = "peerpasswordpeerpassword";
/// Our address and the peer's.
pub(crate) const OURS: &str = "10.0.0.1:5000";
pub(crate) const PEER: &str = "10.0.1.1:6000";

/// A datagram that the agent sent.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) at: u64,
    pub(crate) base: BaseId,
    pub(crate) to: SocketAddr,
    pub(crate) bytes: Vec<u8>,
}

impl Sent {
    pub(crate) fn message(&self) -> Message<'_> {
        Message::parse(&self.bytes).expect("the agent sends STUN")
    }
}

pub(crate) struct Alone {
    pub(crate) core: Core,
    pub(crate) now: Time,
    pub(crate) sent: Vec<Sent>,
    pub(crate) events: Vec<Event>,
    sockets: BTreeMap<BaseId, SocketAddr>,
    ids: u8,
}

/// What a check of the peer says.
pub(crate) struct PeerCheck {
    pub(crate) username: String,
    pub(crate) password: String,
    pub(crate) controlling: bool,
    pub(crate) tie_breaker: u64,
    pub(crate) priority: u32,
    pub(crate) use_candidate: bool,
}

impl Alone {
    /// One stream, one component, one address.
    pub(crate) fn new(role: Role) -> Self {
        Self::with(role, &[1], &["10.0.0.1"], |_| ())
    }

    pub(crate) fn with(
        role: Role,
        streams: &[u16],
        addresses: &[&str],
        configure: impl FnOnce(&mut Config),
    ) -> Self {
        Self::sharing(Pacer::new(), role, streams, addresses, configure)
    }

    pub(crate) fn sharing(
        pacer: Pacer,
        role: Role,
        streams: &[u16],
        addresses: &[&str],
        configure: impl FnOnce(&mut Config),
    ) -> Self {
        let mut config = Config::new(role);
        configure(&mut config);
        let mut core = Core::new(config, &Seed::from_number(3), pacer);
        for components in streams {
            core.add_stream(*components).expect("a stream");
        }
        let mut alone = Alone {
            core,
            now: Time::ZERO,
            sent: Vec::new(),
            events: Vec::new(),
            sockets: BTreeMap::new(),
            ids: 0,
        };
        let addresses: Vec<_> = addresses.iter().map(|text| local_address(text)).collect();
        alone.core.handle_input(alone.now, Input::LocalAddresses(&addresses));
        alone.drain();
        alone
    }

    /// Does what the driver would do.
    pub(crate) fn drain(&mut self) {
        while let Some(op) = self.core.poll_socket_op() {
            match op {
                SocketOp::BindUdp { base, ip, .. } => {
                    let port = 5000 + u16::try_from(self.sockets.len()).expect("few sockets");
                    let local = SocketAddr::new(ip, port);
                    self.sockets.insert(base, local);
                    self.core.handle_input(self.now, Input::Bound { base, local });
                }
                SocketOp::Close { base } => {
                    self.sockets.remove(&base);
                }
                SocketOp::Resolve { .. } => {}
                other => panic!("{other:?}"),
            }
        }
        let mut bytes = Vec::new();
        while let Some(Transmit { base, to, .. }) = self.core.poll_transmit(&mut bytes) {
            let at = millis(self.now);
            self.sent.push(Sent { at, base, to, bytes: bytes.clone() });
        }
        while let Some(event) = self.core.poll_event() {
            self.events.push(event);
        }
    }

    /// Lets `duration` pass.
    pub(crate) fn run(&mut self, duration: Duration) {
        let end = self.now + duration;
        while let Some((next, reason)) = self.core.poll_timeout().filter(|(next, _)| *next <= end) {
            assert!(next > self.now, "{reason:?} at {next} does not come after {}", self.now);
            self.now = next;
            self.core.handle_timeout(self.now);
            self.drain();
        }
        self.now = end;
    }

    pub(crate) fn local_of(&self, base: BaseId) -> SocketAddr {
        self.sockets[&base]
    }

    /// The peer's parameters arrive.
    pub(crate) fn start(&mut self) {
        self.start_stream(STREAM);
    }

    pub(crate) fn start_stream(&mut self, stream: StreamId) {
        let mut parameters = RemoteParameters::new(UFRAG, PWD);
        parameters.pacing = Duration::from_millis(5);
        self.core.set_remote_parameters(stream, parameters, self.now).expect("parameters");
        self.drain();
    }

    pub(crate) fn add_remote(&mut self, line: &str) {
        let candidate: Candidate = line.parse().expect("a candidate");
        self.core.add_remote_candidate(STREAM, &candidate, self.now).expect("room for it");
        self.drain();
    }

    /// A started agent with one remote candidate, [`PEER`].
    pub(crate) fn checking(role: Role) -> Self {
        let mut alone = Alone::new(role);
        alone.start();
        alone.add_remote("candidate:1 1 UDP 2130706431 10.0.1.1 6000 typ host");
        alone
    }

    pub(crate) fn receive(&mut self, base: BaseId, from: &str, bytes: &[u8]) {
        let from = address(from);
        self.core.handle_input(self.now, Input::Datagram { base, from, bytes });
        self.drain();
    }

    /// What a check of the peer says unless the test wants it otherwise.
    pub(crate) fn peer_check(&self) -> PeerCheck {
        let ours = self.core.local_credentials(STREAM).expect("a stream");
        PeerCheck {
            username: format!("{}:{UFRAG}", ours.ufrag),
            password: ours.pwd.to_string(),
            controlling: self.core.role() == Role::Controlled,
            tie_breaker: 7,
            priority: 1_862_270_975,
            use_candidate: false,
        }
    }

    pub(crate) fn write(&mut self, check: &PeerCheck) -> Vec<u8> {
        let key = IntegrityKey::short_term(&check.password);
        let template = CheckTemplate::new(&CheckParameters {
            username: &check.username,
            key: &key,
            controlling: check.controlling,
            tie_breaker: check.tie_breaker,
            priority: check.priority,
        });
        self.ids += 1;
        let mut bytes = Vec::new();
        template.write(TransactionId([self.ids; 12]), check.use_candidate, None, &key, &mut bytes);
        bytes
    }

    /// The peer checks us from `from`; returns what we answer.
    pub(crate) fn checked(&mut self, from: &str, check: &PeerCheck) -> Option<Sent> {
        let bytes = self.write(check);
        let before = self.sent.len();
        self.receive(BaseId(0), from, &bytes);
        let id = Message::parse(&bytes).expect("STUN").transaction_id();
        let answers = self.sent[before..].iter();
        answers.rev().find(|s| s.message().transaction_id() == id).cloned()
    }

    /// The checks that we sent, retransmissions included.
    pub(crate) fn checks(&self) -> Vec<Sent> {
        let is_check = |s: &&Sent| {
            let message = s.message();
            message.class() == Class::Request && message.username().is_some()
        };
        self.sent.iter().filter(is_check).cloned().collect()
    }

    pub(crate) fn last_check(&self) -> Sent {
        self.checks().pop().expect("a check")
    }

    /// The peer answers a check of ours as it should.
    pub(crate) fn answer(&mut self, check: &Sent) {
        let mapped = self.local_of(check.base);
        self.answer_signed(check, mapped, PWD);
    }

    pub(crate) fn answer_signed(&mut self, check: &Sent, mapped: SocketAddr, password: &str) {
        let key = IntegrityKey::short_term(password);
        let id = check.message().transaction_id();
        let mut bytes = Vec::new();
        floe::stun::write_success(id, mapped, &key, &mut bytes);
        self.receive(check.base, &check.to.to_string(), &bytes);
    }

    pub(crate) fn refuse(&mut self, check: &Sent, code: u16, password: Option<&str>) {
        let key = password.map(IntegrityKey::short_term);
        let id = check.message().transaction_id();
        let mut bytes = Vec::new();
        floe::stun::write_error(id, code, "No", &[], key.as_ref(), &mut bytes);
        self.receive(check.base, &check.to.to_string(), &bytes);
    }

    /// The candidates given out so far.
    pub(crate) fn candidates(&self) -> Vec<Candidate> {
        let candidates = self.events.iter().filter_map(|event| match event {
            Event::Candidate { candidate, .. } => Some(candidate.clone()),
            _ => None,
        });
        candidates.collect()
    }

    pub(crate) fn was_selected(&self) -> bool {
        self.events.iter().any(|event| matches!(event, Event::Selected { .. }))
    }
}

/// `IP` or `IP%index`.
fn local_address(text: &str) -> LocalAddress {
    let (ip, index) = text.split_once('%').unwrap_or((text, "1"));
    LocalAddress {
        ip: ip.parse::<IpAddr>().expect("an IP address"),
        interface: format!("eth{index}").into(),
        index: index.parse().expect("a number"),
        prefix: None,
        temporary: None,
        deprecated: None,
    }
}
