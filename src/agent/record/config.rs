//! The settings of an agent as an event log keeps them.

use std::any::Any;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

#[cfg(feature = "serde")]
use super::form;
use crate::agent::{
    Config, Rewrite, StunServer, Synchronisation, Transports, TurnServer, TurnTransport,
};
use crate::candidate::RemotePolicy;
use crate::check::{Best, ByHand, Fast, NominationPolicy, Role};
use crate::turn::Secrets;

/// All of [`Config`] that decides behaviour.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
#[allow(missing_docs)] // Each is the field of `Config` with its name.
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "kebab-case")
)]
pub struct RecordedConfig {
    pub role: Role,
    /// `None` where it was drawn.
    #[cfg_attr(
        feature = "serde",
        serde(with = "form::maybe_hex", default, skip_serializing_if = "Option::is_none")
    )]
    pub tie_breaker: Option<u64>,
    pub stun_servers: Vec<StunServer>,
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Vec::is_empty"))]
    pub turn_servers: Vec<RecordedTurnServer>,
    #[cfg_attr(feature = "serde", serde(with = "form::millis"))]
    pub pacing: Duration,
    pub max_pairs: usize,
    pub max_remote_candidates: usize,
    #[cfg_attr(feature = "serde", serde(with = "form::millis"))]
    pub gather_timeout: Duration,
    #[cfg_attr(feature = "serde", serde(with = "form::millis", default = "form::five_minutes"))]
    pub permission_lifetime: Duration,
    pub lite: bool,
    /// `None` for a policy that is not one of the crate's: its decisions
    /// cannot be replayed.
    pub nomination: Option<RecordedPolicy>,
    pub renomination: bool,
    pub continual: bool,
    pub follow_network: bool,
    pub include_loopback: bool,
    pub remote_policy: RemotePolicy,
    pub resolve_mdns: bool,
    pub publish_mdns: bool,
    pub rewrites: Vec<Rewrite>,
    pub gather_host: bool,
    pub gather_server_reflexive: bool,
    #[cfg_attr(feature = "serde", serde(default = "form::yes"))]
    pub gather_relayed: bool,
    #[cfg_attr(feature = "serde", serde(default))]
    pub transports: Transports,
    #[cfg_attr(feature = "serde", serde(default))]
    pub synchronisation: Synchronisation,
    #[cfg_attr(feature = "serde", serde(default = "form::yes"))]
    pub simultaneous_open: bool,
    pub ipv4: bool,
    pub ipv6: bool,
}

/// A TURN server, without its password.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
#[allow(missing_docs)] // Each is the field of `TurnServer` with its name.
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "kebab-case")
)]
pub struct RecordedTurnServer {
    pub uri: Box<str>,
    pub host: Box<str>,
    pub port: u16,
    pub address: Option<SocketAddr>,
    pub transport: TurnTransport,
    pub username: Box<str>,
}

impl RecordedTurnServer {
    fn of(server: &TurnServer) -> Self {
        let TurnServer { uri, host, port, address, transport, secrets } = server.clone();
        let username = secrets.username;
        RecordedTurnServer { uri, host, port, address, transport, username }
    }

    /// The server, with a password that stands in for the one that it had.
    fn server(&self) -> TurnServer {
        let RecordedTurnServer { uri, host, port, address, transport, username } = self.clone();
        let secrets = stand_in_secrets(username);
        TurnServer { uri, host, port, address, transport, secrets }
    }
}

/// What stands in for a user's password at a TURN server.
pub(in crate::agent) fn stand_in_secrets(username: Box<str>) -> Secrets {
    Secrets { username, password: "a password that stands in".into() }
}

/// A nomination policy of the crate, with its settings.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(tag = "policy", rename_all = "kebab-case", rename_all_fields = "kebab-case")
)]
pub enum RecordedPolicy {
    /// [`Fast`].
    Fast {
        /// [`Fast::stream_patience`].
        #[cfg_attr(feature = "serde", serde(with = "form::millis"))]
        stream_patience: Duration,
        /// [`Fast::indirect_patience`].
        #[cfg_attr(feature = "serde", serde(with = "form::millis"))]
        indirect_patience: Duration,
    },
    /// [`Best`].
    Best {
        /// [`Best::patience`].
        #[cfg_attr(feature = "serde", serde(with = "form::millis"))]
        patience: Duration,
    },
    /// [`ByHand`].
    ByHand,
}

