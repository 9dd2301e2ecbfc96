//! A model of a TURN server: it checks credentials as RFC 8489 §9.2.4 says and
//! keeps allocation, permissions and channels with their times.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use floe::stun::{
    Algorithm, AttributeType as T, Builder, Class, Integrity, IntegrityKey, Message, Method,
    PasswordAlgorithm, TransactionId, userhash,
};
use floe::timer::Time;

use crate::addr;

pub(crate) const PASSWORD: &str = "swordfish";
pub(crate) const USER: &str = "alice";
pub(crate) const MAPPED: &str = "198.51.100.7:4000";
pub(crate) const RELAYED_V4: &str = "192.0.2.9:50000";
pub(crate) const RELAYED_V6: &str = "[2001:db8::9]:50000";

/// What the server does with a request instead of what it should.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    /// Nothing.
    Silence,
    /// It refuses, and signs that.
    Error(u16),
    /// It refuses with this reason phrase, which may be no UTF-8.
    Reason(u16, Vec<u8>),
    /// It refuses, and does not sign.
    Unsigned(u16),
    /// It does what it should and signs with another password.
    Forged,
    /// It does what it should and does not sign.
    Bare,
    /// It does what it should and signs with SHA-1, whatever it was asked with.
    Sha1,
    /// It sends to another server.
    Redirect(Option<SocketAddr>, Option<String>),
    /// It answers with these bytes behind a header that fits.
    Body(Class, Vec<u8>),
    /// It answers with a 438 that names this realm.
    StaleOf(String),
    /// It answers with a 401 as if it did not know the credentials.
    Unauthenticated,
    /// It does its work, and its answer has this lifetime.
    Lifetime(u32),
    /// It does its work, with this at the end of its answer.
    With(T, Vec<u8>),
}

#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) username: String,
    pub(crate) password: String,
    pub(crate) realm: String,
    /// The nonce's beginning: the cookie.
    pub(crate) cookie: String,
    pub(crate) algorithms: Option<Vec<u8>>,
    pub(crate) anonymous: bool,
    /// No credentials are wanted.
    pub(crate) open: bool,
    /// A nonce is good for so many requests.
    pub(crate) nonce_uses: u32,
    pub(crate) mapped: SocketAddr,
    pub(crate) relayed: Vec<SocketAddr>,
    /// Which family is refused, and with what.
    pub(crate) address_error: Option<(u8, u16)>,
    /// It knows REQUESTED-ADDRESS-FAMILY alone (RFC 6156), and gives one address.
    pub(crate) is_old: bool,
    pub(crate) lifetime: u32,
    /// The protocol that is to be relayed.
    pub(crate) relays: u8,
    /// Connections to peers, numbered from `first` on.
    pub(crate) connections: Vec<SocketAddr>,
    pub(crate) first: u32,
    /// Allocations may move, with the ticket of this number.
    pub(crate) ticket: Option<u8>,
    /// From which path the allocation was made or moved to last, and from which
    /// the requests come.
    pub(crate) bound: u8,
    pub(crate) path: u8,
    /// What is done to the next requests of a method.
    pub(crate) script: BTreeMap<Method, VecDeque<Reply>>,
    /// What is done to all others of a method.
    pub(crate) always: BTreeMap<Method, Reply>,
    pub(crate) nonce: u32,
    pub(crate) uses: u32,
    pub(crate) answered: BTreeMap<TransactionId, Option<Vec<u8>>>,
    pub(crate) allocation: Option<Time>,
    pub(crate) permissions: BTreeMap<IpAddr, Time>,
    pub(crate) channels: BTreeMap<u16, (SocketAddr, Time)>,
    /// New requests by method, and their retransmissions.
    pub(crate) requests: BTreeMap<Method, usize>,
    pub(crate) repeated: usize,
    pub(crate) stale: usize,
    /// What arrived, as bytes.
    pub(crate) seen: Vec<(Time, Vec<u8>)>,
}

impl Server {
    /// One of RFC 5389, with MD5 and SHA-1.
    pub(crate) fn new() -> Self {
        Server {
            username: USER.into(),
            password: PASSWORD.into(),
            realm: "example.org".into(),
            cookie: String::new(),
            algorithms: None,
            anonymous: false,
            open: false,
            nonce_uses: u32::MAX,
            mapped: addr(MAPPED),
            relayed: vec![addr(RELAYED_V4)],
            address_error: None,
            is_old: false,
            lifetime: 600,
            relays: 17,
            connections: Vec::new(),
            first: 1,
            ticket: None,
            bound: 0,
            path: 0,
            script: BTreeMap::new(),
            always: BTreeMap::new(),
            nonce: 0,
            uses: 0,
            answered: BTreeMap::new(),
            allocation: None,
            permissions: BTreeMap::new(),
            channels: BTreeMap::new(),
            requests: BTreeMap::new(),
            repeated: 0,
            stale: 0,
            seen: Vec::new(),
        }
    }

