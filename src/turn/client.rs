//! The client: one allocation and all that hangs on it.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};

use crate::rng::Rng;
use crate::stun::{Message, Method, TransactionId};
use crate::timer::Time;
use crate::turn::{Event, Handled, Secrets, Settings, Unwrapped};

/// One allocation on one path to a server.
#[derive(Debug)]
pub struct Client {
    settings: Settings,
    events: VecDeque<Event>,
}

impl Client {
    /// A client that sends nothing before [`Client::start`].
    pub fn new(settings: Settings) -> Self {
        Client { settings, events: VecDeque::new() }
    }

    /// Asks for the allocation.
    pub fn start(&mut self, _now: Time, _rng: &mut Rng) {}

    /// A STUN message from the server that is no Data indication.
    pub fn handle_message(
        &mut self,
        _message: &Message<'_>,
        _now: Time,
        _rng: &mut Rng,
    ) -> Handled {
        Handled::Foreign
    }

    /// It is `now`.
    pub fn handle_timeout(&mut self, _now: Time, _rng: &mut Rng) {}

    /// When [`Client::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Time> {
        None
    }

    /// A request to send to the server now, written into `out`, which is
    /// cleared first.
    pub fn poll_request(&mut self, out: &mut Vec<u8>) -> Option<Method> {
        out.clear();
        None
    }

    /// What has happened.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// The peer is to be permitted, and stays so until [`Client::forget`].
    pub fn permit(&mut self, _peer: IpAddr, _now: Time, _rng: &mut Rng) {}

    /// The peer's permission and channels are not kept any longer, and it is
    /// not heard any more.
    pub fn forget(&mut self, _peer: IpAddr) {}

    /// Whether the server has confirmed the permission.
    pub fn is_permitted(&self, _peer: IpAddr) -> bool {
        false
    }

    /// A channel to the peer is to be bound, and stays so until the peer is
    /// forgotten. That permits the peer, too.
    pub fn bind_channel(&mut self, _peer: SocketAddr, _now: Time, _rng: &mut Rng) {}

    /// The channel that is bound to the peer.
    pub fn channel(&self, _peer: SocketAddr) -> Option<u16> {
        None
    }

    /// New credentials from whoever provides them, for later requests.
    pub fn renew(&mut self, secrets: Secrets) {
        self.settings.secrets = secrets;
    }

    /// Gives the allocation back.
    pub fn release(&mut self, _now: Time, _rng: &mut Rng) {}

    /// The relayed addresses.
    pub fn relayed(&self) -> impl Iterator<Item = SocketAddr> {
        std::iter::empty()
    }

    /// The address at which the server sees this client.
    pub fn mapped(&self) -> Option<SocketAddr> {
        None
    }

    /// Writes what takes `payload` to the peer into `out`, which is cleared
    /// first: ChannelData if there is a channel, padded on a stream, else a
    /// Send indication with this id. False, and nothing is written, where the
    /// peer is not permitted or the payload is too long.
    pub fn wrap(
        &self,
        _peer: SocketAddr,
        _payload: &[u8],
        _id: TransactionId,
        out: &mut Vec<u8>,
    ) -> bool {
        out.clear();
        false
    }

    /// What a peer sent in ChannelData or a Data indication from the server;
    /// `None` for all else, and for peers that are not permitted.
    pub fn unwrap<'a>(&self, _bytes: &'a [u8]) -> Option<Unwrapped<'a>> {
        None
    }
}
