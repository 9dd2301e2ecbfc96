//! The client: one allocation and all that hangs on it.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};

use crate::net::{self, Family, Protocol};
use crate::rng::Rng;
use crate::stun::{Message, Method, TransactionId};
use crate::timer::Time;
use crate::turn::allocation::Allocation;
use crate::turn::bindings::Bindings;
use crate::turn::login::Login;
use crate::turn::permissions::{Permissions, Wish};
use crate::turn::state::{Happening, State, Step};
use crate::turn::transactions::{Asking, Purpose, Transactions};
use crate::turn::{Cause, Event, Failure, Handled, Secrets, Settings, request};

/// One allocation on one path to a server.
#[derive(Debug)]
pub struct Client {
    pub(super) settings: Settings,
    pub(super) state: State,
    pub(super) login: Login,
    pub(super) transactions: Transactions,
    /// There while the allocation is live.
    pub(super) allocation: Option<Allocation>,
    pub(super) permissions: Permissions,
    pub(super) bindings: Bindings,
    /// Peers that the server could not connect to, and when it may be asked
    /// again.
    pub(super) unreached: VecDeque<(SocketAddr, Time)>,
    pub(super) events: VecDeque<Event>,
}

impl Client {
    /// A client that sends nothing before [`Client::start`].
    pub fn new(settings: Settings) -> Self {
        Client {
            state: State::Idle,
            login: Login::new(settings.secrets.clone()),
            transactions: Transactions::new(&settings),
            allocation: None,
            permissions: Permissions::new(settings.permission_lifetime),
            bindings: Bindings::default(),
            unreached: VecDeque::new(),
            events: VecDeque::new(),
            settings,
        }
    }

    /// Asks for the allocation.
    pub fn start(&mut self, now: Time, rng: &mut Rng) {
        if self.state.step(Happening::Start) == Step::Ask {
            self.state = State::Asking;
            self.transactions.add(Purpose::Allocate);
            self.begin(now, rng);
        }
    }

    /// A STUN message from the server that is no Data indication.
    pub fn handle_message(&mut self, message: &Message<'_>, now: Time, rng: &mut Rng) -> Handled {
        let handled = match self.accepted(message) {
            true => Handled::Used,
            false => self.answered(message, now, rng),
        };
        self.begin(now, rng);
        handled
    }

    /// It is `now`.
    pub fn handle_timeout(&mut self, now: Time, rng: &mut Rng) {
        self.expire(now);
        for peer in self.permissions.handle_timeout(now) {
            self.transactions.add(Purpose::Permission(peer));
        }
        for (peer, number) in self.bindings.handle_timeout(now) {
            self.transactions.add(Purpose::Channel(peer, number));
        }
        for (purpose, failure) in self.transactions.handle_timeout(now) {
            self.failed(purpose, failure);
        }
        self.begin(now, rng);
    }

