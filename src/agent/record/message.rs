//! Datagrams as an event log keeps them: what the core reads of a message,
//! and whether integrity and fingerprint were right, but not their values.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;

#[cfg(feature = "serde")]
use super::form;
use super::relay::RecordedRelay;
use crate::agent::stream::{Session, Stream};
use crate::agent::{BaseId, Core, StreamId};
use crate::stun::{
    Algorithm, Class, Fingerprint, Integrity, IntegrityKey, Message, MessageParts, Method,
    TransactionId,
};
use crate::turn::Asking;

/// The longest part of a reason phrase that is kept, in characters; gathering
/// shows no more of it.
const MAX_REASON: usize = 128;

/// As many transactions of ours are remembered; answers to older ones are as
/// good as strange, for the checks have forgotten them too.
const MAX_NUMBERED: usize = 4096;

/// A STUN message that was received.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "kebab-case")
)]
pub struct RecordedMessage {
    /// The class.
    pub class: Class,
    /// The method.
    pub method: u16,
    /// The transaction.
    pub transaction: RecordedTransaction,
    /// What FINGERPRINT was like.
    pub fingerprint: Fingerprint,
    /// What the integrity was like, under the key that fits the class.
    pub integrity: Integrity,
    /// Whose fragment USERNAME named first.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
    pub username: Option<RecordedUsername>,
    /// PRIORITY.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
    pub priority: Option<u32>,
    /// ICE-CONTROLLING: the tie-breaker.
    #[cfg_attr(
        feature = "serde",
        serde(with = "form::maybe_hex", default, skip_serializing_if = "Option::is_none")
    )]
    pub controlling: Option<u64>,
    /// ICE-CONTROLLED: the tie-breaker.
    #[cfg_attr(
        feature = "serde",
        serde(with = "form::maybe_hex", default, skip_serializing_if = "Option::is_none")
    )]
    pub controlled: Option<u64>,
    /// USE-CANDIDATE was there.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "std::ops::Not::not"))]
    pub use_candidate: bool,
    /// NOMINATION: the counter.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
    pub nomination: Option<u32>,
    /// XOR-MAPPED-ADDRESS.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
    pub xor_mapped_address: Option<SocketAddr>,
    /// MAPPED-ADDRESS.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
    pub mapped_address: Option<SocketAddr>,
    /// ERROR-CODE.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
    pub error: Option<RecordedError>,
    /// Types of attributes that had to be understood and were not.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Vec::is_empty"))]
    pub unknown: Vec<u16>,
    /// What a TURN server says beside.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
    pub relay: Option<Box<RecordedRelay>>,
}

/// Which transaction a message belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "kebab-case")
)]
pub enum RecordedTransaction {
    /// The one of ours with this number, in the order in which their first
    /// requests were sent, from 0 on.
    Ours(u64),
    /// Another, with this id.
    Theirs(TransactionId),
}

/// What USERNAME says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "kebab-case")
)]
pub enum RecordedUsername {
    /// Our fragment comes first: that of the current session of the stream at
    /// whose socket the message arrived.
    Ours,
    /// That of the session before the last restart, which is still in use.
    Previous,
    /// Something else.
    Foreign,
}

/// ERROR-CODE.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct RecordedError {
    /// 300 to 699.
    pub code: u16,
    /// The reason phrase; its first 128 characters. It is the sender's text.
    pub reason: Box<str>,
}

/// The numbers of our transactions.
#[derive(Debug, Default)]
pub(in crate::agent) struct Numbers {
    by_id: BTreeMap<TransactionId, u64>,
    /// Those that are remembered, the oldest first.
    ids: VecDeque<TransactionId>,
    forgotten: u64,
}

impl Numbers {
    /// A request of ours with this id was sent, for the first time or again.
    pub(super) fn sent(&mut self, id: TransactionId) -> RecordedTransaction {
        let next = self.forgotten + self.ids.len() as u64;
        let number = *self.by_id.entry(id).or_insert(next);
        if number == next {
            self.ids.push_back(id);
        }
        if self.ids.len() > MAX_NUMBERED
            && let Some(oldest) = self.ids.pop_front()
        {
            self.by_id.remove(&oldest);
            self.forgotten += 1;
        }
        RecordedTransaction::Ours(number)
    }