    /// One of RFC 8489, with all its features.
    pub(crate) fn modern() -> Self {
        Server {
            cookie: "obMatJos2wAAA".into(),
            algorithms: Some(vec![0, 1, 0, 0, 0, 2, 0, 0]),
            anonymous: true,
            ..Self::new()
        }
    }

    pub(crate) fn count(&self, method: Method) -> usize {
        self.requests.get(&method).copied().unwrap_or_default()
    }

    pub(crate) fn next(&mut self, method: Method, replies: impl IntoIterator<Item = Reply>) {
        self.script.entry(method).or_default().extend(replies);
    }

    /// The answer to what arrived; `None`: none.
    pub(crate) fn handle(&mut self, bytes: &[u8], now: Time) -> Option<Vec<u8>> {
        self.seen.push((now, bytes.to_vec()));
        let message = Message::parse(bytes).expect("the client sends STUN");
        assert!(!message.has_unknown_required(), "{message:?}");
        assert_eq!(message.class(), Class::Request);
        let id = message.transaction_id();
        let is_repeated = self.answered.contains_key(&id);
        self.repeated += usize::from(is_repeated);
        if let Some(Some(answer)) = self.answered.get(&id) {
            return Some(answer.clone());
        }
        self.permissions.retain(|_, until| *until > now);
        self.channels.retain(|_, (_, until)| *until > now);
        if self.allocation.is_some_and(|until| until <= now) {
            self.end_allocation();
        }
        *self.requests.entry(message.method()).or_default() += usize::from(!is_repeated);
        let answer = self.answer(&message, now);
        self.answered.insert(id, answer.clone());
        answer
    }

    fn end_allocation(&mut self) {
        self.allocation = None;
        self.permissions.clear();
        self.channels.clear();
    }

    fn answer(&mut self, message: &Message<'_>, now: Time) -> Option<Vec<u8>> {
        let method = message.method();
        let key = self.key();
        let sealed = (!self.open).then_some((&key, self.integrity()));
        let is_signed = message.integrity_algorithm().is_some();
        // Credentials first, as a server does; the script is for what follows.
        if !self.open && !is_signed {
            return Some(match self.first_scripted(method) {
                Some(Reply::Silence) => return None,
                Some(Reply::Body(class, body)) => body_of(message, class, &body),
                Some(Reply::Unsigned(code)) => self.error(message, code, None),
                _ => self.challenge(message, 401, &self.realm),
            });
        }
        if let Some(refusal) = self.check(message, &key) {
            return Some(refusal);
        }
        let reply = self.script.get_mut(&method).and_then(VecDeque::pop_front);
        let Some(reply) = reply.or_else(|| self.always.get(&method).cloned()) else {
            return Some(self.serve(message, now, sealed, &[]));
        };
        let wrong = IntegrityKey::from_bytes(b"another");
        Some(match reply {
            Reply::Silence => return None,
            Reply::Error(code) => self.error(message, code, sealed),
            Reply::Reason(code, reason) => {
                let head = [0, 0, (code / 100) as u8, (code % 100) as u8];
                let value = [&head[..], &reason].concat();
                let mut out = Vec::new();
                let builder =
                    Builder::new(Class::Error, method, message.transaction_id(), &mut out);
                builder.attribute(T::ERROR_CODE, &value).seal(sealed);
                out
            }
            Reply::Unsigned(code) => self.error(message, code, None),
            Reply::Forged => self.serve(message, now, Some((&wrong, self.integrity())), &[]),
            Reply::Bare => self.serve(message, now, None, &[]),
            Reply::Sha1 => self.serve(message, now, Some((&key, Algorithm::Sha1)), &[]),
            Reply::Redirect(to, domain) => self.redirect(message, (to, domain), sealed),
            Reply::Body(class, body) => body_of(message, class, &body),
            Reply::StaleOf(realm) => self.challenge(message, 438, &realm),
            Reply::Unauthenticated => self.challenge(message, 401, &self.realm),
            Reply::Lifetime(seconds) => {
                let kept = std::mem::replace(&mut self.lifetime, seconds);
                let answer = self.serve(message, now, sealed, &[]);
                self.lifetime = kept;
                answer
            }
            Reply::With(kind, value) => self.serve(message, now, sealed, &[(kind, value)]),
        })
    }

