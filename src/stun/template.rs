//! The two messages that ICE sends all the time: a connectivity check from
//! its template, and the success response.

use std::net::SocketAddr;

use super::write::{attribute, fingerprint, header, integrity, integrity_with, xor_mapped_address};
use super::{
    ATTRIBUTE_HEADER_LEN, Algorithm, AttributeType, Class, HEADER_LEN, IntegrityKey, Method,
    TransactionId, padded,
};

/// Longest USERNAME in bytes: "fewer than 509" (RFC 8489 §14.3).
const USERNAME_MAX: usize = 508;

/// What a [`CheckTemplate`] is made from.
#[derive(Clone, Copy, Debug)]
pub struct CheckParameters<'a> {
    /// USERNAME: the peer's fragment, a colon, our fragment (RFC 8445 §7.2.2).
    pub username: &'a str,
    /// The key from the peer's password.
    pub key: &'a IntegrityKey,
    /// Our role: ICE-CONTROLLING or ICE-CONTROLLED.
    pub controlling: bool,
    /// Our tie-breaker.
    pub tie_breaker: u64,
    /// PRIORITY: that of the peer-reflexive candidate that the check may
    /// reveal (RFC 8445 §7.1.1).
    pub priority: u32,
}

/// What the Binding requests of one base and stream have in common. Make it
/// anew after a role switch and after a restart.
#[derive(Clone, Debug)]
pub struct CheckTemplate {
    /// Header and the attributes that stay; the length field is a placeholder.
    fixed: Box<[u8]>,
}

impl CheckTemplate {
    /// Writes down what stays.
    ///
    /// # Panics
    /// If the username has 509 bytes or more (RFC 8489 §14.3). A fragment that
    /// is sent has 32 characters at most, one that is received 256 (RFC 8839
    /// §5.4).
    pub fn new(parameters: &CheckParameters<'_>) -> Self {
        assert!(parameters.username.len() <= USERNAME_MAX, "the username is too long");
        let username = padded(parameters.username.len());
        let mut fixed =
            Vec::with_capacity(HEADER_LEN + 3 * ATTRIBUTE_HEADER_LEN + username + 8 + 4);
        header(Class::Request, Method::BINDING, TransactionId([0; 12]), &mut fixed);
        attribute(AttributeType::USERNAME, parameters.username.as_bytes(), &mut fixed);
        let role = if parameters.controlling {
            AttributeType::ICE_CONTROLLING
        } else {
            AttributeType::ICE_CONTROLLED
        };
        attribute(role, &parameters.tie_breaker.to_be_bytes(), &mut fixed);
        attribute(AttributeType::PRIORITY, &parameters.priority.to_be_bytes(), &mut fixed);
        Self { fixed: fixed.into() }
    }

    /// Writes one check into `out`, which is cleared first, with integrity
    /// under `key` and FINGERPRINT.
    pub fn write(
        &self,
        id: TransactionId,
        use_candidate: bool,
        nomination: Option<u32>,
        key: &IntegrityKey,
        out: &mut Vec<u8>,
    ) {
        out.clear();
        out.extend_from_slice(&self.fixed);
        out[8..20].copy_from_slice(&id.0);
        if use_candidate {
            attribute(AttributeType::USE_CANDIDATE, &[], out);
        }
        if let Some(counter) = nomination {
            attribute(AttributeType::NOMINATION, &counter.to_be_bytes(), out);
        }
        integrity(key, out);
        fingerprint(out);
    }
}

/// Writes the success response to a Binding request: XOR-MAPPED-ADDRESS,
/// integrity, FINGERPRINT. `out` is cleared first.
pub fn write_success(id: TransactionId, mapped: SocketAddr, key: &IntegrityKey, out: &mut Vec<u8>) {
    write_success_with(id, mapped, key, Algorithm::Sha1, out);
}

/// [`write_success`] with the integrity attribute that the request had: a
/// response has to have the same one (RFC 8489 §9.1.3).
pub fn write_success_with(
    id: TransactionId,
    mapped: SocketAddr,
    key: &IntegrityKey,
    algorithm: Algorithm,
    out: &mut Vec<u8>,
) {
    header(Class::Success, Method::BINDING, id, out);
    xor_mapped_address(mapped, &id, out);
    integrity_with(key, algorithm, out);
    fingerprint(out);
}
