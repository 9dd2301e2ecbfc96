use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use super::rng;
use crate::discovery::{BASES, Discovery, Report, Transmit};
use crate::driver::transport::{self, BindOptions, UdpSocket};
use crate::net;
use crate::timer::Time;

/// Makes a [`Discovery`] over UDP from `ip`, an address of this machine, with
/// servers of its family; `scope` is the interface of a link-local IPv6 address,
/// else 0. It takes some seconds.
///
/// # Errors
///
/// What the system says where the sockets can not be bound. What it refuses to
/// send counts as lost.
///
/// # Panics
///
/// Outside of a tokio runtime.
///
/// # Cancel safety
///
/// It can be dropped at any time; the sockets are closed then.
pub async fn discover_udp(ip: IpAddr, scope: u32, servers: &[SocketAddr]) -> io::Result<Report> {
    run((ip, scope), servers, |discovery| discovery).await
}

/// Asks each server once where it sees `ip`, as [`discover_udp`] begins.
///
/// # Errors
///
/// What the system says where the sockets can not be bound.
///
/// # Panics
///
/// Outside of a tokio runtime.
///
/// # Cancel safety
///
/// It can be dropped at any time; the sockets are closed then.
pub async fn ask_udp(ip: IpAddr, scope: u32, servers: &[SocketAddr]) -> io::Result<Report> {
    run((ip, scope), servers, Discovery::briefly).await
}

/// The address from which this machine sends to `ip`, if there is a way to it.
/// Nothing is sent.
pub fn source_towards(ip: IpAddr) -> Option<IpAddr> {
    transport::source_towards(ip)
}

async fn run(
    (ip, scope): (IpAddr, u32),
    servers: &[SocketAddr],
    set: impl FnOnce(Discovery) -> Discovery,
) -> io::Result<Report> {
    let bind = || transport::bind_udp(ip, scope, &BindOptions::default());
    let sockets: [UdpSocket; BASES] = [bind()?, bind()?, bind()?, bind()?];
    let (start, mut rng) = (Instant::now(), rng()?);
    let now = || Time::ZERO + start.elapsed();
    let discovery = Discovery::new(sockets.each_ref().map(UdpSocket::local), servers);
    let mut discovery = set(discovery);
    discovery.start(now(), &mut rng);
    loop {
        while let Some(Transmit { base, to, bytes }) = discovery.poll_transmit() {
            if let Some(Err(error)) =
                sockets.get(base).map(|socket| socket.send_now(net::in_scope(to, scope), &bytes))
            {
                tracing::debug!(%to, %error, "a request could not be sent");
            }
        }
        if let Some(report) = discovery.report() {
            return Ok(report);
        }
        let deadline = discovery.poll_timeout().unwrap_or(now());
        match first_readable(&sockets, deadline_after(start, deadline)).await {
            Some(base) => {
                for (from, bytes) in received(&sockets, base) {
                    discovery.handle_datagram(base, from, &bytes, now(), &mut rng);
                }
            }
            None => discovery.handle_timeout(now(), &mut rng),
        }
    }
}

fn deadline_after(start: Instant, deadline: Time) -> tokio::time::Instant {
    (start + deadline.since_epoch()).into()
}

/// The socket that something arrived at before the deadline.
async fn first_readable(
    [a, b, c, d]: &[UdpSocket; BASES],
    deadline: tokio::time::Instant,
) -> Option<usize> {
    tokio::select! {
        _ = a.readable() => Some(0),
        _ = b.readable() => Some(1),
        _ = c.readable() => Some(2),
        _ = d.readable() => Some(3),
        () = tokio::time::sleep_until(deadline) => None,
    }
}

fn received(sockets: &[UdpSocket; BASES], base: usize) -> Vec<(SocketAddr, Vec<u8>)> {
    let Some(socket) = sockets.get(base) else { return Vec::new() };
    transport::with_buffers(|received| {
        // An error is one of ICMP about a request, which may be forged.
        let _ = socket.receive(received);
        let of = |glued: transport::Glued<'_>| -> Vec<_> {
            glued.datagrams().map(|bytes| (glued.from, bytes.to_vec())).collect()
        };
        received.iter().flat_map(of).collect()
    })
}
