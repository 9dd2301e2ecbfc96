use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::Duration;

use super::policy::PeerPolicy;
use super::tls::TlsIdentity;

/// What a [`TurnServer`](super::TurnServer) is made from. The default listens
/// nowhere, knows no user and refuses every peer that is not public.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TurnServerConfig {
    /// Where to listen: UDP and TCP on each. Port 0 leaves the port, the same
    /// for both, to the system.
    pub listen: Vec<SocketAddr>,
    /// Where to listen for TLS, and the certificate to show.
    pub tls: Option<(Vec<SocketAddr>, TlsIdentity)>,
    /// REALM: whom the passwords are for.
    pub realm: String,
    /// Who may have allocations.
    pub users: Vec<User>,
    /// The addresses to relay from, at most one of each family. Where there is
    /// none of the family that the client listens to, that address itself.
    pub relay_ips: Vec<IpAddr>,
    /// The ports to relay from; `None` leaves them to the system.
    pub relay_ports: Option<RangeInclusive<u16>>,
    /// To which peers is relayed.
    pub peers: PeerPolicy,
    /// How much a client may have.
    pub limits: Limits,
    /// How long a nonce is good for. It costs no memory, and its end costs a
    /// client one round trip.
    pub nonce_lifetime: Duration,
}

impl Default for TurnServerConfig {
    fn default() -> Self {
        TurnServerConfig {
            listen: Vec::new(),
            tls: None,
            realm: "floe".to_owned(),
            users: Vec::new(),
            relay_ips: Vec::new(),
            relay_ports: None,
            peers: PeerPolicy::default(),
            limits: Limits::default(),
            nonce_lifetime: Duration::from_secs(300),
        }
    }
}

/// A user and the password. The password is not shown by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct User {
    /// USERNAME.
    pub name: String,
    /// The password.
    pub password: String,
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("User").field("name", &self.name).finish_non_exhaustive()
    }
}

/// How much a client may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Allocations at a time; beyond them the answer is 508.
    pub allocations: usize,
    /// Of them those of one user; beyond them the answer is 486.
    pub allocations_per_user: usize,
    /// Of them those of one client address (IPv6: of one /64); beyond them the
    /// answer is 486.
    pub allocations_per_ip: usize,
    /// The longest that an allocation lasts without being refreshed; 3,599
    /// seconds at most.
    pub lifetime: Duration,
    /// Bytes a second that an allocation relays, both ways together; what is
    /// beyond them is lost. `None`: any number.
    pub bytes_per_second: Option<u64>,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            allocations: 1_024,
            allocations_per_user: 256,
            allocations_per_ip: 64,
            lifetime: Duration::from_secs(3_599),
            bytes_per_second: None,
        }
    }
}
