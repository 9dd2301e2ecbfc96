//! What leaves by the sockets: messages of the core, and the paths that data
//! takes.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use super::{Base, Machine};
use crate::agent::{BaseId, Event, Input, StreamId};
use crate::candidate::ComponentId;
use crate::driver::carrier::{Carrier, Leg};
use crate::driver::clock;
use crate::driver::connection::SendPath;
use crate::driver::router::Way;
use crate::tcp::MAX_FRAME;

impl Machine {
    /// Sends what the core has to send. What the system refuses is told to
    /// the core; what it has no room for is as good as lost on the way, and
    /// is retransmitted like it.
    pub(super) fn transmit(&mut self) {
        while let Some(transmit) = self.core.poll_transmit(&mut self.message) {
            let Some(base) = self.bases.get(&transmit.base) else {
                if let Some(link) = self.tcp.link(transmit.base, transmit.to) {
                    // Its end is told by the one that reads it.
                    let _ = link.send_control(&self.message);
                }
                continue;
            };
            if base.shared {
                base.socket.router().sent(base.member, &self.message, clock::now());
            }
            let result = base.socket.io().send_now(transmit.to, &self.message);
            if let Err(error) = result
                && error.kind() != io::ErrorKind::WouldBlock
            {
                let (base, to, kind) = (transmit.base, transmit.to, error.kind());
                self.core.handle_input(clock::now(), Input::SendError { base, to, kind });
            }
        }
    }

    /// Follows what events say of paths, and keeps the others for the
    /// application.
    pub(super) fn dispatch(&mut self, event: Event) {
        match event {
            Event::SendPath { stream, component, path } => {
                let path = path.and_then(|path| self.send_path((stream, component), path));
                if let Some(entry) = self.components.get(&(stream, component)) {
                    entry.set_path(path);
                }
            }
            Event::Relayed { base, address, leg, server } => {
                self.open_relay(base, address, leg, server);
            }
            Event::ChannelAsked { base, peer, number } => {
                self.relays.expect_channel(base, peer, number);
            }
            Event::ChannelEnded { base, peer } => self.relays.end_channel(base, peer),
            Event::Channel { base, peer, number } => self.relays.bind_channel(base, peer, number),
            Event::PathOpened { stream, component, base: at, from } => {
                let Some(entry) = self.components.get(&(stream, component)) else { return };
                if let Some(relayed) = self.relays.of(at) {
                    let traffic = self.ledger.path((stream, component), (at, from));
                    let way = Way { queue: entry.queue.clone(), traffic };
                    return relayed.open_path(from, way);
                }
                let base = self.bases.get(&at);
                if base.is_none() && self.tcp.link(at, from).is_none() {
                    return;
                }
                let traffic = self.ledger.path((stream, component), (at, from));
                let way = Way { queue: entry.queue.clone(), traffic };
                match base {
                    Some(base) => base.socket.router().open_path(base.member, from, way),
                    None => self.tcp.open_path(at, from, way),
                }
            }
            Event::PathClosed { base: at, from } => {
                match (self.bases.get(&at), self.relays.of(at)) {
                    (Some(base), _) => base.socket.router().close_path(base.member, from),
                    (None, Some(relayed)) => relayed.close_path(from),
                    (None, None) => self.tcp.close_path(at, from),
                }
            }
            event => self.events.push(event),
        }
    }

    /// What leads from a base to an address, and how much goes in one packet.
    pub(super) fn leg(&self, base: BaseId, to: SocketAddr) -> Option<(Leg, usize)> {
        match self.bases.get(&base) {
            Some(Base { socket, max_payload, .. }) => {
                Some((Leg::Udp(socket.clone()), *max_payload))
            }
            None => Some((Leg::Tcp(self.tcp.link(base, to)?.clone()), MAX_FRAME)),
        }
    }

    /// The path to send data on; none over a connection that is gone.
    fn send_path(
        &mut self,
        owner: (StreamId, ComponentId),
        (base, to): (BaseId, SocketAddr),
    ) -> Option<SendPath> {
        let (carrier, max_payload) = match self.relay_path(base, to) {
            Some((path, max_payload)) => (Carrier::Relay(Arc::new(path)), max_payload),
            None => {
                let (leg, max_payload) = self.leg(base, to)?;
                (Carrier::Direct(leg), max_payload)
            }
        };
        let traffic = self.ledger.path(owner, (base, to));
        Some(SendPath { carrier, to, max_payload, traffic })
    }
}
