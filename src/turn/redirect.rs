//! Redirections in a circle (RFC 8489 §10).

use std::net::SocketAddr;
use std::time::Duration;

use crate::net;
use crate::timer::Time;

/// A server is not gone to again for so long (RFC 8489 §10).
const MEMORY: Duration = Duration::from_secs(5 * 60);

/// More servers than this are not gone to, one after the other, within that
/// time, though each be another.
const MAX: usize = 8;

/// The servers that were asked one after the other, because each named the
/// next ([`Event::Redirected`](crate::turn::Event::Redirected)).
#[derive(Clone, Debug, Default)]
pub struct Redirects {
    asked: Vec<(SocketAddr, Time)>,
}

impl Redirects {
    /// The first server, asked at `now`.
    pub fn from(server: SocketAddr, now: Time) -> Self {
        Redirects { asked: vec![(net::canonical(server), now)] }
    }

    /// Whether to go to `server` at `now`: not where it was asked within the
    /// last five minutes, and not from one to the next without end. It counts
    /// as asked from then on.
    pub fn follow(&mut self, server: SocketAddr, now: Time) -> bool {
        let server = net::canonical(server);
        self.asked.retain(|(_, at)| now - *at < MEMORY);
        if self.asked.len() >= MAX || self.asked.iter().any(|(asked, _)| *asked == server) {
            return false;
        }
        self.asked.push((server, now));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_not_asked_twice_within_five_minutes() {
        let server = |port: u16| SocketAddr::from(([192, 0, 2, 1], port));
        let mut redirects = Redirects::from(server(1), Time::ZERO);
        assert!(!redirects.follow(server(1), Time::ZERO), "to itself");
        assert!(redirects.follow(server(2), Time::from_millis(100)));
        assert!(!redirects.follow(server(1), Time::from_millis(200)), "and back");
        assert!(!redirects.follow(server(2), Time::from_millis(300_099)));
        assert!(redirects.follow(server(2), Time::from_millis(300_100)), "much later");
    }

    #[test]
    fn a_chain_of_servers_has_an_end() {
        let server = |port: u16| SocketAddr::from(([192, 0, 2, 1], port));
        let mut redirects = Redirects::from(server(0), Time::ZERO);
        let followed = (1..100).take_while(|port| redirects.follow(server(*port), Time::ZERO));
        assert_eq!(followed.count(), MAX - 1);
    }
}
