//! An embedded TURN server (RFC 8656): the server of the crate `turn` with a
//! front that owns the sockets.
//!
//! The front answers whoever shows no credentials itself, and remembers
//! nothing of it; it holds peers and numbers to the policy and the limits, and
//! puts what remains in the words of the server behind, which sees one client
//! of its own on a socket in memory. So that server gives one nonce an hour,
//! gets each XOR-PEER-ADDRESS in a request of its own, and its users are never
//! wrong.

mod config;
mod conn;
mod front;
mod job;
mod leg;
mod nonce;
mod policy;
mod relay;
mod requests;
mod splitter;
mod stream;
mod table;
#[cfg(test)]
mod tests;
mod tls;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use parking_lot::Mutex;
use rand::TryRngCore as _;
use rand::rngs::OsRng;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use turn::auth::AuthHandler;
use turn::server::Server;
use turn::server::config::{ConnConfig, ServerConfig};

pub use config::{Limits, TurnServerConfig, User};
pub use policy::PeerPolicy;
pub use tls::TlsIdentity;

use super::behavior::{self, Place, Quad, Siblings};
use super::dial_back::DialBacks;
use super::{Counters, bind_both};
use crate::driver::transport::{self, BindOptions, TcpListener, UdpSocket};
use crate::stun::IntegrityKey;
use conn::LegConn;
use front::Front;
use job::Behind;
use leg::{Leg, Outlet, WAITING};
use nonce::Nonces;
use policy::Guard;
use relay::Relays;

/// Which leg a client comes on: one socket or listener of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct LegId(u16);

/// A STUN and TURN server over UDP, TCP and TLS. It stops when it is dropped.
///
/// It relays datagrams of at most some 1,460 bytes: longer ones are lost.
pub struct TurnServer {
    addresses: Vec<SocketAddr>,
    tls_addresses: Vec<SocketAddr>,
    counters: Arc<Counters>,
    dial_backs: Arc<DialBacks>,
    front: Arc<Mutex<Front>>,
    tasks: Vec<AbortHandle>,
    /// They end when they are dropped.
    _behind: Vec<Server>,
}

/// A leg before it serves.
struct Socket {
    place: Place,
    outlet: Outlet,
    listener: Option<TcpListener>,
    is_tls: bool,
}

impl TurnServer {
    /// Binds the sockets and serves on them.
    ///
    /// # Errors
    ///
    /// What the system says of the first address that can not be bound;
    /// [`io::ErrorKind::InvalidInput`] for a configuration that cannot be.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub async fn bind(config: TurnServerConfig) -> io::Result<Self> {
        check(&config)?;
        let (sockets, mut failures) = bind_all(&config);
        match failures.drain(..).next() {
            Some((_, error)) => Err(error),
            None => Self::start(sockets, &config).await,
        }
    }

    /// [`TurnServer::bind`] that makes do with those addresses that can be
    /// bound, and says what the system says of the others.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::InvalidInput`] for a configuration that cannot be. No
    /// address at all is no error.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub async fn bind_some(
        config: TurnServerConfig,
    ) -> io::Result<(Self, Vec<(SocketAddr, io::Error)>)> {
        check(&config)?;
        let (sockets, failures) = bind_all(&config);
        Ok((Self::start(sockets, &config).await?, failures))
    }

    async fn start(sockets: Vec<Socket>, config: &TurnServerConfig) -> io::Result<Self> {
        let listening: Vec<SocketAddr> = sockets.iter().map(|socket| socket.place.local).collect();
        let (now, counters) = (Instant::now(), Arc::new(Counters::default()));
        let guard = Guard::new(&config.peers, listening, config.relay_ips.iter().copied());
        let nonces = Nonces::new(config.nonce_lifetime, now)?;
        let TurnServerConfig { realm, users, limits, .. } = config;
        let front = Front::new(realm, users, nonces, *limits, Arc::new(guard), now);
        let mut server = TurnServer {
            addresses: Vec::new(),
            tls_addresses: Vec::new(),
            counters,
            dial_backs: Arc::default(),
            front: Arc::new(Mutex::new(front)),
            tasks: Vec::new(),
            _behind: Vec::new(),
        };
        for (number, socket) in (0..).zip(sockets) {
            server.serve(LegId(number), socket, config).await?;
        }
        Ok(server)
    }

    async fn serve(
        &mut self,
        id: LegId,
        socket: Socket,
        config: &TurnServerConfig,
    ) -> io::Result<()> {
        let Socket { place, outlet, listener, is_tls } = socket;
        let local = place.local;
        if is_tls {
            self.tls_addresses.push(local);
        } else if listener.is_none() {
            self.addresses.push(local);
        }
        let ips = relay_ips(config, local.ip());
        let (work, waiting) = mpsc::channel(WAITING);
        let leg = Arc::new(Leg {
            id,
            place,
            families: ips.iter().map(|ip| requests::family_of(*ip)).collect(),
            outlet,
            front: self.front.clone(),
            work,
            counters: self.counters.clone(),
            dial_backs: self.dial_backs.clone(),
        });
        let relays = Relays {
            ips,
            ports: config.relay_ports.clone(),
            bytes_per_second: config.limits.bytes_per_second,
            guard: self.front.lock().guard.clone(),
        };
        self._behind.push(behind(&leg, waiting, relays).await?);
        let task = match listener {
            Some(listener) => {
                let tls = config.tls.as_ref().filter(|_| is_tls);
                let tls = tls.map(|(_, identity)| identity.acceptor());
                tokio::spawn(stream::serve(leg, listener, tls))
            }
            None => tokio::spawn(async move { leg.serve_datagrams().await }),
        };
        self.tasks.push(task.abort_handle());
        Ok(())
    }

    /// The addresses that it serves over UDP and TCP, in the order of
    /// [`TurnServerConfig::listen`].
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// The addresses that it serves over TLS.
    pub fn tls_addresses(&self) -> &[SocketAddr] {
        &self.tls_addresses
    }

    /// Requests that were answered, with an error or without.
    pub fn answered(&self) -> u64 {
        self.counters.answered.load(Ordering::Relaxed)
    }

    /// Messages that were dropped: no requests, too many of them, or data of
    /// clients without an allocation; and connections beyond their number.
    pub fn dropped(&self) -> u64 {
        self.counters.dropped.load(Ordering::Relaxed)
    }

    /// Allocations that there are. One that was not refreshed may count until
    /// the next one is made.
    pub fn allocations(&self) -> usize {
        self.front.lock().table.len()
    }
}

