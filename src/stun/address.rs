//! The two forms of an address attribute (RFC 8489 §14.1 and §14.2).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::{MAGIC_COOKIE, TransactionId};
use crate::net::{Family, canonical};

const FAMILY_V4: u8 = 0x01;
const FAMILY_V6: u8 = 0x02;

/// Longest value of an address attribute: an IPv6 one.
pub(super) const MAX_LEN: usize = 20;

/// Whether family and length of an address value, in either form, fit.
pub(super) fn is_well_formed(value: &[u8]) -> bool {
    matches!((value.get(1), value.len()), (Some(&FAMILY_V4), 8) | (Some(&FAMILY_V6), 20))
}

/// The family that `byte` stands for.
pub(super) fn family(byte: u8) -> Option<Family> {
    match byte {
        FAMILY_V4 => Some(Family::V4),
        FAMILY_V6 => Some(Family::V6),
        _ => None,
    }
}

/// Reads the form of MAPPED-ADDRESS.
pub(super) fn plain(value: &[u8]) -> Option<SocketAddr> {
    decode(value, 0, 0)
}

/// Reads the form of XOR-MAPPED-ADDRESS.
pub(super) fn xored(value: &[u8], id: &TransactionId) -> Option<SocketAddr> {
    decode(value, MAGIC_COOKIE, mask_v6(id))
}

/// Writes the form of XOR-MAPPED-ADDRESS; returns how many bytes of `value`
/// it takes.
pub(super) fn write_xored(
    addr: SocketAddr,
    id: &TransactionId,
    value: &mut [u8; MAX_LEN],
) -> usize {
    encode(addr, MAGIC_COOKIE, mask_v6(id), value)
}

/// Writes the form of MAPPED-ADDRESS; returns how many bytes of `value` it
/// takes.
pub(super) fn write_plain(addr: SocketAddr, value: &mut [u8; MAX_LEN]) -> usize {
    encode(addr, 0, 0, value)
}

fn encode(addr: SocketAddr, mask: u32, mask_v6: u128, value: &mut [u8; MAX_LEN]) -> usize {
    let addr = canonical(addr);
    let port = addr.port() ^ (mask >> 16) as u16;
    value[2..4].copy_from_slice(&port.to_be_bytes());
    match addr.ip() {
        IpAddr::V4(ip) => {
            value[1] = FAMILY_V4;
            value[4..8].copy_from_slice(&(ip.to_bits() ^ mask).to_be_bytes());
            8
        }
        IpAddr::V6(ip) => {
            value[1] = FAMILY_V6;
            value[4..20].copy_from_slice(&(ip.to_bits() ^ mask_v6).to_be_bytes());
            20
        }
    }
}

/// The first byte is reserved: "MUST be ignored by receivers".
fn decode(value: &[u8], mask: u32, mask_v6: u128) -> Option<SocketAddr> {
    let (&[_, family, port_high, port_low], ip) = value.split_first_chunk::<4>()?;
    let port = u16::from_be_bytes([port_high, port_low]) ^ (mask >> 16) as u16;
    let ip: IpAddr = match family {
        FAMILY_V4 => Ipv4Addr::from_bits(u32::from_be_bytes(ip.try_into().ok()?) ^ mask).into(),
        FAMILY_V6 => Ipv6Addr::from_bits(u128::from_be_bytes(ip.try_into().ok()?) ^ mask_v6).into(),
        _ => return None,
    };
    Some(canonical(SocketAddr::new(ip, port)))
}

/// The magic cookie followed by the transaction id.
fn mask_v6(id: &TransactionId) -> u128 {
    let mut mask = [0; 16];
    mask[..4].copy_from_slice(&MAGIC_COOKIE.to_be_bytes());
    mask[4..].copy_from_slice(&id.0);
    u128::from_be_bytes(mask)
}
