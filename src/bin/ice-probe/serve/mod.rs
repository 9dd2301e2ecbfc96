//! `ice-probe serve`: a STUN and TURN server, and a rendezvous.

mod options;

use std::net::SocketAddr;

use floe::driver::local_addresses;
use floe::net::is_link_local_v6;
use floe::server::{
    Figure, FigureKind, Metrics, RendezvousConfig, RendezvousServer, StunServer, TlsIdentity,
    TurnServer, TurnServerConfig,
};
use serde_json::{Value, json};

pub(crate) use options::{EXAMPLES, Options};

use crate::exit::{Exit, Failure};
use crate::print;
use crate::signals::Signals;

/// RFC 8489 §8.1: the port of STUN over UDP.
const STUN_PORT: u16 = 3478;

/// The port of the rendezvous, which nobody assigns.
const RENDEZVOUS_PORT: u16 = 3480;

/// What runs, and what is to be said of it.
enum Serving {
    Stun(StunServer),
    /// With lines that no URI has: name and value.
    Turn(TurnServer, Vec<(&'static str, String)>, Option<RendezvousServer>),
}

/// Runs the command, until it is interrupted.
pub(crate) async fn run(options: &Options) -> Result<Exit, Failure> {
    let mut signals = Signals::new().map_err(|error| {
        Failure::new(Exit::Internal, format!("cannot listen for signals: {error}"))
    })?;
    let listen = with_others(addresses(&options.listen)?, &options.listen);
    let serving = if options.no_turn { stun(&listen) } else { turn(options, listen).await? };
    let uris = serving.uris();
    if uris.is_empty() {
        return Err(Failure::new(Exit::NoNetwork, "there is no address to listen on"));
    }
    let metrics = match options.metrics {
        Some(address) => Some(metrics(address)?),
        None => None,
    };
    let url = metrics.as_ref().map(Metrics::url);
    let url = url.as_deref();
    let text = if options.json { serving.object(&uris, url) } else { serving.lines(&uris, url) };
    print::text(&(text + "\n"))?;
    match &metrics {
        None => signals.wait().await,
        Some(metrics) => tokio::select! {
            () = signals.wait() => {}
            () = metrics.serve(|| serving.figures()) => {}
        },
    }
    if let Serving::Turn(_, _, Some(rendezvous)) = serving {
        rendezvous.close().await;
    }
    Ok(Exit::Direct)
}

fn metrics(address: SocketAddr) -> Result<Metrics, Failure> {
    Metrics::bind(address).map_err(|error| {
        Failure::new(Exit::Usage, format!("cannot give out figures at {address}: {error}"))
    })
}

fn stun(listen: &[SocketAddr]) -> Serving {
    let (server, failures) = StunServer::bind_some(listen);
    failures.iter().for_each(|(address, error)| skipped(*address, error));
    Serving::Stun(server)
}

fn skipped(address: SocketAddr, error: &std::io::Error) {
    anstream::eprintln!("ice-probe: cannot listen on {address}: {error}");
}

async fn turn(options: &Options, listen: Vec<SocketAddr>) -> Result<Serving, Failure> {
    if listen.is_empty() {
        return Err(Failure::new(Exit::NoNetwork, "there is no address to listen on"));
    }
    let tls_listen = match options.tls_listen.as_slice() {
        [] => Vec::new(),
        given => addresses(given)?,
    };
    let (user, is_made) = options.user()?;
    let identity = options.identity(&tls_listen)?;
    let mut facts = vec![("user", user.name.clone())];
    if is_made {
        facts.push(("password", user.password.clone()));
    }
    facts.extend(identity.as_ref().map(|identity| ("certificate", identity.fingerprint())));
    let rendezvous = (!options.no_rendezvous)
        .then(|| rendezvous(options, &listen, identity.clone()))
        .transpose()?;
    let urls = rendezvous.iter().flat_map(RendezvousServer::urls);
    facts.extend(urls.map(|url| ("rendezvous", url)));
    let mut config = TurnServerConfig::default();
    config.listen = listen;
    config.tls = identity.map(|identity| (tls_listen, identity));
    config.realm.clone_from(&options.realm);
    config.users = vec![user];
    config.relay_ips.clone_from(&options.relay_ip);
    config.relay_ports.clone_from(&options.relay_ports);
    config.peers.allow.clone_from(&options.allow_peer);
    config.peers.allow_private = options.allow_private;
    config.peers.allow_loopback = options.allow_loopback;
    let (server, failures) = TurnServer::bind_some(config).await.map_err(|error| {
        let exit = if error.kind() == std::io::ErrorKind::InvalidInput {
            Exit::Usage
        } else {
            Exit::Internal
        };
        Failure::new(exit, format!("cannot serve: {error}"))
    })?;
    failures.iter().for_each(|(address, error)| skipped(*address, error));
    Ok(Serving::Turn(server, facts, rendezvous))
}

fn rendezvous(
    options: &Options,
    listen: &[SocketAddr],
    tls: Option<TlsIdentity>,
) -> Result<RendezvousServer, Failure> {
    let mut config = RendezvousConfig::default();
    config.tls = tls;
    config.listen = match options.rendezvous_listen.as_slice() {
        [] => {
            // Where a port was left to the system, this one is too.
            let port = |at: &SocketAddr| if at.port() == 0 { 0 } else { RENDEZVOUS_PORT };
            listen.iter().map(|at| SocketAddr::new(at.ip(), port(at))).collect()
        }
        given => addresses(given)?,
    };
    config.listen.dedup();
    let (server, failures) = RendezvousServer::bind_some(config);
    failures.iter().for_each(|(address, error)| skipped(*address, error));
    Ok(server)
}

impl Serving {
    fn uris(&self) -> Vec<String> {
        let stun = |at: &SocketAddr| [format!("stun:{at}"), format!("stun:{at}?transport=tcp")];
        match self {
            Serving::Stun(server) => server.addresses().iter().flat_map(stun).collect(),
            Serving::Turn(server, ..) => {
                let both = server.addresses().iter();
                let turn = both
                    .clone()
                    .flat_map(|at| ["udp", "tcp"].map(|way| (at, way)))
                    .map(|(at, way)| format!("turn:{at}?transport={way}"));
                let tls = server.tls_addresses().iter();
                let tls =
                    tls.flat_map(|at| [format!("stuns:{at}"), format!("turns:{at}?transport=tcp")]);
                both.flat_map(stun).chain(turn).chain(tls).collect()
            }
        }
    }

    fn facts(&self) -> &[(&'static str, String)] {
        match self {
            Serving::Stun(_) => &[],
            Serving::Turn(_, facts, _) => facts,
        }
    }

    /// What the servers have done.
    fn figures(&self) -> Vec<Figure> {
        let (answered, dropped) = match self {
            Serving::Stun(server) => (server.answered(), server.dropped()),
            Serving::Turn(server, ..) => (server.answered(), server.dropped()),
        };
        let counter = |name, help, value| Figure { name, kind: FigureKind::Counter, help, value };
        let gauge = |name, help, count: usize| Figure {
            name,
            kind: FigureKind::Gauge,
            help,
            value: count as u64,
        };
        let mut figures = vec![
            counter("floe_answered_total", "Requests that were answered.", answered),
            counter("floe_dropped_total", "Messages that were dropped.", dropped),
        ];
        if let Serving::Turn(server, _, rendezvous) = self {
            let count = server.allocations();
            figures.push(gauge("floe_allocations", "Allocations of clients.", count));
            let rooms = rendezvous.as_ref().map(RendezvousServer::rooms);
            figures
                .extend(rooms.map(|rooms| gauge("floe_rooms", "Rooms of the rendezvous.", rooms)));
        }
        figures
    }

    fn object(&self, uris: &[String], metrics: Option<&str>) -> String {
        let mut object = json!({"version": 1, "uris": uris});
        if let Value::Object(object) = &mut object {
            let urls = |(name, _): &&(&str, _)| *name == "rendezvous";
            let (urls, facts): (Vec<_>, Vec<_>) = self.facts().iter().partition(urls);
            object.extend(facts.iter().map(|(name, value)| ((*name).to_owned(), json!(value))));
            if !urls.is_empty() {
                let urls: Vec<&String> = urls.iter().map(|(_, url)| url).collect();
                object.insert("rendezvous".to_owned(), json!(urls));
            }
            if let Some(url) = metrics {
                object.insert("metrics".to_owned(), json!(url));
            }
        }
        object.to_string()
    }

    fn lines(&self, uris: &[String], metrics: Option<&str>) -> String {
        let facts = self.facts().iter().map(|(name, value)| format!("{name}: {value}"));
        let metrics = metrics.map(|url| format!("metrics: {url}"));
        uris.iter().cloned().chain(facts).chain(metrics).collect::<Vec<_>>().join("\n")
    }
}

/// The addresses, and what RFC 5780 wants beside them where two of a family
/// were given: both ports on both, or, where they have one port, the next one
/// too.
fn with_others(mut addresses: Vec<SocketAddr>, given: &[SocketAddr]) -> Vec<SocketAddr> {
    for is_v4 in [true, false] {
        let of_family: Vec<_> = given.iter().filter(|at| at.is_ipv4() == is_v4).collect();
        let [one, other] = of_family[..] else { continue };
        let is_definite = |at: &SocketAddr| !at.ip().is_unspecified() && at.port() != 0;
        if one.ip() == other.ip() || !is_definite(one) || !is_definite(other) {
            continue;
        }
        let next = if one.port() == other.port() { one.port().checked_add(1) } else { None };
        for port in [Some(one.port()), Some(other.port()), next].into_iter().flatten() {
            for ip in [one.ip(), other.ip()] {
                let at = SocketAddr::new(ip, port);
                if !addresses.contains(&at) {
                    addresses.push(at);
                }
            }
        }
    }
    addresses
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

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(given: &[&str]) -> Vec<String> {
        let given: Vec<SocketAddr> = given.iter().map(|text| text.parse().unwrap()).collect();
        with_others(given.clone(), &given).iter().map(SocketAddr::to_string).collect()
    }

    #[test]
    fn two_addresses_have_the_same_two_ports() {
        let four = ["192.0.2.1:7", "192.0.2.2:7", "192.0.2.1:8", "192.0.2.2:8"];
        assert_eq!(expanded(&four[..2]), four);
        let across = expanded(&[four[0], four[3]]);
        assert!(across.len() == 4 && four.iter().all(|at| across.contains(&(*at).to_owned())));
        let both = expanded(&["192.0.2.1:7", "[2001:db8::1]:7", "192.0.2.2:7", "[2001:db8::2]:7"]);
        assert_eq!(both.len(), 8);
    }

    #[test]
    fn other_numbers_of_addresses_stay_as_they_are() {
        for given in [
            &["192.0.2.1:7"][..],
            &["192.0.2.1:7", "192.0.2.1:8"],
            &["192.0.2.1:7", "[2001:db8::1]:7"],
            &["192.0.2.1:7", "192.0.2.2:7", "192.0.2.3:7"],
            &["192.0.2.1:0", "192.0.2.2:0"],
            &["0.0.0.0:7", "192.0.2.2:7"],
        ] {
            assert_eq!(expanded(given), given);
        }
    }
}
