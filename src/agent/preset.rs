//! Settings that belong together.

use crate::agent::Config;
use crate::candidate::Prefix;
use crate::check::Role;

/// Addresses that mean something else in every network: private ones
/// (RFC 1918), those between a provider and its customers (RFC 6598), unique
/// local ones (RFC 4193).
const PRIVATE: [&str; 5] =
    ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7"];

/// The presets. Each is a start: every field may be changed afterwards.
///
/// | | `default` ([`Config::new`]) | [`Config::lan`] | [`Config::server`] |
/// | --- | --- | --- | --- |
/// | for | anything | peers of one network | a host at a public address, or behind a 1:1 NAT (with [`Config::rewrites`]) |
/// | STUN servers are asked | yes | no | yes |
/// | remote `.local` names are resolved | yes | yes | no: its peers' links are not its own |
/// | remote addresses | the safe policy | the safe policy | the safe policy, and no private networks: a client's private address is somebody else's in the server's network |
/// | remote candidates a stream | 256 | 256 | 64 |
///
/// None of them gathers loopback addresses, nor signals names instead of
/// addresses ([`Config::publish_mdns`]).
impl Config {
    /// For peers of one network: nothing outside of it is asked.
    pub fn lan(role: Role) -> Self {
        Config { gather_server_reflexive: false, ..Config::new(role) }
    }

    /// For a host that its peers reach at a public address. Private networks
    /// are refused; whoever serves one allows it in
    /// [`Config::remote_policy`].
    pub fn server(role: Role) -> Self {
        let mut config = Config::new(role);
        (config.max_remote_candidates, config.resolve_mdns) = (64, false);
        let private = PRIVATE.iter().filter_map(|network| network.parse::<Prefix>().ok());
        config.remote_policy.deny.extend(private);
        config
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::candidate::AddressRefusal;
    use crate::net::Protocol;

    #[test]
    fn a_server_sends_nothing_into_private_networks() {
        let admits = |config: &Config, address: &str| {
            let address: SocketAddr = address.parse().unwrap();
            config.remote_policy.admits(address, Protocol::Udp, [])
        };
        let mut server = Config::server(Role::Controlled);
        let private =
            ["10.1.2.3:9", "172.31.0.1:9", "192.168.0.1:9", "100.64.0.1:9", "[fd00::1]:9"];
        for address in private {
            assert_eq!(admits(&server, address), Err(AddressRefusal::Denied), "{address}");
            for open in [Config::new(Role::Controlled), Config::lan(Role::Controlled)] {
                assert_eq!(admits(&open, address), Ok(()), "{address}");
            }
        }
        for address in ["192.0.2.1:9", "172.32.0.1:9", "[2001:db8::1]:9"] {
            assert_eq!(admits(&server, address), Ok(()), "{address}");
        }
        server.remote_policy.allow.push("10.1.0.0/16".parse().unwrap());
        assert_eq!(admits(&server, "10.1.2.3:9"), Ok(()));
    }

    #[test]
    fn a_lan_asks_nobody_outside() {
        assert!(!Config::lan(Role::Controlling).gather_server_reflexive);
        assert!(Config::new(Role::Controlling).gather_server_reflexive);
    }
}
