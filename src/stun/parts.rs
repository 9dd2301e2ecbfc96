//! A message from its parts, such as an event log keeps: whatever the checked
//! view shows can be written again.

use std::net::SocketAddr;

use super::write::{
    attribute, error_code, fingerprint, header, integrity_with, xor_mapped_address,
};
use super::{
    Algorithm, AttributeType, Class, Fingerprint, IntegrityKey, Method, TransactionId, address,
    attribute as attributes,
};

/// The parts of a message that ICE reads. What is absent is not written.
#[derive(Clone, Copy, Debug)]
pub struct MessageParts<'a> {
    /// The class.
    pub class: Class,
    /// The method; its lowest 12 bits.
    pub method: Method,
    /// The transaction.
    pub id: TransactionId,
    /// USERNAME; at most 763 bytes of it.
    pub username: Option<&'a str>,
    /// PRIORITY.
    pub priority: Option<u32>,
    /// ICE-CONTROLLING.
    pub controlling: Option<u64>,
    /// ICE-CONTROLLED.
    pub controlled: Option<u64>,
    /// USE-CANDIDATE.
    pub use_candidate: bool,
    /// NOMINATION.
    pub nomination: Option<u32>,
    /// XOR-MAPPED-ADDRESS.
    pub xor_mapped_address: Option<SocketAddr>,
    /// MAPPED-ADDRESS.
    pub mapped_address: Option<SocketAddr>,
    /// ERROR-CODE: the code, held to 300..=699, and at most 763 bytes of the
    /// reason phrase.
    pub error: Option<(u16, &'a str)>,
    /// Attributes that this agent does not know, without a value. Types that
    /// it does know, and optional ones, are left out.
    pub unknown: &'a [u16],
}

/// An attribute beside those of [`MessageParts`].
#[derive(Clone, Copy, Debug)]
pub enum Part<'a> {
    /// One with this value; at most 1,024 bytes of it.
    Value(AttributeType, &'a [u8]),
    /// One whose value is an address that is masked with the transaction's id
    /// (RFC 8489 §14.2).
    Xored(AttributeType, SocketAddr),
}

impl Part<'_> {
    /// Its type.
    pub const fn kind(&self) -> AttributeType {
        match self {
            Part::Value(kind, _) | Part::Xored(kind, _) => *kind,
        }
    }

    fn write(&self, id: &TransactionId, out: &mut Vec<u8>) {
        match *self {
            Part::Value(kind, value) => {
                attribute(kind, value.get(..MAX_VALUE).unwrap_or(value), out);
            }
            Part::Xored(kind, addr) => {
                let mut value = [0; address::MAX_LEN];
                let len = address::write_xored(addr, id, &mut value);
                attribute(kind, value.get(..len).unwrap_or_default(), out);
            }
        }
    }
}

/// More attributes of others are not written, and no more bytes of each.
const MAX_MORE: usize = 40;
const MAX_VALUE: usize = 1_024;

/// The longest text in bytes that the view reads.
const MAX_TEXT: usize = 763;

/// More attributes than the view lists change nothing.
const MAX_UNKNOWN: usize = 256;

impl MessageParts<'_> {
    /// Writes the message into `out`, which is cleared first: with integrity
    /// under `key` if there is one, and with a fingerprint that is right,
    /// wrong, or not there.
    pub fn write(&self, key: Option<&IntegrityKey>, print: Fingerprint, out: &mut Vec<u8>) {
        self.write_with(&[], key.map(|key| (key, Algorithm::Sha1)), print, out);
    }

    /// [`MessageParts::write`] with more attributes, and with the integrity
    /// attribute of an algorithm.
    pub fn write_with(
        &self,
        more: &[Part<'_>],
        key: Option<(&IntegrityKey, Algorithm)>,
        print: Fingerprint,
        out: &mut Vec<u8>,
    ) {
        header(self.class, Method(self.method.0 & 0x0fff), self.id, out);
        if let Some(username) = self.username {
            attribute(AttributeType::USERNAME, cut(username).as_bytes(), out);
        }
        for kind in self.unknown.iter().copied().map(AttributeType).take(MAX_UNKNOWN) {
            if kind.is_comprehension_required() && attributes::slot(kind).is_none() {
                attribute(kind, &[], out);
            }
        }
        self.write_ice(out);
        self.write_answer(out);
        more.iter().take(MAX_MORE).for_each(|part| part.write(&self.id, out));
        match key {
            Some((key, algorithm)) => integrity_with(key, algorithm, out),
            None => super::write::set_length(out, 0),
        }
        if print != Fingerprint::Absent {
            fingerprint(out);
        }
        if print == Fingerprint::Wrong
            && let Some(last) = out.last_mut()
        {
            *last ^= 1;
        }
    }

    fn write_ice(&self, out: &mut Vec<u8>) {
        let numbers = [
            (AttributeType::PRIORITY, self.priority),
            (AttributeType::NOMINATION, self.nomination),
        ];
        for (kind, number) in numbers {
            if let Some(number) = number {
                attribute(kind, &number.to_be_bytes(), out);
            }
        }
        let roles = [
            (AttributeType::ICE_CONTROLLING, self.controlling),
            (AttributeType::ICE_CONTROLLED, self.controlled),
        ];
        for (kind, tie_breaker) in roles {
            if let Some(tie_breaker) = tie_breaker {
                attribute(kind, &tie_breaker.to_be_bytes(), out);
            }
        }
        if self.use_candidate {
            attribute(AttributeType::USE_CANDIDATE, &[], out);
        }
    }

    fn write_answer(&self, out: &mut Vec<u8>) {
        if let Some(mapped) = self.xor_mapped_address {
            xor_mapped_address(mapped, &self.id, out);
        }
        if let Some(mapped) = self.mapped_address {
            let mut value = [0; address::MAX_LEN];
            let len = address::write_plain(mapped, &mut value);
            attribute(AttributeType::MAPPED_ADDRESS, value.get(..len).unwrap_or_default(), out);
        }
        if let Some((code, reason)) = self.error {
            error_code(code, cut(reason), out);
        }
    }
}

