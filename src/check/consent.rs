//! Consent (RFC 7675): the peer has to say again and again that it wants to
//! be sent to.

use std::net::SocketAddr;
use std::time::Duration;

use crate::candidate::ComponentId;
use crate::check::success::ROLE_CONFLICT;
use crate::check::{Checks, FailReason, Notice, PairId, PairState, Role, Start, StartKind};
use crate::rng::Rng;
use crate::stun::TransactionId;
use crate::timer::Time;

/// RFC 7675 §5.1: a check every 5 seconds, times 0.8 to 1.2 at random.
const MIN_INTERVAL: Duration = Duration::from_secs(4);
const MAX_INTERVAL: Duration = Duration::from_secs(6);
/// RFC 7675 §5.1: without an answer, consent ends after 30 seconds.
pub(super) const EXPIRY: Duration = Duration::from_secs(30);
/// A lite agent asks for no consent (RFC 7675 §4); what the peer's checks
/// show expires all the same.
const NEVER: Time = Time::from_nanos(u64::MAX);
/// STUN error 403, Forbidden.
const FORBIDDEN: u16 = 403;
/// As many checks as fit in 30 seconds may still be answered.
const OUTSTANDING: usize = 8;

/// Consent on the pair that carries a component's data.
#[derive(Debug)]
pub(super) struct Consent {
    pair: PairId,
    /// When the next check is sent; drawn when the time of this one comes.
    next: Option<Time>,
    expires: Time,
    /// The checks sent since the last answer, the newest last.
    sent: [TransactionId; OUTSTANDING],
    count: usize,
    last_sent: Time,
    /// The role that the newest check stated.
    role: Role,
}

impl Consent {
    /// Consent that was given at `confirmed`, by the answer to a check.
    fn given(pair: PairId, confirmed: Time) -> Self {
        Consent {
            pair,
            next: None,
            expires: confirmed + EXPIRY,
            sent: [TransactionId([0; 12]); OUTSTANDING],
            count: 0,
            last_sent: confirmed,
            role: Role::Controlled,
        }
    }

    pub(super) fn deadline(&self) -> Time {
        // Before the first draw the shortest interval is the bound.
        self.next.unwrap_or(self.last_sent + MIN_INTERVAL).min(self.expires)
    }

    /// The newest check may still be answered; those before it were missed.
    pub(super) fn missed(&self) -> usize {
        self.count.saturating_sub(1)
    }

    fn remember(&mut self, id: TransactionId, role: Role, now: Time) {
        self.role = role;
        if self.count == OUTSTANDING {
            self.sent.rotate_left(1);
            self.count -= 1;
        }
        self.sent[self.count] = id;
        self.count += 1;
        self.last_sent = now;
    }

    fn outstanding(&self) -> &[TransactionId] {
        &self.sent[..self.count]
    }
}

impl Checks {
    /// Watches over consent on the pair that now carries the component's data.
    pub(super) fn watch_consent(
        &mut self,
        stream: u16,
        component: ComponentId,
        pair: Option<PairId>,
    ) {
        let consent = pair.and_then(|pair| {
            let confirmed = self.pair(pair).confirmed?;
            let mut consent = Consent::given(pair, confirmed);
            if self.lite {
                consent.next = Some(NEVER);
            }
            Some(Box::new(consent))
        });
        if let Some(component) = self.lists[usize::from(stream)].component(component) {
            component.consent = consent;
        }
    }

    /// The peer answered a check on the pair less than 30 seconds ago.
    pub(super) fn has_consent(&self, pair: PairId, now: Time) -> bool {
        self.pair(pair).confirmed.is_some_and(|at| at + EXPIRY > now)
    }

