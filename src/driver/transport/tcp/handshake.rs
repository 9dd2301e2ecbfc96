//! How far a handshake is, by the system's table of connections
//! (sock_diag(7)): TCP_INFO says the same, but not without unsafe code.

use std::io;
use std::net::{IpAddr, SocketAddr};

use rustix::net::netlink::{SOCK_DIAG, SocketAddrNetlink};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, sendto, socket_with,
};

use crate::net;
use crate::tcp::Handshake;

/// `SOCK_DIAG_BY_FAMILY` of linux/sock_diag.h.
const BY_FAMILY: u16 = 20;
/// `NLM_F_REQUEST` of linux/netlink.h.
const REQUEST: u16 = 1;
/// `struct nlmsghdr` with `struct inet_diag_req_v2`.
const LEN: u32 = 16 + 56;
/// `AF_INET`, `AF_INET6` and `IPPROTO_TCP`.
const INET: u8 = 2;
const INET6: u8 = 10;
const TCP: u8 = 6;

/// Looks up the connection between two addresses. The system answers in the
/// call that asks.
pub(super) fn look(local: SocketAddr, to: SocketAddr, scope: u32) -> io::Result<Handshake> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::NETLINK, SocketType::DGRAM, flags, Some(SOCK_DIAG))?;
    let kernel = SocketAddrNetlink::new(0, 0);
    sendto(&socket, &request(local, to, scope), SendFlags::empty(), &kernel)?;
    let mut answer = [0; 512];
    let (len, _) = recv(&socket, &mut answer[..], RecvFlags::empty())?;
    Ok(read(answer.get(..len).unwrap_or_default()))
}

fn request(local: SocketAddr, to: SocketAddr, scope: u32) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(LEN as usize);
    bytes.extend(LEN.to_ne_bytes());
    bytes.extend(BY_FAMILY.to_ne_bytes());
    bytes.extend(REQUEST.to_ne_bytes());
    // The sequence and the sender: nobody else asks on this socket.
    bytes.extend([0; 8]);
    let family = if local.is_ipv4() { INET } else { INET6 };
    bytes.extend([family, TCP, 0, 0]);
    // Every state.
    bytes.extend(u32::MAX.to_ne_bytes());
    bytes.extend(local.port().to_be_bytes());
    bytes.extend(to.port().to_be_bytes());
    for ip in [local.ip(), to.ip()] {
        let mut padded = [0; 16];
        match ip {
            IpAddr::V4(v4) => padded[..4].copy_from_slice(&v4.octets()),
            IpAddr::V6(v6) => padded = v6.octets(),
        }
        bytes.extend(padded);
    }
    let interface = if net::is_link_local_v6(to.ip()) { scope } else { 0 };
    bytes.extend(interface.to_ne_bytes());
    // No cookie: any socket of these addresses.
    bytes.extend([0xff; 8]);
    bytes
}

/// The state in an answer; an error is no such connection.
fn read(answer: &[u8]) -> Handshake {
    let (Some(kind), Some(state)) = (answer.get(4..6), answer.get(17)) else {
        return Handshake::Unknown;
    };
    if kind != BY_FAMILY.to_ne_bytes() {
        return Handshake::Unknown;
    }
    // linux/tcp_states.h; the last is TCP_NEW_SYN_RECV.
    match state {
        1 => Handshake::Established,
        2 => Handshake::SynSent,
        3 | 12 => Handshake::SynReceived,
        _ => Handshake::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_found_and_none_is_not() {
        for ip in ["127.0.0.1", "::1"] {
            let listener = std::net::TcpListener::bind((ip, 0)).unwrap();
            let to = listener.local_addr().unwrap();
            let stream = std::net::TcpStream::connect(to).unwrap();
            let local = stream.local_addr().unwrap();
            match look(local, to, 0) {
                Ok(state) => assert_eq!(state, Handshake::Established),
                Err(error) => println!("skipped, because the system does not tell: {error}"),
            }
            // A listener is no attempt.
            let other = SocketAddr::new(local.ip(), 1);
            assert_eq!(look(to, other, 0).unwrap_or(Handshake::Unknown), Handshake::Unknown);
        }
    }

    #[test]
    fn what_is_cut_or_foreign_says_nothing() {
        let mut answer = vec![0; 88];
        answer[4..6].copy_from_slice(&BY_FAMILY.to_ne_bytes());
        for (state, told) in [
            (1, Handshake::Established),
            (2, Handshake::SynSent),
            (3, Handshake::SynReceived),
            (12, Handshake::SynReceived),
            (10, Handshake::Unknown),
        ] {
            answer[17] = state;
            assert_eq!(read(&answer), told);
        }
        answer[17] = 1;
        for len in 0..18 {
            assert_eq!(read(&answer[..len]), Handshake::Unknown);
        }
        answer[4] = 2;
        assert_eq!(read(&answer), Handshake::Unknown);
    }
}
