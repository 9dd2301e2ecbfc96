//! STUN (RFC 8489) as an ICE agent needs it: a checked zero-copy view for
//! what arrives, and writers for what leaves.
//!
//! [`Message::parse`] checks a datagram once; after that no accessor fails,
//! panics or allocates. [`CheckTemplate`] holds what stays the same in the
//! connectivity checks of one base, so that a check costs a copy, one HMAC
//! and one CRC. An [`IntegrityKey`] is derived once and kept.

mod address;
pub mod attribute;
mod builder;
mod demux;
mod fingerprint;
mod hmac_sha1;
mod integrity;
mod message;
mod parts;
mod relay;
mod retransmission;
mod template;
mod write;

#[cfg(test)]
mod tests;

pub use attribute::{AttributeType, ErrorCode, UnknownAttributes};
pub use builder::Builder;
pub use demux::{is_stun_with_fingerprint, looks_like_stun};
pub use fingerprint::Fingerprint;
pub(crate) use integrity::prepared;
pub use integrity::{Algorithm, Integrity, IntegrityKey, PasswordAlgorithm, userhash};
pub use message::{Message, ParseError};
pub use parts::{MessageParts, Part};
pub use retransmission::Retransmission;
pub use template::{CheckParameters, CheckTemplate, write_success, write_success_with};
pub use write::{
    write_binding_request, write_error, write_error_with, write_indication, write_mapped_address,
    write_send_indication,
};

use std::fmt;

/// The magic cookie (RFC 8489 §5): bytes 4 to 7 of every message.
pub const MAGIC_COOKIE: u32 = 0x2112_A442;

/// Bytes of the message header (RFC 8489 §5).
pub const HEADER_LEN: usize = 20;

/// Bytes of an attribute's type and length (RFC 8489 §14).
const ATTRIBUTE_HEADER_LEN: usize = 4;

/// The 96-bit transaction id (RFC 8489 §5).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TransactionId(pub [u8; 12]);

impl fmt::Debug for TransactionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The class of a message (RFC 8489 §5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "kebab-case")
)]
pub enum Class {
    /// Wants a response.
    Request,
    /// Wants none.
    Indication,
    /// The request was carried out.
    Success,
    /// The request was refused; the message has an ERROR-CODE.
    Error,
}

/// The method of a message: 12 bits (RFC 8489 §5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Method(pub u16);

impl Method {
    /// Binding (RFC 8489 §18.2).
    pub const BINDING: Method = Method(0x001);
    /// Allocate (RFC 8656 §17).
    pub const ALLOCATE: Method = Method(0x003);
    /// Refresh (RFC 8656 §17).
    pub const REFRESH: Method = Method(0x004);
    /// Send (RFC 8656 §17).
    pub const SEND: Method = Method(0x006);
    /// Data (RFC 8656 §17).
    pub const DATA: Method = Method(0x007);
    /// CreatePermission (RFC 8656 §17).
    pub const CREATE_PERMISSION: Method = Method(0x008);
    /// ChannelBind (RFC 8656 §17).
    pub const CHANNEL_BIND: Method = Method(0x009);
    /// Connect (RFC 6062 §6.1).
    pub const CONNECT: Method = Method(0x00a);
    /// ConnectionBind (RFC 6062 §6.1).
    pub const CONNECTION_BIND: Method = Method(0x00b);
    /// ConnectionAttempt (RFC 6062 §6.1).
    pub const CONNECTION_ATTEMPT: Method = Method(0x00c);
}

/// The 14 bits of the message type: the class bits C1 and C0 stand between
/// the method's bits (RFC 8489 §5, figure 3).
const fn message_type(method: Method, class: Class) -> u16 {
    let m = method.0;
    let spread = (m & 0x000f) | (m & 0x0070) << 1 | (m & 0x0f80) << 2;
    spread
        | match class {
            Class::Request => 0x0000,
            Class::Indication => 0x0010,
            Class::Success => 0x0100,
            Class::Error => 0x0110,
        }
}

/// The reverse of [`message_type`]; the top two bits are the caller's to check.
const fn split_type(kind: u16) -> (Method, Class) {
    let method = (kind & 0x000f) | (kind & 0x00e0) >> 1 | (kind & 0x3e00) >> 2;
    let class = match kind & 0x0110 {
        0x0000 => Class::Request,
        0x0010 => Class::Indication,
        0x0100 => Class::Success,
        _ => Class::Error,
    };
    (Method(method), class)
}

/// `len` rounded up to the 32-bit boundary at which the next attribute starts.
const fn padded(len: usize) -> usize {
    len.next_multiple_of(4)
}
