//! `ice-probe serve`: a STUN server.

use std::net::SocketAddr;

use floe::driver::local_addresses;
use floe::net::is_link_local_v6;
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
    let mut servers = Vec::new();
    for address in addresses(&args.listen)? {
        match StunServer::bind(&[address]) {
            Ok(server) => servers.push(server),
            Err(error) => anstream::eprintln!("ice-probe: cannot listen on {address}: {error}"),
        }
    }
    if servers.is_empty() {
        return Err(Failure::new(Exit::NoNetwork, "there is no address to listen on"));
    }
    let uris: Vec<String> = servers
        .iter()
        .flat_map(StunServer::addresses)
        .flat_map(|at| [format!("stun:{at}"), format!("stun:{at}?transport=tcp")])
        .collect();
    let text =
        if args.json { json!({"version": 1, "uris": uris}).to_string() } else { uris.join("\n") };
    print::text(&(text + "\n"))?;
    signals.wait().await;
    Ok(Exit::Direct)
}

/// The addresses to listen on: an unspecified one stands for all of its
/// family, none for all. Each gets a socket of its own: a socket for all of
/// them would answer from whichever address the system prefers, and not from
/// the one that was asked, and has no URI.
fn addresses(listen: &[SocketAddr]) -> Result<Vec<SocketAddr>, Failure> {
    let local = local_addresses().map_err(|error| {
        Failure::new(Exit::NoNetwork, format!("cannot list this machine's addresses: {error}"))
    })?;
    // A link-local address is reached with a zone, which a URI cannot name.
    let ips = || local.iter().map(|at| at.ip).filter(|ip| !is_link_local_v6(*ip));
    if listen.is_empty() {
        return Ok(ips().map(|ip| SocketAddr::new(ip, STUN_PORT)).collect());
    }
    let mut addresses = Vec::new();
    for address in listen {
        if address.ip().is_unspecified() {
            let family = ips().filter(|ip| ip.is_ipv4() == address.is_ipv4());
            addresses.extend(family.map(|ip| SocketAddr::new(ip, address.port())));
        } else {
            addresses.push(*address);
        }
    }
    Ok(addresses)
}
