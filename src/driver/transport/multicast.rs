use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use socket2::{Domain, Protocol, SockRef, Socket, Type};

/// A UDP socket on a port that several programs share, in a multicast group
/// on each link that it is told of.
#[derive(Debug)]
pub(crate) struct MulticastSocket {
    io: tokio::net::UdpSocket,
    group: SocketAddr,
    joined: Vec<(IpAddr, u32)>,
}

impl MulticastSocket {
    /// Binds to the port of `group`, at all addresses.
    ///
    /// # Errors
    ///
    /// What the system says.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub(crate) fn bind(group: SocketAddr) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(group), Type::DGRAM, Some(Protocol::UDP))?;
        socket.set_reuse_address(true)?;
        // Where this is what lets programs share a port.
        #[cfg(all(unix, not(any(target_os = "linux", target_os = "android"))))]
        socket.set_reuse_port(true)?;
        // RFC 6762 §11: so that whoever looks can see that it came from the link.
        let any: IpAddr = if group.is_ipv6() {
            socket.set_only_v6(true)?;
            socket.set_multicast_hops_v6(255)?;
            socket.set_unicast_hops_v6(255)?;
            Ipv6Addr::UNSPECIFIED.into()
        } else {
            socket.set_multicast_ttl_v4(255)?;
            socket.set_ttl_v4(255)?;
            Ipv4Addr::UNSPECIFIED.into()
        };
        socket.set_nonblocking(true)?;
        socket.bind(&SocketAddr::new(any, group.port()).into())?;
        let io = tokio::net::UdpSocket::from_std(socket.into())?;
        Ok(MulticastSocket { io, group, joined: Vec::new() })
    }

    /// Hears the group on the link of our address `ip`, on the interface
    /// `index`. Only the first call for a link does something.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub(crate) fn join(&mut self, ip: IpAddr, index: u32) -> io::Result<()> {
        if self.joined.contains(&(ip, index)) {
            return Ok(());
        }
        let socket = SockRef::from(&self.io);
        let result = match (self.group.ip(), ip) {
            (IpAddr::V4(group), IpAddr::V4(ip)) => socket.join_multicast_v4(&group, &ip),
            (IpAddr::V6(group), IpAddr::V6(_)) => socket.join_multicast_v6(&group, index),
            _ => Err(io::ErrorKind::InvalidInput.into()),
        };
        // Two addresses of one interface are one link.
        if let Err(error) = result
            && error.kind() != io::ErrorKind::AddrInUse
        {
            return Err(error);
        }
        self.joined.push((ip, index));
        Ok(())
    }

    /// Sends to the group on the link, or to somebody on it.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub(crate) fn send(
        &self,
        ip: IpAddr,
        index: u32,
        to: Option<SocketAddr>,
        bytes: &[u8],
    ) -> io::Result<()> {
        let socket = SockRef::from(&self.io);
        match ip {
            IpAddr::V4(ip) => socket.set_multicast_if_v4(&ip)?,
            IpAddr::V6(_) => socket.set_multicast_if_v6(index)?,
        }
        socket.send_to(bytes, &to.unwrap_or(self.group).into()).map(drop)
    }

    /// The next datagram.
    pub(crate) async fn receive(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.io.recv_from(buffer).await
    }
}
