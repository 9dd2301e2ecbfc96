//! What becomes of a message of a client: a pure function of it, of the time,
//! and of what clients with credentials have. Whoever has none leaves nothing
//! behind but a count, and those are bounded.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use super::config::{Limits, User};
use super::job::{Job, Outcome, Task};
use super::nonce::{Freshness, Nonces};
use super::policy::Guard;
use super::requests::{Request, task};
use super::table::{Client, Table};
use crate::discovery::Change;
use crate::server::behavior::Place;
use crate::server::binding::{self, Reply};
use crate::server::rate::RateLimit;
use crate::stun::{
    Algorithm, AttributeType, Builder, Class, Fingerprint, Integrity, IntegrityKey, Message,
    Method, PasswordAlgorithm, TransactionId,
};

/// The most that the server behind takes in one piece.
pub(super) const MAX_MESSAGE: usize = 1_500;

/// What becomes of a message.
#[derive(Debug)]
pub(super) enum Verdict {
    /// Nothing.
    Dropped,
    /// It is answered at once, with what was written, from there.
    Answered(Change),
    /// The client is called back, and then it is answered.
    DialBack(binding::Request),
    /// It goes to the server behind as it is.
    Relayed,
    /// The server behind gets a job.
    Passed(Job),
}

/// What a leg serves, and where it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Served<'a> {
    /// The families that it relays.
    pub(super) families: &'a [u8],
    pub(super) place: &'a Place,
}

/// Accounts, limits, and the allocations of all legs.
#[derive(Debug)]
pub(super) struct Front {
    realm: String,
    users: Vec<(String, IntegrityKey)>,
    nonces: Nonces,
    limits: Limits,
    pub(super) guard: Arc<Guard>,
    pub(super) table: Table,
    /// Of sources that anybody may forge.
    rate: RateLimit,
    /// Of them, for answers that are longer.
    long_rate: RateLimit,
    /// Of clients that have a nonce of ours, and so are where they say.
    known_rate: RateLimit,
}

/// Why a request is not carried out: the code of the answer, and whether it is
/// signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refusal {
    /// 400.
    Incomplete,
    /// 401.
    Unauthorized,
    /// 438.
    StaleNonce,
    /// No answer: there are too many of this client.
    TooMany,
}

impl Front {
    pub(super) fn new(
        realm: &str,
        users: &[User],
        nonces: Nonces,
        limits: Limits,
        guard: Arc<Guard>,
        now: Instant,
    ) -> Self {
        let key = |user: &User| {
            IntegrityKey::long_term(&user.name, realm, &user.password, PasswordAlgorithm::Md5)
        };
        Front {
            realm: realm.to_owned(),
            users: users.iter().map(|user| (user.name.clone(), key(user))).collect(),
            nonces,
            limits,
            guard,
            table: Table::default(),
            rate: RateLimit::new(now),
            long_rate: RateLimit::of_long_answers(now),
            known_rate: RateLimit::new(now),
        }
    }

    /// Judges one message that came on a leg; an answer is written into `out`.
    pub(super) fn judge(
        &mut self,
        client: Client,
        served: Served<'_>,
        bytes: &[u8],
        now: Instant,
        out: &mut Vec<u8>,
    ) -> Verdict {
        if let [0x40..=0x4f, ..] = bytes {
            return self.judge_channel_data(client, bytes, now);
        }
        let Ok(message) = Message::parse(bytes) else {
            return self.judge_binding(client.1, served.place, bytes, now, out);
        };
        match (message.class(), message.method()) {
            (Class::Request, Method::BINDING) => {
                self.judge_binding(client.1, served.place, bytes, now, out)
            }
            (Class::Request, method) if SERVED.contains(&method) => {
                self.judge_request(client, served.families, &message, now, out)
            }
            (Class::Indication, Method::SEND) => self.judge_send(client, &message, now),
            _ => Verdict::Dropped,
        }
    }

    fn judge_binding(
        &mut self,
        from: SocketAddr,
        place: &Place,
        bytes: &[u8],
        now: Instant,
        out: &mut Vec<u8>,
    ) -> Verdict {
        let has_budget = || self.long_rate.admits(from.ip(), now);
        let reply = binding::respond(bytes, from, place, has_budget, out);
        match reply.filter(|_| self.rate.admits(from.ip(), now)) {
            None => Verdict::Dropped,
            Some(Reply::Written(change)) => Verdict::Answered(change),
            Some(Reply::DialBack(request)) => Verdict::DialBack(request),
        }
    }

