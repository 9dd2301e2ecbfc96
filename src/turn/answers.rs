//! What the answers of the server do.

use std::net::{IpAddr, SocketAddr};

use crate::rng::Rng;
use crate::stun::{ErrorCode, Message};
use crate::timer::Time;
use crate::turn::allocation::{self, Allocation, Grant};
use crate::turn::login::Next;
use crate::turn::response::{self, Verdict};
use crate::turn::state::{Happening, State, Step};
use crate::turn::transactions::Purpose;
use crate::turn::{Cause, Client, Event, Failure, Handled, failure};

/// 405 (RFC 8016).
const MOBILITY_FORBIDDEN: u16 = 405;

impl Client {
    pub(super) fn answered(&mut self, message: &Message<'_>, now: Time, rng: &mut Rng) -> Handled {
        let id = message.transaction_id();
        let Some((at, purpose, asking)) = self.transactions.find(id) else {
            return if self.transactions.has_ended(id) { Handled::Late } else { Handled::Foreign };
        };
        if !response::is_response(message, purpose.method()) {
            return Handled::Foreign;
        }
        let (session, since) = (asking.session.clone(), asking.since);
        match response::judge(message, session.as_deref(), self.settings.reliable) {
            Verdict::Discard(code) => self.transactions.discard(at, code),
            Verdict::Broken(code) => self.end_with(at, purpose, Failure::unsigned(code)),
            Verdict::Useless(why) => self.end_with(at, purpose, Failure::useless(why)),
            Verdict::Unauthenticated => {
                let next = self.login.unauthenticated(message, session.as_deref());
                self.follow(at, purpose, (401, next), now, rng);
            }
            Verdict::Stale => {
                let next = self.login.stale(message);
                self.follow(at, purpose, (438, next), now, rng);
            }
            // RFC 8489 §14.8: the signature of a 300 is validated before it is
            // followed, so that it has to have one.
            Verdict::Refused(error) if error.code == 300 && session.is_some() => {
                self.redirected(at, purpose, error, message);
            }
            Verdict::Refused(error) => self.refused(at, purpose, error, now),
            Verdict::Success => {
                if session.is_some() {
                    self.login.prove();
                    self.transactions.forgive_nonces();
                }
                self.transactions.end(at);
                self.granted(purpose, message, since);
            }
        }
        Handled::Used
    }

    /// The server wants other credentials, or a newer nonce.
    fn follow(
        &mut self,
        at: usize,
        purpose: Purpose,
        (code, next): (u16, Next),
        now: Time,
        rng: &mut Rng,
    ) {
        let is_wanted = self.state != State::Abandoned;
        match next {
            Next::Retry if !is_wanted || !self.transactions.may_take_nonce(at) => {
                self.end_with(at, purpose, Failure::nonces());
            }
            // At once: it is the answer to the server's question.
            Next::Retry => self.ask(at, purpose, now, rng),
            Next::Expired if purpose != Purpose::Return => self.hold(at),
            Next::Expired | Next::Refused => {
                let failure = Failure::secrets(self.login.username(), &self.login.realm());
                self.end_with(at, purpose, failure);
            }
            Next::Impossible(why) => self.end_with(at, purpose, Failure::challenge(code, why)),
        }
    }

    /// The request waits for new secrets.
    fn hold(&mut self, at: usize) {
        if !self.transactions.is_locked() {
            let realm = failure::shown(&self.login.realm()).into();
            self.events.push_back(Event::NeedSecrets { realm });
        }
        self.transactions.hold(at);
    }

    fn refused(&mut self, at: usize, purpose: Purpose, error: ErrorCode<'_>, now: Time) {
        let failure = Failure::refused(error);
        let is_wanted = self.state != State::Abandoned;
        if failure.cause == Cause::Server && is_wanted && self.transactions.pause(at, now) {
            return;
        }
        if let (Purpose::Connect(peer), 447) = (purpose, error.code) {
            self.not_reached(peer, now);
        }
        // RFC 8016: the server does not let allocations move. Then without.
        let is_forbidden = error.code == MOBILITY_FORBIDDEN && is_wanted;
        if is_forbidden && std::mem::take(&mut self.settings.mobility) {
            return self.transactions.again(at);
        }
        self.end_with(at, purpose, failure);
    }

    /// The server names another (RFC 8489 §10).
    fn redirected(
        &mut self,
        at: usize,
        purpose: Purpose,
        error: ErrorCode<'_>,
        message: &Message<'_>,
    ) {
        let to = message.alternate_server().filter(|to| allocation::is_usable(*to));
        let Some(to) = to.filter(|_| purpose == Purpose::Allocate) else {
            return self.end_with(at, purpose, Failure::refused(error));
        };
        self.transactions.end(at);
        // RFC 8489 §14.16.
        let is_plain = |domain: &&str| {
            (1..=255).contains(&domain.len()) && domain.bytes().all(|byte| byte.is_ascii_graphic())
        };
        let domain = message.alternate_domain().filter(is_plain).map(Into::into);
        self.deny(Event::Redirected { to, domain });
    }

    fn end_with(&mut self, at: usize, purpose: Purpose, failure: Failure) {
        self.transactions.end(at);
        self.failed(purpose, failure);
    }

