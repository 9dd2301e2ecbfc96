//! All that a check looks at, gathered side by side.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use floe::AgentConfig;
use floe::agent::{LocalAddress, StunServer, TurnServer, TurnTransport};
use floe::check::Role;
use floe::discovery::Report;
use floe::driver::discovery::{
    Crossing, TcpReport, TurnReport, ask_udp, crosses, discover_tcp, discover_udp, source_towards,
    try_turn,
};
use floe::driver::local_addresses;
use floe::net::{self, Family, Protocol};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::args::Options;
use super::interfaces::{self, View};
use super::port_mapping::{self, PortMapping};
use crate::exit::{Exit, Failure};

/// How long a name may take to resolve.
const RESOLVING: Duration = Duration::from_secs(5);

/// Addresses beside the preferred ones that are tried.
const MAX_OTHERS: usize = 6;

/// What was found.
#[derive(Debug)]
pub(crate) struct Survey {
    pub(crate) interfaces: Vec<Interface>,
    pub(crate) stun: Vec<Stun>,
    pub(crate) families: Vec<FamilyReport>,
    pub(crate) turn: Vec<Turn>,
    pub(crate) crossing: Crossing,
    /// What the router says; `None` where it was not asked.
    pub(crate) port_mapping: Option<PortMapping>,
    /// The prefix by which IPv6 hosts reach IPv4 here (RFC 7050).
    pub(crate) nat64: Option<IpAddr>,
    pub(crate) elapsed: Duration,
}

/// An address of this machine.
#[derive(Debug)]
pub(crate) struct Interface {
    pub(crate) view: View,
    /// Where a server sees it, if it was asked from here.
    pub(crate) mapped: Option<SocketAddr>,
    /// How long asking took, and whether it was asked at all.
    pub(crate) asked: Option<Duration>,
}

/// A STUN server of the command line.
#[derive(Debug)]
pub(crate) struct Stun {
    pub(crate) uri: Box<str>,
    pub(crate) protocol: Protocol,
    pub(crate) addresses: Vec<SocketAddr>,
    pub(crate) resolving: Duration,
}

/// What was found over one family of addresses.
#[derive(Debug)]
pub(crate) struct FamilyReport {
    pub(crate) family: Family,
    pub(crate) udp: Option<Result<Report, ErrorKind>>,
    pub(crate) tcp: Option<Result<TcpReport, ErrorKind>>,
}

/// A TURN server of the command line.
#[derive(Debug)]
pub(crate) struct Turn {
    pub(crate) server: TurnServer,
    pub(crate) report: TurnReport,
}

impl Survey {
    /// Whether anything leads out of this machine, or to a server that is on it.
    pub(crate) fn has_network(&self) -> bool {
        let servers = self.stun.iter().flat_map(|stun| &stun.addresses);
        let mut servers = servers.chain(self.turn.iter().filter_map(|t| t.report.server.as_ref()));
        self.interfaces.iter().any(|interface| interface.view.is_usable())
            || servers.any(|at| at.ip().is_loopback())
    }
}

/// Where to ask, of one family.
struct Places {
    udp: Vec<SocketAddr>,
    tcp: Vec<SocketAddr>,
}

/// Looks at everything.
pub(crate) async fn survey(options: &Options) -> Result<Survey, Failure> {
    let start = Instant::now();
    let (stun, turn) = (options.stun_servers()?, options.turn_servers()?);
    let local = local(options)?;
    let config = config(options, &local);
    let doctor = trials(&turn, &config);
    let rest = async {
        let (stun, nat64) = tokio::join!(resolve(stun), nat64(&local));
        let places = |family| places(&stun, &turn, family);
        let families = families(options, &local, places).await;
        (stun, nat64, families)
    };
    let router = async {
        let is_asked = !options.no_port_mapping && !options.ipv6_only;
        if is_asked { port_mapping::ask().await } else { None }
    };
    let ((stun, nat64, (families, interfaces)), reports, crossing, port_mapping) =
        tokio::join!(rest, doctor, crosses(), router);
    let turn = turn.into_iter().zip(reports);
    let turn = turn.map(|(server, report)| Turn { server, report }).collect();
    let elapsed = start.elapsed();
    Ok(Survey { interfaces, stun, families, turn, crossing, port_mapping, nat64, elapsed })
}

