//! Embedded servers for demonstrations, tests and small installations:
//! [`StunServer`] answers Binding over UDP and TCP (RFC 8489 §12), without
//! credentials, from two addresses as RFC 5780 wants it, and [`TurnServer`]
//! relays besides (RFC 8656), also over TLS. At a [`RendezvousServer`] two sides
//! find each other by a name.

mod behavior;
mod binding;
mod classic;
mod dial_back;
#[cfg(feature = "metrics")]
mod metrics;
mod rate;
mod rendezvous;
mod sources;
mod stream;
mod turn;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::task::AbortHandle;

use crate::driver::transport::{self, BindOptions, Drained, TcpListener, UdpSocket};
use behavior::{Place, Siblings};
use binding::Reply;
use dial_back::DialBacks;
use rate::RateLimit;

#[cfg(feature = "metrics")]
pub use metrics::{Figure, FigureKind, Metrics};
pub use rendezvous::{RendezvousConfig, RendezvousLimits, RendezvousServer};
pub use turn::{Limits, PeerPolicy, TlsIdentity, TurnServer, TurnServerConfig, User};

/// How long the server rests when a socket gives nothing but errors.
const REST: Duration = Duration::from_millis(100);

/// A listener of TCP.
fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let scope = match address {
        SocketAddr::V4(_) => 0,
        SocketAddr::V6(v6) => v6.scope_id(),
    };
    let port = address.port();
    let ports = (port != 0).then_some(port..=port);
    transport::listen_tcp(address.ip(), scope, &BindOptions { ports, ..BindOptions::default() })
}

/// A STUN server. It stops when it is dropped.
#[derive(Debug)]
pub struct StunServer {
    addresses: Vec<SocketAddr>,
    counters: Arc<Counters>,
    tasks: Vec<AbortHandle>,
}

#[derive(Debug, Default)]
struct Counters {
    answered: AtomicU64,
    dropped: AtomicU64,
}

impl StunServer {
    /// Binds a socket of UDP and a listener of TCP to each address (port 0
    /// leaves the port, the same for both, to the system) and answers on them.
    /// Where two of the addresses have the same two ports, it answers there from
    /// the address or port that a client asks for (RFC 5780).
    ///
    /// # Errors
    ///
    /// What the system says of the first address that can not be bound.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn bind(addresses: &[SocketAddr]) -> io::Result<Self> {
        let sockets = addresses.iter().map(bind_both).collect::<io::Result<Vec<_>>>()?;
        Ok(Self::start(sockets))
    }

    /// [`StunServer::bind`] that makes do with those addresses that can be
    /// bound, and says what the system says of the others.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn bind_some(addresses: &[SocketAddr]) -> (Self, Vec<(SocketAddr, io::Error)>) {
        let (mut sockets, mut failures) = (Vec::new(), Vec::new());
        for address in addresses {
            match bind_both(address) {
                Ok(both) => sockets.push(both),
                Err(error) => failures.push((*address, error)),
            }
        }
        (Self::start(sockets), failures)
    }

    fn start(sockets: Vec<(UdpSocket, TcpListener)>) -> Self {
        let addresses: Vec<SocketAddr> = sockets.iter().map(|(socket, _)| socket.local()).collect();
        let (quads, counters) = (behavior::quads(&addresses), Arc::new(Counters::default()));
        let (udp, tcp): (Vec<_>, Vec<_>) =
            sockets.into_iter().map(|(socket, listener)| (Arc::new(socket), listener)).unzip();
        let mut tasks = Vec::new();
        for socket in &udp {
            let place = Place::new(socket.local(), &quads, false);
            let siblings = Siblings::of(place.local, &quads, &udp);
            let serving = serve(socket.clone(), place, siblings, counters.clone());
            tasks.push(tokio::spawn(serving).abort_handle());
        }
        let dial_backs = Arc::new(DialBacks::default());
        for listener in tcp {
            let place = Place::new(listener.local(), &quads, true);
            let serving = stream::serve(listener, place, dial_backs.clone(), counters.clone());
            tasks.push(tokio::spawn(serving).abort_handle());
        }
        StunServer { addresses, counters, tasks }
    }

    /// The addresses that it is bound to, in the order of [`StunServer::bind`].
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Requests that were answered, with an error or without.
    pub fn answered(&self) -> u64 {
        self.counters.answered.load(Ordering::Relaxed)
    }

    /// Datagrams that were dropped: no requests, or too many of them.
    pub fn dropped(&self) -> u64 {
        self.counters.dropped.load(Ordering::Relaxed)
    }
}

/// Rests where the system is short of something; a client that had gone
/// before it was let in keeps nobody waiting.
async fn rest_after(error: &io::Error) {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, InvalidInput, NotConnected};
    match error.kind() {
        ConnectionAborted | ConnectionReset | InvalidInput | NotConnected => {
            tokio::task::yield_now().await;
        }
        _ => tokio::time::sleep(REST).await,
    }
}

/// How often another port is tried where the system gave one that TCP has in
/// use already.
const PORTS: usize = 16;