    /// When [`Client::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Time> {
        let allocation = self
            .allocation
            .as_ref()
            .map(|allocation| allocation.refresh.unwrap_or(allocation.expires));
        let live = [allocation, self.permissions.poll_timeout(), self.bindings.poll_timeout()];
        live.into_iter().chain([self.transactions.poll_timeout()]).flatten().min()
    }

    /// A request to send to the server now, written into `out`, which is
    /// cleared first.
    pub fn poll_request(&mut self, out: &mut Vec<u8>) -> Option<Method> {
        self.transactions.poll_request(out)
    }

    /// What has happened.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// The peer is to be permitted, and stays so until [`Client::forget`]. There
    /// may be 256.
    pub fn permit(&mut self, peer: IpAddr, now: Time, rng: &mut Rng) {
        let peer = peer.to_canonical();
        if self.want(peer) == Wish::New && self.state == State::Live {
            self.transactions.add(Purpose::Permission(peer));
            self.begin(now, rng);
        }
    }

    /// The peer's permission and channels are not kept any longer, and it is
    /// not heard any more. The server still lets it through for some minutes.
    pub fn forget(&mut self, peer: IpAddr) {
        self.drop_peer(peer.to_canonical());
    }

    /// Whether the server has confirmed the permission, and it has not expired.
    pub fn is_permitted(&self, peer: IpAddr) -> bool {
        self.permissions.is_permitted(peer.to_canonical())
    }

    /// A channel to the peer is to be bound, and stays so until the peer is
    /// forgotten. That permits the peer, too. There may be 64.
    pub fn bind_channel(&mut self, peer: SocketAddr, now: Time, rng: &mut Rng) {
        let peer = net::canonical(peer);
        if self.want(peer.ip()) == Wish::Full {
            return;
        }
        if self.settings.relays == Protocol::Tcp {
            self.refuse_channel(peer, Failure::no_channels());
            return self.begin(now, rng);
        }
        match self.bindings.want(peer) {
            Some((number, true)) if self.state == State::Live => {
                self.transactions.add(Purpose::Channel(peer, number));
                self.begin(now, rng);
            }
            Some(_) => {}
            None => {
                self.refuse_channel(peer, Failure::limit("channels"));
                self.begin(now, rng);
            }
        }
    }

    /// The channel that is bound to the peer.
    pub fn channel(&self, peer: SocketAddr) -> Option<u16> {
        self.bindings.number(net::canonical(peer))
    }

    /// The channel that is bound to the peer, or is being bound: what the peer
    /// sends may come on it before the server's answer (RFC 8656 §12).
    pub fn channel_to_be(&self, peer: SocketAddr) -> Option<u16> {
        self.bindings.wanted_number(net::canonical(peer))
    }

    /// New credentials from whoever provides them, for later requests and those
    /// that the server refused with [`Event::NeedSecrets`].
    pub fn renew(&mut self, secrets: Secrets) {
        self.settings.secrets = secrets.clone();
        self.login.renew(secrets);
        self.transactions.unlock();
    }

    /// Gives the allocation back; [`Event::Released`] follows, at the latest
    /// after the time of a transaction.
    pub fn release(&mut self, now: Time, rng: &mut Rng) {
        let was_sent = self.transactions.is_asking(Purpose::Allocate);
        match self.state.step(Happening::Release) {
            // It waits for its slot, or pauses: the server has nothing.
            Step::Abandon if !was_sent => self.finish(),
            Step::Abandon => self.state = State::Abandoned,
            Step::Finish => self.finish(),
            Step::Return => self.give_back(State::Releasing),
            _ => {}
        }
        self.begin(now, rng);
    }

    /// The owner doubts that the server still has the allocation: it is refreshed
    /// now, unless that is under way.
    pub fn probe(&mut self, now: Time, rng: &mut Rng) {
        if let Some(refresh) = self.allocation.as_mut().and_then(|a| a.refresh.as_mut()) {
            *refresh = now;
            self.expire(now);
        }
        self.begin(now, rng);
    }

    /// The request with this id, where it waits for its answer.
    pub(crate) fn asking(&self, id: TransactionId) -> Option<&Asking> {
        Some(self.transactions.find(id)?.2)
    }

    /// A refresh waits for its answer.
    pub fn is_refreshing(&self) -> bool {
        self.transactions.is_asking(Purpose::Refresh)
    }

    /// The path to the server is another from now on: another socket, or
    /// another network. Where the server has given a ticket
    /// ([`Settings::mobility`]) the allocation moves with it, and its peers
    /// notice nothing; false where it has not.
    pub fn moved(&mut self, now: Time, rng: &mut Rng) -> bool {
        let Some(allocation) = self.allocation.as_mut().filter(|a| a.ticket.is_some()) else {
            return false;
        };
        allocation.refresh = None;
        self.transactions.depart();
        self.begin(now, rng);
        true
    }

    /// The relayed addresses.
    pub fn relayed(&self) -> impl Iterator<Item = SocketAddr> {
        self.allocation.iter().flat_map(|allocation| allocation.relayed.iter().copied())
    }

    /// The address at which the server sees this client.
    pub fn mapped(&self) -> Option<SocketAddr> {
        self.allocation.as_ref().map(|allocation| allocation.mapped)
    }

    /// Sends what waits and has a slot.
    pub(super) fn begin(&mut self, now: Time, rng: &mut Rng) {
        while let Some((at, purpose)) = self.transactions.next_to_begin(now) {
            self.ask(at, purpose, now, rng);
        }
    }

    /// Writes a request with the credentials of now.
    pub(super) fn ask(&mut self, at: usize, purpose: Purpose, now: Time, rng: &mut Rng) {
        let id = TransactionId(rng.bytes());
        let session = self.login.session();
        let allocation = self.allocation.as_ref().filter(|_| self.transactions.is_moving());
        let ticket = allocation.and_then(|allocation| allocation.ticket.as_deref());
        let bytes = request::write(purpose, id, (&self.settings, ticket), session.as_deref());
        self.transactions.ask(at, id, bytes, session, now);
        if let Purpose::Channel(peer, _) = purpose {
            self.bindings.ask(peer, now);
        }
    }

    /// Loses or refreshes the allocation as the time demands.
    fn expire(&mut self, now: Time) {
        let Some(allocation) = &mut self.allocation else { return };
        if allocation.expires <= now {
            let text = match self.transactions.is_locked() {
                true => "the allocation expired: there were no credentials to refresh it with",
                false => "the allocation expired: no answer to the attempts to refresh it",
            };
            return self.lose(Failure::new(Cause::Expired, text));
        }
        if allocation.refresh.is_some_and(|at| at <= now) {
            allocation.refresh = None;
            self.transactions.add(Purpose::Refresh);
        }
    }

    /// The peer is wanted, if there is room for it and an address to reach it
    /// from.
    fn want(&mut self, peer: IpAddr) -> Wish {
        if !matches!(self.state, State::Idle | State::Asking | State::Live) {
            return Wish::Full;
        }
        let wish = if self.reaches(peer) { self.permissions.want(peer) } else { Wish::Full };
        if wish == Wish::Full {
            let failure = match self.reaches(peer) {
                true => Failure::limit("permissions"),
                false => Failure::family(),
            };
            self.events.push_back(Event::PeerRefused { peer, failure });
        }
        wish
    }

    /// Whether there is a relayed address of the peer's family, or may be one.
    pub(super) fn reaches(&self, peer: IpAddr) -> bool {
        let family = Family::of(peer);
        match &self.allocation {
            Some(allocation) => allocation.has(family),
            None => self.settings.families.has(family),
        }
    }

    /// Nothing is kept for the peer any longer.
    pub(super) fn drop_peer(&mut self, peer: IpAddr) {
        self.permissions.remove(peer);
        self.bindings.of(peer).into_iter().for_each(|channel| self.bindings.remove(channel));
        self.transactions.cancel(|purpose| match purpose {
            Purpose::Permission(of) => of == peer,
            Purpose::Channel(of, _) | Purpose::Connect(of) => of.ip() == peer,
            Purpose::Allocate | Purpose::Refresh | Purpose::Return | Purpose::Bind(_) => false,
        });
    }

    /// There is no channel; the peer is permitted without one.
    pub(super) fn refuse_channel(&mut self, peer: SocketAddr, failure: Failure) {
        self.bindings.remove(peer);
        self.events.push_back(Event::ChannelRefused { peer, failure });
        if self.state == State::Live && !self.is_permitted(peer.ip()) {
            self.transactions.add(Purpose::Permission(peer.ip()));
        }
    }

    pub(super) fn lose(&mut self, failure: Failure) {
        if self.state.step(Happening::Gone) == Step::Lose {
            self.end(Event::Lost(failure));
        }
    }

    /// Asks the server to end the allocation, and forgets all that hangs on it.
    pub(super) fn give_back(&mut self, state: State) {
        self.clear();
        self.state = state;
        self.transactions.add(Purpose::Return);
    }

    pub(super) fn finish(&mut self) {
        self.end(Event::Released);
    }

    pub(super) fn end(&mut self, event: Event) {
        self.clear();
        self.state = State::Ended;
        self.events.push_back(event);
    }

    pub(super) fn clear(&mut self) {
        self.transactions.cancel(|_| true);
        self.allocation = None;
        self.permissions = Permissions::new(self.settings.permission_lifetime);
        self.bindings = Bindings::default();
        self.unreached.clear();
    }
}
