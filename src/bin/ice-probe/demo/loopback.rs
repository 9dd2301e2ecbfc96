//! The runs on loopback: two agents, and for UDP a STUN server, or a TURN
//! server through which everything goes.

use std::net::{IpAddr, SocketAddr};

use floe::agent::{StunServer, Transports, TurnServer};
use floe::check::Role;
use floe::driver::local_addresses;
use floe::net::Protocol;
use floe::{Agent, AgentConfig, server};
use rand::TryRngCore as _;

use super::pair::{self, Made};
use super::side::{Home, Side};
use crate::args::Shared;
use crate::exit::{Exit, Failure};
use crate::setup::agent_config;

/// What a run is about.
pub(crate) struct Plan {
    /// The transports of its candidates.
    pub(crate) transports: Transports,
    /// The user's STUN servers. For UDP there is one of ours beside them.
    pub(crate) servers: Vec<StunServer>,
    /// All goes through a TURN server of ours, over UDP.
    pub(crate) relay: bool,
}

/// The user of the TURN server, and its realm.
const USER: &str = "demo";

/// Makes the run. `None` where there is no loopback address to make it on.
pub(crate) async fn run(shared: &Shared, plan: Plan) -> Result<Option<Made>, Failure> {
    let loopback = loopback(shared)?;
    if loopback.is_empty() {
        return Ok(None);
    }
    let Plan { transports, mut servers, relay } = plan;
    let any_port: Vec<SocketAddr> = loopback.iter().map(|ip| SocketAddr::new(*ip, 0)).collect();
    let embedded = if transports.udp && !relay { any_port.as_slice() } else { &[] };
    let embedded = server::StunServer::bind(embedded).map_err(|error| {
        Failure::new(Exit::NoNetwork, format!("cannot start a STUN server: {error}"))
    })?;
    servers.extend(embedded.addresses().iter().copied().map(stun_server));
    // It stops when it is dropped.
    let relays = if relay { Some(turn_server(&any_port).await?) } else { None };
    let turn_servers = relays.as_ref().map(|(_, servers)| servers.clone()).unwrap_or_default();
    let role = shared.role().unwrap_or(Role::Controlling);
    let config = |role| {
        let mut config = agent_config(shared, role, (servers.clone(), turn_servers.clone()), true);
        config.ice.transports = transports;
        if relay {
            (config.ice.gather_host, config.ice.gather_server_reflexive) = (false, false);
            config.ice.gather_relayed = true;
        }
        stay_on_loopback(&mut config, shared, &loopback);
        config
    };
    let sides = [side("A", config(role))?, side("B", config(role.other()))?];
    pair::run(sides, shared).await.map(Some)
}

fn loopback(shared: &Shared) -> Result<Vec<IpAddr>, Failure> {
    let addresses = local_addresses().map_err(|error| {
        Failure::new(Exit::NoNetwork, format!("cannot list this machine's addresses: {error}"))
    })?;
    let wanted = |ip: &IpAddr| {
        ip.is_loopback() && if ip.is_ipv4() { !shared.ipv6_only } else { !shared.ipv4_only }
    };
    Ok(addresses.into_iter().map(|address| address.ip).filter(wanted).collect())
}

/// Unless the user chose addresses, the agents use those of the server, so
/// that nothing leaves the machine.
fn stay_on_loopback(config: &mut AgentConfig, shared: &Shared, loopback: &[IpAddr]) {
    if !shared.chooses_addresses() && !shared.include_loopback {
        config.bind = loopback.to_vec();
        config.ice.include_loopback = true;
    }
}

fn stun_server(address: SocketAddr) -> StunServer {
    let uri = format!("stun:{address}");
    StunServer {
        uri: uri.into(),
        host: address.ip().to_string().into(),
        port: address.port(),
        address: Some(address),
        protocol: Protocol::Udp,
    }
}

/// A TURN server on loopback that relays to loopback, and what the agents have to
/// know of it.
async fn turn_server(
    listen: &[SocketAddr],
) -> Result<(server::TurnServer, Vec<TurnServer>), Failure> {
    let failed = |why: String| Failure::new(Exit::NoNetwork, why);
    let password = password().map_err(&failed)?;
    let mut config = server::TurnServerConfig::default();
    config.listen = listen.to_vec();
    config.users = vec![server::User { name: USER.into(), password: password.clone() }];
    config.peers.allow_loopback = true;
    let server = server::TurnServer::bind(config)
        .await
        .map_err(|error| failed(format!("cannot start a TURN server: {error}")))?;
    let uris = server.addresses().iter().map(|address| format!("turn:{address}"));
    let servers = uris.map(|uri| TurnServer::new(&uri, USER, &password));
    let servers = servers.collect::<Result<Vec<_>, _>>();
    let servers = servers.map_err(|error| failed(error.to_string()))?;
    Ok((server, servers))
}

fn password() -> Result<String, String> {
    let number = rand::rngs::OsRng.try_next_u64();
    let number = number.map_err(|error| format!("the system gives no random numbers: {error}"))?;
    Ok(format!("{number:016x}"))
}

fn side(name: &'static str, config: AgentConfig) -> Result<Side, Failure> {
    let agent = Agent::new(config)
        .map_err(|error| Failure::new(Exit::Internal, format!("cannot make an agent: {error}")))?;
    Ok(Side::new(name, agent, Home::Here))
}
