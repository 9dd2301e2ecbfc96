//! What a response is worth (RFC 8489 §6.3.3, §6.3.4, §9.2.5).

use crate::stun::{Class, ErrorCode, Fingerprint, Integrity, Message, Method};
use crate::turn::challenge;
use crate::turn::login::Session;

/// What is to be made of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict<'a> {
    /// The server did what it was asked.
    Success,
    /// It refused.
    Refused(ErrorCode<'a>),
    /// It asks for credentials (401).
    Unauthenticated,
    /// It wants a newer nonce (438).
    Stale,
    /// As if it had not come; it had this code. On a stream, where nothing else
    /// will come, `Broken`.
    Discard(Option<u16>),
    /// It is not signed as it has to be, and ends the transaction.
    Broken(Option<u16>),
    /// It ends the transaction and says nothing: the end of a sentence.
    Useless(&'static str),
}

/// Whether `message` may answer a request with this method.
pub(super) fn is_response(message: &Message<'_>, method: Method) -> bool {
    matches!(message.class(), Class::Success | Class::Error)
        && message.method() == method
        && message.fingerprint() != Fingerprint::Wrong
}

/// What `message` is worth as the answer to a request that was signed with
/// `session`.
pub(super) fn judge<'a>(
    message: &Message<'a>,
    session: Option<&Session>,
    reliable: bool,
) -> Verdict<'a> {
    let error = message.error().filter(|_| message.class() == Class::Error);
    let code = error.map(|error| error.code);
    let integrity = session.map(|session| session.verify(message));
    match code {
        Some(401) => return Verdict::Unauthenticated,
        // It cannot be signed by a server that keeps no keys, and then brings
        // no more than a new nonce.
        Some(438) if integrity != Some(Integrity::Wrong) => return Verdict::Stale,
        _ => {}
    }
    if challenge::lacks_algorithms(message) {
        return Verdict::Discard(code);
    }
    match integrity {
        None | Some(Integrity::Valid) => {}
        // Never reaches anybody, on a stream either.
        Some(Integrity::Missing) if code == Some(400) => return Verdict::Discard(code),
        Some(Integrity::Missing | Integrity::Wrong) if reliable => return Verdict::Broken(code),
        Some(Integrity::Missing | Integrity::Wrong) => return Verdict::Discard(code),
    }
    if message.has_unknown_required() {
        return Verdict::Useless("demands an attribute that is unknown here");
    }
    match (message.class(), error) {
        (Class::Error, Some(error)) => Verdict::Refused(error),
        (Class::Error, None) => Verdict::Useless("is an error without a code"),
        (Class::Success | Class::Request | Class::Indication, _) => Verdict::Success,
    }
}
