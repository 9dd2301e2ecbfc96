//! How TURN servers are reached over TCP and TLS: straight, or through a proxy.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::task::Poll;
use std::time::Duration;

use tokio::time::{Instant, timeout, timeout_at};

use super::config::AgentConfig;
use super::proxy::Proxy;
use super::resolve::MAX_ADDRESSES;
#[cfg(feature = "tls")]
use super::transport::TlsSettings;
use super::transport::{
    BindOptions, Connecting, Stream, Target, TcpStream, TunnelError, connect_tcp, tunnel,
};
use crate::agent::{TurnServer, TurnTransport};
use crate::gather::Cause;
use crate::net::{self, Family};

/// How long an address may take before the next one is tried beside it (RFC
/// 8305 §5).
const STAGGER: Duration = Duration::from_millis(250);

/// How connections to TURN servers are opened.
#[derive(Clone, Debug)]
pub(super) struct Reach {
    options: BindOptions,
    proxy: Option<Proxy>,
    /// `None` if no server needs it.
    #[cfg(feature = "tls")]
    tls: Option<TlsSettings>,
    /// How long it may take, over all: a little less than the core waits, so
    /// that it learns why.
    limit: Duration,
}

/// A connection to a server.
#[derive(Debug)]
pub(super) struct Reached {
    pub(super) stream: Stream,
    /// The address that it leads to; unspecified if only a proxy knows it.
    pub(super) to: SocketAddr,
}

/// Why there is none.
#[derive(Debug)]
pub(super) enum Refusal {
    /// The system says so.
    System(io::ErrorKind),
    /// TLS or a proxy says so: a sentence for people.
    Told { cause: Cause, text: Box<str> },
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        Refusal::System(error.kind())
    }
}

fn told(cause: Cause, text: String) -> Refusal {
    Refusal::Told { cause, text: text.into() }
}

impl Reach {
    pub(super) fn new(config: &AgentConfig) -> Self {
        Reach {
            options: BindOptions { ports: None, class: config.traffic_class },
            proxy: config.proxy.clone(),
            #[cfg(feature = "tls")]
            tls: tls_settings(&config.ice.turn_servers, config),
            limit: config.ice.gather_timeout * 7 / 8,
        }
    }

    /// The way to one server, whether an agent of this configuration has it or
    /// not.
    pub(super) fn to(server: &TurnServer, config: &AgentConfig) -> Self {
        let reach = Reach::new(config);
        #[cfg(feature = "tls")]
        let reach = Reach { tls: tls_settings(std::slice::from_ref(server), config), ..reach };
        #[cfg(not(feature = "tls"))]
        let _ = server;
        reach
    }

    /// Opens a connection to one of the addresses of a server, of which those
    /// that come first are tried first.
    pub(super) async fn open(
        &self,
        server: &TurnServer,
        to: &[SocketAddr],
    ) -> Result<Reached, Refusal> {
        let deadline = Instant::now() + self.limit;
        let (stream, to) = self.open_plain(server, to, deadline).await?;
        self.agree(stream, server, to, deadline).await
    }

