//! The default destination: where an agent without ICE would send (RFC 8839
//! §4.2.1.2), and what it tells of the path of a description (§4.2.5).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::candidate::{Candidate, ComponentId, Host, Kind, TcpType};
use crate::net::Protocol;
use crate::sdp::{MediaSection, RtcpAddress};

/// The port that stands for none (RFC 8839 §4.3.1, RFC 8840 §4.1).
const DISCARD: u16 = 9;

/// The component of RTCP (RFC 8839 §5.1).
const RTCP: ComponentId = ComponentId::new(2).expect("invariant: 1 to 256");

/// The default destination of a component, for the `c=` and `m=` lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DefaultDestination {
    /// The address of the `c=` line.
    pub ip: IpAddr,
    /// The port of the `m=` line.
    pub port: u16,
    /// Goes into the protocol of the `m=` line.
    pub protocol: Protocol,
}

/// Whether ICE can be used with the peer for a media section (RFC 8839
/// §4.2.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum IceSupport {
    /// ICE proceeds.
    Proceed,
    /// The section has no credentials: the peer does not speak ICE.
    Unsupported,
    /// The answer has `ice-mismatch`: ICE ends for the section, which goes on
    /// as RFC 3264 has it (§4.2.5, item 3).
    RefusedByPeer,
    /// The default destination of this component is none of the candidates:
    /// something on the way changed the description (§4.2.5, item 1). The
    /// application may go on nevertheless, or answer with `ice-mismatch` and
    /// without candidates.
    Mismatch(ComponentId),
}

impl DefaultDestination {
    /// No candidate yet: 0.0.0.0, port 9 (RFC 8839 §4.3.1).
    pub const UNKNOWN_V4: Self = Self::unknown(IpAddr::V4(Ipv4Addr::UNSPECIFIED));

    /// No candidate yet: ::, port 9 (RFC 8839 §4.3.1).
    pub const UNKNOWN_V6: Self = Self::unknown(IpAddr::V6(Ipv6Addr::UNSPECIFIED));

    const fn unknown(ip: IpAddr) -> Self {
        DefaultDestination { ip, port: DISCARD, protocol: Protocol::Udp }
    }

    /// The candidate of `component` that works most likely without ICE:
    /// relayed before server-reflexive before host, and UDP before TCP. Of TCP
    /// an active candidate comes first, then a passive one, and a
    /// simultaneous-open one is none (RFC 6544 §4.3). Without a candidate it is
    /// [`Self::UNKNOWN_V4`].
    pub fn choose(candidates: &[Candidate], component: ComponentId) -> Self {
        let likelihood = |kind| match kind {
            Kind::Relayed => 3,
            Kind::ServerReflexive => 2,
            Kind::Host => 1,
            Kind::PeerReflexive => 0,
        };
        candidates
            .iter()
            .filter(|candidate| candidate.component == component)
            .filter(|candidate| candidate.tcp_type != Some(TcpType::SimultaneousOpen))
            .filter_map(|candidate| Some((candidate, candidate.address()?)))
            .max_by_key(|(candidate, _)| {
                let is_udp = candidate.protocol == Protocol::Udp;
                let is_active = candidate.tcp_type == Some(TcpType::Active);
                (is_udp, is_active, likelihood(candidate.kind), candidate.priority)
            })
            .map_or(Self::UNKNOWN_V4, |(candidate, address)| DefaultDestination {
                ip: address.ip(),
                port: address.port(),
                protocol: candidate.protocol,
            })
    }

    /// `c=IN IP4 192.0.2.1`, without a line end.
    pub fn connection_line(&self) -> String {
        format!("c=IN {} {}", address_type(&Host::Ip(self.ip)), self.ip)
    }

    /// `a=rtcp:9 IN IP4 0.0.0.0` (RFC 3605 §2.1), without a line end: for the
    /// default destination of the RTCP component.
    pub fn rtcp_line(&self) -> String {
        let rtcp = RtcpAddress { port: self.port, host: Some(Host::Ip(self.ip)) };
        format!("a={rtcp}")
    }
}