fn cut(text: &str) -> &str {
    text.get(..text.floor_char_boundary(MAX_TEXT)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::stun::{Integrity, Message};

    fn parts() -> impl Strategy<Value = (MessageParts<'static>, Fingerprint, Option<bool>)> {
        let address = || proptest::option::of(any::<SocketAddr>());
        let ice = (
            proptest::option::of(Just("abcd:efgh")),
            any::<Option<u32>>(),
            any::<Option<u64>>(),
            any::<Option<u64>>(),
            any::<bool>(),
            any::<Option<u32>>(),
        );
        let answer = (address(), address(), proptest::option::of((3..7u16, 0..100u16)));
        let seal = (
            prop_oneof![
                Just(Fingerprint::Absent),
                Just(Fingerprint::Valid),
                Just(Fingerprint::Wrong)
            ],
            any::<Option<bool>>(),
        );
        let head = (0..4usize, 0..0x1000u16, any::<[u8; 12]>());
        (head, ice, answer, seal).prop_map(|(head, ice, answer, seal)| {
            let class = [Class::Request, Class::Indication, Class::Success, Class::Error][head.0];
            let (username, priority, controlling, controlled, use_candidate, nomination) = ice;
            let parts = MessageParts {
                class,
                method: Method(head.1),
                id: TransactionId(head.2),
                username,
                priority,
                controlling,
                controlled,
                use_candidate,
                nomination,
                xor_mapped_address: answer.0.map(crate::net::canonical),
                mapped_address: answer.1.map(crate::net::canonical),
                error: answer.2.map(|(class, number)| (class * 100 + number, "reason")),
                unknown: &[0x7000, 0x0006, 0x8007, 0x7001],
            };
            (parts, seal.0, seal.1)
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read((parts, print, signed) in parts()) {
            let (right, wrong) = (IntegrityKey::from_bytes(b"1"), IntegrityKey::from_bytes(b"2"));
            let key = signed.map(|right_key| if right_key { &right } else { &wrong });
            let mut out = Vec::new();
            parts.write(key, print, &mut out);
            let message = Message::parse(&out).expect("it is well-formed");
            prop_assert_eq!((message.class(), message.method()), (parts.class, parts.method));
            prop_assert_eq!(message.transaction_id(), parts.id);
            prop_assert_eq!(message.username(), parts.username);
            prop_assert_eq!(message.priority(), parts.priority);
            prop_assert_eq!(message.ice_controlling(), parts.controlling);
            prop_assert_eq!(message.ice_controlled(), parts.controlled);
            prop_assert_eq!(message.use_candidate(), parts.use_candidate);
            prop_assert_eq!(message.nomination(), parts.nomination);
            prop_assert_eq!(message.xor_mapped_address(), parts.xor_mapped_address);
            prop_assert_eq!(message.mapped_address(), parts.mapped_address);
            prop_assert_eq!(message.error().map(|e| (e.code, e.reason)), parts.error);
            prop_assert_eq!(&*message.unknown_required(), &[0x7000, 0x7001]);
            prop_assert_eq!(message.fingerprint(), print);
            let integrity = match signed {
                None => Integrity::Missing,
                Some(true) => Integrity::Valid,
                Some(false) => Integrity::Wrong,
            };
            prop_assert_eq!(message.verify(&right), integrity);
        }
    }
}
