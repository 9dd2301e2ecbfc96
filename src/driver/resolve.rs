//! Names of STUN and TURN servers.

use std::net::SocketAddr;
use std::time::Duration;

use crate::agent::Config;
use crate::net;

/// Addresses of one name that are tried.
const MAX_ADDRESSES: usize = 8;

/// A server, as far as its name goes.
#[derive(Clone, Debug)]
pub(super) struct Server {
    uri: Box<str>,
    host: Box<str>,
    port: u16,
    /// Its address, if the host is a literal.
    pub(super) address: Option<SocketAddr>,
}

/// The servers, in the order in which the core numbers them.
pub(super) fn servers(config: &Config) -> Vec<Server> {
    let stun = config.stun_servers.iter().map(|server| {
        let (uri, host) = (server.uri.clone(), server.host.clone());
        Server { uri, host, port: server.port, address: server.address }
    });
    let turn = config.turn_servers.iter().map(|server| {
        let (uri, host) = (server.uri.clone(), server.host.clone());
        Server { uri, host, port: server.port, address: server.address }
    });
    stun.chain(turn).collect()
}

/// The addresses of a server, in the resolver's order; none if the name does
/// not resolve in time.
pub(super) async fn addresses(server: &Server, timeout: Duration) -> Vec<SocketAddr> {
    if let Some(address) = server.address {
        return vec![address];
    }
    let lookup = tokio::net::lookup_host((&*server.host, server.port));
    match tokio::time::timeout(timeout, lookup).await {
        Ok(Ok(addresses)) => addresses.map(net::canonical).take(MAX_ADDRESSES).collect(),
        Ok(Err(error)) => {
            tracing::debug!(uri = %server.uri, %error, "the name does not resolve");
            Vec::new()
        }
        Err(_) => {
            tracing::debug!(uri = %server.uri, "the name does not resolve in time");
            Vec::new()
        }
    }
}