/// The type of an address in SDP; that of a name is not known, and IP4 is
/// what every peer reads.
pub(super) const fn address_type(host: &Host) -> &'static str {
    match host {
        Host::Ip(IpAddr::V4(_)) | Host::Name(_) => "IP4",
        Host::Ip(IpAddr::V6(_)) => "IP6",
    }
}

impl MediaSection {
    /// Whether ICE can be used with the peer that sent this section.
    ///
    /// A default destination of 0.0.0.0 or :: with port 9, or with a name,
    /// does not speak against it (RFC 8839 §4.2.5, items 2 and 4); nor does one
    /// that cannot be compared: a disabled section, one without `c=`, or a
    /// section with candidates that were ignored, of which it may be one.
    pub fn ice_support(&self) -> IceSupport {
        if self.ice.mismatch {
            return IceSupport::RefusedByPeer;
        }
        if self.ice.credentials.is_none() {
            return IceSupport::Unsupported;
        }
        if self.is_disabled() || self.ice.ignored_candidates > 0 {
            return IceSupport::Proceed;
        }
        let defaults = [(ComponentId::ONE, self.rtp_default()), (RTCP, self.rtcp_default())];
        let lost = defaults.into_iter().find(|(component, default)| {
            default.is_some_and(|address| !self.is_candidate(*component, address))
        });
        lost.map_or(IceSupport::Proceed, |(component, _)| IceSupport::Mismatch(component))
    }

    /// The default destination of RTP, if it says anything.
    fn rtp_default(&self) -> Option<SocketAddr> {
        says_something(self.connection.as_ref()?, self.port)
    }

    /// The default destination of RTCP, if it has one of its own that says
    /// anything: by `rtcp`, or one port above RTP where there are candidates
    /// for it (RFC 8839 §2).
    fn rtcp_default(&self) -> Option<SocketAddr> {
        let rtp = self.rtp_default();
        let rtcp = match &self.rtcp {
            Some(rtcp) => {
                let host = rtcp.host.as_ref().or(self.connection.as_ref())?;
                says_something(host, rtcp.port)?
            }
            None => {
                let has_candidates = self.ice.candidates.iter().any(|c| c.component == RTCP);
                let rtp = rtp.filter(|_| has_candidates && !self.rtcp_mux)?;
                SocketAddr::new(rtp.ip(), rtp.port().checked_add(1)?)
            }
        };
        // The same as RTP's: the two share one component (RFC 5761 §5.1.3).
        (Some(rtcp) != rtp).then_some(rtcp)
    }

    fn is_candidate(&self, component: ComponentId, address: SocketAddr) -> bool {
        let is_tcp = self.protocol.get(..3).is_some_and(|p| p.eq_ignore_ascii_case("TCP"));
        let protocol = if is_tcp { Protocol::Tcp } else { Protocol::Udp };
        self.ice.candidates.iter().any(|candidate| {
            candidate.component == component
                && candidate.protocol == protocol
                && candidate.address() == Some(address)
        })
    }
}

/// RFC 8839 §4.2.5, items 2 and 4: a name says nothing, nor does the
/// unspecified address with port 9.
fn says_something(host: &Host, port: u16) -> Option<SocketAddr> {
    let Host::Ip(ip) = host else { return None };
    let says_nothing = ip.is_unspecified() && port == DISCARD;
    (!says_nothing).then(|| SocketAddr::new(*ip, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 6544 §4.3: of TCP the direction that works most likely without ICE.
    #[test]
    fn of_tcp_active_comes_first_and_simultaneous_open_is_none() {
        let candidate = |tcp_type, port: u16| -> Candidate {
            let priority = 2_000_000_000 - u32::from(port);
            let line = format!(
                "candidate:1 1 TCP {priority} 192.0.2.1 {port} typ host tcptype {tcp_type}"
            );
            line.parse().unwrap()
        };
        let all = [candidate("so", 1), candidate("passive", 2), candidate("active", 9)];
        let choose =
            |candidates: &[Candidate]| DefaultDestination::choose(candidates, ComponentId::ONE);
        assert_eq!((choose(&all).port, choose(&all).protocol), (9, Protocol::Tcp));
        assert_eq!(choose(&all[..2]).port, 2, "a lite agent has no active one");
        assert_eq!(choose(&all[..1]), DefaultDestination::UNKNOWN_V4);
    }
}