    /// The TCP connection, and where it leads.
    pub(super) async fn open_plain(
        &self,
        server: &TurnServer,
        to: &[SocketAddr],
        deadline: Instant,
    ) -> Result<(TcpStream, SocketAddr), Refusal> {
        let Some(proxy) = &self.proxy else {
            let attempt = timeout_at(deadline, first_of(to, &self.options)).await;
            let stream = attempt.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))?;
            let remote = stream.remote();
            return Ok((stream, remote));
        };
        self.open_through(proxy, server, to, deadline).await
    }

    /// TLS on it, where the server wants that.
    pub(super) async fn agree(
        &self,
        stream: TcpStream,
        server: &TurnServer,
        to: SocketAddr,
        deadline: Instant,
    ) -> Result<Reached, Refusal> {
        match server.transport {
            TurnTransport::Tls => {
                let stream = self.secure(stream, server, to, deadline).await?;
                Ok(Reached { stream, to })
            }
            _ => Ok(Reached { stream: stream.into(), to }),
        }
    }

    /// Asks a proxy for the addresses one after the other, or for the name
    /// where there is no address.
    async fn open_through(
        &self,
        proxy: &Proxy,
        server: &TurnServer,
        to: &[SocketAddr],
        deadline: Instant,
    ) -> Result<(TcpStream, SocketAddr), Refusal> {
        let of_proxy = |words: &str| format!("the proxy {proxy} {words}");
        let lookup = tokio::net::lookup_host((&*proxy.host, proxy.port));
        let found: Vec<SocketAddr> = match timeout_at(deadline, lookup).await {
            Ok(Ok(found)) => found.map(net::canonical).take(MAX_ADDRESSES).collect(),
            _ => return Err(told(Cause::Unresolved, of_proxy("has a name that does not resolve"))),
        };
        let mut refusal = "is asked for no address".to_owned();
        for (at, address) in to.iter().enumerate() {
            let target = match address.ip().is_unspecified() {
                true => Target::Name(&server.host, server.port),
                false => Target::Address(*address),
            };
            let rest = deadline.saturating_duration_since(Instant::now());
            let share = u32::try_from(to.len() - at).unwrap_or(u32::MAX);
            let attempt = async {
                let stream = first_of(&found, &self.options).await.map_err(|error| {
                    let word = net::error_word(error.kind());
                    TunnelError::Proxy(format!("is not reached: {word}"))
                })?;
                tunnel(&stream, proxy, target).await?;
                Ok(stream)
            };
            match timeout(rest / share, attempt).await {
                Ok(Ok(stream)) => return Ok((stream, *address)),
                Ok(Err(error @ TunnelError::Target(_))) => refusal = error.words().into(),
                Ok(Err(error)) => {
                    let is_login = matches!(error, TunnelError::Login(_));
                    let cause = if is_login { Cause::Credentials } else { Cause::NotReached };
                    return Err(told(cause, of_proxy(error.words())));
                }
                Err(_) => refusal = format!("does not connect to {target} in time"),
            }
        }
        Err(told(Cause::NotReached, of_proxy(&refusal)))
    }

    #[cfg(feature = "tls")]
    async fn secure(
        &self,
        stream: TcpStream,
        server: &TurnServer,
        to: SocketAddr,
        deadline: Instant,
    ) -> Result<Stream, Refusal> {
        use super::transport::TlsStream;

        let who = match (server.address, to.ip().is_unspecified()) {
            (None, false) => format!("{} at {to}", server.host.escape_debug()),
            _ => format!("{}:{}", server.host.escape_debug(), server.port),
        };
        let text = |why: &dyn std::fmt::Display| format!("no TLS with {who}: {why}");
        let Some(settings) = &self.tls else {
            return Err(told(Cause::Tls, text(&"it can not be set up here")));
        };
        match timeout_at(deadline, TlsStream::open(stream, settings, &server.host)).await {
            Ok(Ok(stream)) => Ok(Stream::Tls(Box::new(stream))),
            Ok(Err(refusal)) => Err(told(Cause::Tls, text(&refusal))),
            Err(_) => Err(told(Cause::NotReached, text(&"it does not answer in time"))),
        }
    }

    #[cfg(not(feature = "tls"))]
    async fn secure(
        &self,
        _: TcpStream,
        server: &TurnServer,
        _: SocketAddr,
        _: Instant,
    ) -> Result<Stream, Refusal> {
        let host = server.host.escape_debug();
        let text = format!("no TLS with {host}: it was left out of this build (feature `tls`)");
        Err(told(Cause::Tls, text))
    }
}

/// What TLS needs, if a server is reached so.
#[cfg(feature = "tls")]
fn tls_settings(servers: &[TurnServer], config: &AgentConfig) -> Option<TlsSettings> {
    let is_secure = |server: &TurnServer| server.transport == TurnTransport::Tls;
    if !servers.iter().any(is_secure) {
        return None;
    }
    let settings = TlsSettings::new(&config.roots);
    settings.inspect_err(|error| tracing::warn!(%error, "no TLS")).ok()
}

/// The first connection to one of the addresses.
pub(super) async fn first_of(
    addresses: &[SocketAddr],
    options: &BindOptions,
) -> io::Result<TcpStream> {
    let mut rest = addresses.iter();
    let mut attempts: Vec<Connecting> = Vec::new();
    let mut failed: io::Error = io::ErrorKind::AddrNotAvailable.into();
    loop {
        let next = rest.next();
        if let Some(to) = next {
            let from = net::unspecified(Family::of(to.ip()));
            match connect_tcp((from, 0, None), *to, options) {
                Ok(attempt) => attempts.push(attempt),
                Err(error) => {
                    failed = error;
                    continue;
                }
            }
        } else if attempts.is_empty() {
            return Err(failed);
        }
        let first = poll_fn(|cx| {
            let done =
                attempts.iter().enumerate().find_map(|(at, attempt)| match attempt.poll(cx) {
                    Poll::Ready(result) => Some((at, result)),
                    Poll::Pending => None,
                });
            done.map_or(Poll::Pending, Poll::Ready)
        });
        let patience = if rest.as_slice().is_empty() { Duration::MAX } else { STAGGER };
        match tokio::time::timeout(patience, first).await {
            Ok((_, Some(Ok(stream)))) => return Ok(stream),
            Ok((at, result)) => {
                attempts.swap_remove(at);
                if let Some(Err(error)) = result {
                    failed = error;
                }
            }
            Err(_) => {}
        }
    }
}

#[cfg(test)]
mod tests;
