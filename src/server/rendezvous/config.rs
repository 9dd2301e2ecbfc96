use std::net::SocketAddr;
use std::time::Duration;

use crate::server::TlsIdentity;

/// What a [`RendezvousServer`](super::RendezvousServer) is made from. The
/// default listens nowhere.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct RendezvousConfig {
    /// Where to listen. Port 0 leaves the port to the system.
    pub listen: Vec<SocketAddr>,
    /// The certificate to show. With it visitors that speak TLS are served
    /// beside those that do not, on the same port.
    pub tls: Option<TlsIdentity>,
    /// How much a visitor may have.
    pub limits: RendezvousLimits,
}

/// How much a visitor may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RendezvousLimits {
    /// Rooms at a time.
    pub rooms: usize,
    /// How long a room lasts, from when it is opened.
    pub lifetime: Duration,
    /// Messages that a visitor may send while it is in a room.
    pub messages: u32,
    /// Bytes of them, all together.
    pub bytes: usize,
}

impl Default for RendezvousLimits {
    fn default() -> Self {
        RendezvousLimits {
            rooms: 512,
            lifetime: Duration::from_secs(3_600),
            messages: 1_024,
            bytes: 1 << 20,
        }
    }
}
