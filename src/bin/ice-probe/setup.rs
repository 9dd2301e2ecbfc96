//! From the shared options to the settings of an agent.

use std::sync::Arc;

use floe::AgentConfig;
use floe::agent::{StunServer, TurnServer};
use floe::check::{Best, Fast, Role};

use crate::args::{Policy, Shared};

/// The settings of an agent in `role` that asks these servers, and keeps records
/// if `log`.
pub(crate) fn agent_config(
    shared: &Shared,
    role: Role,
    servers: (Vec<StunServer>, Vec<TurnServer>),
    log: bool,
) -> AgentConfig {
    let mut config = AgentConfig::new(role);
    (config.ice.stun_servers, config.ice.turn_servers) = servers;
    config.ice.include_loopback = shared.include_loopback;
    config.ice.gather_host = shared.wants_host();
    config.ice.gather_server_reflexive = shared.wants_server_reflexive();
    config.ice.gather_relayed = shared.wants_relayed();
    config.ice.transports = shared.transports();
    config.ice.ipv4 = !shared.ipv6_only;
    config.ice.ipv6 = !shared.ipv4_only;
    config.ice.log = log;
    config.ice.nomination = match shared.policy {
        Policy::Fast => Arc::new(Fast::default()),
        Policy::Best => Arc::new(Best::default()),
    };
    config.components = shared.components;
    config.bind = shared.bind.clone();
    config.interfaces = shared.interface.iter().map(|name| name.as_str().into()).collect();
    config.ports = shared.ports.clone();
    shared.reach.apply(&mut config);
    config
}
