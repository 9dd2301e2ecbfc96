//! What an agent is made with, and what the two sides tell each other.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::agent::{Rewrite, TurnServer};
use crate::candidate::{RemotePolicy, TcpType};
use crate::check::{NominationPolicy, Role};
use crate::net::Protocol;

/// A STUN server to learn server-reflexive candidates from.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct StunServer {
    /// The URI as the user wrote it, for events.
    pub uri: Box<str>,
    /// Host name or address literal.
    pub host: Box<str>,
    /// Port.
    pub port: u16,
    /// Its address, if the host is a literal; else the driver resolves it.
    pub address: Option<SocketAddr>,
    /// How it is asked: over UDP for UDP candidates, over TCP for TCP
    /// candidates, from their own ports (RFC 6544 §5.2).
    #[cfg_attr(feature = "serde", serde(default))]
    pub protocol: Protocol,
}

/// The transports that candidates are gathered for. Over which the peer's can
/// be reached follows from them (RFC 6544 §6.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "kebab-case")
)]
pub struct Transports {
    /// UDP.
    pub udp: bool,
    /// TCP connections that we open to passive candidates of the peer.
    pub tcp_active: bool,
    /// TCP connections that we accept.
    pub tcp_passive: bool,
    /// TCP connections that both sides open at once.
    pub tcp_so: bool,
}

impl Transports {
    /// None at all.
    pub const NONE: Self =
        Transports { udp: false, tcp_active: false, tcp_passive: false, tcp_so: false };
    /// UDP alone, the default.
    pub const UDP: Self = Transports { udp: true, ..Self::NONE };
    /// TCP in every direction, and no UDP.
    pub const TCP: Self =
        Transports { udp: false, tcp_active: true, tcp_passive: true, tcp_so: true };
    /// All of them.
    pub const ALL: Self = Transports { udp: true, ..Self::TCP };

    /// `None` for UDP, and the types of TCP candidates, in the order in which
    /// they are gathered. A lite agent opens no connections (RFC 6544 §4.4).
    pub(super) fn list(self, lite: bool) -> impl Iterator<Item = Option<TcpType>> + Clone {
        [
            (self.udp, None),
            (self.tcp_active && !lite, Some(TcpType::Active)),
            (self.tcp_passive, Some(TcpType::Passive)),
            (self.tcp_so && !lite, Some(TcpType::SimultaneousOpen)),
        ]
        .into_iter()
        .filter_map(|(wanted, tcp_type)| wanted.then_some(tcp_type))
    }
}

/// How the two sides agree when their attempts at a simultaneous open begin.
/// The first never waits for it, and both have to use the same. Over UDP there
/// is a common start only where nothing has come through without one, and by
/// [`Synchronisation::T0`] alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "kebab-case")
)]
pub enum Synchronisation {
    /// Not at all.
    Off,
    /// Rounds from a T0 on that four timestamps agree on ([`crate::punch`]).
    #[default]
    T0,
    /// As libp2p's DCUtR does, for comparison.
    Dcutr,
}

impl Default for Transports {
    fn default() -> Self {
        Self::UDP
    }
}