/// The addresses that may be used.
fn local(options: &Options) -> Result<Vec<LocalAddress>, Failure> {
    let all = local_addresses().map_err(|error| {
        Failure::new(Exit::NoNetwork, format!("cannot list this machine's addresses: {error}"))
    })?;
    let is_chosen = |address: &LocalAddress| {
        let is_named = options.interface.is_empty()
            || options.interface.iter().any(|name| **name == *address.interface);
        let is_bound = options.bind.is_empty() || options.bind.contains(&address.ip);
        let is_wanted = if address.ip.is_ipv4() { !options.ipv6_only } else { !options.ipv4_only };
        is_named && is_bound && is_wanted
    };
    Ok(all.into_iter().filter(is_chosen).collect())
}

fn config(options: &Options, local: &[LocalAddress]) -> AgentConfig {
    let mut config = AgentConfig::new(Role::Controlling);
    (config.ice.ipv4, config.ice.ipv6) = (!options.ipv6_only, !options.ipv4_only);
    if !options.bind.is_empty() || !options.interface.is_empty() {
        config.bind = local.iter().map(|address| address.ip).collect();
    }
    options.reach.apply(&mut config);
    config
}

async fn trials(servers: &[TurnServer], config: &AgentConfig) -> Vec<TurnReport> {
    let mut reports = Vec::new();
    // One after the other: each is to be timed by itself.
    for server in servers {
        reports.push(try_turn(server, config).await);
    }
    reports
}

async fn resolve(servers: Vec<StunServer>) -> Vec<Stun> {
    let mut resolving = JoinSet::new();
    for (number, server) in servers.into_iter().enumerate() {
        resolving.spawn(async move {
            let since = Instant::now();
            let addresses = match server.address {
                Some(address) => vec![address],
                None => look_up(&server.host, server.port).await,
            };
            let StunServer { uri, protocol, .. } = server;
            (number, Stun { uri, protocol, addresses, resolving: since.elapsed() })
        });
    }
    let mut all = resolving.join_all().await;
    all.sort_by_key(|(number, _)| *number);
    all.into_iter().map(|(_, stun)| stun).collect()
}

async fn look_up(host: &str, port: u16) -> Vec<SocketAddr> {
    match timeout(RESOLVING, tokio::net::lookup_host((host, port))).await {
        Ok(Ok(found)) => found.map(net::canonical).collect(),
        Ok(Err(_)) | Err(_) => Vec::new(),
    }
}

/// RFC 7050: a network that has a NAT64 gives `ipv4only.arpa` IPv6 addresses.
async fn nat64(local: &[LocalAddress]) -> Option<IpAddr> {
    let mut usable = local.iter().map(|address| interfaces::view(address.clone()));
    if !usable.any(|view| view.is_usable() && view.address.ip.is_ipv6()) {
        return None;
    }
    let found = look_up("ipv4only.arpa", 9).await;
    found.into_iter().map(|at| at.ip()).find(IpAddr::is_ipv6)
}

/// The servers of a family, each at its first address; relays answer Binding
/// requests, too.
fn places(stun: &[Stun], turn: &[TurnServer], family: Family) -> Places {
    let mut places = Places { udp: Vec::new(), tcp: Vec::new() };
    let add = |to: &mut Vec<SocketAddr>, at: SocketAddr| {
        if !to.contains(&at) && Family::of(at.ip()) == family {
            to.push(at);
        }
    };
    for server in stun {
        let mut of_family = server.addresses.iter().filter(|at| Family::of(at.ip()) == family);
        if let Some(at) = of_family.next() {
            if server.protocol == Protocol::Udp {
                add(&mut places.udp, *at);
            }
            add(&mut places.tcp, *at);
        }
    }
    for server in turn {
        let Some(at) = server.address else { continue };
        match server.transport {
            TurnTransport::Udp => add(&mut places.udp, at),
            TurnTransport::Tcp => add(&mut places.tcp, at),
            TurnTransport::Tls => {}
        }
    }
    places
}

