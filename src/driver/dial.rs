//! A connection to a server that is none of ICE's: a rendezvous.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use super::proxy::Proxy;
use super::reach::first_of;
use super::resolve::MAX_ADDRESSES;
use super::transport::{BindOptions, Target, tunnel};
use crate::net;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DialError {
    /// The name, the proxy's where there is one, does not resolve.
    #[error("the name {0} does not resolve")]
    Unresolved(Box<str>),
    /// The proxy does not lead there.
    #[error("the proxy {0}")]
    Proxy(Box<str>),
    /// The system, or the time, says so.
    #[error("no connection: {0}")]
    System(io::Error),
}

/// Opens a TCP connection to `host`, a name or an address, trying one address
/// beside the other, or through a proxy, which resolves the name itself.
///
/// # Errors
///
/// [`DialError`]
///
/// # Cancel safety
///
/// Cancel safe: the attempts end with it.
pub async fn dial(
    host: &str,
    port: u16,
    proxy: Option<&Proxy>,
    limit: Duration,
) -> Result<TcpStream, DialError> {
    let deadline = Instant::now() + limit;
    let late = || DialError::System(io::ErrorKind::TimedOut.into());
    let (name, its_port) = proxy.map_or((host, port), |proxy| (&*proxy.host, proxy.port));
    let lookup = timeout_at(deadline, tokio::net::lookup_host((name, its_port)));
    let found: Vec<SocketAddr> = match lookup.await.map_err(|_| late())? {
        Ok(found) => found.map(net::canonical).take(MAX_ADDRESSES).collect(),
        Err(_) => return Err(DialError::Unresolved(name.escape_debug().to_string().into())),
    };
    let attempt = async {
        let stream = first_of(&found, &BindOptions::default()).await.map_err(DialError::System)?;
        if let Some(proxy) = proxy {
            tunnel(&stream, proxy, Target::Name(host, port))
                .await
                .map_err(|error| DialError::Proxy(format!("{proxy} {}", error.words()).into()))?;
        }
        stream.into_io().ok_or_else(|| DialError::System(io::ErrorKind::NotConnected.into()))
    };
    timeout_at(deadline, attempt).await.map_err(|_| late())?
}