    fn judge_channel_data(&mut self, client: Client, bytes: &[u8], now: Instant) -> Verdict {
        let &[n0, n1, l0, l1, ..] = bytes else { return Verdict::Dropped };
        let length = usize::from(u16::from_be_bytes([l0, l1])) + 4;
        let number = u16::from_be_bytes([n0, n1]);
        let is_whole = length <= bytes.len() && bytes.len() <= MAX_MESSAGE;
        let allocation = self.table.get(client, now);
        if is_whole && allocation.is_some_and(|allocation| allocation.has_channel(number, now)) {
            Verdict::Relayed
        } else {
            Verdict::Dropped
        }
    }

    /// Whether there is a permission the server behind knows; where datagrams
    /// may go at all, the relay's socket.
    fn judge_send(&mut self, client: Client, message: &Message<'_>, now: Instant) -> Verdict {
        let is_known = self.table.get(client, now).is_some_and(|allocation| allocation.is_made());
        let is_whole = message.data().is_some() && message.xor_peer_addresses().count() == 1;
        // We do not set DF for clients, so we do not know the attribute.
        let wants_more = message.has_unknown_required()
            || message.attributes().any(|(kind, _)| kind == AttributeType::DONT_FRAGMENT);
        let fits = message.bytes().len() <= MAX_MESSAGE;
        if is_known && is_whole && fits && !wants_more && is_sound(message) {
            Verdict::Relayed
        } else {
            Verdict::Dropped
        }
    }

    fn judge_request(
        &mut self,
        client: Client,
        families: &[u8],
        message: &Message<'_>,
        now: Instant,
        out: &mut Vec<u8>,
    ) -> Verdict {
        if !is_sound(message) {
            return Verdict::Dropped;
        }
        let (user, algorithm) = match self.authenticate(client, message, now) {
            Ok(credentials) => credentials,
            Err(Refusal::TooMany) => return Verdict::Dropped,
            Err(refusal) => {
                self.refuse(client, message, refusal, now, out);
                return Verdict::Answered(Change::NONE);
            }
        };
        let with_fingerprint = message.fingerprint() == Fingerprint::Valid;
        let request = Request { client, families, message, user, now };
        match task(&request, &mut self.table, &self.guard, &self.limits) {
            Ok(Some(task)) => {
                let id = message.transaction_id();
                Verdict::Passed(Job { client, id, user, algorithm, with_fingerprint, task })
            }
            // The same request again: its answer is given again.
            Ok(None) => match self.table.get(client, now) {
                Some(allocation) if !allocation.answer.is_empty() => {
                    out.clear();
                    out.extend_from_slice(&allocation.answer);
                    Verdict::Answered(Change::NONE)
                }
                _ => Verdict::Dropped,
            },
            Err(code) => {
                let id = message.transaction_id();
                let mut answer =
                    Builder::new(Class::Error, message.method(), id, out).error(code, reason(code));
                if code == 420 {
                    let unknown = super::requests::unknown(message);
                    answer = answer.attribute(AttributeType::UNKNOWN_ATTRIBUTES, &unknown);
                }
                let key = self.key(user).map(|key| (key, algorithm));
                end(answer, key, with_fingerprint);
                Verdict::Answered(Change::NONE)
            }
        }
    }

    /// Whose request it is (RFC 8489 §9.2.4). Whether there is such a user
    /// cannot be told from the answer.
    fn authenticate(
        &mut self,
        client: Client,
        message: &Message<'_>,
        now: Instant,
    ) -> Result<(usize, Algorithm), Refusal> {
        let ip = client.1.ip();
        let freshness =
            message.nonce().map(|nonce| self.nonces.check(nonce, client.0, client.1, now));
        let is_known = freshness.is_some_and(|freshness| freshness != Freshness::Foreign);
        let rate = if is_known { &mut self.known_rate } else { &mut self.rate };
        if !rate.admits(ip, now) {
            return Err(Refusal::TooMany);
        }
        let algorithm = message.integrity_algorithm().ok_or(Refusal::Unauthorized)?;
        let name = message.username().ok_or(Refusal::Incomplete)?;
        let (Some(realm), Some(freshness)) = (message.realm(), freshness) else {
            return Err(Refusal::Incomplete);
        };
        if freshness != Freshness::Fresh {
            return Err(Refusal::StaleNonce);
        }
        let user = self.users.iter().position(|(user, _)| user == name);
        let user = user.ok_or(Refusal::Unauthorized)?;
        let key = self.key(user).ok_or(Refusal::Unauthorized)?;
        if realm == self.realm && message.verify(key) == Integrity::Valid {
            Ok((user, algorithm))
        } else {
            Err(Refusal::Unauthorized)
        }
    }