    /// A request, which has ended, came to nothing.
    pub(super) fn failed(&mut self, purpose: Purpose, failure: Failure) {
        // Another that ended at the same time may have been the end of all.
        if !matches!(purpose, Purpose::Allocate | Purpose::Return) && self.state != State::Live {
            return;
        }
        match purpose {
            Purpose::Allocate => self.deny(Event::Failed(failure)),
            // Again, until it has expired.
            Purpose::Refresh if failure.cause == Cause::NoAnswer => self.transactions.add(purpose),
            Purpose::Refresh => self.lose(failure),
            Purpose::Return => self.returned(),
            // RFC 8656 §5: there is no allocation any more.
            Purpose::Permission(_) | Purpose::Channel(..) | Purpose::Connect(_)
                if failure.cause == Cause::Mismatch =>
            {
                self.lose(failure);
            }
            Purpose::Permission(peer) => self.permission_failed(peer, failure),
            Purpose::Channel(peer, _) => self.channel_failed(purpose, peer, failure),
            Purpose::Connect(peer) => {
                self.events.push_back(Event::ConnectRefused { peer, failure });
            }
            // A `DataConnection` has those.
            Purpose::Bind(_) => {}
        }
    }

    fn deny(&mut self, event: Event) {
        match self.state.step(Happening::Denied) {
            Step::Fail => self.end(event),
            Step::Finish => self.finish(),
            _ => {}
        }
    }

    fn returned(&mut self) {
        match self.state.step(Happening::Returned) {
            Step::Finish => self.finish(),
            Step::End => {
                self.clear();
                self.state = State::Ended;
            }
            _ => {}
        }
    }

    fn permission_failed(&mut self, peer: IpAddr, failure: Failure) {
        // Silence is no refusal as long as the permission lasts.
        if failure.cause == Cause::NoAnswer && self.permissions.is_permitted(peer) {
            return self.transactions.add(Purpose::Permission(peer));
        }
        self.drop_peer(peer);
        self.events.push_back(Event::PeerRefused { peer, failure });
    }

    fn channel_failed(&mut self, purpose: Purpose, peer: SocketAddr, failure: Failure) {
        if failure.cause == Cause::NoAnswer && self.bindings.number(peer).is_some() {
            return self.transactions.add(purpose);
        }
        self.refuse_channel(peer, failure);
    }

    /// The server has done what the request, first sent at `since`, asked for.
    fn granted(&mut self, purpose: Purpose, message: &Message<'_>, since: Time) {
        match purpose {
            Purpose::Allocate => self.allocated(message, since),
            Purpose::Refresh => self.refreshed(message, since),
            Purpose::Return => self.returned(),
            Purpose::Permission(peer) => self.permitted(peer, since),
            Purpose::Channel(peer, _) => {
                self.permitted(peer.ip(), since);
                if let Some(number) = self.bindings.confirm(peer, since) {
                    self.events.push_back(Event::ChannelBound { peer, number });
                }
            }
            Purpose::Connect(peer) => self.connected(peer, message),
            Purpose::Bind(_) => {}
        }
    }

    fn permitted(&mut self, peer: IpAddr, since: Time) {
        if self.permissions.confirm(peer, since) {
            self.events.push_back(Event::Permitted(peer));
        }
    }

    fn refreshed(&mut self, message: &Message<'_>, since: Time) {
        let Some(allocation) = &mut self.allocation else { return };
        let is_there = allocation.prolong(message, since);
        self.transactions.arrive();
        if self.state.step(Happening::Refreshed) == Step::Prolong && !is_there {
            let text = "the server says that the allocation has ended";
            self.lose(Failure::new(Cause::Expired, text));
        }
    }

    fn allocated(&mut self, message: &Message<'_>, since: Time) {
        let read = Grant::read(message, self.settings.families, since);
        let happening = if read.is_ok() { Happening::Granted } else { Happening::Unfit };
        match (self.state.step(happening), read) {
            (Step::Take, Ok(Grant { allocation, refused })) => {
                self.state = State::Live;
                let Allocation { mapped, lifetime, .. } = allocation;
                for relayed in allocation.relayed.iter().copied() {
                    self.events.push_back(Event::Allocated { relayed, mapped, lifetime });
                }
                if let Some((family, failure)) = refused {
                    self.events.push_back(Event::FamilyRefused { family, failure });
                }
                self.allocation = Some(allocation);
                self.ask_for_peers();
            }
            (Step::FailAndReturn, Err(why)) => {
                self.events.push_back(Event::Failed(Failure::useless(why)));
                self.give_back(State::Returning);
            }
            (Step::Return, _) => self.give_back(State::Releasing),
            _ => {}
        }
    }

    /// What was wanted before the allocation was there.
    fn ask_for_peers(&mut self) {
        let wanted: Vec<IpAddr> = self.permissions.wanted().collect();
        let (reached, out_of_reach): (Vec<_>, Vec<_>) =
            wanted.into_iter().partition(|peer| self.reaches(*peer));
        for peer in out_of_reach {
            self.drop_peer(peer);
            self.events.push_back(Event::PeerRefused { peer, failure: Failure::family() });
        }
        // A channel permits its peer.
        for (peer, number) in self.bindings.wanted() {
            self.transactions.add(Purpose::Channel(peer, number));
        }
        for peer in reached {
            if self.bindings.of(peer).is_empty() {
                self.transactions.add(Purpose::Permission(peer));
            }
        }
    }
}