    /// The transaction as a log keeps it.
    pub(super) fn of(&self, id: TransactionId) -> RecordedTransaction {
        let number = self.by_id.get(&id).copied();
        number.map_or(RecordedTransaction::Theirs(id), RecordedTransaction::Ours)
    }

    /// The id that the transaction has with us.
    fn id(&self, transaction: RecordedTransaction) -> TransactionId {
        match transaction {
            RecordedTransaction::Theirs(id) => id,
            RecordedTransaction::Ours(number) => {
                let at = number.checked_sub(self.forgotten).and_then(|at| usize::try_from(at).ok());
                let id = at.and_then(|at| self.ids.get(at));
                // A log that was tampered with: nobody's id.
                id.copied().unwrap_or(TransactionId([0xff; 12]))
            }
        }
    }
}

fn session_of(stream: &Stream, username: RecordedUsername) -> Option<&Session> {
    match username {
        RecordedUsername::Ours => Some(&stream.current),
        RecordedUsername::Previous => stream.previous.as_deref(),
        RecordedUsername::Foreign => None,
    }
}

/// Which session of the stream a fragment names.
pub(super) fn recorded_fragment(stream: Option<&Stream>, fragment: &str) -> RecordedUsername {
    let names = |session: &Session| *session.local.ufrag == *fragment;
    match stream {
        Some(stream) if names(&stream.current) => RecordedUsername::Ours,
        Some(stream) if stream.previous.as_deref().is_some_and(names) => RecordedUsername::Previous,
        _ => RecordedUsername::Foreign,
    }
}

impl Core {
    /// The message as a log keeps it; `None` where the bytes are none.
    pub(super) fn recorded_message(&self, base: BaseId, bytes: &[u8]) -> Option<RecordedMessage> {
        let message = Message::parse(bytes).ok()?;
        let id = message.transaction_id();
        let username = message.username().map(|name| self.recorded_username(base, name));
        let relay = RecordedRelay::of(&message);
        let of_server = relay.as_ref().and_then(|_| self.asked_by(base, id));
        let key = self.recorded_key(base, message.class(), id, username);
        let integrity = match (of_server, key) {
            (Some(asking), _) => asking.integrity(&message),
            (None, Some(key)) => message.verify(key),
            _ if message.integrity_algorithm().is_some() => Integrity::Wrong,
            _ => Integrity::Missing,
        };
        let reason = |text: &str| text.chars().take(MAX_REASON).collect::<String>().into();
        Some(RecordedMessage {
            class: message.class(),
            method: message.method().0,
            transaction: self.log.numbers(|numbers| numbers.of(id))?,
            fingerprint: message.fingerprint(),
            integrity,
            username,
            priority: message.priority(),
            controlling: message.ice_controlling(),
            controlled: message.ice_controlled(),
            use_candidate: message.use_candidate(),
            nomination: message.nomination(),
            xor_mapped_address: message.xor_mapped_address(),
            mapped_address: message.mapped_address(),
            error: message
                .error()
                .map(|e| RecordedError { code: e.code, reason: reason(e.reason) }),
            unknown: message.unknown_required().to_vec(),
            relay,
        })
    }

    /// The request of ours to a TURN server that a message answers.
    fn asked_by(&self, base: BaseId, id: TransactionId) -> Option<&Asking> {
        let over = self.relays.all.iter().filter(|relay| relay.leg == base);
        let data = self.relays.all.iter().flat_map(|relay| &relay.data);
        let mut data = data.filter(|data| data.leg == base);
        let of_client = over.filter_map(|relay| relay.client.asking(id)).next();
        of_client.or_else(|| data.find_map(|data| data.connection.asking(id)))
    }