/// UDP and TCP on one port.
fn bind_both(address: &SocketAddr) -> io::Result<(UdpSocket, TcpListener)> {
    let scope = match address {
        SocketAddr::V4(_) => 0,
        SocketAddr::V6(v6) => v6.scope_id(),
    };
    let (ip, port) = (address.ip(), address.port());
    let on = |port| BindOptions { ports: Some(port..=port), ..BindOptions::default() };
    let mut tries = if port == 0 { PORTS } else { 1 };
    loop {
        let options = if port == 0 { BindOptions::default() } else { on(port) };
        let socket = transport::bind_udp(ip, scope, &options)?;
        let listener = transport::listen_tcp(ip, scope, &on(socket.local().port()));
        tries -= 1;
        match listener {
            Err(error) if tries > 0 && error.kind() == io::ErrorKind::AddrInUse => {}
            listener => return Ok((socket, listener?)),
        }
    }
}

impl Drop for StunServer {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

async fn serve(
    socket: Arc<UdpSocket>,
    place: Place,
    siblings: Option<Siblings>,
    counters: Arc<Counters>,
) {
    let start = Instant::now();
    let (mut rate, mut long_rate) = (RateLimit::new(start), RateLimit::of_long_answers(start));
    let mut response = Vec::with_capacity(128);
    // An error here means that the runtime shuts down.
    while socket.readable().await.is_ok() {
        let result = transport::with_buffers(|received| {
            let result = socket.receive(received);
            let now = Instant::now();
            for glued in received.iter() {
                for bytes in glued.datagrams() {
                    let from = glued.from;
                    let has_budget = || long_rate.admits(from.ip(), now);
                    let reply = binding::respond(bytes, from, &place, has_budget, &mut response);
                    let answered = match reply.filter(|_| rate.admits(from.ip(), now)) {
                        Some(Reply::Written(change)) => {
                            let beside = siblings.as_ref().and_then(|all| all.beside(change));
                            beside.unwrap_or(&socket).send_now(from, &response).is_ok()
                        }
                        // Those are of connections.
                        Some(Reply::DialBack(_)) | None => false,
                    };
                    let counter = if answered { &counters.answered } else { &counters.dropped };
                    counter.fetch_add(1, Ordering::Relaxed);
                }
            }
            result
        });
        match result {
            Ok(Drained::Yes) => {}
            Ok(Drained::No) => tokio::task::yield_now().await,
            Err(_) => tokio::time::sleep(REST).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stun::{self, Message, TransactionId};

    #[tokio::test]
    async fn it_answers_on_every_address_until_it_is_dropped() {
        let server =
            StunServer::bind(&["127.0.0.1:0".parse().unwrap(), "[::1]:0".parse().unwrap()])
                .unwrap();
        for &address in server.addresses() {
            let bind = SocketAddr::new(address.ip(), 0);
            let client = tokio::net::UdpSocket::bind(bind).await.unwrap();
            let mut request = Vec::new();
            stun::write_binding_request(TransactionId([5; 12]), &mut request);
            client.send_to(b"no STUN", address).await.unwrap();
            client.send_to(&request, address).await.unwrap();
            let mut buffer = [0; 128];
            let (len, from) = client.recv_from(&mut buffer).await.unwrap();
            assert_eq!(from, address);
            let response = Message::parse(&buffer[..len]).unwrap();
            assert_eq!(response.xor_mapped_address(), client.local_addr().ok());
        }
        assert_eq!((server.answered(), server.dropped()), (2, 2));
        let address = server.addresses()[0];
        drop(server);
        tokio::task::yield_now().await;
        tokio::net::UdpSocket::bind(address).await.unwrap();
    }

    /// Several on one connection, cut anywhere; what is no STUN ends it.
    #[tokio::test]
    async fn it_answers_over_tcp() {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let server = StunServer::bind(&["127.0.0.1:0".parse().unwrap()]).unwrap();
        let address = server.addresses()[0];
        let mut client = tokio::net::TcpStream::connect(address).await.unwrap();
        let mut request = Vec::new();
        stun::write_binding_request(TransactionId([5; 12]), &mut request);
        for part in [&request[..7], &request[7..], &request[..]] {
            client.write_all(part).await.unwrap();
        }
        let mut answers = [0; 80];
        client.read_exact(&mut answers).await.unwrap();
        for answer in answers.chunks(40) {
            let response = Message::parse(answer).unwrap();
            assert_eq!(response.xor_mapped_address(), client.local_addr().ok());
        }
        client.write_all(b"GET / HTTP/1.1").await.unwrap();
        assert_eq!(client.read(&mut answers).await.unwrap_or(0), 0);
        assert_eq!((server.answered(), server.dropped()), (2, 0));
    }

    #[tokio::test]
    async fn an_address_that_is_taken_is_an_error() {
        let first = StunServer::bind(&["127.0.0.1:0".parse().unwrap()]).unwrap();
        let error = StunServer::bind(first.addresses()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    }
}
