//! What arrives (RFC 8445 §7.3): looked up by fragment, authenticated on the
//! raw bytes, and only then read.

use std::net::SocketAddr;

use crate::agent::base::Purpose;
use crate::agent::outgoing::{MAX_UNKNOWN, Outgoing, What};
use crate::agent::stream::EarlyCheck;
use crate::agent::{BaseId, Core, DropReason, Happened, StreamId};
use crate::check::{ListState, LocalId, PeerRequest, Role};
use crate::net::{self, Protocol};
use crate::punch::{Encounter, encounter};
use crate::stun::{Algorithm, Class, Fingerprint, Integrity, Message, Method};
use crate::timer::Time;

/// Checks that are kept until the peer's parameters come.
const MAX_EARLY: usize = 32;

/// The number in NOMINATION (draft-thatcher-ice-renomination §4).
const NOMINATION_BITS: u32 = 0x00ff_ffff;

/// Where a check arrived.
#[derive(Clone, Copy)]
struct Arrival {
    base: BaseId,
    /// The check list of the session that it is for.
    list: u16,
    local: LocalId,
    from: SocketAddr,
    /// The answer has the integrity attribute of the check (RFC 8489 §9.1.3).
    algorithm: Algorithm,
    now: Time,
}

impl Core {
    pub(super) fn handle_datagram(
        &mut self,
        base: BaseId,
        from: SocketAddr,
        bytes: &[u8],
        now: Time,
    ) {
        if let Err(reason) = self.read_datagram(base, from, bytes, now) {
            self.drop_now(reason, Some(from), now);
        }
    }

    fn read_datagram(
        &mut self,
        base: BaseId,
        from: SocketAddr,
        bytes: &[u8],
        now: Time,
    ) -> Result<(), DropReason> {
        let entry = self.open_base(base).ok_or(DropReason::UnknownBase)?;
        let stream = entry.stream;
        if entry.purpose == Purpose::Relayed && !self.opens_relay(base, from) {
            return Err(DropReason::NotPermitted);
        }
        let message = Message::parse(bytes).map_err(|_| DropReason::Malformed)?;
        if let Some((relay, data)) = self.data_leg(base) {
            return self.read_data_leg((relay, data), &message, now);
        }
        if let Some(relay) = self.relay_at(base, from)
            && message.method() != Method::BINDING
        {
            return self.read_relay_message(relay, &message, now);
        }
        if message.method() != Method::BINDING {
            return Err(DropReason::NotForIce);
        }
        match message.class() {
            Class::Request => {
                let arrival = self.authenticate(&message, base, from, stream, now)?;
                self.read_request(&message, arrival)
            }
            Class::Success | Class::Error => self.read_response(&message, base, from, stream, now),
            // A keepalive (RFC 8445 §11) has done its work by arriving.
            Class::Indication => Ok(()),
        }
    }

    /// RFC 8445 §7.3.
    fn read_request(&mut self, message: &Message<'_>, arrival: Arrival) -> Result<(), DropReason> {
        // Before any answer: whoever forged the source is not served either.
        if !self.is_admitted(&arrival) {
            return Err(DropReason::Address);
        }
        if self.is_own(message) {
            return Err(DropReason::OwnRequest);
        }
        if message.has_unknown_required() {
            self.refuse_unknown(message, arrival);
            return Ok(());
        }
        let Some(priority) = message.priority() else {
            self.refuse(message, arrival, 400);
            return Ok(());
        };
        if !self.settle_role(message) {
            self.refuse(message, arrival, 487);
            return Ok(());
        }
        if self.gave_up(arrival.list) {
            self.refuse(message, arrival, 403);
            return Ok(());
        }
        let Arrival { base, from, now, .. } = arrival;
        self.heard(base, from, now);
        let use_candidate = message.use_candidate();
        self.log.add(now, || Happened::CheckReceived { base, from, use_candidate });
        let nomination = message.nomination().map(|number| number & NOMINATION_BITS);
        let request =
            PeerRequest { local: arrival.local, from, priority, use_candidate, nomination };
        let taken = self.take_check(arrival, &request);
        if taken.is_err() && use_candidate {
            // §7.3.1.5: the peer must not take the pair for nominated.
            self.refuse(message, arrival, 400);
        } else {
            let id = message.transaction_id();
            let what = What::Success { list: arrival.list, algorithm: arrival.algorithm };
            self.send(Outgoing { base, to: from, id, what });
        }
        taken
    }