    /// Sends the consent checks that are due and ends consent that expired.
    pub(super) fn advance_consent(&mut self, now: Time, rng: &mut Rng) {
        let role = self.role;
        for stream in 0..self.lists.len() {
            for at in 0..self.lists[stream].components.len() {
                // Each round draws a time, sends, or gives up a valid pair.
                while let Some(consent) = self.lists[stream].components[at].consent.as_mut()
                    && consent.deadline() <= now
                {
                    let pair = consent.pair;
                    if consent.expires <= now {
                        self.consent_expired(pair, now);
                    } else if consent.next.is_none() {
                        let interval = rng.between(MIN_INTERVAL, MAX_INTERVAL);
                        consent.next = Some(consent.last_sent + interval);
                    } else {
                        let missed = consent.count > 0;
                        let id = TransactionId(rng.bytes());
                        consent.remember(id, role, now);
                        consent.next = Some(now + rng.between(MIN_INTERVAL, MAX_INTERVAL));
                        self.send_consent(pair, id, missed);
                    }
                }
            }
        }
    }

    fn send_consent(&mut self, pair: PairId, id: TransactionId, missed: bool) {
        if missed {
            self.notices.push_back(Notice::ConsentMissed(pair));
        }
        self.pair_mut(pair).sent += 1;
        self.starts.push_back(Start {
            pair,
            id,
            kind: StartKind::Consent,
            again: false,
            role: self.role,
            tie_breaker: self.tie_breaker,
            use_candidate: false,
        });
    }

    fn consent_expired(&mut self, pair: PairId, now: Time) {
        self.set_state(pair, PairState::Failed);
        self.pair_mut(pair).reason = Some(FailReason::ConsentExpired);
        self.pair_mut(pair).flags.nominating = false;
        self.flights.remove_pair(pair);
        self.notices.push_back(Notice::ConsentExpired(pair));
        self.notices.push_back(Notice::Lost(pair, FailReason::ConsentExpired));
        self.invalidate(pair, now);
        if let Some(component) = self.component_of(pair) {
            component.lost |= component.send.is_none();
        }
    }

    pub(super) fn consent_pair_of(&self, id: &TransactionId) -> Option<PairId> {
        self.consents().find(|c| c.outstanding().contains(id)).map(|c| c.pair)
    }

    /// An answer to a consent check: any of those outstanding will do.
    pub(super) fn consent_answered(
        &mut self,
        id: &TransactionId,
        base: u32,
        from: SocketAddr,
        now: Time,
    ) -> bool {
        let Some(pair) = self.consent_pair_of(id) else { return false };
        if !self.is_symmetric(pair, base, from) {
            return true;
        }
        let mut rtt = None;
        for consent in self.consents_mut().filter(|c| c.pair == pair) {
            if consent.outstanding().last() == Some(id) {
                rtt = Some(now - consent.last_sent);
            }
            consent.count = 0;
        }
        self.renew_consent(pair, now);
        let p = self.pair_mut(pair);
        p.answered += 1;
        p.confirmed = Some(now);
        p.rtt = rtt.or(p.rtt);
        self.notices.push_back(Notice::ConsentGiven(pair));
        true
    }

    /// The peer answered a check on the pair, of whatever kind.
    pub(super) fn renew_consent(&mut self, pair: PairId, now: Time) {
        for consent in self.consents_mut().filter(|c| c.pair == pair) {
            consent.expires = now + EXPIRY;
        }
    }

    /// An error answer to a consent check. 403 ends consent at once
    /// (RFC 7675 §5.2).
    pub(super) fn consent_refused(
        &mut self,
        pair: PairId,
        base: u32,
        from: SocketAddr,
        code: u16,
        now: Time,
    ) {
        if !self.is_symmetric(pair, base, from) {
            return;
        }
        let stated = self.consents().find(|c| c.pair == pair).map(|c| c.role);
        match (code, stated) {
            (FORBIDDEN, _) => self.consent_expired(pair, now),
            (ROLE_CONFLICT, Some(role)) => self.switch_role(role.other()),
            _ => {}
        }
    }

    fn consents(&self) -> impl Iterator<Item = &Consent> {
        self.lists.iter().flat_map(|l| &l.components).filter_map(|c| c.consent.as_deref())
    }

    fn consents_mut(&mut self) -> impl Iterator<Item = &mut Consent> {
        let components = self.lists.iter_mut().flat_map(|l| &mut l.components);
        components.filter_map(|c| c.consent.as_deref_mut())
    }
}
