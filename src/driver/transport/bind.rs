use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::ops::RangeInclusive;

use rand::TryRngCore as _;
use rand::rngs::OsRng;
use socket2::{Domain, Protocol, Socket, Type};

use super::UdpSocket;
use crate::driver::TrafficClass;

/// What the kernel is asked to hold for us until the reader runs. It may give
/// less (`net.core.rmem_max`), which only costs datagrams under load.
const KERNEL_BUFFER: usize = 1 << 20;

/// How sockets are bound.
#[derive(Clone, Debug, Default)]
pub(crate) struct BindOptions {
    /// The ports to choose from; `None` leaves the choice to the system.
    pub(crate) ports: Option<RangeInclusive<u16>>,
    /// The traffic class of what is sent.
    pub(crate) class: TrafficClass,
}

/// Binds a UDP socket to `ip` on a port of the system's choice or out of the
/// range. `scope` is the interface of a link-local IPv6 address, else 0.
///
/// # Errors
///
/// What the system says; [`io::ErrorKind::AddrInUse`] if the whole range is taken.
pub(crate) fn bind_udp(ip: IpAddr, scope: u32, options: &BindOptions) -> io::Result<UdpSocket> {
    let Some(range) = &options.ports else {
        return open(address(ip, 0, scope), options.class);
    };
    for port in shuffled(range) {
        match open(address(ip, port, scope), options.class) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
            result => return result,
        }
    }
    let text = format!("no free UDP port on {ip} in {}-{}", range.start(), range.end());
    Err(io::Error::new(io::ErrorKind::AddrInUse, text))
}

/// The address from which the system would send to `ip`. Nothing is sent.
pub(crate) fn source_towards(ip: IpAddr) -> Option<IpAddr> {
    let any: IpAddr = match ip {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = std::net::UdpSocket::bind((any, 0)).ok()?;
    // Which port does not matter for the route.
    socket.connect((ip, 9)).ok()?;
    socket.local_addr().ok().map(|local| local.ip())
}

/// The ports of the range from a random one on, so that neighbours do not
/// guess them (RFC 6056 §3.3.1) and agents side by side seldom collide.
pub(super) fn shuffled(range: &RangeInclusive<u16>) -> impl Iterator<Item = u16> {
    let (low, high) = (u32::from(*range.start()), u32::from(*range.end()));
    let count = if low > high { 0 } else { high - low + 1 };
    let offset = OsRng.try_next_u32().unwrap_or(0).checked_rem(count).unwrap_or(0);
    (0..count).filter_map(move |n| u16::try_from(low + (offset + n) % count).ok())
}

pub(super) fn address(ip: IpAddr, port: u16, scope: u32) -> SocketAddr {
    match ip {
        IpAddr::V4(_) => SocketAddr::new(ip, port),
        IpAddr::V6(v6) => SocketAddrV6::new(v6, port, 0, scope).into(),
    }
}

fn open(address: SocketAddr, class: TrafficClass) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // Best effort: see KERNEL_BUFFER.
    let _ = socket.set_recv_buffer_size(KERNEL_BUFFER);
    let _ = socket.set_send_buffer_size(KERNEL_BUFFER);
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    let socket = UdpSocket::new(tokio::net::UdpSocket::from_std(socket.into())?)?;
    if class != TrafficClass::default()
        && let Err(error) = socket.set_traffic_class(class)
    {
        // Datagrams of another class are better than none.
        tracing::warn!(%address, %error, "the traffic class can not be set");
    }
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    #[tokio::test]
    async fn a_range_is_used_up_and_then_refused() {
        let free = open(address(LOOPBACK, 0, 0), TrafficClass::default()).unwrap().local().port();
        let options = BindOptions { ports: Some(free..=free), ..BindOptions::default() };
        let first = bind_udp(LOOPBACK, 0, &options).unwrap();
        assert_eq!(first.local().port(), free);
        let error = bind_udp(LOOPBACK, 0, &options).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        assert!(error.to_string().contains(&format!("{free}-{free}")), "{error}");
    }

    #[test]
    fn every_port_of_a_range_is_tried_once() {
        let mut ports: Vec<u16> = shuffled(&(65_530..=65_535)).collect();
        ports.sort_unstable();
        assert_eq!(ports, [65_530, 65_531, 65_532, 65_533, 65_534, 65_535]);
        let (low, high) = (9, 8);
        assert_eq!(shuffled(&(low..=high)).count(), 0);
    }

    #[test]
    fn the_way_to_loopback_begins_there() {
        assert_eq!(source_towards(LOOPBACK), Some(LOOPBACK));
    }

    #[tokio::test]
    async fn a_foreign_address_is_an_error() {
        let error = bind_udp(Ipv4Addr::new(203, 0, 113, 1).into(), 0, &BindOptions::default());
        assert_eq!(error.unwrap_err().kind(), io::ErrorKind::AddrNotAvailable);
    }
}
