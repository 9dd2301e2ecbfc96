//! The sockets that relay.

use std::any::Any;
use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use parking_lot::Mutex;
use turn::relay::RelayAddressGenerator;
use webrtc_util::{Conn, Result};

use super::front::MAX_MESSAGE;
use super::policy::Guard;
use crate::driver::transport::{self, BindOptions, UdpSocket};
use crate::server::REST;

/// Makes the sockets of one leg's allocations.
pub(super) struct Relays {
    pub(super) ips: Vec<IpAddr>,
    pub(super) ports: Option<RangeInclusive<u16>>,
    pub(super) bytes_per_second: Option<u64>,
    pub(super) guard: Arc<Guard>,
}

#[async_trait]
impl RelayAddressGenerator for Relays {
    fn validate(&self) -> std::result::Result<(), turn::Error> {
        Ok(())
    }

    async fn allocate_conn(
        &self,
        use_ipv4: bool,
        _requested_port: u16,
    ) -> std::result::Result<(Arc<dyn Conn + Send + Sync>, SocketAddr), turn::Error> {
        let ip = self.ips.iter().find(|ip| ip.is_ipv4() == use_ipv4);
        let ip = ip.ok_or(turn::Error::ErrNoAvailableConns)?;
        let options = BindOptions { ports: self.ports.clone(), ..BindOptions::default() };
        let socket = transport::bind_udp(*ip, 0, &options).map_err(webrtc_util::Error::from)?;
        let at = socket.local();
        self.guard.relays(at, true);
        let relay = Relay {
            socket,
            guard: self.guard.clone(),
            arrived: Mutex::default(),
            share: self.bytes_per_second.map(|rate| Mutex::new(Share::new(rate, Instant::now()))),
        };
        Ok((Arc::new(relay), at))
    }
}

/// The socket of one allocation. It sends to no address that the policy
/// refuses, whatever the server behind thinks.
struct Relay {
    socket: UdpSocket,
    guard: Arc<Guard>,
    /// What one look at the socket gave; its reader takes one at a time.
    arrived: Mutex<VecDeque<(SocketAddr, Box<[u8]>)>>,
    share: Option<Mutex<Share>>,
}

impl Relay {
    fn admits(&self, len: usize) -> bool {
        self.share.as_ref().is_none_or(|share| share.lock().take(len, Instant::now()))
    }

    fn receive(&self) -> io::Result<()> {
        transport::with_buffers(|received| {
            let result = self.socket.receive(received);
            let mut arrived = self.arrived.lock();
            for glued in received.iter() {
                // What is longer would come out cut.
                let datagrams = glued.datagrams().filter(|bytes| bytes.len() <= MAX_MESSAGE);
                for bytes in datagrams.filter(|bytes| self.admits(bytes.len())) {
                    arrived.push_back((glued.from, bytes.into()));
                }
            }
            result.map(drop)
        })
    }
}

#[async_trait]
impl Conn for Relay {
    async fn connect(&self, _: SocketAddr) -> Result<()> {
        Err(io::Error::from(io::ErrorKind::Unsupported).into())
    }

    async fn recv(&self, into: &mut [u8]) -> Result<usize> {
        self.recv_from(into).await.map(|(len, _)| len)
    }

    /// The server behind would give up the allocation at an error.
    async fn recv_from(&self, into: &mut [u8]) -> Result<(usize, SocketAddr)> {
        loop {
            if let Some((from, bytes)) = self.arrived.lock().pop_front()
                && let Some(place) = into.get_mut(..bytes.len())
            {
                place.copy_from_slice(&bytes);
                return Ok((bytes.len(), from));
            }
            self.socket.readable().await?;
            if self.receive().is_err() {
                tokio::time::sleep(REST).await;
            }
        }
    }

    async fn send(&self, _: &[u8]) -> Result<usize> {
        Err(io::Error::from(io::ErrorKind::NotConnected).into())
    }

    /// What the policy, the share or the system refuses is lost, as datagrams
    /// are.
    async fn send_to(&self, bytes: &[u8], to: SocketAddr) -> Result<usize> {
        if self.guard.admits_destination(to) && self.admits(bytes.len()) {
            let _ = self.socket.send_now(to, bytes);
        }
        Ok(bytes.len())
    }

    fn local_addr(&self) -> Result<SocketAddr> {
        Ok(self.socket.local())
    }

    fn remote_addr(&self) -> Option<SocketAddr> {
        None
    }

    async fn close(&self) -> Result<()> {
        Ok(())
    }

    fn as_any(&self) -> &(dyn Any + Send + Sync) {
        self
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.guard.relays(self.socket.local(), false);
    }
}

/// Bytes a second, of which those of one second may come at once.
#[derive(Debug)]
struct Share {
    rate: u64,
    left: u64,
    since: Instant,
}

impl Share {
    fn new(rate: u64, now: Instant) -> Self {
        Share { rate, left: rate, since: now }
    }

    fn take(&mut self, len: usize, now: Instant) -> bool {
        let micros = now.saturating_duration_since(self.since).as_micros();
        let gained = u128::from(self.rate) * micros / 1_000_000;
        if gained > 0 {
            let left = u128::from(self.left) + gained;
            self.left = u64::try_from(left).unwrap_or(u64::MAX).min(self.rate);
            self.since = now;
        }
        let len = len as u64;
        let fits = len <= self.left;
        if fits {
            self.left -= len;
        }
        fits
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_share_is_used_up_and_comes_back() {
        let start = Instant::now();
        let mut share = Share::new(1_000, start);
        assert!(share.take(600, start) && share.take(400, start));
        assert!(!share.take(1, start));
        let after = |millis| start + Duration::from_millis(millis);
        assert!(!share.take(501, after(500)) && share.take(500, after(500)));
        // No more than that of one second comes at once.
        assert!(share.take(1_000, after(10_000)) && !share.take(1, after(10_000)));
    }
}
