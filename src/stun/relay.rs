//! What a client of STUN and TURN servers reads beside the connectivity
//! checks (RFC 8489, RFC 8656, RFC 6062, RFC 5780). These accessors, too,
//! neither fail nor panic nor allocate.

use std::net::SocketAddr;
use std::time::Duration;

use super::attribute::{self, AttributeType, ErrorCode};
use super::{Message, address};
use crate::net::Family;

impl<'a> Message<'a> {
    /// REALM.
    pub fn realm(&self) -> Option<&'a str> {
        self.value(AttributeType::REALM).and_then(attribute::text)
    }

    /// NONCE, as it is to be sent back.
    pub fn nonce(&self) -> Option<&'a [u8]> {
        self.value(AttributeType::NONCE)
    }

    /// PASSWORD-ALGORITHMS, as it is to be sent back.
    pub fn password_algorithms(&self) -> Option<&'a [u8]> {
        self.value(AttributeType::PASSWORD_ALGORITHMS)
    }

    /// SOFTWARE.
    pub fn software(&self) -> Option<&'a str> {
        self.value(AttributeType::SOFTWARE).and_then(attribute::text)
    }

    /// ALTERNATE-SERVER: where a 300 response sends the client.
    pub fn alternate_server(&self) -> Option<SocketAddr> {
        self.value(AttributeType::ALTERNATE_SERVER).and_then(address::plain)
    }

    /// ALTERNATE-DOMAIN: the name for the certificate of that server.
    pub fn alternate_domain(&self) -> Option<&'a str> {
        self.value(AttributeType::ALTERNATE_DOMAIN).and_then(attribute::text)
    }

    /// UNKNOWN-ATTRIBUTES of a 420 response.
    pub fn unknown_attributes(&self) -> impl Iterator<Item = AttributeType> + use<'a> {
        let value = self.value(AttributeType::UNKNOWN_ATTRIBUTES).unwrap_or_default();
        value.as_chunks().0.iter().map(|kind| AttributeType(u16::from_be_bytes(*kind)))
    }

    /// LIFETIME of an allocation.
    pub fn lifetime(&self) -> Option<Duration> {
        let seconds = self.value(AttributeType::LIFETIME).and_then(attribute::u32_value)?;
        Some(Duration::from_secs(seconds.into()))
    }

    /// XOR-RELAYED-ADDRESS, in canonical form.
    pub fn xor_relayed_address(&self) -> Option<SocketAddr> {
        address::xored(self.value(AttributeType::XOR_RELAYED_ADDRESS)?, &self.transaction_id())
    }

    /// The XOR-RELAYED-ADDRESSes, of which a dual allocation has two, in
    /// canonical form.
    pub fn xor_relayed_addresses(&self) -> impl Iterator<Item = SocketAddr> + use<'a> {
        self.xored_all(AttributeType::XOR_RELAYED_ADDRESS)
    }

    /// The XOR-PEER-ADDRESSes, of which a message may have several, in
    /// canonical form.
    pub fn xor_peer_addresses(&self) -> impl Iterator<Item = SocketAddr> + use<'a> {
        self.xored_all(AttributeType::XOR_PEER_ADDRESS)
    }

    fn xored_all(&self, wanted: AttributeType) -> impl Iterator<Item = SocketAddr> + use<'a> {
        let id = self.transaction_id();
        self.attributes()
            .filter(move |(kind, _)| *kind == wanted)
            .filter_map(move |(_, value)| address::xored(value, &id))
    }

    /// The addresses in attributes of a type whose values are masked with the
    /// transaction's id, in canonical form.
    pub(crate) fn xored_addresses(
        &self,
        kind: AttributeType,
    ) -> impl Iterator<Item = SocketAddr> + use<'a> {
        let id = self.transaction_id();
        self.attributes()
            .filter(move |(of, _)| *of == kind)
            .filter_map(move |(_, value)| address::xored(value, &id))
    }

    /// DATA.
    pub fn data(&self) -> Option<&'a [u8]> {
        self.value(AttributeType::DATA)
    }

    /// CHANNEL-NUMBER.
    pub fn channel_number(&self) -> Option<u16> {
        self.value(AttributeType::CHANNEL_NUMBER).and_then(attribute::u16_value)
    }

    /// REQUESTED-TRANSPORT: the protocol number.
    pub fn requested_transport(&self) -> Option<u8> {
        self.value(AttributeType::REQUESTED_TRANSPORT)?.first().copied()
    }

    /// RESERVATION-TOKEN.
    pub fn reservation_token(&self) -> Option<[u8; 8]> {
        self.value(AttributeType::RESERVATION_TOKEN)?.try_into().ok()
    }

    /// CONNECTION-ID (RFC 6062).
    pub fn connection_id(&self) -> Option<u32> {
        self.value(AttributeType::CONNECTION_ID).and_then(attribute::u32_value)
    }

    /// ADDRESS-ERROR-CODE: the family that the server did not allocate, and
    /// why (RFC 8656 §18.12).
    pub fn address_error(&self) -> Option<(Family, ErrorCode<'a>)> {
        let value = self.value(AttributeType::ADDRESS_ERROR_CODE)?;
        Some((address::family(*value.first()?)?, attribute::error_code(value)?))
    }

    /// ICMP: type and code of the error that a relayed datagram met (RFC 8656
    /// §18.13).
    pub fn icmp(&self) -> Option<(u8, u16)> {
        let &[_, _, high, low, ..] = self.value(AttributeType::ICMP)? else { return None };
        Some((high >> 1, u16::from_be_bytes([high & 1, low])))
    }

    /// MOBILITY-TICKET (RFC 8016).
    pub fn mobility_ticket(&self) -> Option<&'a [u8]> {
        self.value(AttributeType::MOBILITY_TICKET)
    }

    /// RESPONSE-ORIGIN (RFC 5780).
    pub fn response_origin(&self) -> Option<SocketAddr> {
        self.value(AttributeType::RESPONSE_ORIGIN).and_then(address::plain)
    }

    /// OTHER-ADDRESS (RFC 5780).
    pub fn other_address(&self) -> Option<SocketAddr> {
        self.value(AttributeType::OTHER_ADDRESS).and_then(address::plain)
    }
}
