use std::net::{IpAddr, SocketAddr};

use crate::stun::{self, Class, Fingerprint, HEADER_LEN, MAGIC_COOKIE, Message, Method};

/// Writes the answer to a Binding request (RFC 8489 §6.3.1); false if there is
/// none to give. An answer is never more than a few dozen bytes longer than
/// its request, so that the server is of no use for amplifying a flood.
pub(super) fn respond(datagram: &[u8], from: SocketAddr, out: &mut Vec<u8>) -> bool {
    let Ok(request) = Message::parse(datagram) else {
        return respond_to_rfc3489(datagram, from, out);
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

/// RFC 8489 §11: a request without the magic cookie comes from a client of
/// RFC 3489 (libnice still asks like that), which wants MAPPED-ADDRESS. Its
/// transaction id takes the place of the cookie too.
fn respond_to_rfc3489(datagram: &[u8], from: SocketAddr, out: &mut Vec<u8>) -> bool {
    let Some((header, attributes)) = datagram.split_first_chunk::<HEADER_LEN>() else {
        return false;
    };
    let [0, 1, length @ ..] = header else { return false };
    let (length, id) = length.split_at(2);
    let has_cookie = id.starts_with(&MAGIC_COOKIE.to_be_bytes());
    let fits = u16::try_from(attributes.len()).is_ok_and(|len| length == len.to_be_bytes());
    // Such a client needs no attributes, and CHANGE-REQUEST is not supported.
    if has_cookie || !fits || !attributes.is_empty() {
        return false;
    }
    let (family, ip) = match from.ip() {
        IpAddr::V4(v4) => (1, v4.octets().to_vec()),
        IpAddr::V6(v6) => (2, v6.octets().to_vec()),
    };
    let len = if family == 1 { 8 } else { 20 };
    out.clear();
    // Binding response, its length, the id; MAPPED-ADDRESS.
    out.extend_from_slice(&[1, 1, 0, 4 + len]);
    out.extend_from_slice(id);
    out.extend_from_slice(&[0, 1, 0, len, 0, family]);
    out.extend_from_slice(&from.port().to_be_bytes());
    out.extend_from_slice(&ip);
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
    fn a_client_without_cookie_gets_its_mapped_address() {
        let mut request = request(&[]);
        request[4..8].copy_from_slice(&[1, 2, 3, 4]);
        let mut out = Vec::new();
        assert!(respond(&request, "192.0.2.1:258".parse().unwrap(), &mut out));
        let expected = [&[1, 1, 0, 12][..], &request[4..], &[0, 1, 0, 8, 0, 1, 1, 2, 192, 0, 2, 1]];
        assert_eq!(out, expected.concat());
        assert!(respond(&request, from(), &mut out));
        assert_eq!((out.len(), out[3]), (44, 24));
        request.push(0);
        assert!(!respond(&request, from(), &mut out));
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