/// The settings of an agent. [`Config::new`] gives the defaults, and
/// [`Config::lan`] and [`Config::server`] what suits those.
#[derive(Debug)]
#[non_exhaustive]
pub struct Config {
    /// The role to start in (RFC 8445 §6.1.1); a conflict may change it.
    pub role: Role,
    /// The number that decides conflicts about the role (RFC 8445 §16.1), for
    /// sessions that are one to the peer: `None` draws one. It is no secret.
    /// Default `None`.
    pub tie_breaker: Option<u64>,
    /// STUN servers, asked side by side.
    pub stun_servers: Vec<StunServer>,
    /// TURN servers, whose relays are the way where there is no direct one.
    /// Each gives a candidate, side by side.
    pub turn_servers: Vec<TurnServer>,
    /// The pacing that we offer (Ta; `ice-pacing`, RFC 8839 §5.5). Default 5 ms.
    pub pacing: Duration,
    /// Largest number of pairs over all check lists (RFC 8445 §6.1.2.5). Default 100.
    pub max_pairs: usize,
    /// Largest number of remote candidates a stream. Default 256.
    pub max_remote_candidates: usize,
    /// How long gathering waits for STUN and TURN servers before it ends without them.
    pub gather_timeout: Duration,
    /// How long the TURN servers keep a permission that is not renewed. Default
    /// 300 s, as RFC 8656 §9 has it, which is also the most; 2 s is the least.
    pub permission_lifetime: Duration,
    /// Be a lite agent (RFC 8445 §2.5): host candidates only, one of each
    /// address family, checks are answered and none sent. For servers with a
    /// public address; towards a full peer it is controlled, whatever `role`
    /// says. Between two lite agents no check passes at all: data then goes to
    /// an address that has proved nothing. Default false.
    pub lite: bool,
    /// Which valid pair the controlling agent nominates, and when.
    pub nomination: Arc<dyn NominationPolicy>,
    /// List the option `renomination` (draft-thatcher-ice-renomination). Where
    /// the peer lists it too, up to two valid pairs stand by beside each
    /// selected one, and the policy may move the stream to them. Default true.
    pub renomination: bool,
    /// List our option `continual`, beside `renomination`: where the peer lists
    /// it too, candidates of new addresses are trickled into the session for
    /// as long as it lasts, and the stream moves by renomination instead of a
    /// restart. The application has to carry candidates after the end of
    /// candidates, too. Default false.
    pub continual: bool,
    /// Follow the network: where addresses of this machine appear, or the one
    /// in use vanishes, restart ICE by ourselves ([`super::Event::Restarted`]),
    /// or trickle. Default true.
    pub follow_network: bool,
    /// Gather loopback addresses too, and with them accept loopback remotes.
    pub include_loopback: bool,
    /// Remote addresses that packets may be sent to. Default: the safe one.
    pub remote_policy: RemotePolicy,
    /// Resolve remote candidates with a name, `<uuid>.local`, by multicast
    /// DNS. Default yes; the driver needs its feature `mdns` for it.
    pub resolve_mdns: bool,
    /// Signal host candidates with names, `<uuid>.local`, so that the peer and
    /// the signalling do not learn the addresses of this machine; who is on a
    /// link of ours can resolve them. Related addresses are hidden too.
    /// Default no; the driver needs its feature `mdns` for it.
    pub publish_mdns: bool,
    /// Public addresses of a 1:1 NAT that this machine is behind. Default none.
    pub rewrites: Vec<Rewrite>,
    /// Candidate types to gather and signal.
    pub gather_host: bool,
    /// Server-reflexive candidates are gathered.
    pub gather_server_reflexive: bool,
    /// Relayed candidates are gathered, of the [`Config::transports`] that
    /// servers relay: of TCP it takes one that is reached over TCP or TLS. Where
    /// they are the only ones, nothing but the servers is sent to directly.
    /// Default yes.
    pub gather_relayed: bool,
    /// The transports of candidates. Default UDP: TCP, whose losses hold up
    /// what comes behind them, is for the application to choose (RFC 6544 §4.1).
    pub transports: Transports,
    /// How attempts at a simultaneous open are timed, by messages that the
    /// application carries like candidates ([`super::Event::Sync`]). Default T0.
    pub synchronisation: Synchronisation,
    /// This system opens a connection from both ends at once (RFC 9293 §3.5).
    /// Hardened ones do not; the driver knows. It decides nothing, and is
    /// given as the reason where such a connection fails. Default true.
    pub simultaneous_open: bool,
    /// Gather IPv4 addresses.
    pub ipv4: bool,
    /// Gather IPv6 addresses.
    pub ipv6: bool,
    /// Keep the records that [`super::Core::poll_log`] returns.
    pub log: bool,
}

impl Config {
    /// The defaults for an agent in `role`.
    pub fn new(role: Role) -> Self {
        Config {
            role,
            tie_breaker: None,
            stun_servers: Vec::new(),
            turn_servers: Vec::new(),
            pacing: Duration::from_millis(5),
            max_pairs: 100,
            max_remote_candidates: 256,
            gather_timeout: Duration::from_secs(5),
            permission_lifetime: Duration::from_secs(300),
            lite: false,
            nomination: Arc::new(crate::check::Fast::default()),
            renomination: true,
            continual: false,
            follow_network: true,
            include_loopback: false,
            remote_policy: RemotePolicy::default(),
            resolve_mdns: true,
            publish_mdns: false,
            rewrites: Vec::new(),
            gather_host: true,
            gather_server_reflexive: true,
            gather_relayed: true,
            transports: Transports::UDP,
            synchronisation: Synchronisation::T0,
            simultaneous_open: true,
            ipv4: true,
            ipv6: true,
            log: false,
        }
    }
}

/// A username fragment and password (RFC 8445 §5.3). `Debug` hides the password.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// 4 to 256 ice-chars.
    pub ufrag: Box<str>,
    /// 22 to 256 ice-chars.
    pub pwd: Box<str>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credentials({}, …)", self.ufrag)
    }
}

/// What the peer's signalling says of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteParameters {
    /// The peer's credentials.
    pub credentials: Credentials,
    /// The peer's `ice-pacing`; RFC 8839 §5.5 takes 50 ms where it is absent.
    pub pacing: Duration,
    /// The peer is a lite agent.
    pub lite: bool,
    /// The peer's `ice-options`.
    pub options: Vec<Box<str>>,
    /// Our username fragment that these answer, if the signalling says so
    /// ([`super::Event::Restarted`] has it for the other direction). Where both
    /// sides restart, or one does twice, it tells an answer that was overtaken
    /// from a new restart. SDP does not need it: there an answer belongs to
    /// its offer.
    pub answers: Option<Box<str>>,
}

impl RemoteParameters {
    /// RFC 8839 §5.5: an agent that says nothing paces at 50 ms.
    pub const DEFAULT_PACING: Duration = Duration::from_millis(50);

    /// A full peer with these credentials that said nothing else.
    pub fn new(ufrag: &str, pwd: &str) -> Self {
        RemoteParameters {
            credentials: Credentials { ufrag: ufrag.into(), pwd: pwd.into() },
            pacing: Self::DEFAULT_PACING,
            lite: false,
            options: Vec::new(),
            answers: None,
        }
    }
}
