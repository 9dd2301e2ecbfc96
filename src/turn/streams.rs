//! Relayed TCP (RFC 6062) on the control connection: connections to peers and
//! from them.

use std::net::SocketAddr;
use std::time::Duration;

use crate::net;
use crate::rng::Rng;
use crate::stun::{Class, Message, Method};
use crate::timer::Time;
use crate::turn::state::State;
use crate::turn::transactions::Purpose;
use crate::turn::{Client, DataConnection, Event, Failure};

/// A peer that was not reached (447) is not tried again before (RFC 6062 §4.3).
const WAIT: Duration = Duration::from_secs(10);

/// Connections to peers that are being made at once.
const MAX_CONNECTS: usize = 64;

/// Peers that were not reached, and are remembered.
const MAX_UNREACHED: usize = 256;

impl Client {
    /// The server is to connect to the peer, from the relayed address. Where it
    /// has just failed to, it is asked again once 10 s have passed. There may be
    /// 64 such requests under way.
    pub fn connect_peer(&mut self, peer: SocketAddr, now: Time, rng: &mut Rng) {
        let peer = net::canonical(peer);
        if self.state != State::Live {
            return;
        }
        let under_way = self.transactions.count(|of| matches!(of, Purpose::Connect(_)));
        let failure = match self.reaches(peer.ip()) {
            false => Some(Failure::family()),
            true if under_way >= MAX_CONNECTS => Some(Failure::limit("connections under way")),
            true => None,
        };
        if let Some(failure) = failure {
            return self.events.push_back(Event::ConnectRefused { peer, failure });
        }
        self.unreached.retain(|(_, until)| *until > now);
        match self.unreached.iter().find(|(of, _)| *of == peer) {
            Some((_, until)) => self.transactions.add_later(Purpose::Connect(peer), *until),
            None => self.transactions.add(Purpose::Connect(peer)),
        }
        self.begin(now, rng);
    }

    /// What makes a new stream to the server the data connection of this
    /// number, with the credentials of this client.
    pub fn data_connection(&self, connection: u32) -> DataConnection {
        DataConnection::new(connection, &self.settings, &self.login)
    }

    pub(super) fn not_reached(&mut self, peer: SocketAddr, now: Time) {
        if self.unreached.len() >= MAX_UNREACHED {
            self.unreached.pop_front();
        }
        self.unreached.push_back((peer, now + WAIT));
    }

    pub(super) fn connected(&mut self, peer: SocketAddr, message: &Message<'_>) {
        self.events.push_back(match message.connection_id() {
            Some(connection) => Event::Connected { peer, connection },
            None => {
                let failure = Failure::useless("has no number of a connection");
                Event::ConnectRefused { peer, failure }
            }
        });
    }

    /// A ConnectionAttempt indication, which nobody can sign: of a peer that is
    /// not permitted it is none (RFC 6062 §4.4).
    pub(super) fn accepted(&mut self, message: &Message<'_>) -> bool {
        let is_attempt = message.class() == Class::Indication
            && message.method() == Method::CONNECTION_ATTEMPT
            && !message.has_unknown_required();
        let peer = message.xor_peer_addresses().next().filter(|_| is_attempt);
        let Some((peer, connection)) = peer.zip(message.connection_id()) else { return false };
        if !self.is_permitted(peer.ip()) {
            return false;
        }
        self.events.push_back(Event::Accepted { peer, connection });
        true
    }
}
