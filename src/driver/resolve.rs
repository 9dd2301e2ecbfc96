//! Names of STUN and TURN servers.

use std::net::SocketAddr;
use std::time::Duration;

#[cfg(feature = "srv")]
use super::srv::NameServers;
use super::uri;
use crate::agent::{Config, TurnTransport};
use crate::net::{self, Family, Protocol};

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
    /// How its SRV records begin, where its URI names no port.
    #[cfg_attr(not(feature = "srv"), expect(dead_code, reason = "nobody asks for them"))]
    service: Option<&'static str>,
}

/// The servers, in the order in which the core numbers them, where connections
/// to TURN servers go through a proxy or not.
pub(super) fn servers(config: &Config, by_proxy: bool) -> Vec<Server> {
    let ip = net::unspecified(if config.ipv4 { Family::V4 } else { Family::V6 });
    let stun = config.stun_servers.iter().map(|server| {
        let (uri, host) = (server.uri.clone(), server.host.clone());
        let service = match server.protocol {
            Protocol::Udp => "_stun._udp",
            Protocol::Tcp => "_stun._tcp",
        };
        let service = Some(service).filter(|_| !uri::names_port(&uri));
        let (port, address) = (server.port, server.address);
        Server { uri, host, port, address, stand_in: None, service }
    });
    let turn = config.turn_servers.iter().map(|server| {
        let (uri, host) = (server.uri.clone(), server.host.clone());
        let is_theirs = by_proxy && server.transport != TurnTransport::Udp;
        let stand_in = is_theirs.then_some(SocketAddr::new(ip, server.port));
        let service = match server.transport {
            TurnTransport::Udp => "_turn._udp",
            TurnTransport::Tcp => "_turn._tcp",
            TurnTransport::Tls => "_turns._tcp",
        };
        let service = Some(service).filter(|_| !uri::names_port(&uri));
        Server { uri, host, port: server.port, address: server.address, stand_in, service }
    });
    stun.chain(turn).collect()
}

/// What names are resolved by.
#[derive(Clone, Debug)]
pub(super) struct Resolver {
    #[cfg(feature = "srv")]
    pub(super) name_servers: NameServers,
    pub(super) timeout: Duration,
}

/// The addresses of a server, in the resolver's order; none if the name does
/// not resolve in time, or the stand-in.
pub(super) async fn addresses(server: &Server, resolver: &Resolver) -> Vec<SocketAddr> {
    let addresses = found(server, resolver).await;
    if addresses.is_empty() { server.stand_in.into_iter().collect() } else { addresses }
}

/// What SRV records say, and where there are none, what the name stands for.
#[cfg(feature = "srv")]
async fn found(server: &Server, resolver: &Resolver) -> Vec<SocketAddr> {
    let by_name = looked_up(server, resolver.timeout);
    let Some(service) = server.service.filter(|_| server.address.is_none()) else {
        return by_name.await;
    };
    let records = resolver.name_servers.lookup(service, &server.host);
    let records = tokio::time::timeout(resolver.timeout, records);
    // Side by side: most names have no such records, and some servers no answer.
    let (records, by_name) = tokio::join!(records, by_name);
    records.ok().filter(|addresses| !addresses.is_empty()).unwrap_or(by_name)
}

#[cfg(not(feature = "srv"))]
async fn found(server: &Server, resolver: &Resolver) -> Vec<SocketAddr> {
    looked_up(server, resolver.timeout).await
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
