use std::net::{IpAddr, SocketAddr};

use crate::stun::{HEADER_LEN, MAGIC_COOKIE};

/// Writes the answer to the Binding request of a client of RFC 3489, known by
/// the missing magic cookie (RFC 5389 §12.2): what stands in the cookie's
/// place is given back, and the address is in MAPPED-ADDRESS. libnice asks so.
///
/// False if it is no such request, or one with attributes: those would ask
/// for an answer from elsewhere, which this server never gives.
pub(super) fn respond(datagram: &[u8], from: SocketAddr, out: &mut Vec<u8>) -> bool {
    const BINDING_REQUEST: [u8; 4] = [0, 1, 0, 0];
    const BINDING_SUCCESS: [u8; 2] = [1, 1];
    const MAPPED_ADDRESS: [u8; 2] = [0, 1];
    let Ok(header) = <[u8; HEADER_LEN]>::try_from(datagram) else { return false };
    let Some((kind, id)) = header.split_first_chunk::<4>() else { return false };
    if *kind != BINDING_REQUEST || id.starts_with(&MAGIC_COOKIE.to_be_bytes()) {
        return false;
    }
    // A zero, the family, the port and the address.
    let (family, value_length) = if from.is_ipv4() { (1, 8) } else { (2, 20) };
    out.clear();
    out.extend_from_slice(&BINDING_SUCCESS);
    out.extend_from_slice(&[0, 4 + value_length]);
    out.extend_from_slice(id);
    out.extend_from_slice(&MAPPED_ADDRESS);
    out.extend_from_slice(&[0, value_length, 0, family]);
    out.extend_from_slice(&from.port().to_be_bytes());
    match from.ip() {
        IpAddr::V4(ip) => out.extend_from_slice(&ip.octets()),
        IpAddr::V6(ip) => out.extend_from_slice(&ip.octets()),
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A Binding request with this where the cookie would be.
    fn request(cookie: u32) -> Vec<u8> {
        let mut bytes = vec![0, 1, 0, 0];
        bytes.extend(cookie.to_be_bytes());
        bytes.extend([7; 12]);
        bytes
    }

    #[test]
    fn the_answer_gives_the_address_as_it_is() {
        let cases = [
            ("192.0.2.1:258", vec![0, 1, 0, 8, 0, 1, 1, 2, 192, 0, 2, 1]),
            ("[::ffff:0:1]:258", {
                let mut value = vec![0, 1, 0, 20, 0, 2, 1, 2];
                value.extend([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 0, 1]);
                value
            }),
        ];
        for (from, attribute) in cases {
            let mut out = vec![9; 3];
            assert!(respond(&request(5), from.parse().unwrap(), &mut out));
            assert_eq!(out[..4], [1, 1, 0, attribute.len() as u8]);
            assert_eq!(out[4..20], request(5)[4..]);
            assert_eq!(out[20..], attribute);
        }
    }

    #[test]
    fn all_else_gets_no_answer() {
        let from = "192.0.2.1:258".parse().unwrap();
        let mut out = Vec::new();
        let mut response = request(5);
        response[0] = 1;
        let mut with_attribute = request(5);
        with_attribute[3] = 8;
        with_attribute.extend([0, 3, 0, 4, 0, 0, 0, 6]);
        let short = request(5)[..19].to_vec();
        for datagram in [request(MAGIC_COOKIE), response, with_attribute, short, Vec::new()] {
            assert!(!respond(&datagram, from, &mut out), "{datagram:x?}");
        }
    }
}
