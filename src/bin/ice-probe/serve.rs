//! `ice-probe serve`: a STUN server.

use std::net::{IpAddr, SocketAddr};

use floe::driver::local_addresses;
use floe::server::StunServer;
use serde_json::json;

use crate::args::Serve;
use crate::exit::{Exit, Failure};
use crate::print;
use crate::signals::Signals;

/// RFC 8489 §8.1: the port of STUN over UDP.
const STUN_PORT: u16 = 3478;

/// Runs the command, until it is interrupted.
pub(crate) async fn run(args: &Serve) -> Result<Exit, Failure> {
    let mut signals = Signals::new().map_err(|error| {
        Failure::new(Exit::Internal, format!("cannot listen for signals: {error}"))
    })?;
    let addresses = if args.listen.is_empty() { every_address()? } else { args.listen.clone() };
    let mut servers = Vec::new();
    for address in addresses {
        match StunServer::bind(&[address]) {
            Ok(server) => servers.push(server),
            Err(error) => anstream::eprintln!("ice-probe: cannot listen on {address}: {error}"),
        }
    }
    if servers.is_empty() {
        return Err(Failure::new(Exit::NoNetwork, "there is no address to listen on"));
    }
    let uris: Vec<String> =
        servers.iter().flat_map(StunServer::addresses).map(|at| format!("stun:{at}")).collect();
    let text =
        if args.json { json!({"version": 1, "uris": uris}).to_string() } else { uris.join("\n") };
    print::text(&(text + "\n"))?;
    signals.wait().await;
    Ok(Exit::Direct)
}

/// One socket an address: a socket for all of them would answer from
/// whichever address the system prefers, and not from the one that was asked.
fn every_address() -> Result<Vec<SocketAddr>, Failure> {
    let addresses = local_addresses().map_err(|error| {
        Failure::new(Exit::NoNetwork, format!("cannot list this machine's addresses: {error}"))
    })?;
    // A link-local address is reached with a zone, which a URI cannot name.
    let has_uri = |ip: &IpAddr| !floe::net::is_link_local_v6(*ip);
    let ips = addresses.into_iter().map(|address| address.ip).filter(has_uri);
    Ok(ips.map(|ip| SocketAddr::new(ip, STUN_PORT)).collect())
}
