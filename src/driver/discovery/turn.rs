//! A trial of a TURN server, stage by stage.

mod exchange;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::time::{Instant, timeout};

use crate::agent::{TurnServer, TurnTransport};
use crate::driver::AgentConfig;
use crate::driver::reach::{Reach, Refusal};
use crate::driver::resolve::MAX_ADDRESSES;
use crate::driver::transport::{self, BindOptions};
use crate::gather::Cause;
use crate::net::{self, Family};
use exchange::{Exchange, Leg};

/// How long each stage may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// A stage of the trial, in the order in which they come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum TurnStage {
    /// The server's name is resolved.
    Resolve,
    /// A TCP connection is opened.
    Connect,
    /// TLS is agreed on, and the certificate checked.
    Tls,
    /// The server answers a request without credentials: with a 401.
    Challenge,
    /// It takes the credentials and makes an allocation.
    Allocate,
    /// It permits a peer.
    Permit,
    /// A datagram goes through the relay and comes back.
    Echo,
}

impl TurnStage {
    /// The word for it. It stays the same in every version.
    pub const fn word(self) -> &'static str {
        match self {
            TurnStage::Resolve => "resolve",
            TurnStage::Connect => "connect",
            TurnStage::Tls => "tls",
            TurnStage::Challenge => "challenge",
            TurnStage::Allocate => "allocate",
            TurnStage::Permit => "permit",
            TurnStage::Echo => "echo",
        }
    }
}

/// How a stage went.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StageReport {
    /// The stage.
    pub stage: TurnStage,
    /// How long it took.
    pub took: Duration,
    /// Why it failed, if it did: it is the last one then.
    pub failure: Option<StageFailure>,
}

/// Why a stage failed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StageFailure {
    /// In which way.
    pub cause: Cause,
    /// The server's STUN error code, if it sent one.
    pub code: Option<u16>,
    /// A sentence for people. It may hold words of the server, without control
    /// characters.
    pub text: Box<str>,
}

impl StageFailure {
    fn new(cause: Cause, text: impl Into<Box<str>>) -> Self {
        StageFailure { cause, code: None, text: text.into() }
    }
}

/// How a trial went.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TurnReport {
    /// The stages that were begun.
    pub stages: Vec<StageReport>,
    /// The address of the server that was used.
    pub server: Option<SocketAddr>,
    /// The relayed address.
    pub relayed: Option<SocketAddr>,
    /// Where the server sees us.
    pub mapped: Option<SocketAddr>,
    /// How long the allocation would have lasted.
    pub lifetime: Option<Duration>,
}

impl TurnReport {
    /// Why the trial failed, and in which stage, if it did.
    pub fn failure(&self) -> Option<(TurnStage, &StageFailure)> {
        self.stages.iter().find_map(|report| Some((report.stage, report.failure.as_ref()?)))
    }

    /// An allocation was made.
    pub fn is_allocated(&self) -> bool {
        self.relayed.is_some()
    }

    /// A datagram went through the relay and came back.
    pub fn has_echoed(&self) -> bool {
        let is_echo = |report: &StageReport| report.stage == TurnStage::Echo;
        self.stages.iter().any(|report| is_echo(report) && report.failure.is_none())
    }

    fn note(&mut self, stage: TurnStage, since: Instant, failure: Option<StageFailure>) {
        self.stages.push(StageReport { stage, took: since.elapsed(), failure });
    }
}

/// Tries a TURN server: an allocation is made, used, and given back. Of `config`
/// counts how servers are reached: families, proxy and roots.
///
/// # Panics
///
/// Outside of a tokio runtime.
///
/// # Cancel safety
///
/// It can be dropped at any time; the allocation then lasts until it expires.
pub async fn try_turn(server: &TurnServer, config: &AgentConfig) -> TurnReport {
    let (stages, server_address, relayed) = (Vec::new(), None, None);
    let (mapped, lifetime) = (None, None);
    let mut report = TurnReport { stages, server: server_address, relayed, mapped, lifetime };
    let Some(addresses) = resolve(server, config, &mut report).await else { return report };
    let Some((leg, to)) = reach(server, config, &addresses, &mut report).await else {
        return report;
    };
    report.server = Some(to);
    match Exchange::new(leg, to, server.secrets.clone()) {
        Ok(exchange) => exchange.run(&mut report).await,
        Err(error) => {
            let text = net::error_word(error.kind());
            let failure = StageFailure::new(Cause::NotReached, text);
            report.note(TurnStage::Challenge, Instant::now(), Some(failure));
        }
    }
    report
}

