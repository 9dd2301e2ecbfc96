//! Names of STUN and TURN servers.

use std::net::SocketAddr;
use std::time::Duration;

use crate::agent::{Config, TurnTransport};
use crate::net::{self, Family};

/// Addresses of one name that are tried.
pub(super) const MAX_ADDRESSES: usize = 8;

/// A server, as far as its name goes.
#[derive(Clone, Debug)]
pub(super) struct Server {
    uri: Box<str>,
    host: Box<str>,
    port: u16,
    /// Its address, if the host is a literal.
    pub(super) address: Option<SocketAddr>,
    /// What stands for its address where only a proxy can resolve the name.
    stand_in: Option<SocketAddr>,
}

/// The servers, in the order in which the core numbers them, where connections
/// to TURN servers go through a proxy or not.
pub(super) fn servers(config: &Config, by_proxy: bool) -> Vec<Server> {
    let ip = net::unspecified(if config.ipv4 { Family::V4 } else { Family::V6 });
    let stun = config.stun_servers.iter().map(|server| {
        let (uri, host) = (server.uri.clone(), server.host.clone());
        Server { uri, host, port: server.port, address: server.address, stand_in: None }
    });
    let turn = config.turn_servers.iter().map(|server| {
        let (uri, host) = (server.uri.clone(), server.host.clone());
        let is_theirs = by_proxy && server.transport != TurnTransport::Udp;
        let stand_in = is_theirs.then_some(SocketAddr::new(ip, server.port));
        Server { uri, host, port: server.port, address: server.address, stand_in }
    });
    stun.chain(turn).collect()
}

/// The addresses of a server, in the resolver's order; none if the name does
/// not resolve in time, or the stand-in.
pub(super) async fn addresses(server: &Server, timeout: Duration) -> Vec<SocketAddr> {
    let addresses = looked_up(server, timeout).await;
    if addresses.is_empty() { server.stand_in.into_iter().collect() } else { addresses }
}

async fn looked_up(server: &Server, timeout: Duration) -> Vec<SocketAddr> {
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
