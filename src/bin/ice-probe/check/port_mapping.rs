//! Whether the router maps ports on request, and what it says of itself: PCP
//! (RFC 6887), NAT-PMP (RFC 6886) and UPnP.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroU16;
use std::time::Duration;

use crab_nat::pcp::BaseMapRequest;
use crab_nat::{
    GatewayAddress, InternetProtocol, PortMappingOptions, PortMappingType, TimeoutConfig,
};
use floe::driver::discovery::source_towards;
use igd_next::SearchOptions;
use tokio::time::timeout;

use super::interfaces::{is_private, is_shared};

/// How long the router may take.
const PATIENCE: Duration = Duration::from_secs(4);

/// Requests to the router: at 0, 250, 750 and 1,750 ms.
const TIMING: TimeoutConfig = TimeoutConfig {
    initial_timeout: Duration::from_millis(250),
    max_retries: 3,
    max_retry_timeout: None,
};

/// PCP has no request that changes nothing: the mapping that it makes is given
/// back at once, and lasts so long where that fails.
const LIFETIME: u32 = 60;

/// Nobody listens there.
const PORT: NonZeroU16 = NonZeroU16::new(9).expect("invariant: 9 is not 0");

/// What the router said by one protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// Its outer address is this.
    External(IpAddr),
    /// It speaks the protocol, and refuses.
    Refused(String),
    /// Nothing: it does not speak it, or what it says is lost.
    Silent,
}

/// What the router said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PortMapping {
    pub(crate) gateway: Ipv4Addr,
    pub(crate) pcp: Told,
    pub(crate) nat_pmp: Told,
    pub(crate) upnp: Told,
}

impl PortMapping {
    /// The protocols and what was said by each.
    pub(crate) fn all(&self) -> [(&'static str, &Told); 3] {
        [("pcp", &self.pcp), ("nat-pmp", &self.nat_pmp), ("upnp", &self.upnp)]
    }

    /// The outer address of the router, where it says it.
    pub(crate) fn external(&self) -> Option<IpAddr> {
        self.all().into_iter().find_map(|(_, told)| match told {
            Told::External(ip) if !ip.is_unspecified() => Some(*ip),
            Told::External(_) | Told::Refused(_) | Told::Silent => None,
        })
    }

    /// Whether another NAT is behind the router, which servers see at `mapped`.
    pub(crate) fn is_double(&self, mapped: Option<IpAddr>) -> bool {
        self.external().is_some_and(|external| {
            let is_inner = is_private(external) || is_shared(external);
            is_inner || mapped.is_some_and(|mapped| mapped.is_ipv4() && mapped != external)
        })
    }
}

/// Asks the router of the default route; `None` where there is none, or the
/// system does not tell.
pub(crate) async fn ask() -> Option<PortMapping> {
    let gateway = gateway(&std::fs::read_to_string("/proc/net/route").ok()?)?;
    let local = source_towards(gateway.into())?;
    let (pcp, nat_pmp, upnp) = tokio::join!(pcp(gateway, local), nat_pmp(gateway), upnp(local));
    Some(PortMapping { gateway, pcp, nat_pmp, upnp })
}

/// The gateway of the default route, out of Linux' table.
fn gateway(table: &str) -> Option<Ipv4Addr> {
    table.lines().skip(1).find_map(|line| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        let [_, "00000000", gateway, ..] = columns[..] else { return None };
        // As the processor has it in memory.
        let bytes = u32::from_str_radix(gateway, 16).ok()?.to_ne_bytes();
        Some(Ipv4Addr::from(bytes)).filter(|gateway| !gateway.is_unspecified())
    })
}