    /// The stream at whose socket something arrived.
    fn stream_at(&self, base: BaseId) -> Option<&Stream> {
        self.stream(self.base(base)?.stream)
    }

    /// The session of the stream that a username names.
    fn named(&self, base: BaseId, username: RecordedUsername) -> Option<&Session> {
        session_of(self.stream_at(base)?, username)
    }

    /// The fragment of ours that a recorded one stands for, or nobody's.
    pub(in crate::agent) fn rebuilt_fragment(
        &self,
        stream: StreamId,
        fragment: RecordedUsername,
    ) -> Box<str> {
        let session = self.stream(stream).and_then(|stream| session_of(stream, fragment));
        session.map_or("?".into(), |session| session.local.ufrag.clone())
    }

    /// The key under which a message is to be verified: a response under that
    /// of the session whose check it answers, anything else under that of the
    /// session that it names.
    fn recorded_key(
        &self,
        base: BaseId,
        class: Class,
        id: TransactionId,
        username: Option<RecordedUsername>,
    ) -> Option<&IntegrityKey> {
        let stream = self.stream_at(base)?;
        match class {
            Class::Request | Class::Indication => {
                let named = username.and_then(|username| self.named(base, username));
                Some(&named.unwrap_or(&stream.current).local_key)
            }
            Class::Success | Class::Error => {
                let list = self.checks.pair_of(&id).map(|pair| self.checks.pair(pair).stream);
                let session = list.and_then(|list| stream.session(list));
                Some(&session.unwrap_or(&stream.current).remote.as_ref()?.key)
            }
        }
    }

    fn recorded_username(&self, base: BaseId, username: &str) -> RecordedUsername {
        match username.split_once(':') {
            Some((first, _)) => recorded_fragment(self.stream_at(base), first),
            None => RecordedUsername::Foreign,
        }
    }

    /// Writes a message that does to this core what the recorded one did to
    /// the recorded core: under the keys and the fragments of this one.
    pub(in crate::agent) fn rebuild(
        &self,
        base: BaseId,
        recorded: &RecordedMessage,
        out: &mut Vec<u8>,
    ) {
        let username = recorded.username.map(|username| match self.named(base, username) {
            Some(session) => [&*session.local.ufrag, ":peer"].concat(),
            None => "?".to_owned(),
        });
        let id = self.log.numbers(|numbers| numbers.id(recorded.transaction));
        let id = id.unwrap_or(TransactionId([0; 12]));
        let values = recorded.relay.as_ref().map(|relay| relay.values()).unwrap_or_default();
        let more = recorded.relay.as_ref().map(|relay| relay.parts(&values)).unwrap_or_default();
        let algorithm = match recorded.relay.as_ref().is_some_and(|relay| relay.sha256) {
            true => Algorithm::Sha256,
            false => Algorithm::Sha1,
        };
        let nobodys = IntegrityKey::from_bytes(b"not a key of anybody");
        let key = match recorded.integrity {
            Integrity::Missing => None,
            Integrity::Valid => {
                let asking = recorded.relay.as_ref().and_then(|_| self.asked_by(base, id));
                let key = match asking {
                    Some(asking) => asking.key(),
                    None => self.recorded_key(base, recorded.class, id, recorded.username),
                };
                Some(key.unwrap_or(&nobodys))
            }
            Integrity::Wrong => Some(&nobodys),
        };
        let parts = MessageParts {
            class: recorded.class,
            method: Method(recorded.method),
            id,
            username: username.as_deref(),
            priority: recorded.priority,
            controlling: recorded.controlling,
            controlled: recorded.controlled,
            use_candidate: recorded.use_candidate,
            nomination: recorded.nomination,
            xor_mapped_address: recorded.xor_mapped_address,
            mapped_address: recorded.mapped_address,
            error: recorded.error.as_ref().map(|error| (error.code, &*error.reason)),
            unknown: &recorded.unknown,
        };
        let key = key.map(|key| (key, algorithm));
        parts.write_with(&more, key, recorded.fingerprint, out);
    }
}
