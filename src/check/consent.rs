//! Consent (RFC 7675): the peer has to say again and again that it wants to
//! be sent to.

use std::net::SocketAddr;
use std::time::Duration;

use crate::candidate::ComponentId;
use crate::check::flight::MIN_RTO;
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
    /// When the newest check counts as missed; `None` once it does.
    overdue: Option<Time>,
    /// The role that the newest check stated.
    role: Role,
    /// Data waits for the next answer, and why.
    suspended: Option<Suspension>,
}

/// Why no data may be sent before a consent check is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suspension {
    /// Consent ran out while the machine slept.
    Slept,
    /// The connection under the pair ended.
    Ended,
}

/// What the time of a consent check brings.
enum Due {
    /// The time of the next check was drawn.
    Drawn,
    /// A check is to be sent.
    Check(TransactionId),
    /// The answer to the newest check is overdue.
    Missed,
    /// Nobody consents any more.
    Expired,
}

impl Consent {
    /// Consent that was given at `confirmed`, by the answer to a check.
    pub(super) fn given(pair: PairId, confirmed: Time) -> Self {
        Consent {
            pair,
            next: None,
            expires: confirmed + EXPIRY,
            sent: [TransactionId([0; 12]); OUTSTANDING],
            count: 0,
            last_sent: confirmed,
            overdue: None,
            role: Role::Controlled,
            suspended: None,
        }
    }

    /// The pair that it is for.
    pub(super) fn pair(&self) -> PairId {
        self.pair
    }

    pub(super) fn deadline(&self) -> Time {
        // Before the first draw the shortest interval is the bound.
        let next = self.next.unwrap_or(self.last_sent + MIN_INTERVAL);
        next.min(self.expires).min(self.overdue.unwrap_or(NEVER))
    }

    pub(super) fn ask_at(&mut self, at: Time) {
        self.next = self.next.map(|next| next.min(at)).or(Some(at));
    }

    pub(super) fn suspended(&self) -> Option<Suspension> {
        self.suspended
    }

    pub(super) fn is_awaited(&self) -> bool {
        self.count > 0
    }

    /// How many checks in a row went unanswered. The newest counts once an
    /// answer is overdue.
    pub(super) fn missed(&self) -> usize {
        self.count - usize::from(self.overdue.is_some())
    }

