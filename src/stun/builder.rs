//! Messages attribute by attribute, for all that has no writer of its own.

use std::net::SocketAddr;

use super::write::{attribute, fingerprint, header, integrity_with, set_length};
use super::{
    ATTRIBUTE_HEADER_LEN, Algorithm, AttributeType, Class, HEADER_LEN, IntegrityKey, Method,
    TransactionId, address, padded,
};

/// Room that is kept for the integrity attribute and FINGERPRINT.
const SEAL_LEN: usize = 2 * ATTRIBUTE_HEADER_LEN + 32 + 4;

/// Writes a message, one attribute after the other.
#[derive(Debug)]
pub struct Builder<'a> {
    id: TransactionId,
    out: &'a mut Vec<u8>,
}

impl<'a> Builder<'a> {
    /// The most bytes that the value of one attribute may have when the
    /// message has no other.
    pub const MAX_VALUE: usize = 65_532 - SEAL_LEN - ATTRIBUTE_HEADER_LEN;

    /// Begins a message in `out`, which is cleared first. Of the method the
    /// lowest 12 bits count.
    pub fn new(class: Class, method: Method, id: TransactionId, out: &'a mut Vec<u8>) -> Self {
        header(class, Method(method.0 & 0x0fff), id, out);
        Builder { id, out }
    }

    /// An attribute with this value. One that does not fit into 64 KiB with
    /// the others is left out.
    pub fn attribute(self, kind: AttributeType, value: &[u8]) -> Self {
        let len = self.out.len() - HEADER_LEN + ATTRIBUTE_HEADER_LEN + padded(value.len());
        if len + SEAL_LEN <= 65_532 {
            attribute(kind, value, self.out);
        }
        self
    }

    /// An attribute whose value is a number of 32 bits.
    pub fn number(self, kind: AttributeType, value: u32) -> Self {
        self.attribute(kind, &value.to_be_bytes())
    }

    /// An attribute in the form of XOR-MAPPED-ADDRESS.
    pub fn xored(self, kind: AttributeType, addr: SocketAddr) -> Self {
        let mut value = [0; address::MAX_LEN];
        let len = address::write_xored(addr, &self.id, &mut value);
        self.attribute(kind, value.get(..len).unwrap_or_default())
    }

    /// An attribute in the form of MAPPED-ADDRESS.
    pub fn plain(self, kind: AttributeType, addr: SocketAddr) -> Self {
        let mut value = [0; address::MAX_LEN];
        let len = address::write_plain(addr, &mut value);
        self.attribute(kind, value.get(..len).unwrap_or_default())
    }

    /// ERROR-CODE; the code is held to 300..=699, the reason phrase to 763
    /// bytes.
    pub fn error(self, code: u16, reason: &str) -> Self {
        let code = code.clamp(300, 699);
        let reason = reason.get(..reason.floor_char_boundary(763)).unwrap_or_default();
        let head = [0, 0, (code / 100) as u8, (code % 100) as u8];
        self.attribute(AttributeType::ERROR_CODE, &[&head, reason.as_bytes()].concat())
    }

    /// Ends the message as it is.
    pub fn finish(self) {
        set_length(self.out, 0);
    }

    /// Ends the message with an integrity attribute.
    pub fn sign(self, key: &IntegrityKey, algorithm: Algorithm) {
        integrity_with(key, algorithm, self.out);
    }

    /// Ends the message with an integrity attribute, if there is a key, and
    /// FINGERPRINT.
    pub fn seal(self, key: Option<(&IntegrityKey, Algorithm)>) {
        if let Some((key, algorithm)) = key {
            integrity_with(key, algorithm, self.out);
        }
        fingerprint(self.out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stun::{Fingerprint, Integrity, Message};

    const ID: TransactionId = TransactionId([3; 12]);

    #[test]
    fn what_is_built_reads_back() {
        let (key, mut out) = (IntegrityKey::from_bytes(b"key"), Vec::new());
        let addr: SocketAddr = "[2001:db8::1]:5".parse().unwrap();
        for algorithm in [Algorithm::Sha1, Algorithm::Sha256] {
            Builder::new(Class::Error, Method::ALLOCATE, ID, &mut out)
                .error(486, "Quota")
                .number(AttributeType::LIFETIME, 600)
                .xored(AttributeType::XOR_RELAYED_ADDRESS, addr)
                .plain(AttributeType::ALTERNATE_SERVER, addr)
                .seal(Some((&key, algorithm)));
            let message = Message::parse(&out).unwrap();
            assert_eq!((message.class(), message.method()), (Class::Error, Method::ALLOCATE));
            assert_eq!(message.transaction_id(), ID);
            assert_eq!(message.error().map(|e| (e.code, e.reason)), Some((486, "Quota")));
            assert_eq!(message.lifetime().map(|l| l.as_secs()), Some(600));
            assert_eq!(message.xor_relayed_address(), Some(addr));
            assert_eq!(message.alternate_server(), Some(addr));
            assert_eq!(message.integrity_algorithm(), Some(algorithm));
            assert_eq!(message.verify(&key), Integrity::Valid);
            assert_eq!(message.fingerprint(), Fingerprint::Valid);
        }
    }

    #[test]
    fn what_does_not_fit_is_left_out() {
        let (key, mut out) = (IntegrityKey::from_bytes(b"key"), Vec::new());
        let longest = vec![1; Builder::MAX_VALUE];
        for (value, len) in [(&longest[..], Some(longest.len())), (&vec![1; 65_531][..], None)] {
            Builder::new(Class::Indication, Method::SEND, ID, &mut out)
                .attribute(AttributeType::DATA, value)
                .seal(Some((&key, Algorithm::Sha256)));
            let message = Message::parse(&out).unwrap();
            assert_eq!(message.data().map(<[u8]>::len), len);
            assert_eq!(message.verify(&key), Integrity::Valid);
        }
    }
}
