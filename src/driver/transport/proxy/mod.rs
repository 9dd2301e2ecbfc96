//! Ways through proxies: a connection to one becomes a connection to a server.
//!
//! Of an answer exactly as much is read as belongs to it, and never more than a
//! bound: what follows is the server's.

mod http;
mod socks;

use std::fmt;
use std::io;
use std::net::SocketAddr;

use super::TcpStream;
use crate::driver::proxy::{Proxy, ProxyKind};
use crate::net;

/// Words of a proxy that are shown, in characters.
const MAX_REASON: usize = 64;

/// Where a proxy is to connect to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target<'a> {
    Address(SocketAddr),
    /// A name that the proxy resolves.
    Name(&'a str, u16),
}

impl fmt::Display for Target<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Address(address) => address.fmt(f),
            Target::Name(name, port) => write!(f, "{name}:{port}"),
        }
    }
}

/// Why there is no way through a proxy.
#[derive(Debug)]
pub(crate) enum TunnelError {
    /// It does not connect us to this target; perhaps to another one.
    Target(String),
    /// It does not let us in.
    Login(&'static str),
    /// Nothing can be had from it.
    Proxy(String),
}

impl From<io::Error> for TunnelError {
    fn from(error: io::Error) -> Self {
        TunnelError::Proxy(match error.kind() {
            io::ErrorKind::UnexpectedEof => "closed the connection instead of an answer".into(),
            kind => format!("is gone: {}", net::error_word(kind)),
        })
    }
}

impl TunnelError {
    /// What follows the proxy's name in a sentence.
    pub(crate) fn words(&self) -> &str {
        match self {
            TunnelError::Target(words) | TunnelError::Proxy(words) => words,
            TunnelError::Login(words) => words,
        }
    }
}

/// Asks the proxy at the other end of the stream to connect to the target.
/// It takes as long as the proxy likes.
pub(crate) async fn tunnel(
    stream: &TcpStream,
    proxy: &Proxy,
    target: Target<'_>,
) -> Result<(), TunnelError> {
    let is_name_char = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
    if let Target::Name(name, _) = target
        && !(name.bytes().all(is_name_char) && (1..=255).contains(&name.len()))
    {
        return Err(TunnelError::Target("can not be asked for this name".into()));
    }
    match proxy.kind {
        ProxyKind::Http => http::connect(stream, proxy, target).await,
        ProxyKind::Socks5 => socks::connect(stream, proxy, target).await,
    }
}

/// Reads so many bytes as fit.
async fn read_exact(stream: &TcpStream, into: &mut [u8]) -> io::Result<()> {
    let mut filled = 0;
    while filled < into.len() {
        match stream.read(&mut into[filled..]).await? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => filled += count,
        }
    }
    Ok(())
}

fn shown(reason: &str) -> String {
    reason.chars().take(MAX_REASON).flat_map(char::escape_debug).collect()
}

#[cfg(test)]
mod tests;