async fn pcp(gateway: Ipv4Addr, local: IpAddr) -> Told {
    use crab_nat::pcp::Failure;
    let gateway = GatewayAddress::IpV4(gateway);
    let request = BaseMapRequest::new(gateway, local, InternetProtocol::Udp, PORT);
    let options = PortMappingOptions {
        external_port: None,
        lifetime_seconds: Some(LIFETIME),
        timeout_config: Some(TIMING),
    };
    let asking = crab_nat::pcp::port_mapping(request, None, None, options);
    match timeout(PATIENCE, asking).await {
        Ok(Ok(mapping)) => {
            let told = match mapping.mapping_type() {
                PortMappingType::Pcp { external_ip, .. } => Told::External(external_ip),
                PortMappingType::NatPmp => Told::Silent,
            };
            // It ends by itself soon.
            let _ = timeout(PATIENCE, mapping.try_drop()).await;
            told
        }
        Ok(Err(Failure::Socket(_) | Failure::Timeout | Failure::UnsupportedVersion(_)))
        | Err(_) => Told::Silent,
        Ok(Err(failure)) => Told::Refused(shown(&failure.to_string())),
    }
}

async fn nat_pmp(gateway: Ipv4Addr) -> Told {
    use crab_nat::natpmp::{Failure, external_address};
    let asking = external_address(GatewayAddress::IpV4(gateway), Some(TIMING));
    match timeout(PATIENCE, asking).await {
        Ok(Ok(ip)) => Told::External(ip.into()),
        Ok(Err(Failure::Socket(_) | Failure::Timeout | Failure::UnsupportedVersion(_)))
        | Err(_) => Told::Silent,
        Ok(Err(failure)) => Told::Refused(shown(&failure.to_string())),
    }
}

async fn upnp(local: IpAddr) -> Told {
    let mut options = SearchOptions::default();
    options.bind_addr = SocketAddr::new(local, 0);
    (options.timeout, options.single_search_timeout) = (Some(PATIENCE), Some(PATIENCE));
    let asking = async {
        let gateway = igd_next::aio::tokio::search_gateway(options).await.ok()?;
        Some(gateway.get_external_ip().await)
    };
    match timeout(2 * PATIENCE, asking).await {
        Ok(Some(Ok(ip))) => Told::External(ip),
        Ok(Some(Err(error))) => Told::Refused(shown(&error.to_string())),
        Ok(None) | Err(_) => Told::Silent,
    }
}

/// Words in which there may be some of the router.
fn shown(text: &str) -> String {
    text.chars().take(128).flat_map(char::escape_debug).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\n";

    #[cfg(target_endian = "little")]
    #[test]
    fn the_default_route_is_found() {
        let table = "eth0\t0002000A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\n\
                     eth0\t00000000\t0102000A\t0003\t0\t0\t0\t00000000\t0\n";
        assert_eq!(gateway(&(HEAD.to_owned() + table)), Some(Ipv4Addr::new(10, 0, 2, 1)));
        for table in ["", "eth0\n", "tun0\t00000000\t00000000\t0001\n", "eth0\t00000000\tx\t0\n"] {
            assert_eq!(gateway(&(HEAD.to_owned() + table)), None, "{table}");
        }
        assert_eq!(gateway(""), None);
    }

    fn told(external: Option<&str>) -> PortMapping {
        let external = external.map(|ip| ip.parse().unwrap());
        PortMapping {
            gateway: Ipv4Addr::new(10, 0, 2, 1),
            pcp: Told::Silent,
            nat_pmp: external.map_or(Told::Refused("no".into()), Told::External),
            upnp: Told::Silent,
        }
    }

    #[test]
    fn two_nats_show() {
        let mapped = |ip: &str| Some(ip.parse().unwrap());
        assert!(!told(Some("203.0.113.1")).is_double(mapped("203.0.113.1")));
        assert!(told(Some("203.0.113.1")).is_double(mapped("203.0.113.9")));
        assert!(told(Some("192.168.7.2")).is_double(mapped("203.0.113.9")));
        assert!(told(Some("100.64.0.2")).is_double(None));
        // What was not said is not known.
        assert!(!told(Some("203.0.113.1")).is_double(None));
        assert!(!told(Some("0.0.0.0")).is_double(mapped("203.0.113.9")));
        assert!(!told(None).is_double(mapped("203.0.113.9")));
        assert!(!told(Some("203.0.113.1")).is_double(mapped("2001:db8::1")));
    }
}
