//! Questions and answers of multicast DNS, without sockets and clock.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::link::Link;
use super::message::{self, Asked, Message};
use crate::timer::Time;

/// Where multicast DNS is spoken (RFC 6762 §3).
pub(super) const PORT: u16 = 5353;

/// When a name is asked for again, since the first time: not within a second,
/// and each time after twice as long (RFC 6762 §5.2).
const AGAIN: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(3)];
/// When a name without an answer is given up.
const GIVE_UP: Duration = Duration::from_secs(5);
/// A record is not multicast twice within this (RFC 6762 §6).
const REPEAT: Duration = Duration::from_secs(1);
/// Links that a name is asked for on.
const MAX_LINKS: usize = 16;
/// Names that are asked for at a time, in the whole process.
const MAX_QUERIES: usize = 256;
/// Names of ours, in the whole process.
const MAX_NAMES: usize = 4_096;

/// Whom an agent's questions and names belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct MemberId(pub(super) u64);

/// All that one process asks and answers.
#[derive(Debug, Default)]
pub(super) struct Engine {
    queries: BTreeMap<Box<str>, Query>,
    names: Vec<Published>,
    budget: Budget,
    out: VecDeque<Outgoing>,
    answers: VecDeque<(MemberId, Box<str>, Vec<IpAddr>)>,
}

#[derive(Debug)]
struct Query {
    askers: Vec<MemberId>,
    links: Vec<Link>,
    began: Time,
    /// When it is sent next, and how often it was.
    next: Time,
    sent: usize,
}

#[derive(Debug)]
struct Published {
    owner: MemberId,
    name: Box<str>,
    link: Link,
    /// When it was multicast last.
    told: Option<Time>,
}

/// A message to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Outgoing {
    /// The link to send it on.
    pub(super) link: Link,
    /// To whom; `None` for the link's multicast group.
    pub(super) to: Option<SocketAddr>,
    pub(super) bytes: Vec<u8>,
}

impl Engine {
    /// Somebody wants to know the address of a name, in lower case, that
    /// should be on one of the links.
    pub(super) fn ask(&mut self, asker: MemberId, name: &str, links: &[Link], now: Time) {
        if let Some(known) = self.names.iter().find(|known| &*known.name == name) {
            let addresses = vec![known.link.ip];
            return self.answers.push_back((asker, name.into(), addresses));
        }
        if let Some(query) = self.queries.get_mut(name) {
            query.askers.push(asker);
            // What is new to it is asked with the next repetition.
            return add_links(&mut query.links, links);
        }
        if self.queries.len() == MAX_QUERIES || links.is_empty() {
            return self.answers.push_back((asker, name.into(), Vec::new()));
        }
        let mut query =
            Query { askers: vec![asker], links: Vec::new(), began: now, next: now, sent: 0 };
        add_links(&mut query.links, links);
        self.queries.insert(name.into(), query);
        self.handle_timeout(now);
    }

    /// Answers for a name of ours from now on. It is not announced: nobody
    /// can have asked for a name that is random and new, and the answer to a
    /// first query would have to wait until a second after.
    pub(super) fn publish(&mut self, owner: MemberId, name: Box<str>, link: Link) {
        if self.names.len() < MAX_NAMES {
            self.names.push(Published { owner, name, link, told: None });
        }
    }

