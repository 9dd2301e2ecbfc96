//! A STUN server: says where a request came from (RFC 8489 §12).

use std::net::{IpAddr, SocketAddr};

use floe::stun::{Class, MAGIC_COOKIE, Message, Method};

const BINDING_SUCCESS: u16 = 0x0101;
const XOR_MAPPED_ADDRESS: u16 = 0x0020;

/// The answer to `request`, if it is a Binding request.
pub fn answer(request: &[u8], from: SocketAddr) -> Option<Vec<u8>> {
    let message = Message::parse(request).ok()?;
    if (message.class(), message.method()) != (Class::Request, Method::BINDING) {
        return None;
    }
    let cookie_and_id = &request[4..20];
    let mut value = vec![0, if from.is_ipv4() { 1 } else { 2 }];
    value.extend((from.port() ^ (MAGIC_COOKIE >> 16) as u16).to_be_bytes());
    let octets = match from.ip() {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    };
    value.extend(octets.iter().zip(cookie_and_id).map(|(octet, mask)| octet ^ mask));
    let len = value.len() as u16;
    let mut bytes = Vec::new();
    for word in [BINDING_SUCCESS, len + 4] {
        bytes.extend(word.to_be_bytes());
    }
    bytes.extend(cookie_and_id);
    for word in [XOR_MAPPED_ADDRESS, len] {
        bytes.extend(word.to_be_bytes());
    }
    bytes.extend(value);
    Some(bytes)
}

#[test]
fn the_answer_says_where_the_request_came_from() {
    let mut request = Vec::new();
    floe::stun::write_binding_request(floe::stun::TransactionId([7; 12]), &mut request);
    for from in ["192.0.2.1:3478", "[2001:db8::1]:1"] {
        let from = from.parse().unwrap();
        let answer = answer(&request, from).unwrap();
        assert_eq!(Message::parse(&answer).unwrap().xor_mapped_address(), Some(from));
    }
}