    /// What the script has for a request without credentials.
    fn first_scripted(&mut self, method: Method) -> Option<Reply> {
        let queue = self.script.get_mut(&method)?;
        let is_for_first =
            matches!(queue.front(), Some(Reply::Silence | Reply::Body(..) | Reply::Unsigned(_)));
        if is_for_first { queue.pop_front() } else { None }
    }

    fn key(&self) -> IntegrityKey {
        let algorithm = match &self.algorithms {
            Some(list) if list.chunks(4).any(|entry| entry == [0, 2, 0, 0]) => {
                PasswordAlgorithm::Sha256
            }
            _ => PasswordAlgorithm::Md5,
        };
        IntegrityKey::long_term(&self.username, &self.realm, &self.password, algorithm)
    }

    fn integrity(&self) -> Algorithm {
        if self.algorithms.is_some() { Algorithm::Sha256 } else { Algorithm::Sha1 }
    }

    fn nonce(&self) -> String {
        format!("{}nonce-{}", self.cookie, self.nonce)
    }

    /// The checks of RFC 8489 §9.2.4; the answer if one fails.
    fn check(&mut self, message: &Message<'_>, key: &IntegrityKey) -> Option<Vec<u8>> {
        if self.open {
            return None;
        }
        let value = |kind| message.attributes().find(|(k, _)| *k == kind).map(|(_, value)| value);
        let hash = userhash(&self.username, &self.realm);
        let is_user = match self.anonymous {
            true => value(T::USERHASH) == Some(&hash[..]) && value(T::USERNAME).is_none(),
            false => value(T::USERNAME) == Some(self.username.as_bytes()),
        };
        if value(T::REALM).is_none() || value(T::NONCE).is_none() {
            return Some(self.error(message, 400, None));
        }
        if value(T::REALM) != Some(self.realm.as_bytes()) {
            return Some(self.challenge(message, 401, &self.realm));
        }
        if value(T::PASSWORD_ALGORITHMS) != self.algorithms.as_deref()
            || value(T::PASSWORD_ALGORITHM).is_some() != self.algorithms.is_some()
        {
            return Some(self.error(message, 400, None));
        }
        let is_signed = message.integrity_algorithm() == Some(self.integrity())
            && message.verify(key) == Integrity::Valid;
        if !is_user || !is_signed {
            return Some(self.challenge(message, 401, &self.realm));
        }
        if value(T::NONCE) != Some(self.nonce().as_bytes()) || self.uses >= self.nonce_uses {
            if self.uses >= self.nonce_uses {
                (self.nonce, self.uses) = (self.nonce + 1, 0);
            }
            self.stale += 1;
            return Some(self.challenge(message, 438, &self.realm));
        }
        self.uses += 1;
        None
    }

    /// The nonces that were given so far are worth nothing.
    pub(crate) fn change_nonce(&mut self) {
        (self.nonce, self.uses) = (self.nonce + 1, 0);
    }

    fn challenge(&self, message: &Message<'_>, code: u16, realm: &str) -> Vec<u8> {
        let mut out = Vec::new();
        let id = message.transaction_id();
        let builder = Builder::new(Class::Error, message.method(), id, &mut out)
            .error(code, "Who are you")
            .attribute(T::REALM, realm.as_bytes())
            .attribute(T::NONCE, self.nonce().as_bytes());
        let builder = match &self.algorithms {
            Some(list) => builder.attribute(T::PASSWORD_ALGORITHMS, list),
            None => builder,
        };
        builder.seal(None);
        out
    }

    fn error(
        &self,
        message: &Message<'_>,
        code: u16,
        key: Option<(&IntegrityKey, Algorithm)>,
    ) -> Vec<u8> {
        let mut out = Vec::new();
        let id = message.transaction_id();
        Builder::new(Class::Error, message.method(), id, &mut out).error(code, "No").seal(key);
        out
    }

    fn redirect(
        &self,
        message: &Message<'_>,
        (to, domain): (Option<SocketAddr>, Option<String>),
        key: Option<(&IntegrityKey, Algorithm)>,
    ) -> Vec<u8> {
        let mut out = Vec::new();
        let id = message.transaction_id();
        let mut builder =
            Builder::new(Class::Error, message.method(), id, &mut out).error(300, "Elsewhere");
        if let Some(to) = to {
            builder = builder.plain(T::ALTERNATE_SERVER, to);
        }
        if let Some(domain) = domain {
            builder = builder.attribute(T::ALTERNATE_DOMAIN, domain.as_bytes());
        }
        builder.seal(key);
        out
    }

