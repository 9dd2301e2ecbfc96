//! Whether this system opens a connection from both ends at once.

use std::io;
use std::net::Ipv4Addr;

use tokio::net::TcpSocket;

use super::bound_to_system_port;

/// Whether it did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Crossed {
    Yes,
    No,
}

/// Connects a socket of loopback to itself: its SYN meets it while it waits for
/// the answer, which is a simultaneous open.
///
/// # Errors
///
/// What the system says where there is no such socket to be had.
pub(crate) async fn opens_to_itself() -> io::Result<Crossed> {
    let socket = bound_to_system_port(Ipv4Addr::LOCALHOST.into())?;
    let local = socket.local_addr()?.as_socket().ok_or(io::ErrorKind::Unsupported)?;
    match TcpSocket::from_std_stream(socket.into()).connect(local).await {
        Ok(stream) if stream.peer_addr()? == local => Ok(Crossed::Yes),
        Ok(_) => Ok(Crossed::No),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(Crossed::No),
        Err(error) if error.kind() == io::ErrorKind::TimedOut => Ok(Crossed::No),
        Err(error) => Err(error),
    }
}

/// Hardened kernels do not, and have a switch for it, which others lack
/// (RFC 9293 §3.5 asks for it). What a system says nothing of, it does.
pub(crate) fn opens_from_both_ends() -> bool {
    allows(std::fs::read_to_string("/proc/sys/net/ipv4/tcp_simult_connect").ok().as_deref())
}

fn allows(switch: Option<&str>) -> bool {
    switch.is_none_or(|value| value.trim() != "0")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_switch_that_is_off_forbids_it() {
        assert!(allows(None));
        assert!(allows(Some("1\n")));
        assert!(!allows(Some("0\n")));
    }
}
