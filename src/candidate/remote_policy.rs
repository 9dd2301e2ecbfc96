//! To which addresses that somebody else names packets may go.
//!
//! A peer, a STUN or TURN server, or whoever answers for a name can make an
//! agent send to any address that it likes (RFC 8445 §19.5.1): to services
//! that listen on loopback only, to a cloud's metadata service, to every host
//! of a link. [`RemotePolicy`] says what is refused, and why.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use crate::net::Protocol;

/// Which remote addresses packets may be sent to. The default is safe: see
/// [`AddressRefusal`] for what it refuses.
///
/// The same policy holds for every address that somebody else gives: a
/// signalled candidate, the source of a check, what a name resolves to, and,
/// from a TURN server, XOR-PEER-ADDRESS and ALTERNATE-SERVER.
///
/// ```
/// use floe::candidate::{AddressRefusal, RemotePolicy};
/// use floe::net::Protocol;
///
/// let mut policy = RemotePolicy::default();
/// let admits = |policy: &RemotePolicy, address: &str| {
///     policy.admits(address.parse().unwrap(), Protocol::Udp, [])
/// };
/// assert_eq!(admits(&policy, "192.0.2.1:5000"), Ok(()));
/// assert_eq!(admits(&policy, "127.0.0.1:5000"), Err(AddressRefusal::Loopback));
/// policy.deny.push("192.0.2.0/24".parse()?);
/// policy.allow.push("192.0.2.1/32".parse()?);
/// assert_eq!(admits(&policy, "192.0.2.1:5000"), Ok(()));
/// assert_eq!(admits(&policy, "192.0.2.2:5000"), Err(AddressRefusal::Denied));
/// # Ok::<(), floe::candidate::PrefixError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "kebab-case")
)]
pub struct RemotePolicy {
    /// Networks that are let through. Of all rules that match an address the
    /// one with the longest prefix decides, those of the default included: to
    /// let a metadata address through it has to be named by itself, and
    /// `127.0.0.0/8` lets loopback through where `0.0.0.0/0` does not.
    pub allow: Vec<Prefix>,
    /// Networks that are refused. At equal length they win over `allow`.
    pub deny: Vec<Prefix>,
    /// TCP ports below 1024 that may be dialled. Default 80 and 443.
    pub tcp_ports: Vec<u16>,
}

impl Default for RemotePolicy {
    fn default() -> Self {
        RemotePolicy { allow: Vec::new(), deny: Vec::new(), tcp_ports: vec![80, 443] }
    }
}

/// Why a remote address is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "kebab-case")
)]
pub enum AddressRefusal {
    /// 0.0.0.0/8 or ::, which some systems take for this machine.
    Unspecified,
    /// A multicast group.
    Multicast,
    /// 255.255.255.255, or the broadcast address of a network of ours.
    Broadcast,
    /// Nobody listens on port 0.
    PortZero,
    /// A loopback address, and we have no loopback candidate.
    Loopback,
    /// A link-local address, and we have none of its family.
    LinkLocal,
    /// The metadata service of a cloud or an address like it, and we are not
    /// that service.
    Metadata,
    /// A TCP port below 1024 that is not among [`RemotePolicy::tcp_ports`].
    PrivilegedPort,
    /// [`RemotePolicy::deny`] has its network.
    Denied,
}

impl AddressRefusal {
    /// All reasons.
    pub const ALL: [AddressRefusal; 9] = [
        AddressRefusal::Unspecified,
        AddressRefusal::Multicast,
        AddressRefusal::Broadcast,
        AddressRefusal::PortZero,
        AddressRefusal::Loopback,
        AddressRefusal::LinkLocal,
        AddressRefusal::Metadata,
        AddressRefusal::PrivilegedPort,
        AddressRefusal::Denied,
    ];

    /// The reason as one word, for programs.
    pub const fn word(self) -> &'static str {
        match self {
            AddressRefusal::Unspecified => "unspecified",
            AddressRefusal::Multicast => "multicast",
            AddressRefusal::Broadcast => "broadcast",
            AddressRefusal::PortZero => "port-zero",
            AddressRefusal::Loopback => "loopback",
            AddressRefusal::LinkLocal => "link-local",
            AddressRefusal::Metadata => "metadata",
            AddressRefusal::PrivilegedPort => "privileged-port",
            AddressRefusal::Denied => "denied",
        }
    }

    /// Whether a candidate of ours that is found later may lift it.
    pub const fn depends_on_ours(self) -> bool {
        matches!(self, Self::Loopback | Self::LinkLocal | Self::Metadata)
    }
}