impl RecordedPolicy {
    fn of(policy: &dyn NominationPolicy) -> Option<Self> {
        let policy: &dyn Any = policy;
        if let Some(Fast { stream_patience, indirect_patience }) = policy.downcast_ref() {
            let (stream_patience, indirect_patience) = (*stream_patience, *indirect_patience);
            return Some(RecordedPolicy::Fast { stream_patience, indirect_patience });
        }
        if policy.is::<ByHand>() {
            return Some(RecordedPolicy::ByHand);
        }
        let Best { patience } = policy.downcast_ref()?;
        Some(RecordedPolicy::Best { patience: *patience })
    }

    fn policy(&self) -> Arc<dyn NominationPolicy> {
        match *self {
            RecordedPolicy::Fast { stream_patience, indirect_patience } => {
                Arc::new(Fast { stream_patience, indirect_patience })
            }
            RecordedPolicy::Best { patience } => Arc::new(Best { patience }),
            RecordedPolicy::ByHand => Arc::new(ByHand),
        }
    }
}

impl RecordedConfig {
    pub(in crate::agent) fn of(config: &Config) -> Self {
        // Whole, so that no setting is forgotten.
        let Config {
            role,
            tie_breaker,
            stun_servers,
            turn_servers,
            pacing,
            max_pairs,
            max_remote_candidates,
            gather_timeout,
            permission_lifetime,
            lite,
            nomination,
            renomination,
            continual,
            follow_network,
            include_loopback,
            remote_policy,
            resolve_mdns,
            publish_mdns,
            rewrites,
            gather_host,
            gather_server_reflexive,
            gather_relayed,
            transports,
            synchronisation,
            simultaneous_open,
            ipv4,
            ipv6,
            log: _,
        } = config;
        RecordedConfig {
            role: *role,
            tie_breaker: *tie_breaker,
            stun_servers: stun_servers.clone(),
            turn_servers: turn_servers.iter().map(RecordedTurnServer::of).collect(),
            pacing: *pacing,
            max_pairs: *max_pairs,
            max_remote_candidates: *max_remote_candidates,
            gather_timeout: *gather_timeout,
            permission_lifetime: *permission_lifetime,
            lite: *lite,
            nomination: RecordedPolicy::of(&**nomination),
            renomination: *renomination,
            continual: *continual,
            follow_network: *follow_network,
            include_loopback: *include_loopback,
            remote_policy: remote_policy.clone(),
            resolve_mdns: *resolve_mdns,
            publish_mdns: *publish_mdns,
            rewrites: rewrites.clone(),
            gather_host: *gather_host,
            gather_server_reflexive: *gather_server_reflexive,
            gather_relayed: *gather_relayed,
            transports: *transports,
            synchronisation: *synchronisation,
            simultaneous_open: *simultaneous_open,
            ipv4: *ipv4,
            ipv6: *ipv6,
        }
    }

    /// The settings, with the log on; `None` where the policy is not known.
    pub(in crate::agent) fn config(&self) -> Option<Config> {
        Some(Config {
            role: self.role,
            tie_breaker: self.tie_breaker,
            stun_servers: self.stun_servers.clone(),
            turn_servers: self.turn_servers.iter().map(RecordedTurnServer::server).collect(),
            pacing: self.pacing,
            max_pairs: self.max_pairs,
            max_remote_candidates: self.max_remote_candidates,
            gather_timeout: self.gather_timeout,
            permission_lifetime: self.permission_lifetime,
            lite: self.lite,
            nomination: self.nomination.as_ref()?.policy(),
            renomination: self.renomination,
            continual: self.continual,
            follow_network: self.follow_network,
            include_loopback: self.include_loopback,
            remote_policy: self.remote_policy.clone(),
            resolve_mdns: self.resolve_mdns,
            publish_mdns: self.publish_mdns,
            rewrites: self.rewrites.clone(),
            gather_host: self.gather_host,
            gather_server_reflexive: self.gather_server_reflexive,
            gather_relayed: self.gather_relayed,
            transports: self.transports,
            synchronisation: self.synchronisation,
            simultaneous_open: self.simultaneous_open,
            ipv4: self.ipv4,
            ipv6: self.ipv6,
            log: true,
        })
    }
}
