//! Names of STUN servers.

use std::net::SocketAddr;
use std::time::Duration;

use crate::agent::StunServer;
use crate::net;

/// Addresses of one name that are tried.
const MAX_ADDRESSES: usize = 8;

/// The addresses of a server, in the resolver's order; none if the name does
/// not resolve in time.
pub(super) async fn addresses(server: &StunServer, timeout: Duration) -> Vec<SocketAddr> {
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
