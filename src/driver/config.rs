use std::io;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use super::proxy::Proxy;
use super::socket::Socket;
use super::traffic_class::TrafficClass;
use super::transport::BindOptions;
#[cfg(feature = "tls")]
use super::transport::RootCertificates;
use crate::agent::{Config, Credentials};
use crate::check::Role;
use crate::rng::Seed;
use crate::timer::Pacer;

/// The settings of an [`Agent`](super::Agent): those of the core, and what
/// only the driver needs. [`AgentConfig::new`] gives the defaults.
#[derive(Debug)]
#[non_exhaustive]
pub struct AgentConfig {
    /// The settings of the core.
    pub ice: Config,
    /// The number of components of the first stream, 1 to 256. Default 1.
    pub components: u16,
    /// Credentials of the first stream that the peer knows beforehand, and
    /// nobody else; `None` makes some. Default `None`.
    pub credentials: Option<Credentials>,
    /// Use only these addresses of the machine; all if empty. One that the
    /// machine does not have is reported and skipped.
    pub bind: Vec<IpAddr>,
    /// Use only these interfaces; all if empty.
    pub interfaces: Vec<Box<str>>,
    /// Bind to ports out of this range only.
    pub ports: Option<RangeInclusive<u16>>,
    /// The traffic class of all that the agent's own sockets send; for
    /// [`AgentConfig::sockets`] see [`SharedSocket::set_traffic_class`]. Other
    /// than the default it costs the offloading of batches. Default 0.
    pub traffic_class: TrafficClass,
    /// Use these sockets and bind none. Agents that are given the same socket
    /// share its port. They carry UDP: there are no TCP candidates then.
    pub sockets: Vec<SharedSocket>,
    /// Follow the addresses of this machine while the agent lives, and notice
    /// when it slept. One thread a process does it for all agents; it sleeps
    /// until the system says that something changed. Default true.
    pub watch_network: bool,
    /// The pacer; `None` takes the one that all agents of the process share.
    pub pacer: Option<Pacer>,
    /// Reach TURN servers over TCP and TLS through this proxy; UDP goes past
    /// it, and so do candidates over TCP. A server's name that does not resolve
    /// here is left to the proxy. Default `None`.
    pub proxy: Option<Proxy>,
    /// Whom to trust with certificates of TURN servers over TLS. Default: what
    /// Mozilla trusts.
    #[cfg(feature = "tls")]
    pub roots: RootCertificates,
    /// Whom SRV records are asked of, for STUN and TURN servers whose URI names
    /// no port; where there are none, the name itself is resolved, by the system.
    /// Default: the name servers of this machine.
    #[cfg(feature = "srv")]
    pub name_servers: super::srv::NameServers,
    /// How long the name of a STUN or TURN server may take to resolve. Default 5 s.
    pub resolve_timeout: Duration,
    /// The bytes that a component keeps for a receiver that is slower than
    /// the network, each datagram counted with 32 more than it has; what
    /// comes beyond is dropped. Default 1 MiB.
    pub receive_queue: usize,
    /// Makes credentials and checks predictable: for tests only.
    pub seed: Option<Seed>,
}

impl AgentConfig {
    /// The defaults for an agent in `role`.
    pub fn new(role: Role) -> Self {
        Config::new(role).into()
    }
}

/// What the driver needs by default, for a core with these settings.
impl From<Config> for AgentConfig {
    fn from(ice: Config) -> Self {
        AgentConfig {
            ice,
            components: 1,
            credentials: None,
            bind: Vec::new(),
            interfaces: Vec::new(),
            ports: None,
            traffic_class: TrafficClass::default(),
            sockets: Vec::new(),
            watch_network: true,
            pacer: None,
            proxy: None,
            #[cfg(feature = "tls")]
            roots: RootCertificates::default(),
            #[cfg(feature = "srv")]
            name_servers: super::srv::NameServers::system(),
            resolve_timeout: Duration::from_secs(5),
            receive_queue: 1 << 20,
            seed: None,
        }
    }
}

/// A UDP socket that several agents share: what arrives is told apart by
/// username fragment, transaction and address. Each stream of an agent can
/// have one component on it.
///
/// Two agents that reach the same remote address over one shared socket can
/// not tell their application data apart; the path that was opened last gets it.
#[derive(Clone, Debug)]
pub struct SharedSocket(pub(super) Arc<Socket>);

impl SharedSocket {
    /// Binds a socket to `address`; port 0 leaves the port to the system. It
    /// is closed when the last handle on it and the last agent that uses it
    /// are gone.
    ///
    /// # Errors
    ///
    /// What the system says, and [`io::ErrorKind::InvalidInput`] for the
    /// unspecified address: candidates need one that can be reached.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        if address.ip().is_unspecified() {
            let text = "a shared socket is bound to one address of the machine";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        let scope = match address {
            SocketAddr::V4(_) => 0,
            SocketAddr::V6(v6) => v6.scope_id(),
        };
        let port = address.port();
        let options =
            BindOptions { ports: (port != 0).then_some(port..=port), ..BindOptions::default() };
        Socket::bind(address.ip(), scope, &options).map(|socket| SharedSocket(Arc::new(socket)))
    }

    /// The address that it is bound to.
    pub fn local_address(&self) -> SocketAddr {
        self.0.local()
    }

    /// Sets the traffic class of what the socket sends from now on, for all
    /// agents that share it. Other than the default it costs the offloading of
    /// batches.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn set_traffic_class(&self, class: TrafficClass) -> io::Result<()> {
        self.0.io().set_traffic_class(class)
    }

    /// Datagrams that were for no agent, and were dropped.
    pub fn unrouted(&self) -> u64 {
        self.0.router().unrouted()
    }
}
