//! Binding requests and their success responses, by hand.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

const COOKIE: u32 = 0x2112_a442;
const PORT_MASK: u16 = 0x2112;
const IPV4: u16 = 1;
const IPV6: u16 = 2;

/// The success response to a Binding request: the mapped address, no more.
/// libnice asks in the manner of RFC 3489, without the cookie, and then wants
/// the address as it is.
pub(crate) fn answer(request: &[u8], from: SocketAddr) -> Option<Vec<u8>> {
    const BINDING_SUCCESS: [u8; 2] = [0x01, 0x01];
    const MAPPED_ADDRESS: u16 = 0x0001;
    const XOR_MAPPED_ADDRESS: u16 = 0x0020;
    let header = request.get(..20)?;
    if header[..2] != [0, 1] {
        return None;
    }
    let id = &header[4..];
    let (attribute, shown) = if id[..4] == COOKIE.to_be_bytes() {
        (XOR_MAPPED_ADDRESS, masked(from, id))
    } else {
        (MAPPED_ADDRESS, from)
    };
    let (family, address) = match shown.ip() {
        IpAddr::V4(address) => (IPV4, address.octets().to_vec()),
        IpAddr::V6(address) => (IPV6, address.octets().to_vec()),
    };
    let value = u16::try_from(4 + address.len()).ok()?;
    let mut answer = BINDING_SUCCESS.to_vec();
    answer.extend((4 + value).to_be_bytes());
    answer.extend(id);
    for word in [attribute, value, family, shown.port()] {
        answer.extend(word.to_be_bytes());
    }
    answer.extend(address);
    Some(answer)
}

/// What `answer` put into a response: the other half.
pub(crate) fn mapped(response: &[u8]) -> Option<SocketAddr> {
    let word = |at: usize| Some(u16::from_be_bytes(response.get(at..at + 2)?.try_into().ok()?));
    let address: IpAddr = match word(24)? {
        IPV4 => Ipv4Addr::from(<[u8; 4]>::try_from(response.get(28..32)?).ok()?).into(),
        IPV6 => Ipv6Addr::from(<[u8; 16]>::try_from(response.get(28..44)?).ok()?).into(),
        _ => return None,
    };
    Some(masked(SocketAddr::new(address, word(26)?), response.get(4..20)?))
}

/// A Binding request without attributes.
pub(crate) fn request() -> [u8; 20] {
    let mut request = [7; 20];
    request[..4].copy_from_slice(&[0, 1, 0, 0]);
    request[4..8].copy_from_slice(&COOKIE.to_be_bytes());
    request
}

/// The length of the message at the start of a stream, once it can be told.
pub(crate) fn length(stream: &[u8]) -> Option<usize> {
    Some(20 + usize::from(u16::from_be_bytes(stream.get(2..4)?.try_into().ok()?)))
}

/// XOR with the cookie and the transaction id, which are `id`.
fn masked(address: SocketAddr, id: &[u8]) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) => Ipv4Addr::from_bits(ip.to_bits() ^ COOKIE).into(),
        IpAddr::V6(ip) => {
            let mut octets = ip.octets();
            octets.iter_mut().zip(id).for_each(|(octet, mask)| *octet ^= mask);
            IpAddr::from(octets)
        }
    };
    SocketAddr::new(ip, address.port() ^ PORT_MASK)
}
