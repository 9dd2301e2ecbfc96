//! A message put together attribute by attribute, for methods that have no
//! writer of their own.

use std::net::SocketAddr;

use super::write::{attribute, error_code, fingerprint, header, integrity_with, set_length};
use super::{Algorithm, AttributeType, Class, IntegrityKey, Method, TransactionId, address};

/// Writes one message: attributes in the order of the calls, then
/// [`finish`](Composer::finish).
///
/// ```
/// use floe::stun::{AttributeType, Class, Composer, Message, Method, TransactionId};
///
/// let mut out = Vec::new();
/// let id = TransactionId([1; 12]);
/// let mut request = Composer::new(Class::Request, Method::REFRESH, id, &mut out);
/// request.number(AttributeType::LIFETIME, 0);
/// request.finish(None, true);
/// assert_eq!(Message::parse(&out)?.lifetime(), Some(std::time::Duration::ZERO));
/// # Ok::<(), floe::stun::ParseError>(())
/// ```
#[derive(Debug)]
pub struct Composer<'a> {
    out: &'a mut Vec<u8>,
    id: TransactionId,
}

impl<'a> Composer<'a> {
    /// Starts a message in `out`, which is cleared first.
    pub fn new(class: Class, method: Method, id: TransactionId, out: &'a mut Vec<u8>) -> Self {
        header(class, Method(method.0 & 0x0fff), id, out);
        Composer { out, id }
    }

    /// Appends an attribute as it is.
    ///
    /// # Panics
    /// If the value has more than 65,535 bytes.
    pub fn attribute(&mut self, kind: AttributeType, value: &[u8]) -> &mut Self {
        attribute(kind, value, self.out);
        self
    }

    /// Appends an attribute of 32 bits.
    pub fn number(&mut self, kind: AttributeType, value: u32) -> &mut Self {
        self.attribute(kind, &value.to_be_bytes())
    }

    /// Appends an address in the form of XOR-MAPPED-ADDRESS.
    pub fn xor_address(&mut self, kind: AttributeType, at: SocketAddr) -> &mut Self {
        let mut value = [0; address::MAX_LEN];
        let len = address::write_xored(at, &self.id, &mut value);
        self.attribute(kind, value.get(..len).unwrap_or_default())
    }

    /// Appends ERROR-CODE; `code` is held to 300..=699.
    ///
    /// # Panics
    /// If the reason has more than 65,531 bytes.
    pub fn error(&mut self, code: u16, reason: &str) -> &mut Self {
        error_code(code, reason, self.out);
        self
    }

    /// Ends the message: with integrity if there is a key, and with
    /// FINGERPRINT if it is wanted.
    ///
    /// # Panics
    /// If the message has more than 65,535 bytes behind its header.
    pub fn finish(self, key: Option<(&IntegrityKey, Algorithm)>, with_fingerprint: bool) {
        match key {
            Some((key, algorithm)) => integrity_with(key, algorithm, self.out),
            None => set_length(self.out, 0),
        }
        if with_fingerprint {
            fingerprint(self.out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stun::{Fingerprint, Integrity, Message};

    #[test]
    fn what_is_composed_is_read() {
        let key = IntegrityKey::from_bytes(b"key");
        let peer = "[2001:db8::1]:9".parse().unwrap();
        for algorithm in [Algorithm::Sha1, Algorithm::Sha256] {
            let mut out = vec![1, 2, 3];
            let id = TransactionId([7; 12]);
            let mut composer = Composer::new(Class::Error, Method::CHANNEL_BIND, id, &mut out);
            composer
                .error(486, "Allocation Quota Reached")
                .xor_address(AttributeType::XOR_PEER_ADDRESS, peer)
                .number(AttributeType::CHANNEL_NUMBER, 0x4001 << 16);
            composer.finish(Some((&key, algorithm)), true);
            let message = Message::parse(&out).unwrap();
            assert_eq!((message.class(), message.method()), (Class::Error, Method::CHANNEL_BIND));
            assert_eq!(message.transaction_id(), id);
            assert_eq!(message.error().map(|error| error.code), Some(486));
            assert!(message.xor_peer_addresses().eq([peer]));
            assert_eq!(message.channel_number(), Some(0x4001));
            assert_eq!(message.integrity_algorithm(), Some(algorithm));
            assert_eq!(message.verify(&key), Integrity::Valid);
            assert_eq!(message.fingerprint(), Fingerprint::Valid);
        }
    }
}