async fn resolve(
    server: &TurnServer,
    config: &AgentConfig,
    report: &mut TurnReport,
) -> Option<Vec<SocketAddr>> {
    let wanted = |at: &SocketAddr| match Family::of(at.ip()) {
        Family::V4 => config.ice.ipv4,
        Family::V6 => config.ice.ipv6,
    };
    if let Some(address) = server.address {
        return Some(vec![net::canonical(address)]);
    }
    let since = Instant::now();
    let lookup = tokio::net::lookup_host((&*server.host, server.port));
    let found = match timeout(config.resolve_timeout, lookup).await {
        Ok(Ok(found)) => Ok(found.map(net::canonical).filter(wanted).take(MAX_ADDRESSES)),
        Ok(Err(_)) => Err("the name does not resolve"),
        Err(_) => Err("the name does not resolve in time"),
    };
    let found: Result<Vec<SocketAddr>, &str> = found.map(Iterator::collect);
    let is_proxied = config.proxy.is_some() && server.transport != TurnTransport::Udp;
    let found = match found {
        Ok(found) if !found.is_empty() => Ok(found),
        // The proxy may know it.
        _ if is_proxied => Ok(vec![SocketAddr::new(net::unspecified(Family::V4), server.port)]),
        Ok(_) => Err("the name has no address of a family that is in use"),
        Err(text) => Err(text),
    };
    let failure = found.as_ref().err().map(|text| StageFailure::new(Cause::Unresolved, *text));
    report.note(TurnStage::Resolve, since, failure);
    found.ok()
}

async fn reach(
    server: &TurnServer,
    config: &AgentConfig,
    addresses: &[SocketAddr],
    report: &mut TurnReport,
) -> Option<(Leg, SocketAddr)> {
    if server.transport == TurnTransport::Udp {
        let to = *addresses.first()?;
        let since = Instant::now();
        let leg = source(config, to.ip())
            .and_then(|ip| transport::bind_udp(ip, 0, &BindOptions::default()).ok());
        if leg.is_none() {
            let text = "there is no way to this address";
            let failure = StageFailure::new(Cause::NotReached, text);
            report.note(TurnStage::Connect, since, Some(failure));
        }
        return leg.map(|socket| (Leg::Datagrams(socket), to));
    }
    let reach = Reach::to(server, config);
    let since = Instant::now();
    let connected = reach.open_plain(server, addresses, since + PATIENCE).await;
    report.note(TurnStage::Connect, since, connected.as_ref().err().map(failure));
    let (stream, to) = connected.ok()?;
    let since = Instant::now();
    let agreed = reach.agree(stream, server, to, since + PATIENCE).await;
    if server.transport == TurnTransport::Tls {
        report.note(TurnStage::Tls, since, agreed.as_ref().err().map(failure));
    }
    agreed.ok().map(|reached| (Leg::Stream(reached.stream), to))
}

/// From which address the server is asked.
fn source(config: &AgentConfig, to: IpAddr) -> Option<IpAddr> {
    let chosen = config.bind.iter().copied().find(|ip| ip.is_ipv4() == to.is_ipv4());
    chosen.or_else(|| transport::source_towards(to))
}

fn failure(refusal: &Refusal) -> StageFailure {
    match refusal {
        Refusal::System(kind) => {
            let text = format!("there is no connection: {}", net::error_word(*kind));
            StageFailure::new(Cause::NotReached, text)
        }
        Refusal::Told { cause, text } => StageFailure::new(*cause, text.clone()),
    }
}
