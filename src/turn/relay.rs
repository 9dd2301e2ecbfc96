//! Data through the relay (RFC 8656 §11, §12): two functions that change
//! nothing.

use std::net::SocketAddr;

use crate::net::{self, Protocol};
use crate::stun::{AttributeType, Builder, Class, Message, Method, TransactionId};
use crate::turn::{Client, Unwrapped, channel};

/// The longest payload of a Send indication: with the peer's address it has to
/// fit a message.
const MAX_SENT: usize = Builder::MAX_VALUE - 24;

impl Client {
    /// Writes what takes `payload` to the peer into `out`, which is cleared
    /// first: ChannelData if there is a channel, padded on a stream, else a
    /// Send indication with this id. False, and nothing is written, where the
    /// peer is not permitted, the payload is too long, or TCP is relayed.
    pub fn wrap(
        &self,
        peer: SocketAddr,
        payload: &[u8],
        id: TransactionId,
        out: &mut Vec<u8>,
    ) -> bool {
        out.clear();
        let peer = net::canonical(peer);
        if !self.is_permitted(peer.ip()) || self.settings.relays == Protocol::Tcp {
            return false;
        }
        if let Some(number) = self.channel(peer) {
            let Some(header) = channel::header(number, payload.len()) else { return false };
            out.extend_from_slice(&header);
            out.extend_from_slice(payload);
            if self.settings.reliable {
                out.resize(out.len() + channel::padding(payload.len()), 0);
            }
            return true;
        }
        if payload.len() > MAX_SENT {
            return false;
        }
        Builder::new(Class::Indication, Method::SEND, id, out)
            .xored(AttributeType::XOR_PEER_ADDRESS, peer)
            .attribute(AttributeType::DATA, payload)
            .finish();
        true
    }

    /// What a peer sent in ChannelData or a Data indication from the server;
    /// `None` for all else, and for peers that are not permitted.
    pub fn unwrap<'a>(&self, bytes: &'a [u8]) -> Option<Unwrapped<'a>> {
        if self.settings.relays == Protocol::Tcp {
            return None;
        }
        if let Some((number, payload)) = channel::parse(bytes) {
            let (peer, is_open) = self.bindings.peer(number)?;
            let is_heard = is_open || self.is_permitted(peer.ip());
            return is_heard.then_some(Unwrapped::Data { peer, payload });
        }
        let message = Message::parse(bytes).ok()?;
        let is_data = message.class() == Class::Indication && message.method() == Method::DATA;
        if !is_data || message.has_unknown_required() {
            return None;
        }
        let peer = message.xor_peer_addresses().next()?;
        if !self.is_permitted(peer.ip()) {
            return None;
        }
        if let Some((kind, code)) = message.icmp() {
            return Some(Unwrapped::Icmp { peer, kind, code });
        }
        Some(Unwrapped::Data { peer, payload: message.data()? })
    }
}