    /// What RFC 8656 has a server do.
    fn serve(
        &mut self,
        message: &Message<'_>,
        now: Time,
        key: Option<(&IntegrityKey, Algorithm)>,
        more: &[(T, Vec<u8>)],
    ) -> Vec<u8> {
        let (method, id) = (message.method(), message.transaction_id());
        let brought = message.mobility_ticket().unwrap_or_default();
        if method == Method::REFRESH && self.ticket.is_some_and(|ticket| brought == [ticket; 5]) {
            self.bound = self.path;
        }
        let has_allocation = self.allocation.is_some() && self.bound == self.path;
        if has_allocation == (method == Method::ALLOCATE) {
            return self.error(message, 437, key);
        }
        let mut out = Vec::new();
        let mut builder = Builder::new(Class::Success, method, id, &mut out);
        match method {
            Method::ALLOCATE if message.requested_transport() != Some(self.relays) => {
                return self.error(message, 442, key);
            }
            Method::ALLOCATE => {
                if self.is_old {
                    let mut asked =
                        message.attributes().filter(|(t, _)| *t == T::REQUESTED_ADDRESS_FAMILY);
                    let wants_v6 = asked.next().is_some_and(|(_, value)| value[0] == 2);
                    self.relayed.retain(|relayed| relayed.is_ipv6() == wants_v6);
                }
                for relayed in &self.relayed {
                    builder = builder.xored(T::XOR_RELAYED_ADDRESS, *relayed);
                }
                if let Some((family, code)) = self.address_error {
                    let value = [family, 0, (code / 100) as u8, (code % 100) as u8];
                    builder = builder.attribute(T::ADDRESS_ERROR_CODE, &value);
                }
                builder = builder
                    .xored(T::XOR_MAPPED_ADDRESS, self.mapped)
                    .number(T::LIFETIME, self.lifetime);
                self.allocation = Some(now + Duration::from_secs(self.lifetime.into()));
                self.bound = self.path;
                if let Some(ticket) = self.ticket.filter(|_| message.mobility_ticket().is_some()) {
                    builder = builder.attribute(T::MOBILITY_TICKET, &[ticket; 5]);
                }
            }
            Method::REFRESH if message.lifetime() == Some(Duration::ZERO) => {
                builder = builder.number(T::LIFETIME, 0);
                self.end_allocation();
            }
            Method::REFRESH => {
                builder = builder.number(T::LIFETIME, self.lifetime);
                self.allocation = Some(now + Duration::from_secs(self.lifetime.into()));
                if let Some(ticket) = self.ticket.as_mut().filter(|_| !brought.is_empty()) {
                    *ticket += 1;
                    builder = builder.attribute(T::MOBILITY_TICKET, &[*ticket; 5]);
                }
            }
            Method::CREATE_PERMISSION => {
                let peers: Vec<_> = message.xor_peer_addresses().collect();
                assert_eq!(peers.len(), 1, "one at a time, so that one fails alone");
                self.permissions.insert(peers[0].ip(), now + Duration::from_secs(300));
            }
            Method::CHANNEL_BIND => {
                let peer = message.xor_peer_addresses().next().expect("a peer");
                let number = message.channel_number().expect("a number");
                assert!((0x4000..=0x4fff).contains(&number), "{number:#x}");
                for (bound, (to, _)) in &self.channels {
                    assert_eq!(*bound == number, *to == peer, "a number is bound to one peer");
                }
                self.channels.insert(number, (peer, now + Duration::from_secs(600)));
                self.permissions.insert(peer.ip(), now + Duration::from_secs(300));
            }
            Method::CONNECT => {
                let peer = message.xor_peer_addresses().next().expect("a peer");
                if self.connections.contains(&peer) {
                    return self.error(message, 446, key);
                }
                let number = self.first + u32::try_from(self.connections.len()).unwrap();
                self.connections.push(peer);
                builder = builder.number(T::CONNECTION_ID, number);
            }
            Method::CONNECTION_BIND => {
                let number = message.connection_id().expect("a number");
                if self.connection(number).is_none() {
                    return self.error(message, 400, key);
                }
            }
            _ => panic!("no such request: {method:?}"),
        }
        let builder = more.iter().fold(builder, |b, (kind, value)| b.attribute(*kind, value));
        builder.seal(key);
        out
    }
}

impl Server {
    /// The peer of a connection.
    pub(crate) fn connection(&self, number: u32) -> Option<SocketAddr> {
        self.connections.get(number.checked_sub(self.first)? as usize).copied()
    }
}

fn body_of(message: &Message<'_>, class: Class, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    Builder::new(class, message.method(), message.transaction_id(), &mut out).finish();
    out.extend_from_slice(body);
    let len = u16::try_from(body.len()).unwrap();
    out[2..4].copy_from_slice(&len.to_be_bytes());
    out
}
