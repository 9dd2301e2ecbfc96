//! Tests of the STUN layer.

mod demux;
mod hmac;
mod malformed;
mod read;
mod relay;
mod retransmission;
mod vectors;
mod write;

use super::write::{attribute, fingerprint, header, integrity, integrity_with};
use super::*;

/// A Binding request put together attribute by attribute.
struct Builder(Vec<u8>);

impl Builder {
    fn request() -> Self {
        let mut out = Vec::new();
        header(Class::Request, Method::BINDING, ID, &mut out);
        Self(out)
    }

    fn with(mut self, kind: AttributeType, value: &[u8]) -> Self {
        attribute(kind, value, &mut self.0);
        self
    }

    fn with_integrity(mut self, key: &IntegrityKey) -> Self {
        integrity(key, &mut self.0);
        self
    }

    fn with_fingerprint(mut self) -> Self {
        fingerprint(&mut self.0);
        self
    }

    /// The message, its length field right.
    fn build(mut self) -> Vec<u8> {
        let length = u16::try_from(self.0.len() - HEADER_LEN).unwrap();
        self.0[2..4].copy_from_slice(&length.to_be_bytes());
        self.0
    }
}

const ID: TransactionId = TransactionId(*b"twelve bytes");
