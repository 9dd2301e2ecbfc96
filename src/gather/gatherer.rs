use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use crate::gather::job::{Due, Failure, Job};
use crate::gather::{BindingRequest, Cause, Handled, NOT_REACHED, Outcome, response};
use crate::net::{self, Family, Protocol};
use crate::stun::{Message, TransactionId};
use crate::timer::Time;

/// The shortest RTO while gathering (RFC 8445 §14.3).
const MIN_RTO: Duration = Duration::from_millis(500);

/// Asks STUN servers for the server-reflexive addresses of bases. It sends
/// nothing itself: whoever drives it takes a slot of the pacer for each
/// [`start_next`](Self::start_next), sends what that and
/// [`poll_send`](Self::poll_send) return, and drains
/// [`poll_outcome`](Self::poll_outcome) after every call.
#[derive(Debug)]
pub struct Gatherer {
    budget: Duration,
    pacing: Duration,
    servers: Vec<Server>,
    bases: BTreeMap<u32, (SocketAddr, Protocol)>,
    /// By server first: each base hears of one server before any asks the next.
    jobs: BTreeMap<Key, Job>,
    waiting: BTreeSet<Key>,
    transactions: BTreeMap<TransactionId, Key>,
    resends: VecDeque<Key>,
    outcomes: VecDeque<Outcome>,
    bases_complete: bool,
    is_done: bool,
    late_answers: u64,
}

/// A server's index and a base.
type Key = (usize, u32);

#[derive(Debug)]
struct Server {
    /// How it is asked.
    protocol: Protocol,
    /// `None` until the name is resolved, empty if it was not.
    addresses: Option<Vec<SocketAddr>>,
    /// The name has been reported as unresolved.
    is_reported: bool,
}

/// Of what a resolver returns only so many addresses are looked at.
const MAX_ADDRESSES: usize = 32;

impl Gatherer {
    /// A gatherer for servers that are asked by these protocols, with `budget`
    /// for each base and server. New transactions will be `pacing` (Ta) apart.
    pub fn new(
        servers: impl Iterator<Item = Protocol>,
        budget: Duration,
        pacing: Duration,
    ) -> Self {
        let server = |protocol| Server { protocol, addresses: None, is_reported: false };
        Gatherer {
            budget,
            pacing,
            servers: servers.map(server).collect(),
            bases: BTreeMap::new(),
            jobs: BTreeMap::new(),
            waiting: BTreeSet::new(),
            transactions: BTreeMap::new(),
            resends: VecDeque::new(),
            outcomes: VecDeque::new(),
            bases_complete: false,
            is_done: false,
            late_answers: 0,
        }
    }

    /// A server has these addresses; none if its name did not resolve. Only
    /// the first answer for a server counts.
    pub fn resolved(&mut self, server: usize, addresses: &[SocketAddr]) {
        let Some(entry) = self.servers.get_mut(server).filter(|s| s.addresses.is_none()) else {
            return;
        };
        let addresses = addresses.iter().take(MAX_ADDRESSES).map(|a| net::canonical(*a));
        entry.addresses = Some(addresses.collect());
        let bases: Vec<u32> = self.bases.keys().copied().collect();
        for base in bases {
            self.choose_address((server, base));
        }
        self.report_unresolved(server, "the server's name did not resolve");
        self.finish_if_idle();
    }

    /// A host base was bound at `local`. Its budgets start now.
    pub fn add_base(&mut self, base: u32, local: SocketAddr, protocol: Protocol, now: Time) {
        if self.is_done || self.bases.contains_key(&base) {
            return;
        }
        self.bases.insert(base, (net::canonical(local), protocol));
        for server in 0..self.servers.len() {
            if self.servers[server].protocol != protocol {
                continue;
            }
            self.jobs.insert((server, base), Job::new(now + self.budget));
            self.choose_address((server, base));
        }
    }

    /// No base will be added any more: when nothing is outstanding,
    /// [`Outcome::Done`] comes.
    pub fn bases_complete(&mut self) {
        self.bases_complete = true;
        self.finish_if_idle();
    }

