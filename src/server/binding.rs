use std::net::SocketAddr;

use super::classic;
use crate::stun::{self, Class, Fingerprint, Message, Method};

/// Writes the answer to a Binding request (RFC 8489 §6.3.1); false if there is
/// none to give. An answer is never more than a few dozen bytes longer than
/// its request, so that the server is of no use for amplifying a flood.
pub(super) fn respond(datagram: &[u8], from: SocketAddr, out: &mut Vec<u8>) -> bool {
    let Ok(request) = Message::parse(datagram) else {
        return classic::respond(datagram, from, out);
    };
    if request.class() != Class::Request || request.method() != Method::BINDING {
        return false;
    }
    let id = request.transaction_id();
    let with_fingerprint = match request.fingerprint() {
        Fingerprint::Wrong => return false,
        Fingerprint::Valid => true,
        Fingerprint::Absent => false,
    };
    if request.has_unknown_required() {
        let unknown = request.unknown_required();
        let unknown: Vec<u16> = unknown.iter().copied().collect();
        stun::write_error(id, 420, "Unknown Attribute", &unknown, None, out);
    } else {
        stun::write_mapped_address(id, from, with_fingerprint, out);
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stun::TransactionId;

    const ID: TransactionId = TransactionId([3; 12]);

    fn from() -> SocketAddr {
        "[2001:db8::7]:4000".parse().unwrap()
    }

    /// A request with the raw attributes, without FINGERPRINT.
    fn request(attributes: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0, 1, 0, attributes.len() as u8, 0x21, 0x12, 0xa4, 0x42];
        bytes.extend_from_slice(&ID.0);
        bytes.extend_from_slice(attributes);
        bytes
    }

    #[test]
    fn the_answer_has_the_mapped_address_and_fingerprint_as_the_request() {
        let mut with_fingerprint = Vec::new();
        stun::write_binding_request(ID, &mut with_fingerprint);
        let cases = [(request(&[]), Fingerprint::Absent), (with_fingerprint, Fingerprint::Valid)];
        for (request, fingerprint) in cases {
            let mut out = Vec::new();
            assert!(respond(&request, from(), &mut out));
            let response = Message::parse(&out).unwrap();
            assert_eq!((response.class(), response.transaction_id()), (Class::Success, ID));
            assert_eq!(response.xor_mapped_address(), Some(from()));
            assert_eq!(response.fingerprint(), fingerprint);
            assert!(out.len() <= request.len() + 32);
        }
    }

    #[test]
    fn unknown_required_attributes_are_named() {
        let mut out = Vec::new();
        assert!(respond(&request(&[0x7f, 0x01, 0, 0, 0x7f, 0x02, 0, 0]), from(), &mut out));
        let response = Message::parse(&out).unwrap();
        assert_eq!(response.error().map(|error| error.code), Some(420));
        let unknown = response.attributes().find(|(kind, _)| kind.0 == 0x000a);
        assert_eq!(unknown.map(|(_, value)| value), Some(&[0x7f, 0x01, 0x7f, 0x02][..]));
        // Unknown comprehension-optional ones are ignored.
        assert!(respond(&request(&[0xff, 0x01, 0, 0]), from(), &mut out));
        assert_eq!(Message::parse(&out).unwrap().class(), Class::Success);
    }

    #[test]
    fn all_else_gets_no_answer() {
        let mut out = Vec::new();
        let mut wrong_fingerprint = Vec::new();
        stun::write_binding_request(ID, &mut wrong_fingerprint);
        *wrong_fingerprint.last_mut().unwrap() ^= 1;
        let mut indication = Vec::new();
        stun::write_indication(ID, &mut indication);
        let mut response = Vec::new();
        stun::write_mapped_address(ID, from(), true, &mut response);
        let mut allocate = request(&[]);
        allocate[1] = 3;
        let mut cut = request(&[]);
        cut.pop();
        for datagram in [wrong_fingerprint, indication, response, allocate, cut, Vec::new()] {
            assert!(!respond(&datagram, from(), &mut out), "{datagram:x?}");
        }
    }
}