    /// A member asks and answers nothing any more.
    pub(super) fn leave(&mut self, member: MemberId, now: Time) {
        for query in self.queries.values_mut() {
            query.askers.retain(|asker| *asker != member);
        }
        self.queries.retain(|_, query| !query.askers.is_empty());
        let (gone, names): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.names).into_iter().partition(|name| name.owner == member);
        self.names = names;
        // Who was told remembers it.
        for Published { name, link, .. } in gone.into_iter().filter(|gone| gone.told.is_some()) {
            if self.budget.take(now) {
                self.push(link, None, message::goodbye(&name, link.ip));
            }
        }
    }

    /// A message arrived.
    pub(super) fn received(&mut self, from: SocketAddr, bytes: &[u8], now: Time) {
        match message::read(bytes) {
            Some(Message::Answer(records)) => self.answered(from, &records),
            Some(Message::Query { id, questions }) => {
                for (name, asked) in questions {
                    self.asked(from, id, &name, asked, now);
                }
            }
            None => {}
        }
    }

    fn answered(&mut self, from: SocketAddr, records: &[(Box<str>, IpAddr)]) {
        for (name, _) in records {
            let believed = |query: &Query| {
                from.port() == PORT && query.links.iter().any(|link| link.has(from.ip()))
            };
            if !self.queries.get(name).is_some_and(believed) {
                continue;
            }
            let Some(query) = self.queries.remove(name) else { continue };
            let its = records.iter().filter(|(other, _)| other == name).map(|(_, ip)| *ip);
            let addresses: Vec<IpAddr> = its.collect();
            self.give(name, query, &addresses);
        }
    }

    fn asked(&mut self, from: SocketAddr, id: u16, name: &str, asked: Asked, now: Time) {
        let is_it = |known: &&mut Published| {
            let wanted = if known.link.is_v6() { asked.v6 } else { asked.v4 };
            wanted && &*known.name == name && known.link.has(from.ip())
        };
        let Some(known) = self.names.iter_mut().find(is_it) else { return };
        let link = known.link;
        let legacy = from.port() != PORT;
        // Several programs of one machine share the port: multicast alone
        // reaches each of them.
        let unicast = legacy || (asked.unicast && from.ip() != link.ip);
        if !unicast && known.told.is_some_and(|told| now - told < REPEAT) {
            return;
        }
        if !self.budget.take(now) {
            return;
        }
        if !legacy {
            known.told = Some(now);
        }
        let answer = match legacy {
            true => message::legacy_answer(id, name, link.ip),
            false => message::answer(name, link.ip),
        };
        self.push(link, unicast.then_some(from), answer);
    }

    /// Asks again what is due, and gives up what has had its time.
    pub(super) fn handle_timeout(&mut self, now: Time) {
        let over = |query: &Query| now >= query.began + GIVE_UP;
        let gone: Vec<_> = self.queries.extract_if(.., |_, query| over(query)).collect();
        for (name, query) in gone {
            self.give(&name, query, &[]);
        }
        let mut due = Vec::new();
        for (name, query) in self.queries.iter_mut().filter(|(_, query)| query.next <= now) {
            if !self.budget.take_many(query.links.len(), now) {
                query.next = now + Budget::EACH;
                continue;
            }
            query.next = AGAIN.get(query.sent).map_or(query.began + GIVE_UP, |t| query.began + *t);
            query.next = query.next.max(now + REPEAT);
            query.sent += 1;
            due.extend(query.links.iter().map(|link| (*link, name.clone())));
        }
        for (link, name) in due {
            self.push(link, None, message::query(&name, link.is_v6()));
        }
    }

    /// When [`Engine::handle_timeout`] is to be called.
    pub(super) fn poll_timeout(&self) -> Option<Time> {
        self.queries.values().map(|query| query.next.min(query.began + GIVE_UP)).min()
    }

    /// The next message to send.
    pub(super) fn poll_outgoing(&mut self) -> Option<Outgoing> {
        self.out.pop_front()
    }

    /// The next answer: for whom, the name, and its addresses.
    pub(super) fn poll_answer(&mut self) -> Option<(MemberId, Box<str>, Vec<IpAddr>)> {
        self.answers.pop_front()
    }

    fn give(&mut self, name: &str, query: Query, addresses: &[IpAddr]) {
        let answers =
            query.askers.into_iter().map(|asker| (asker, name.into(), addresses.to_vec()));
        self.answers.extend(answers);
    }

    fn push(&mut self, link: Link, to: Option<SocketAddr>, bytes: Option<Vec<u8>>) {
        self.out.extend(bytes.map(|bytes| Outgoing { link, to, bytes }));
    }
}

fn add_links(known: &mut Vec<Link>, links: &[Link]) {
    for link in links {
        if known.len() < MAX_LINKS && !known.iter().any(|known| known.is_same(link)) {
            known.push(*link);
        }
    }
}

/// What the process may send: names come and go as others like, and the
/// link must not be flooded (draft-ietf-rtcweb-mdns-ice-candidates §6.1).
#[derive(Debug)]
struct Budget {
    left: usize,
    since: Time,
}

impl Budget {
    /// Messages that may go at once.
    const BURST: usize = 64;
    /// The time in which one more may.
    const EACH: Duration = Duration::from_millis(50);

    fn take(&mut self, now: Time) -> bool {
        self.take_many(1, now)
    }

    fn take_many(&mut self, count: usize, now: Time) -> bool {
        while self.left < Self::BURST && self.since + Self::EACH <= now {
            self.left += 1;
            self.since += Self::EACH;
        }
        if self.left == Self::BURST {
            self.since = now;
        }
        let enough = count <= self.left;
        self.left -= if enough { count } else { 0 };
        enough
    }
}

impl Default for Budget {
    fn default() -> Self {
        Budget { left: Self::BURST, since: Time::ZERO }
    }
}

#[cfg(test)]
mod tests;
