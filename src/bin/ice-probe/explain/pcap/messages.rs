//! STUN messages, from what a log says of them.

use std::net::SocketAddr;

use floe::agent::{
    RecordedMessage, RecordedRelay, RecordedTransaction, RecordedUsername, SentMessage,
};
use floe::check::Role;
use floe::stun::{
    AttributeType, Class, Fingerprint, Integrity, MessageParts, Method, Part, TransactionId,
};

use crate::explain::escape::clean;

/// A message, and what it was.
pub(super) struct Rebuilt {
    pub(super) bytes: Vec<u8>,
    pub(super) comment: String,
}

/// A message that was sent to `to`; `ufrag` is the peer's fragment.
pub(super) fn sent(
    message: &SentMessage,
    transaction: RecordedTransaction,
    to: SocketAddr,
    ufrag: &str,
) -> Rebuilt {
    let mut parts = blank(Class::Request, Method::BINDING, id(transaction));
    let username = format!("{ufrag}:?");
    let mut print = Fingerprint::Valid;
    let mut comment = "check".to_owned();
    match message {
        SentMessage::Check { role, tie_breaker, priority, use_candidate, nomination } => {
            parts.username = Some(&username);
            parts.priority = Some(*priority);
            parts.use_candidate = *use_candidate;
            parts.nomination = *nomination;
            match role {
                Role::Controlling => parts.controlling = Some(*tie_breaker),
                Role::Controlled => parts.controlled = Some(*tie_breaker),
            }
            if *use_candidate {
                comment.push_str(" that nominates");
            }
        }
        SentMessage::Success => {
            parts.class = Class::Success;
            parts.xor_mapped_address = Some(to);
            comment = "answer to the peer's check".into();
        }
        SentMessage::Error { code, unknown } => {
            parts.class = Class::Error;
            parts.error = Some((*code, ""));
            comment = format!("error {code} as answer to the peer's check");
            let mut bytes = Vec::new();
            let unknown: Vec<u8> = unknown.iter().flat_map(|kind| kind.to_be_bytes()).collect();
            /// UNKNOWN-ATTRIBUTES (RFC 8489 §14.9).
            const UNKNOWN: AttributeType = AttributeType(0x000a);
            let more = [Part::Value(UNKNOWN, &unknown)];
            let more = if unknown.is_empty() { &[][..] } else { &more[..] };
            parts.write_with(more, None, print, &mut bytes);
            return Rebuilt { bytes, comment };
        }
        SentMessage::ServerRequest => {
            print = Fingerprint::Absent;
            comment = "asks a STUN server".into();
        }
        SentMessage::RelayRequest { method } => {
            print = Fingerprint::Absent;
            parts.method = Method(*method);
            comment = format!("{} request to a TURN server", name(*method));
        }
        _ => comment = "a message of a newer kind".into(),
    }
    let mut bytes = Vec::new();
    parts.write(None, print, &mut bytes);
    Rebuilt { bytes, comment }
}

/// A message that was received.
pub(super) fn received(message: &RecordedMessage, ufrag: &str) -> Rebuilt {
    let username = message.username.map(|username| match username {
        RecordedUsername::Foreign => "?:?".to_owned(),
        _ => format!("?:{ufrag}"),
    });
    let mut parts = blank(message.class, Method(message.method), id(message.transaction));
    parts.username = username.as_deref();
    parts.priority = message.priority;
    parts.controlling = message.controlling;
    parts.controlled = message.controlled;
    parts.use_candidate = message.use_candidate;
    parts.nomination = message.nomination;
    parts.xor_mapped_address = message.xor_mapped_address;
    parts.mapped_address = message.mapped_address;
    parts.error = message.error.as_ref().map(|error| (error.code, &*error.reason));
    parts.unknown = &message.unknown;
    let values = message.relay.as_ref().map(|relay| values(relay)).unwrap_or_default();
    let more: Vec<Part<'_>> = message.relay.as_ref().map_or(Vec::new(), |relay| {
        let values = values.iter().map(|(kind, value)| Part::Value(AttributeType(*kind), value));
        let addresses = relay.addresses.iter();
        values.chain(addresses.map(|(kind, a)| Part::Xored(AttributeType(*kind), *a))).collect()
    });
    let mut bytes = Vec::new();
    parts.write_with(&more, None, message.fingerprint, &mut bytes);
    Rebuilt { bytes, comment: what_was(message) }
}

fn what_was(message: &RecordedMessage) -> String {
    let is_check = message.method == Method::BINDING.0 && message.priority.is_some();
    let mut comment = match (message.class, &message.error) {
        (Class::Request, _) if is_check && message.use_candidate => {
            "the peer's check, which nominates".to_owned()
        }
        (Class::Request, _) if is_check => "the peer's check".into(),
        (Class::Request, _) => format!("{} request", name(message.method)),
        (Class::Indication, _) => format!("{} indication", name(message.method)),
        (Class::Success, _) => format!("answer, {}", name(message.method)),
        (Class::Error, Some(error)) => {
            format!("{} refused: {} {}", name(message.method), error.code, clean(&error.reason))
        }
        (Class::Error, None) => format!("{} refused", name(message.method)),
    };
    comment.push_str(match message.integrity {
        Integrity::Valid => "; its integrity was right",
        Integrity::Missing => "",
        Integrity::Wrong => "; its integrity was wrong, so it was not used",
    });
    comment
}

fn blank<'a>(class: Class, method: Method, id: TransactionId) -> MessageParts<'a> {
    MessageParts {
        class,
        method,
        id,
        username: None,
        priority: None,
        controlling: None,
        controlled: None,
        use_candidate: false,
        nomination: None,
        xor_mapped_address: None,
        mapped_address: None,
        error: None,
        unknown: &[],
    }
}

/// Ours are told by their number.
fn id(transaction: RecordedTransaction) -> TransactionId {
    match transaction {
        RecordedTransaction::Theirs(id) => id,
        RecordedTransaction::Ours(number) => {
            let mut id = *b"floe\0\0\0\0\0\0\0\0";
            id[4..].copy_from_slice(&number.to_be_bytes());
            TransactionId(id)
        }
    }
}

fn name(method: u16) -> String {
    let name = match Method(method) {
        Method::BINDING => "Binding",
        Method::ALLOCATE => "Allocate",
        Method::REFRESH => "Refresh",
        Method::SEND => "Send",
        Method::DATA => "Data",
        Method::CREATE_PERMISSION => "CreatePermission",
        Method::CHANNEL_BIND => "ChannelBind",
        Method::CONNECT => "Connect",
        Method::CONNECTION_BIND => "ConnectionBind",
        Method::CONNECTION_ATTEMPT => "ConnectionAttempt",
        Method(other) => return format!("method {other:#05x}"),
    };
    name.into()
}

/// Attributes of a relay as bytes; of what may have been tampered with.
fn values(relay: &RecordedRelay) -> Vec<(u16, Vec<u8>)> {
    let bytes = |hex: &str| {
        let digits: Vec<u8> =
            hex.chars().map_while(|c| c.to_digit(16)).map(|digit| digit as u8).collect();
        digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect()
    };
    relay.values.iter().map(|(kind, hex)| (*kind, bytes(hex))).collect()
}
