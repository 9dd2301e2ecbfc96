//! What the messages of TURN servers say beside what all messages do. What is
//! secret, or data of a peer, is not among it.

use std::net::SocketAddr;

use crate::stun::{Algorithm, AttributeType as Type, Message, Method, Part};

/// Attributes of one message that are kept: servers send fewer.
const MAX: usize = 32;

/// Attributes that a server's answers are read for, by their values.
const VALUES: [Type; 9] = [
    Type::REALM,
    Type::NONCE,
    Type::PASSWORD_ALGORITHMS,
    Type::LIFETIME,
    Type::ADDRESS_ERROR_CODE,
    Type::ALTERNATE_DOMAIN,
    Type::ALTERNATE_SERVER,
    Type::CHANNEL_NUMBER,
    Type::CONNECTION_ID,
];

/// Those whose value is an address that is masked with the transaction's id.
const ADDRESSES: [Type; 2] = [Type::XOR_RELAYED_ADDRESS, Type::XOR_PEER_ADDRESS];

/// The attributes of a TURN server's message.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "kebab-case")
)]
pub struct RecordedRelay {
    /// The types, and the values in hexadecimal digits.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Vec::is_empty"))]
    pub values: Vec<(u16, Box<str>)>,
    /// Relayed addresses and those of peers.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Vec::is_empty"))]
    pub addresses: Vec<(u16, SocketAddr)>,
    /// Its integrity is by SHA-256.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "std::ops::Not::not"))]
    pub sha256: bool,
}

impl RecordedRelay {
    /// What a message says; `None` for one that is not of a relay.
    pub(super) fn of(message: &Message<'_>) -> Option<Box<Self>> {
        if message.method() == Method::BINDING {
            return None;
        }
        let values = message.attributes().filter(|(kind, _)| VALUES.contains(kind)).take(MAX);
        let addresses = ADDRESSES
            .into_iter()
            .flat_map(|kind| message.xored_addresses(kind).map(move |address| (kind.0, address)));
        Some(Box::new(RecordedRelay {
            values: values.map(|(kind, value)| (kind.0, to_hex(value))).collect(),
            addresses: addresses.take(MAX).collect(),
            sha256: message.integrity_algorithm() == Some(Algorithm::Sha256),
        }))
    }

    /// The values as bytes.
    pub(super) fn values(&self) -> Vec<(u16, Vec<u8>)> {
        self.values.iter().take(MAX).map(|(kind, hex)| (*kind, from_hex(hex))).collect()
    }

    /// What is to be written of it.
    pub(super) fn parts<'a>(&self, values: &'a [(u16, Vec<u8>)]) -> Vec<Part<'a>> {
        let is_known = |kind: Type| VALUES.contains(&kind) || ADDRESSES.contains(&kind);
        let values = values.iter().map(|(kind, value)| Part::Value(Type(*kind), value));
        let addresses = self.addresses.iter().take(MAX);
        let addresses = addresses.map(|(kind, address)| Part::Xored(Type(*kind), *address));
        values.chain(addresses).filter(|part| is_known(part.kind())).collect()
    }
}

fn to_hex(bytes: &[u8]) -> Box<str> {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>().into()
}

/// The bytes of what may have been tampered with.
fn from_hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> =
        text.chars().take(2 * 1_024).map_while(|c| c.to_digit(16)).map(|d| d as u8).collect();
    digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_what_they_were() {
        let bytes: Vec<u8> = (0..=255).collect();
        assert_eq!(from_hex(&to_hex(&bytes)), bytes);
        assert_eq!(from_hex("0g12"), Vec::<u8>::new());
        assert_eq!(from_hex("abc"), [0xab]);
    }
}