impl std::fmt::Debug for TurnServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TurnServer")
            .field("addresses", &self.addresses)
            .field("tls_addresses", &self.tls_addresses)
            .finish_non_exhaustive()
    }
}

impl Drop for TurnServer {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

/// The longest realm and user name (RFC 8489 §14.3, §14.9), for all that is
/// written has to fit.
const MAX_NAME: usize = 508;

fn check(config: &TurnServerConfig) -> io::Result<()> {
    let tls = config.tls.iter().flat_map(|(addresses, _)| addresses);
    let listen = config.listen.iter().chain(tls);
    let names = config.users.iter().map(|user| &user.name).chain([&config.realm]);
    let text = if names.clone().any(|name| name.is_empty() || name.len() > MAX_NAME) {
        "a realm and a user name have 1 to 508 bytes"
    } else if listen.clone().next().is_none() {
        "there is no address to listen on"
    } else if listen.clone().any(|at| at.ip().is_unspecified()) {
        // It would answer from another address than was asked, and relay at none.
        "an unspecified address cannot be listened on"
    } else {
        return Ok(());
    };
    Err(io::Error::new(io::ErrorKind::InvalidInput, text))
}

/// The sockets that can be bound, and the addresses that cannot.
fn bind_all(config: &TurnServerConfig) -> (Vec<Socket>, Vec<(SocketAddr, io::Error)>) {
    let (mut both, mut failures) = (Vec::new(), Vec::new());
    for address in &config.listen {
        match bind_both(address) {
            Ok((socket, listener)) => both.push((Arc::new(socket), listener)),
            Err(error) => failures.push((*address, error)),
        }
    }
    let mut sockets = datagrams_and_connections(both);
    for address in config.tls.iter().flat_map(|(addresses, _)| addresses) {
        let ports = (address.port() != 0).then(|| address.port()..=address.port());
        let options = BindOptions { ports, ..BindOptions::default() };
        match transport::listen_tcp(address.ip(), 0, &options) {
            Ok(listener) => sockets.push(connections(listener, &[], true)),
            Err(error) => failures.push((*address, error)),
        }
    }
    (sockets, failures)
}

/// The legs of the sockets that serve UDP and TCP.
fn datagrams_and_connections(both: Vec<(Arc<UdpSocket>, TcpListener)>) -> Vec<Socket> {
    let locals: Vec<SocketAddr> = both.iter().map(|(socket, _)| socket.local()).collect();
    let quads = behavior::quads(&locals);
    let all: Vec<Arc<UdpSocket>> = both.iter().map(|(socket, _)| socket.clone()).collect();
    let mut sockets = Vec::new();
    for (socket, listener) in both {
        let place = Place::new(socket.local(), &quads, false);
        let siblings = Siblings::of(place.local, &quads, &all);
        let outlet = Outlet::Datagrams(socket, siblings);
        sockets.push(Socket { place, outlet, listener: None, is_tls: false });
        sockets.push(connections(listener, &quads, false));
    }
    sockets
}

fn connections(listener: TcpListener, quads: &[Quad], is_tls: bool) -> Socket {
    let outlet = Outlet::Connections(Mutex::default());
    let place = Place::new(listener.local(), quads, true);
    Socket { place, outlet, listener: Some(listener), is_tls }
}

/// From where the clients of a leg are relayed.
fn relay_ips(config: &TurnServerConfig, local: IpAddr) -> Vec<IpAddr> {
    let of = |is_v4: bool| {
        let all = config.relay_ips.iter().chain([&local]);
        all.copied().find(|ip| ip.is_ipv4() == is_v4)
    };
    of(true).into_iter().chain(of(false)).collect()
}

/// Whom the server behind serves: the front, whatever name it gives.
struct OneKey(Vec<u8>);

impl AuthHandler for OneKey {
    fn auth_handle(
        &self,
        _username: &str,
        _realm: &str,
        _from: SocketAddr,
    ) -> Result<Vec<u8>, turn::Error> {
        Ok(self.0.clone())
    }
}

/// Starts the server behind a leg.
async fn behind(
    leg: &Arc<Leg>,
    waiting: mpsc::Receiver<conn::Work>,
    relays: Relays,
) -> io::Result<Server> {
    let mut key = vec![0; 20];
    OsRng.try_fill_bytes(&mut key).map_err(io::Error::other)?;
    let realm = "behind".to_owned();
    let behind = Behind::new(realm.clone(), IntegrityKey::from_bytes(&key));
    let conn = LegConn::new(leg.clone(), waiting, behind);
    let server = Server::new(ServerConfig {
        conn_configs: vec![ConnConfig {
            conn: Arc::new(conn),
            relay_addr_generator: Box::new(relays),
        }],
        realm,
        auth_handler: Arc::new(OneKey(key)),
        channel_bind_timeout: table::CHANNEL,
        alloc_close_notify: None,
    });
    server.await.map_err(io::Error::other)
}