    /// Whether the policy lets the source through. A peer that was let through
    /// stays so: what we had like its address may be a socket that is closed.
    fn is_admitted(&mut self, arrival: &Arrival) -> bool {
        let is_known = |core: &Core| {
            let mut remotes = core.checks.remotes(arrival.list);
            remotes.any(|(_, remote)| remote.address == arrival.from)
        };
        self.admits(arrival.from, Protocol::Udp).is_ok()
            || is_known(self)
            || self.judge(arrival.from, Protocol::Udp, arrival.now).is_ok()
    }

    /// We are done with a stream that failed: the peer is told so at once
    /// (RFC 7675 §5.2), or our answers would keep up its side for ever.
    fn gave_up(&self, list: u16) -> bool {
        self.checks.list_state(list) == Some(ListState::Failed)
            || self.checks.components(list).iter().any(|c| c.lost)
    }

    /// USERNAME names a session of our stream by its first value, which is
    /// all that RFC 8445 §7.3 asks of it, and the integrity is right.
    fn authenticate(
        &self,
        message: &Message<'_>,
        base: BaseId,
        from: SocketAddr,
        stream: StreamId,
        now: Time,
    ) -> Result<Arrival, DropReason> {
        if message.fingerprint() != Fingerprint::Valid {
            return Err(DropReason::Fingerprint);
        }
        let username = message.username().ok_or(DropReason::UnknownUsername)?;
        let (ours, _) = username.split_once(':').ok_or(DropReason::UnknownUsername)?;
        let stream = self.stream(stream).ok_or(DropReason::UnknownBase)?;
        let session = stream.sessions().find(|session| *session.local.ufrag == *ours);
        let session = session.ok_or(DropReason::UnknownUsername)?;
        let list = session.list;
        let local = self.base(base).and_then(|base| base.local(list));
        let local = local.ok_or(DropReason::UnknownUsername)?;
        let algorithm = message.integrity_algorithm().ok_or(DropReason::Integrity)?;
        match message.verify(&session.local_key) {
            Integrity::Valid => Ok(Arrival { base, list, local, from, algorithm, now }),
            Integrity::Missing | Integrity::Wrong => Err(DropReason::Integrity),
        }
    }

    /// Whether it is a request of ours. Where both sides have the same
    /// credentials, one that comes back is authentic, and an answer to it would
    /// connect us to ourselves. Two agents draw the same tie-breaker once in
    /// 2⁶⁴ times.
    fn is_own(&self, message: &Message<'_>) -> bool {
        let said = [message.ice_controlling(), message.ice_controlled()];
        said.into_iter().flatten().any(|said| self.checks.has_had_tie_breaker(said))
    }

    /// RFC 8445 §7.3.1.1. False where the peer has to switch.
    fn settle_role(&mut self, message: &Message<'_>) -> bool {
        if self.config.lite {
            // Only full agents repair conflicts.
            return true;
        }
        let ours = self.checks.tie_breaker();
        match (self.checks.role(), message.ice_controlling(), message.ice_controlled()) {
            (Role::Controlling, Some(theirs), _) => {
                if encounter(ours, theirs) != Encounter::TheyControl {
                    return false;
                }
                self.switch_role(Role::Controlled);
            }
            (Role::Controlled, _, Some(theirs)) => {
                if encounter(ours, theirs) == Encounter::TheyControl {
                    return false;
                }
                self.switch_role(Role::Controlling);
            }
            _ => {}
        }
        true
    }

    pub(super) fn switch_role(&mut self, role: Role) {
        self.checks.switch_role(role);
        self.forget_templates();
    }

