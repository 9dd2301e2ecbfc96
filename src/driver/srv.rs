//! SRV records of STUN and TURN servers (RFC 8489 §8.1, RFC 5928 §3): a URI that
//! names no port leaves it to the domain where its server is.

use std::net::SocketAddr;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::RData;
use hickory_resolver::proto::rr::rdata::SRV;

use super::resolve::MAX_ADDRESSES;
use crate::net;

/// Records of one name that are followed.
const MAX_RECORDS: usize = 4;

/// Whom SRV records, and the addresses of what they name, are asked of.
#[derive(Clone, Debug, Default)]
pub struct NameServers(Box<[SocketAddr]>);

impl NameServers {
    /// Those of this machine, the default.
    pub fn system() -> Self {
        Self::default()
    }

    /// These, over UDP and TCP.
    pub fn new(servers: &[SocketAddr]) -> Self {
        NameServers(servers.into())
    }

    fn resolver(&self) -> Option<TokioResolver> {
        let builder = match &*self.0 {
            [] => TokioResolver::builder_tokio().ok()?,
            servers => {
                let servers = servers.iter().map(|server| {
                    let at_port = |mut connection: ConnectionConfig| {
                        connection.port = server.port();
                        connection
                    };
                    let ways = [ConnectionConfig::udp(), ConnectionConfig::tcp()];
                    NameServerConfig::new(server.ip(), true, ways.map(at_port).into())
                });
                let config = ResolverConfig::from_parts(None, Vec::new(), servers.collect());
                TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
            }
        };
        builder.build().ok()
    }

    /// The addresses of the servers that the records of `service`, as in
    /// `_turn._udp`, name for a domain: the most preferred first. None where
    /// there are no records, or they say that there is no such service.
    pub(super) async fn lookup(&self, service: &str, domain: &str) -> Vec<SocketAddr> {
        let Some(resolver) = self.resolver() else { return Vec::new() };
        // With the dot at its end no domain to search in is put behind it.
        let name = format!("{service}.{}.", domain.trim_end_matches('.'));
        let records = match resolver.srv_lookup(name.as_str()).await {
            Ok(records) => records,
            Err(error) => {
                tracing::debug!(name, %error, "no SRV records");
                return Vec::new();
            }
        };
        let records = records.answers().iter().filter_map(|record| match &record.data {
            RData::SRV(record) => Some(record.clone()),
            _ => None,
        });
        let mut addresses = Vec::new();
        for record in in_order(records.collect()) {
            match resolver.lookup_ip(record.target.clone()).await {
                Ok(found) => addresses.extend(
                    found.iter().map(|ip| net::canonical(SocketAddr::new(ip, record.port))),
                ),
                Err(error) => tracing::debug!(target = %record.target, %error, "no address"),
            }
            if addresses.len() >= MAX_ADDRESSES {
                break;
            }
        }
        addresses.truncate(MAX_ADDRESSES);
        addresses
    }
}

/// The records that are followed, in their order (RFC 2782): by priority, and of
/// one priority the heaviest first. They are few, and all are tried where one
/// does not answer, so that no lot decides.
fn in_order(mut records: Vec<SRV>) -> Vec<SRV> {
    // "." says that there is no such service, and port 0 that there is none there.
    records.retain(|record| !record.target.is_root() && record.port != 0);
    records.sort_by_key(|record| (record.priority, std::cmp::Reverse(record.weight)));
    records.truncate(MAX_RECORDS);
    records
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(priority: u16, weight: u16, port: u16, target: &str) -> SRV {
        SRV::new(priority, weight, port, target.parse().unwrap())
    }

    #[test]
    fn records_are_followed_by_priority_and_weight() {
        let records = vec![
            record(20, 0, 1, "d.example."),
            record(10, 1, 2, "b.example."),
            record(10, 5, 3, "a.example."),
            record(0, 0, 4, "."),
            record(0, 0, 0, "x.example."),
            record(15, 0, 5, "c.example."),
            record(30, 0, 6, "e.example."),
        ];
        let ports: Vec<u16> = in_order(records).iter().map(|record| record.port).collect();
        assert_eq!(ports, [3, 2, 5, 1]);
    }
}