    fn remember(&mut self, id: TransactionId, role: Role, rtt: Duration, now: Time) {
        self.role = role;
        self.overdue = Some(now + MIN_RTO.max(rtt * 2).min(MIN_INTERVAL));
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
    /// Where there is renomination the one before stands by.
    pub(super) fn watch_consent(
        &mut self,
        stream: u16,
        component: ComponentId,
        pair: Option<PairId>,
        now: Time,
    ) {
        let given = pair.and_then(|pair| {
            let mut consent = Consent::given(pair, self.pair(pair).confirmed?);
            if self.lite {
                consent.next = Some(NEVER);
            }
            Some(consent)
        });
        let Some(entry) = self.lists[usize::from(stream)].component(component) else { return };
        let stood_by = entry.standby.iter().position(|c| Some(c.pair) == pair);
        let consent = stood_by.map(|at| entry.standby.swap_remove(at)).or(given);
        let before = std::mem::replace(&mut entry.consent, consent.map(Box::new));
        let selected = entry.selected.is_some();
        if let Some(before) = before.filter(|before| selected && Some(before.pair) != pair)
            && self.lists[usize::from(stream)].valid.contains(&before.pair)
            && !self.stand_by(before.pair, now)
        {
            self.supersede(before.pair);
        }
    }

    /// The machine slept for so long: all consent is asked for at once. What
    /// ran out meanwhile gets as long as a new path to answer, and carries no
    /// data until then.
    pub fn ask_again(&mut self, slept: Duration, now: Time) {
        let lite = self.lite;
        for consent in self.consents_mut() {
            if consent.expires <= now + slept {
                consent.suspended = Some(Suspension::Slept);
                consent.expires = now + EXPIRY;
            }
            // What was on the way when the machine fell asleep is lost.
            (consent.count, consent.overdue) = (0, None);
            if !lite {
                consent.next = Some(now);
            }
        }
    }

    /// The path under a pair is gone and may come back: no data is sent before
    /// a consent check is answered. Returns whether there was consent.
    pub(super) fn suspend_consent(&mut self, pair: PairId, now: Time) -> bool {
        let lite = self.lite;
        let mut any = false;
        for consent in self.consents_mut().filter(|c| c.pair == pair) {
            consent.suspended = Some(Suspension::Ended);
            (consent.count, consent.overdue) = (0, None);
            if !lite {
                consent.next = Some(now);
            }
            any = true;
        }
        any
    }

    /// The path under a pair has come back: consent is asked for at once.
    pub(super) fn ask_pair(&mut self, pair: PairId, now: Time) {
        let lite = self.lite;
        for consent in self.consents_mut().filter(|c| c.pair == pair && c.suspended.is_some()) {
            (consent.count, consent.overdue) = (0, None);
            if !lite {
                consent.next = Some(now);
            }
        }
    }

    /// The peer answered a check on the pair less than 30 seconds ago.
    pub(super) fn has_consent(&self, pair: PairId, now: Time) -> bool {
        self.pair(pair).confirmed.is_some_and(|at| at + EXPIRY > now)
    }

    /// Sends the consent checks that are due and ends consent that expired.
    pub(super) fn advance_consent(&mut self, now: Time, rng: &mut Rng) {
        // Each round draws a time, sends, or gives up a valid pair.
        while let Some((pair, due)) = self.next_due(now, rng) {
            match due {
                Due::Expired => self.consent_expired(pair, FailReason::ConsentExpired, now),
                Due::Check(id) => self.send_consent(pair, id),
                Due::Missed => self.notices.push_back(Notice::ConsentMissed(pair)),
                Due::Drawn => {}
            }
        }
    }

    fn next_due(&mut self, now: Time, rng: &mut Rng) -> Option<(PairId, Due)> {
        let role = self.role;
        let pair = self.consents().find(|c| c.deadline() <= now)?.pair;
        let rtt = self.pair(pair).rtt.unwrap_or_default();
        let consent = self.consents_mut().find(|c| c.deadline() <= now)?;
        let due = if consent.expires <= now {
            Due::Expired
        } else if consent.overdue.is_some_and(|at| at <= now) {
            consent.overdue = None;
            Due::Missed
        } else if consent.next.is_none() {
            let interval = rng.between(MIN_INTERVAL, MAX_INTERVAL);
            consent.next = Some(consent.last_sent + interval);
            Due::Drawn
        } else {
            let id = TransactionId(rng.bytes());
            consent.remember(id, role, rtt, now);
            consent.next = Some(now + rng.between(MIN_INTERVAL, MAX_INTERVAL));
            Due::Check(id)
        };
        Some((pair, due))
    }

    fn send_consent(&mut self, pair: PairId, id: TransactionId) {
        self.pair_mut(pair).sent += 1;
        self.pair_mut(pair).tally.consent_requests_sent += 1;
        self.starts.push_back(Start {
            pair,
            id,
            kind: StartKind::Consent,
            again: false,
            role: self.role,
            tie_breaker: self.tie_breaker,
            use_candidate: false,
            nomination: None,
        });
    }

    pub(super) fn consent_expired(&mut self, pair: PairId, reason: FailReason, now: Time) {
        self.set_state(pair, PairState::Failed);
        self.pair_mut(pair).reason = Some(reason);
        self.pair_mut(pair).flags.nominating = false;
        self.flights.remove_pair(pair);
        self.notices.push_back(Notice::ConsentExpired(pair));
        self.notices.push_back(Notice::Lost(pair, reason));
        self.invalidate(pair, now);
        if let Some(component) = self.component_of(pair) {
            component.lost |= component.send.is_none();
            component.revoked |= component.lost && reason == FailReason::ConsentRevoked;
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
            (consent.count, consent.overdue) = (0, None);
        }
        self.renew_consent(pair, now);
        self.open(pair);
        let p = self.pair_mut(pair);
        p.answered += 1;
        p.confirmed = Some(now);
        p.rtt = rtt.or(p.rtt);
        p.tally.total_round_trip_time += rtt.unwrap_or_default();
        self.notices.push_back(Notice::ConsentGiven(pair));
        true
    }

    /// The peer answered a check on the pair, of whatever kind.
    pub(super) fn renew_consent(&mut self, pair: PairId, now: Time) {
        for consent in self.consents_mut().filter(|c| c.pair == pair) {
            consent.expires = now + EXPIRY;
            consent.suspended = None;
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
            (FORBIDDEN, _) => self.consent_expired(pair, FailReason::ConsentRevoked, now),
            (ROLE_CONFLICT, Some(role)) => self.switch_role(role.other()),
            _ => {}
        }
    }

    pub(super) fn consents(&self) -> impl Iterator<Item = &Consent> {
        let components = self.lists.iter().flat_map(|l| &l.components);
        components.flat_map(|c| c.consent.as_deref().into_iter().chain(&c.standby))
    }

    fn consents_mut(&mut self) -> impl Iterator<Item = &mut Consent> {
        let components = self.lists.iter_mut().flat_map(|l| &mut l.components);
        components.flat_map(|c| c.consent.as_deref_mut().into_iter().chain(&mut c.standby))
    }
}