/// Asks from the address that the system prefers, of each family, and a little
/// from the others.
async fn families(
    options: &Options,
    local: &[LocalAddress],
    places: impl Fn(Family) -> Places,
) -> (Vec<FamilyReport>, Vec<Interface>) {
    let chooses = !options.bind.is_empty() || !options.interface.is_empty();
    let mut asked = JoinSet::new();
    let mut reports = Vec::new();
    for family in [Family::V4, Family::V6] {
        let places = places(family);
        let Some(at) = places.udp.first().or(places.tcp.first()) else { continue };
        let of_family = |address: &&LocalAddress| Family::of(address.ip) == family;
        let chosen = local.iter().filter(of_family).find(|_| chooses).map(|address| address.ip);
        let is_wanted = if family == Family::V4 { !options.ipv6_only } else { !options.ipv4_only };
        let ip = chosen.or_else(|| source_towards(at.ip()).filter(|_| !chooses));
        let Some(ip) = ip.filter(|_| is_wanted) else { continue };
        let others = local.iter().filter(of_family).filter(|address| address.ip != ip);
        let usable = others.filter(|address| interfaces::view((*address).clone()).is_usable());
        for address in usable.take(MAX_OTHERS) {
            let (ip, servers) = (address.ip, places.udp.clone());
            asked.spawn(async move { (ip, ask_udp(ip, 0, &servers).await.ok()) });
        }
        reports.push(async move { full(family, ip, places).await });
    }
    let mut reports = reports.into_iter();
    let (first, second) = (reports.next(), reports.next());
    let run = async |report: Option<_>| match report {
        Some(report) => Some(report.await),
        None => None,
    };
    let (first, second) = tokio::join!(run(first), run(second));
    let reports: Vec<FamilyReport> = [first, second].into_iter().flatten().collect();
    let others = asked.join_all().await;
    let interfaces = local.iter().map(|address| interface(address, &reports, &others)).collect();
    (reports, interfaces)
}

async fn full(family: Family, ip: IpAddr, places: Places) -> FamilyReport {
    let udp = async {
        let is_asked = !places.udp.is_empty();
        if is_asked { Some(discover_udp(ip, 0, &places.udp).await) } else { None }
    };
    let tcp = async {
        let is_asked = !places.tcp.is_empty();
        if is_asked { Some(discover_tcp(ip, 0, &places.tcp).await) } else { None }
    };
    let (udp, tcp) = tokio::join!(udp, tcp);
    let kind = |error: std::io::Error| error.kind();
    FamilyReport {
        family,
        udp: udp.map(|report| report.map_err(kind)),
        tcp: tcp.map(|report| report.map_err(kind)),
    }
}

fn interface(
    address: &LocalAddress,
    reports: &[FamilyReport],
    others: &[(IpAddr, Option<Report>)],
) -> Interface {
    let udp = reports.iter().filter_map(|report| report.udp.as_ref()?.as_ref().ok());
    let main = udp.filter(|report| report.local.ip() == address.ip);
    let other = others.iter().filter(|(ip, _)| *ip == address.ip);
    let report = main.chain(other.filter_map(|(_, report)| report.as_ref())).next();
    Interface {
        view: interfaces::view(address.clone()),
        mapped: report.and_then(|report| report.mapped),
        asked: report.map(asking),
    }
}

/// How long the first answers took, or the wait for none.
fn asking(report: &Report) -> Duration {
    let rtts = report.servers.iter().filter_map(|server| match server.answer {
        floe::discovery::Answer::Mapped { rtt, .. } => rtt,
        _ => None,
    });
    rtts.min().unwrap_or(report.elapsed)
}
