//! What a STUN server's answer says (RFC 8489 §6.3.3, §6.3.4).

use std::net::{IpAddr, SocketAddr};

use crate::gather::NOT_REACHED;
use crate::net::{self, Family};
use crate::stun::{Class, Fingerprint, Message, Method, UnknownAttributes};

/// RESPONSE-ADDRESS to CHANGED-ADDRESS and REFLECTED-FROM: servers of RFC 3489
/// send them, and their numbers would demand that we know them.
const OF_RFC_3489: [u16; 5] = [0x0002, 0x0003, 0x0004, 0x0005, 0x000b];

/// Longest part of a server's reason that is passed on, in characters.
const MAX_REASON: usize = 128;

/// An answer without a usable address.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) code: u16,
    pub(super) text: String,
}

/// Whether the message may be the answer to a Binding request at all.
pub(super) fn is_binding_response(message: &Message<'_>) -> bool {
    matches!(message.class(), Class::Success | Class::Error)
        && message.method() == Method::BINDING
        && message.fingerprint() != Fingerprint::Wrong
}

/// The mapped address in the answer to a request that `local` sent.
pub(super) fn mapped_address(
    message: &Message<'_>,
    local: SocketAddr,
) -> Result<SocketAddr, Refusal> {
    let useless = |text: &str| Refusal { code: NOT_REACHED, text: text.into() };
    let unknown = message.unknown_required();
    let is_tolerable = |kind| OF_RFC_3489.contains(kind);
    if unknown.len() == UnknownAttributes::MAX || !unknown.iter().all(is_tolerable) {
        return Err(useless("the answer demands an attribute that is unknown here"));
    }
    if message.class() == Class::Error {
        return Err(match message.error() {
            Some(error) => Refusal { code: error.code, text: refusal(error.code, error.reason) },
            None => useless("the answer is an error without a code"),
        });
    }
    // Servers of RFC 3489 know only MAPPED-ADDRESS (RFC 5389 §12.1).
    match message.xor_mapped_address().or_else(|| message.mapped_address()) {
        None => Err(useless("the answer has no mapped address")),
        Some(mapped) if !is_usable(mapped, local) => {
            Err(useless("the mapped address in the answer cannot be ours"))
        }
        Some(mapped) => Ok(net::canonical(mapped)),
    }
}

fn refusal(code: u16, reason: &str) -> String {
    let shown = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    let reason: String = reason.chars().take(MAX_REASON).map(shown).collect();
    match reason.as_str() {
        "" => format!("the server refused with code {code}"),
        reason => format!("the server refused with code {code}: {reason}"),
    }
}

/// A peer could not be told an address of the other family: the pairs of the
/// candidate are checked from its base, which cannot send to that family.
fn is_usable(mapped: SocketAddr, local: SocketAddr) -> bool {
    let ip = mapped.ip();
    let is_broadcast = matches!(ip, IpAddr::V4(v4) if v4.is_broadcast());
    mapped.port() != 0
        && !(ip.is_unspecified() || ip.is_multicast() || is_broadcast)
        && (!ip.is_loopback() || local.ip().is_loopback())
        && Family::of(ip) == Family::of(local.ip())
}