impl fmt::Display for AddressRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// An address of a host candidate of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OwnAddress {
    /// The address.
    pub ip: IpAddr,
    /// The length of its network's prefix, where it is known.
    pub prefix: Option<u8>,
}

impl RemotePolicy {
    /// Whether packets may be sent to `address`; over TCP, whether it may be
    /// dialled. `own` are the host addresses that we have.
    ///
    /// # Errors
    /// Why not.
    pub fn admits(
        &self,
        address: SocketAddr,
        protocol: Protocol,
        own: impl IntoIterator<Item = OwnAddress> + Clone,
    ) -> Result<(), AddressRefusal> {
        self.admits_ip(address.ip(), own)?;
        match (protocol, address.port()) {
            (_, 0) => Err(AddressRefusal::PortZero),
            (Protocol::Tcp, port @ ..1024) if !self.tcp_ports.contains(&port) => {
                Err(AddressRefusal::PrivilegedPort)
            }
            _ => Ok(()),
        }
    }

    /// [`RemotePolicy::admits`] where the port means nothing: for a TCP
    /// candidate that dials and is not dialled (RFC 6544 §4.5).
    ///
    /// # Errors
    /// Why not.
    pub fn admits_ip(
        &self,
        ip: IpAddr,
        own: impl IntoIterator<Item = OwnAddress> + Clone,
    ) -> Result<(), AddressRefusal> {
        let ip = ip.to_canonical();
        self.admits_as_written(ip, own.clone())?;
        match embedded_v4(ip) {
            Some(v4) => self.admits_as_written(v4.into(), own),
            None => Ok(()),
        }
    }

    fn admits_as_written(
        &self,
        ip: IpAddr,
        own: impl IntoIterator<Item = OwnAddress> + Clone,
    ) -> Result<(), AddressRefusal> {
        if let Some(refusal) = never(ip) {
            return Err(refusal);
        }
        let longest = |list: &[Prefix]| {
            list.iter().filter(|prefix| prefix.contains(ip)).map(|prefix| prefix.len).max()
        };
        let (allowed, denied) = (longest(&self.allow), longest(&self.deny));
        if denied.is_some() && denied >= allowed {
            return Err(AddressRefusal::Denied);
        }
        let is_one_host = allowed == Some(Prefix::max_len(ip));
        if !is_one_host && own.clone().into_iter().any(|own| is_broadcast_of(own, ip)) {
            return Err(AddressRefusal::Broadcast);
        }
        for (refusal, rule) in rules().filter(|(_, rule)| rule.contains(ip)) {
            let is_like_it = |own: OwnAddress| rule.contains(own.ip.to_canonical());
            if allowed < Some(rule.len) && !own.clone().into_iter().any(is_like_it) {
                return Err(refusal);
            }
        }
        Ok(())
    }
}

/// Addresses that no rule lets through: nothing there can be one peer.
fn never(ip: IpAddr) -> Option<AddressRefusal> {
    match ip {
        IpAddr::V4(v4) if v4.octets()[0] == 0 => Some(AddressRefusal::Unspecified),
        IpAddr::V4(v4) if v4.is_broadcast() => Some(AddressRefusal::Broadcast),
        IpAddr::V6(v6) if v6.is_unspecified() => Some(AddressRefusal::Unspecified),
        _ if ip.is_multicast() => Some(AddressRefusal::Multicast),
        _ => None,
    }
}

/// The last address of an IPv4 network reaches all of its hosts; networks of
/// 31 and 32 bits have none such (RFC 3021).
fn is_broadcast_of(own: OwnAddress, ip: IpAddr) -> bool {
    let (IpAddr::V4(ours), IpAddr::V4(ip)) = (own.ip, ip) else { return false };
    let Some(prefix) = own.prefix.filter(|prefix| (1..=30).contains(prefix)) else { return false };
    ip.to_bits() == ours.to_bits() | u32::MAX >> prefix
}

/// What the default refuses unless we have an address like it, the most
/// particular first.
fn rules() -> impl Iterator<Item = (AddressRefusal, Prefix)> {
    let one = |ip: IpAddr| Prefix { ip, len: Prefix::max_len(ip) };
    let metadata = METADATA.iter().copied().map(move |ip| (AddressRefusal::Metadata, one(ip)));
    metadata.chain(NETWORKS)
}