    fn take_check(&mut self, arrival: Arrival, request: &PeerRequest) -> Result<(), DropReason> {
        let Arrival { list, local, from, now, .. } = arrival;
        let session = self.streams.iter_mut().find_map(|stream| stream.session_mut(list));
        let entry = session.ok_or(DropReason::UnknownUsername)?;
        if entry.remote.is_some() {
            let taken = self.checks.peer_checked(list, request, now);
            return taken.map_err(|_| DropReason::Limit);
        }
        let PeerRequest { priority, use_candidate, nomination, .. } = *request;
        let known = entry.early.iter_mut().find(|c| c.local == local && c.from == from);
        if let Some(known) = known {
            known.use_candidate |= use_candidate;
            known.nomination = known.nomination.max(nomination);
            return Ok(());
        }
        if entry.early.len() == MAX_EARLY {
            return Err(DropReason::TooManyEarly);
        }
        entry.early.push(EarlyCheck { local, from, priority, use_candidate, nomination });
        Ok(())
    }

    fn refuse(&mut self, message: &Message<'_>, arrival: Arrival, code: u16) {
        let Arrival { list, algorithm, .. } = arrival;
        let what = What::Error { list, algorithm, code, unknown: [0; MAX_UNKNOWN], count: 0 };
        let id = message.transaction_id();
        self.send(Outgoing { base: arrival.base, to: arrival.from, id, what });
    }

    fn refuse_unknown(&mut self, message: &Message<'_>, arrival: Arrival) {
        let mut unknown = [0; MAX_UNKNOWN];
        let mut count = 0;
        for (place, kind) in unknown.iter_mut().zip(message.unknown_required().iter()) {
            *place = *kind;
            count += 1;
        }
        let Arrival { list, algorithm, .. } = arrival;
        let what = What::Error { list, algorithm, code: 420, unknown, count };
        let id = message.transaction_id();
        self.send(Outgoing { base: arrival.base, to: arrival.from, id, what });
    }

    fn read_response(
        &mut self,
        message: &Message<'_>,
        base: BaseId,
        from: SocketAddr,
        stream: StreamId,
        now: Time,
    ) -> Result<(), DropReason> {
        let id = message.transaction_id();
        let Some(pair) = self.checks.pair_of(&id) else {
            return self.read_server_response(message, base, from, now);
        };
        if message.fingerprint() != Fingerprint::Valid {
            return Err(DropReason::Fingerprint);
        }
        // The transaction belongs to the session of its pair, and only the
        // peer of that session can answer it.
        let list = self.checks.pair(pair).stream;
        let session = self.stream(stream).and_then(|stream| stream.session(list));
        let remote = session.and_then(|session| session.remote.as_ref());
        let key = &remote.ok_or(DropReason::UnknownTransaction)?.key;
        // Our checks have MESSAGE-INTEGRITY, and so do the answers to them:
        // RFC 8489 §9.1.4.
        let is_alike = message.integrity_algorithm() == Some(Algorithm::Sha1);
        if !is_alike || message.verify(key) != Integrity::Valid {
            match self.is_tcp(base) {
                true => self.checks.violated(&id, now),
                false => self.checks.unauthentic(&id),
            }
            return Err(DropReason::Integrity);
        }
        self.heard(base, from, now);
        match (message.class(), message.xor_mapped_address(), message.error()) {
            _ if message.has_unknown_required() => {
                // RFC 8489 §6.3.3: the transaction has failed.
                self.checks.refused(&id, base.0, from, 420, now);
            }
            (Class::Success, Some(mapped), _) => {
                self.checks.succeeded(&id, base.0, from, net::canonical(mapped), now);
            }
            (Class::Error, _, Some(error)) => {
                let code = error.code;
                self.log.add(now, || Happened::CheckRefused { pair, code });
                let role = self.checks.role();
                self.checks.refused(&id, base.0, from, code, now);
                if self.checks.role() != role {
                    // RFC 8445 §7.2.5.1.
                    let tie_breaker = self.rng.number();
                    self.checks.set_tie_breaker(tie_breaker);
                    self.forget_templates();
                }
            }
            _ => return Err(DropReason::Malformed),
        }
        Ok(())
    }
}
