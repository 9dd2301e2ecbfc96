//! TCP sockets: listeners, attempts and connections of one port.
//!
//! All sockets of a port are told before they are bound that they share it
//! (RFC 6544 §5.1 wants connections to leave from the port of the listener).
//! Each of them can be closed at once while tasks wait for it: a socket that
//! lingered would keep its two addresses taken.

mod connect;
mod crossing;
#[cfg(target_os = "linux")]
mod handshake;
mod listen;
mod plan;
mod stream;

use std::net::SocketAddr;
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, Type};

use connect::bound_to_system_port;
pub(crate) use connect::{Connecting, connect_tcp};
pub(crate) use crossing::{Crossed, opens_from_both_ends, opens_to_itself};
pub(crate) use listen::{TcpListener, listen_tcp};
pub(crate) use stream::TcpStream;

use super::BindOptions;
use plan::Plan;

/// How long what was sent may stay unacknowledged before a connection counts
/// as broken. Consent ends after 30 seconds (RFC 7675 §5.1); another pair
/// should have its chance before.
const USER_TIMEOUT: Duration = Duration::from_secs(20);

/// A socket for `address`, not bound yet.
fn new_socket(address: SocketAddr) -> std::io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Lets the socket share its port with the others of the base.
fn share_port(socket: &Socket) -> std::io::Result<()> {
    socket.set_reuse_address(true)?;
    #[cfg(all(
        unix,
        not(any(
            target_os = "solaris",
            target_os = "illumos",
            target_os = "cygwin",
            target_os = "nuttx"
        ))
    ))]
    if Plan::HERE.reuse_port {
        socket.set_reuse_port(true)?;
    }
    Ok(())
}

/// What each connection is told, however it came to be. None of it is worth a
/// connection.
fn settle(socket: &SockRef<'_>, address: SocketAddr, options: &BindOptions) {
    let _ = socket.set_tcp_nodelay(true);
    #[cfg(any(target_os = "linux", target_os = "android"))]
    if Plan::HERE.user_timeout {
        let _ = socket.set_tcp_user_timeout(Some(USER_TIMEOUT));
    }
    mark(socket, address, options);
}

/// Sets the traffic class: from the first packet on, where that is asked for.
fn mark(socket: &SockRef<'_>, address: SocketAddr, options: &BindOptions) {
    let byte = u32::from(options.class.byte());
    if byte == 0 {
        return;
    }
    let result = match address {
        SocketAddr::V4(_) => socket.set_tos_v4(byte),
        #[cfg(unix)]
        SocketAddr::V6(_) => socket.set_tclass_v6(byte),
        #[cfg(not(unix))]
        SocketAddr::V6(_) => Err(std::io::ErrorKind::Unsupported.into()),
    };
    if let Err(error) = result {
        // Data of another class is better than none.
        tracing::debug!(%address, %error, "the traffic class can not be set");
    }
}

#[cfg(test)]
mod tests;