/// Addresses at which clouds answer their machines' questions, secrets
/// included: 169.254.169.254 and its IPv6 forms at AWS, Google and OpenStack,
/// the credentials of AWS tasks and pods, Alibaba, Azure, Oracle, Tencent and
/// Scaleway.
const METADATA: [IpAddr; 14] = [
    IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V6(Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0xa9fe, 0xa9fe)),
    IpAddr::V4(Ipv4Addr::new(169, 254, 170, 2)),
    IpAddr::V4(Ipv4Addr::new(169, 254, 170, 23)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23)),
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xc1, 0, 0, 0, 0, 0xa9fe, 0xa9fe)),
    IpAddr::V4(Ipv4Addr::new(169, 254, 0, 23)),
    IpAddr::V4(Ipv4Addr::new(169, 254, 42, 42)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0x42, 0, 0, 0, 0, 0, 0x42)),
];

const NETWORKS: [(AddressRefusal, Prefix); 4] = [
    (AddressRefusal::Loopback, Prefix { ip: IpAddr::V4(Ipv4Addr::new(127, 0, 0, 0)), len: 8 }),
    (AddressRefusal::Loopback, Prefix { ip: IpAddr::V6(Ipv6Addr::LOCALHOST), len: 128 }),
    (AddressRefusal::LinkLocal, Prefix { ip: IpAddr::V4(Ipv4Addr::new(169, 254, 0, 0)), len: 16 }),
    (
        AddressRefusal::LinkLocal,
        Prefix { ip: IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0)), len: 10 },
    ),
];

/// The IPv4 address to which a packet to this IPv6 address may be translated
/// or tunnelled: NAT64 (RFC 6052 §2.1), 6to4 (RFC 3056), IPv4-compatible
/// (RFC 4291 §2.5.5.1).
fn embedded_v4(ip: IpAddr) -> Option<Ipv4Addr> {
    let IpAddr::V6(v6) = ip else { return None };
    let bits = v6.to_bits();
    let low = Ipv4Addr::from_bits(bits as u32);
    match v6.segments() {
        [0x64, 0xff9b, 0, 0, 0, 0, _, _] => Some(low),
        [0x2002, ..] => Some(Ipv4Addr::from_bits((bits >> 80) as u32)),
        [0, 0, 0, 0, 0, 0, _, _] if !v6.is_loopback() => Some(low),
        _ => None,
    }
}

/// A network: an address and the number of its leading bits that matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Prefix {
    ip: IpAddr,
    len: u8,
}

impl Prefix {
    /// The network of `ip` with `len` leading bits: at most 32 for IPv4, 128
    /// for IPv6. Bits of `ip` beyond them do not matter.
    pub fn new(ip: IpAddr, len: u8) -> Option<Self> {
        (len <= Self::max_len(ip)).then_some(Prefix { ip, len })
    }

    /// Whether the network has the address. An IPv4-mapped IPv6 address is
    /// taken as IPv4.
    pub fn contains(&self, ip: IpAddr) -> bool {
        match (self.ip, ip.to_canonical()) {
            (IpAddr::V4(ours), IpAddr::V4(ip)) => {
                let beyond = u32::MAX.checked_shr(self.len.into()).unwrap_or(0);
                (ours.to_bits() ^ ip.to_bits()) & !beyond == 0
            }
            (IpAddr::V6(ours), IpAddr::V6(ip)) => {
                let beyond = u128::MAX.checked_shr(self.len.into()).unwrap_or(0);
                (ours.to_bits() ^ ip.to_bits()) & !beyond == 0
            }
            _ => false,
        }
    }

    const fn max_len(ip: IpAddr) -> u8 {
        if ip.is_ipv4() { 32 } else { 128 }
    }
}

/// A text is no [`Prefix`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a network is an address, \"/\" and the length of its prefix, such as 192.0.2.0/24")]
pub struct PrefixError;

/// `192.0.2.0/24`; an address alone is a network of one.
impl FromStr for Prefix {
    type Err = PrefixError;

    fn from_str(text: &str) -> Result<Self, PrefixError> {
        let (ip, len) = match text.split_once('/') {
            Some((ip, len)) => (ip, Some(len)),
            None => (text, None),
        };
        let ip: IpAddr = ip.parse().map_err(|_| PrefixError)?;
        let len = match len {
            None => Self::max_len(ip),
            Some(len) if len.bytes().all(|byte| byte.is_ascii_digit()) => {
                len.parse().map_err(|_| PrefixError)?
            }
            Some(_) => return Err(PrefixError),
        };
        Prefix::new(ip, len).ok_or(PrefixError)
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.ip, self.len)
    }
}

#[cfg(test)]
mod tests;
