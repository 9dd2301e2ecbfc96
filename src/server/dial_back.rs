//! Calling back over TCP whoever asks for it over a connection: our extension
//! of RFC 5780, which tells what a NAT does with a SYN that nobody behind it
//! has asked for.
//!
//! It goes to the asker's own address and port and nowhere else, and the asker
//! has shown by its handshake that it is there. There are few at a time.

use std::collections::HashMap;
use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::timeout;

use super::behavior::Place;
use super::rate::network;
use crate::discovery::{Change, DialBack};
use crate::driver::transport::{BindOptions, connect_tcp};

/// How long an answer to a SYN is waited for: the system sends it twice.
const PATIENCE: Duration = Duration::from_millis(2_500);

/// Attempts at a time, and of them those to one source.
const ATTEMPTS: usize = 64;
const PER_SOURCE: usize = 4;

/// The attempts under way, by source.
#[derive(Debug, Default)]
pub(super) struct DialBacks(Mutex<HashMap<IpAddr, usize>>);

impl DialBacks {
    /// Connects to `to`, from a port of its own of the address that the change
    /// names; `None` if there is no room for it, or no such address.
    pub(super) async fn attempt(
        &self,
        place: &Place,
        change: Change,
        to: SocketAddr,
    ) -> Option<DialBack> {
        let from = if change.ip { place.other?.ip() } else { place.local.ip() };
        let _room = self.room(network(to.ip()))?;
        Some(dial(from, to).await)
    }

    fn room(&self, source: IpAddr) -> Option<Room<'_>> {
        let mut counts = self.0.lock();
        let all: usize = counts.values().sum();
        let count = counts.get(&source).copied().unwrap_or_default();
        if all >= ATTEMPTS || count >= PER_SOURCE {
            return None;
        }
        counts.insert(source, count + 1);
        Some(Room { dial_backs: self, source })
    }
}

/// One attempt, while it lasts.
struct Room<'a> {
    dial_backs: &'a DialBacks,
    source: IpAddr,
}

impl Drop for Room<'_> {
    fn drop(&mut self) {
        let mut counts = self.dial_backs.0.lock();
        if let Some(count) = counts.get_mut(&self.source) {
            *count -= 1;
        }
        counts.retain(|_, count| *count > 0);
    }
}

async fn dial(from: IpAddr, to: SocketAddr) -> DialBack {
    let attempt = async {
        let connecting = connect_tcp((from, 0, None), to, &BindOptions::default())?;
        match poll_fn(|cx| connecting.poll(cx)).await {
            Some(result) => result,
            None => Err(io::Error::from(ErrorKind::NotConnected)),
        }
    };
    match timeout(PATIENCE, attempt).await {
        Ok(Ok(stream)) => {
            stream.close();
            DialBack::Connected
        }
        Ok(Err(error)) => match error.kind() {
            ErrorKind::ConnectionRefused | ErrorKind::ConnectionReset => DialBack::Refused,
            ErrorKind::TimedOut => DialBack::Silent,
            _ => DialBack::Unreachable,
        },
        Err(_) => DialBack::Silent,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_has_its_share() {
        let dial_backs = DialBacks::default();
        let ip = |n: u8| IpAddr::from([192, 0, 2, n]);
        let mut rooms: Vec<_> = (0..10).map_while(|_| dial_backs.room(ip(1))).collect();
        assert_eq!(rooms.len(), PER_SOURCE);
        rooms.extend((2..=255).flat_map(|n| [ip(n); 2]).map_while(|ip| dial_backs.room(ip)));
        assert_eq!(rooms.len(), ATTEMPTS);
        drop(rooms);
        assert!(dial_backs.0.lock().is_empty());
    }
}