    fn refuse(
        &self,
        client: Client,
        message: &Message<'_>,
        refusal: Refusal,
        now: Instant,
        out: &mut Vec<u8>,
    ) {
        let code = match refusal {
            Refusal::Unauthorized => 401,
            Refusal::StaleNonce => 438,
            Refusal::Incomplete | Refusal::TooMany => 400,
        };
        let id = message.transaction_id();
        let mut answer =
            Builder::new(Class::Error, message.method(), id, out).error(code, reason(code));
        if code != 400 {
            let nonce = self.nonces.give(client.0, client.1, now);
            answer = answer
                .attribute(AttributeType::REALM, self.realm.as_bytes())
                .attribute(AttributeType::NONCE, nonce.as_bytes());
        }
        end(answer, None, message.fingerprint() == Fingerprint::Valid);
    }

    fn key(&self, user: usize) -> Option<&IntegrityKey> {
        self.users.get(user).map(|(_, key)| key)
    }

    /// Writes the answer to a job that is finished; false if nobody waits for
    /// one.
    pub(super) fn conclude(
        &mut self,
        job: &Job,
        outcome: Outcome,
        now: Instant,
        out: &mut Vec<u8>,
    ) -> bool {
        let code = match (outcome, &job.task) {
            (Outcome::Done { relayed: None }, Task::Allocate { .. }) => Some(500),
            (Outcome::Done { .. }, _) => None,
            (Outcome::Refused(code), _) => Some(code),
            (Outcome::Silent, Task::Allocate { .. }) => Some(508),
            (Outcome::Silent, _) => Some(437),
        };
        let class = if code.is_some() { Class::Error } else { Class::Success };
        let answer = Builder::new(class, job.task.method(), job.id, out);
        let answer = match code {
            Some(code) => answer.error(code, reason(code)),
            None => super::requests::success(job, outcome, answer),
        };
        end(answer, self.key(job.user).map(|key| (key, job.algorithm)), job.with_fingerprint);
        self.note(job, outcome, code, now, out);
        job.task != Task::Release
    }

    /// The job that ends the client's allocation, if it has one.
    pub(super) fn release(&mut self, client: Client, now: Instant) -> Option<Job> {
        let user = self.table.get(client, now)?.user;
        Some(Job {
            client,
            id: TransactionId([0; 12]),
            user,
            algorithm: Algorithm::Sha1,
            with_fingerprint: false,
            task: Task::Release,
        })
    }

    /// Keeps what the outcome changes.
    fn note(
        &mut self,
        job: &Job,
        outcome: Outcome,
        code: Option<u16>,
        now: Instant,
        answer: &[u8],
    ) {
        let is_gone = matches!(
            (&job.task, code),
            (Task::Allocate { .. }, Some(_)) | (Task::Release, _) | (_, Some(437))
        );
        match &job.task {
            Task::Refresh { lifetime } if lifetime.is_zero() => self.table.remove(job.client),
            _ if is_gone => self.table.remove(job.client),
            Task::Allocate { lifetime, .. } => {
                if let (Some(allocation), Outcome::Done { relayed }) =
                    (self.table.get(job.client, now), outcome)
                {
                    allocation.relayed = relayed;
                    allocation.answer = answer.into();
                    allocation.refresh(*lifetime, now);
                }
            }
            Task::Refresh { lifetime } if code.is_none() => {
                if let Some(allocation) = self.table.get(job.client, now) {
                    allocation.refresh(*lifetime, now);
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
impl Front {
    /// How many sources without an allocation are counted, and the bytes.
    pub(super) fn kept(&self) -> (usize, usize) {
        let ((a, b), (c, d)) = (self.rate.kept(), self.known_rate.kept());
        (a + c, b + d)
    }
}

/// The methods that need credentials.
const SERVED: [Method; 4] =
    [Method::ALLOCATE, Method::REFRESH, Method::CREATE_PERMISSION, Method::CHANNEL_BIND];

/// Ends an answer as the request was.
fn end(answer: Builder<'_>, key: Option<(&IntegrityKey, Algorithm)>, with_fingerprint: bool) {
    match (key, with_fingerprint) {
        (key, true) => answer.seal(key),
        (Some((key, algorithm)), false) => answer.sign(key, algorithm),
        (None, false) => answer.finish(),
    }
}

fn is_sound(message: &Message<'_>) -> bool {
    message.fingerprint() != Fingerprint::Wrong
}

/// The reason phrase of a code (RFC 8489 §14.8, RFC 8656 §19).
fn reason(code: u16) -> &'static str {
    match code {
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        420 => "Unknown Attribute",
        437 => "Allocation Mismatch",
        438 => "Stale Nonce",
        440 => "Address Family not Supported",
        441 => "Wrong Credentials",
        442 => "Unsupported Transport Protocol",
        443 => "Peer Address Family Mismatch",
        486 => "Allocation Quota Reached",
        508 => "Insufficient Capacity",
        _ => "Server Error",
    }
}