    /// Whether a new transaction wants a slot of the pacer.
    pub fn wants_slot(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Begins one transaction with the id given.
    pub fn start_next(&mut self, id: TransactionId, now: Time) -> Option<BindingRequest> {
        let rto = self.rto();
        while let Some(key) = self.waiting.pop_first() {
            if let Some(to) = self.jobs.get_mut(&key).and_then(|job| job.start(id, rto, now)) {
                self.transactions.insert(id, key);
                return Some(BindingRequest { base: key.1, to, id });
            }
        }
        None
    }

    /// Retransmits what is due, and ends what has had its time.
    pub fn handle_timeout(&mut self, now: Time) {
        if self.is_done {
            return;
        }
        let due = self.jobs.iter_mut().map(|(key, job)| (*key, job.handle_timeout(now)));
        let due: Vec<(Key, Due)> = due.filter(|(_, due)| *due != Due::Nothing).collect();
        for (key, due) in due {
            match due {
                Due::Nothing => {}
                Due::Resend => self.resends.push_back(key),
                Due::Failed(failure) => self.fail(key, failure),
            }
        }
        self.finish_if_idle();
    }

    /// The next retransmission that is due.
    pub fn poll_send(&mut self) -> Option<BindingRequest> {
        while let Some(key) = self.resends.pop_front() {
            let job = self.jobs.get(&key).filter(|job| job.is_asking());
            if let Some((id, to)) = job.and_then(Job::asked) {
                return Some(BindingRequest { base: key.1, to, id });
            }
        }
        None
    }

    /// When to call [`handle_timeout`](Self::handle_timeout) next.
    pub fn poll_timeout(&self) -> Option<Time> {
        if self.is_done {
            return None;
        }
        self.jobs.values().filter_map(Job::poll_timeout).min()
    }

    /// Whether a message with this id, from this sender, on this base answers
    /// a request of ours, be it late.
    pub fn owns(&self, id: &TransactionId, from: SocketAddr, base: u32) -> bool {
        self.job_of(id, from, base).is_some()
    }

    /// A response arrived on `base`.
    pub fn handle_response(
        &mut self,
        base: u32,
        from: SocketAddr,
        message: &Message<'_>,
        now: Time,
    ) -> Handled {
        let Some(key) = self.job_of(&message.transaction_id(), from, base) else {
            return Handled::Foreign;
        };
        let (Some((local, _)), true) =
            (self.bases.get(&base), response::is_binding_response(message))
        else {
            return Handled::Foreign;
        };
        if !self.jobs.get_mut(&key).is_some_and(|job| job.answer(now)) {
            self.late_answers += 1;
            return Handled::Late;
        }
        let (server, server_address) = (key.0, net::canonical(from));
        let outcome = match response::mapped_address(message, *local) {
            Ok(mapped) => Outcome::Mapped { base, server, server_address, mapped },
            Err(refusal) => Outcome::Failed {
                base: Some(base),
                server,
                cause: Cause::Answered,
                code: refusal.code,
                text: format!("{server_address} and {}: {}", local.ip(), refusal.text).into(),
            },
        };
        self.outcomes.push_back(outcome);
        self.finish_if_idle();
        Handled::Used
    }

    /// The system reported an error for what `base` sends to `to`.
    pub fn send_error(&mut self, base: u32, to: SocketAddr, kind: io::ErrorKind) {
        let to = net::canonical(to);
        let is_meant = |(key, job): &(&Key, &mut Job)| key.1 == base && job.to() == Some(to);
        let found = self.jobs.iter_mut().find(is_meant);
        if let Some((key, failure)) = found.and_then(|(key, job)| Some((*key, job.refuse(kind)?))) {
            self.fail(key, failure);
            self.finish_if_idle();
        }
    }

    /// The transaction under way from `base` to `to`, for whom the connection
    /// has been opened.
    pub fn asks(&self, base: u32, to: SocketAddr) -> Option<TransactionId> {
        let is_meant =
            |(key, job): &(&Key, &Job)| key.1 == base && job.is_asking() && job.to() == Some(to);
        self.jobs.iter().find(is_meant).and_then(|(_, job)| Some(job.asked()?.0))
    }

    /// There is no connection from `base` to `to`, or no more.
    pub fn not_connected(&mut self, base: u32, to: SocketAddr) {
        if self.asks(base, to).is_some() {
            // What a datagram may be refused once before it counts.
            self.send_error(base, to, io::ErrorKind::NotConnected);
            self.send_error(base, to, io::ErrorKind::NotConnected);
        }
    }

    /// The next outcome.
    pub fn poll_outcome(&mut self) -> Option<Outcome> {
        self.outcomes.pop_front()
    }

    /// Whether [`Outcome::Done`] has come.
    pub fn is_done(&self) -> bool {
        self.is_done
    }

    /// How many answers came after their transaction had ended.
    pub fn late_answers(&self) -> u64 {
        self.late_answers
    }

    fn job_of(&self, id: &TransactionId, from: SocketAddr, base: u32) -> Option<Key> {
        let key = *self.transactions.get(id)?;
        let (_, to) = self.jobs.get(&key)?.asked()?;
        (to == net::canonical(from) && key.1 == base).then_some(key)
    }

    /// RFC 8445 §14.3: a candidate is expected of each job.
    fn rto(&self) -> Duration {
        let jobs = u32::try_from(self.jobs.len()).unwrap_or(u32::MAX);
        self.pacing.saturating_mul(jobs).max(MIN_RTO)
    }

    /// Picks the server's first address that the base reaches and that no
    /// other server of the list has already given it.
    fn choose_address(&mut self, key: Key) {
        let (server, base) = key;
        let Some(addresses) = self.servers.get(server).and_then(|s| s.addresses.as_ref()) else {
            return;
        };
        let Some((local, _)) = self.bases.get(&base) else { return };
        let is_taken = |address: SocketAddr| {
            self.jobs.iter().any(|(key, job)| key.1 == base && job.to() == Some(address))
        };
        let reached = |address: &&SocketAddr| reaches(*local, **address) && !is_taken(**address);
        let chosen = addresses.iter().find(reached).copied();
        if let Some(job) = self.jobs.get_mut(&key) {
            job.resolve(chosen);
            if job.is_waiting() {
                self.waiting.insert(key);
            }
        }
    }

    fn fail(&mut self, key: Key, failure: Failure) {
        self.waiting.remove(&key);
        let (server, base) = key;
        let local = self.bases.get(&base);
        let (Some((local, _)), Some(to)) = (local, self.jobs.get(&key).and_then(Job::to)) else {
            let text = format!("the server's name was not resolved within {}", secs(self.budget));
            return self.report_unresolved(server, &text);
        };
        let local = local.ip();
        let text = match failure {
            Failure::Unresolved | Failure::NotAsked => {
                format!("{to} was not asked from {local} within {}", secs(self.budget))
            }
            Failure::NoAnswer { after, refusal: None } => {
                format!("{to} did not answer {local} within {}", secs(after))
            }
            Failure::NoAnswer { after, refusal: Some(kind) } => {
                format!("{to} did not answer {local} within {}: {kind}", secs(after))
            }
            Failure::Refused(kind) => format!("{to} cannot be reached from {local}: {kind}"),
        };
        self.push_failure(Some(base), server, Cause::NotReached, text);
    }

    /// Once a server, however many bases wait for its name.
    fn report_unresolved(&mut self, server: usize, text: &str) {
        let is_unresolved = |s: &&mut Server| s.addresses.as_ref().is_none_or(Vec::is_empty);
        let Some(entry) = self.servers.get_mut(server).filter(is_unresolved) else { return };
        if !std::mem::replace(&mut entry.is_reported, true) && !self.is_done {
            self.push_failure(None, server, Cause::Unresolved, text.into());
        }
    }

    fn finish_if_idle(&mut self) {
        let is_idle = self.bases_complete && self.jobs.values().all(Job::is_finished);
        if !is_idle || self.is_done {
            return;
        }
        for server in 0..self.servers.len() {
            if self.is_out_of_reach(server) {
                let text = "no address of the server can be reached from one of this machine";
                self.push_failure(None, server, Cause::NotReached, text.into());
            }
        }
        self.is_done = true;
        self.outcomes.push_back(Outcome::Done);
    }

    /// Whether no base had an address of the server to ask.
    fn is_out_of_reach(&self, server: usize) -> bool {
        let Some(Server { protocol, addresses: Some(addresses), is_reported: false }) =
            self.servers.get(server)
        else {
            return false;
        };
        let reached = |(local, of): &(SocketAddr, Protocol)| {
            of == protocol && addresses.iter().any(|a| reaches(*local, *a))
        };
        !self.bases.is_empty() && !self.bases.values().any(reached)
    }

    fn push_failure(&mut self, base: Option<u32>, server: usize, cause: Cause, text: String) {
        let (code, text) = (NOT_REACHED, text.into());
        self.outcomes.push_back(Outcome::Failed { base, server, cause, code, text });
    }
}

/// Whether a datagram from `local` can arrive at `server`: of one family, and
/// from a link or this machine only to the same.
fn reaches(local: SocketAddr, server: SocketAddr) -> bool {
    let is_link = net::is_link_local_v6(local.ip());
    Family::of(local.ip()) == Family::of(server.ip())
        && (!is_link || net::is_link_local_v6(server.ip()))
        && (!local.ip().is_loopback() || server.ip().is_loopback())
}

fn secs(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}

#[cfg(test)]
mod tests;
