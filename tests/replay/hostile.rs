//! Datagrams that nobody should send: damaged, forged, repeated, and some that
//! the peer itself would have sent in a bad mood.

use std::net::SocketAddr;

use floe::agent::Credentials;
use floe::rng::Rng;
use floe::stun::{Class, Fingerprint, IntegrityKey, Message, MessageParts, Method, TransactionId};

use crate::network::{Pair, host};
use crate::session::{below, server};

/// A datagram for `side`, and where it says that it comes from.
pub fn datagram(pair: &Pair, side: usize, dice: &mut Rng) -> (SocketAddr, Vec<u8>) {
    let from = SocketAddr::new(host(9, 1), 1 + below(dice, 60_000) as u16);
    match below(dice, 6) {
        0 => (from, garbage(dice)),
        1 => damaged(pair, side, dice).unwrap_or((from, garbage(dice))),
        2 => answer(pair, side, dice).unwrap_or((from, garbage(dice))),
        3 => mapped_by_server(pair, side, dice).unwrap_or((from, garbage(dice))),
        _ => (from, forged(pair, side, dice)),
    }
}

/// Those of the first stream that is left.
fn credentials(pair: &Pair, side: usize) -> Credentials {
    let core = pair.core(side);
    let first = core.streams().next();
    let credentials = first.and_then(|stream| core.local_credentials(stream)).cloned();
    credentials.unwrap_or(Credentials { ufrag: "none".into(), pwd: "none".into() })
}

fn garbage(dice: &mut Rng) -> Vec<u8> {
    (0..below(dice, 80)).map(|_| below(dice, 256) as u8).collect()
}

/// A packet that was on the wire, as it was or with one bit turned.
fn damaged(pair: &Pair, side: usize, dice: &mut Rng) -> Option<(SocketAddr, Vec<u8>)> {
    let at = below(dice, pair.trace().len().max(1) as u64) as usize;
    let sent = pair.trace().get(at)?;
    let mut bytes = sent.bytes.clone();
    if sent.side == side || below(dice, 3) > 0 {
        let bit = below(dice, 8 * bytes.len() as u64) as usize;
        bytes[bit / 8] ^= 1 << (bit % 8);
    }
    Some((sent.from, bytes))
}

/// A message with any mixture of attributes.
fn forged(pair: &Pair, side: usize, dice: &mut Rng) -> Vec<u8> {
    let credentials = credentials(pair, side);
    let class = [Class::Request, Class::Request, Class::Indication, Class::Success, Class::Error];
    let right = IntegrityKey::short_term(&credentials.pwd);
    let wrong = IntegrityKey::short_term("wrong");
    let key = [Some(&right), Some(&right), Some(&wrong), None][below(dice, 4) as usize];
    let username = [credentials.ufrag.as_ref(), ":them"].concat();
    let usernames = [Some(username.as_str()), Some(&username), Some("else:where"), Some("x"), None];
    let unknown: [&[u16]; 3] = [&[], &[], &[0x7001, 0x7002]];
    let print = [Fingerprint::Valid, Fingerprint::Valid, Fingerprint::Wrong, Fingerprint::Absent];
    let mut maybe = |number: u64| (below(dice, 4) > 0).then_some(number);
    let (priority, nomination) = (maybe(1_862_270_975), maybe(3));
    let (controlling, controlled) = (maybe(u64::MAX), maybe(1));
    let parts = MessageParts {
        class: class[below(dice, 5) as usize],
        method: [Method::BINDING, Method::BINDING, Method::BINDING, Method::ALLOCATE]
            [below(dice, 4) as usize],
        id: TransactionId(dice.bytes()),
        username: usernames[below(dice, 5) as usize],
        priority: priority.map(|priority| priority as u32),
        controlling: controlling.filter(|_| below(dice, 3) == 0),
        controlled: controlled.filter(|_| below(dice, 3) == 0),
        use_candidate: below(dice, 2) == 0,
        nomination: nomination.map(|nomination| nomination as u32),
        xor_mapped_address: None,
        mapped_address: None,
        error: None,
        unknown: unknown[below(dice, 3) as usize],
    };
    let mut out = Vec::new();
    parts.write(key, print[below(dice, 4) as usize], &mut out);
    out
}

/// A check that has all that it takes.
pub fn check(pair: &Pair, side: usize, dice: &mut Rng) -> Vec<u8> {
    let credentials = credentials(pair, side);
    let key = IntegrityKey::short_term(&credentials.pwd);
    let template = floe::stun::CheckTemplate::new(&floe::stun::CheckParameters {
        username: &[credentials.ufrag.as_ref(), ":them"].concat(),
        key: &key,
        controlling: pair.core(side).role() == floe::check::Role::Controlled,
        tie_breaker: 7,
        priority: 1_862_270_975,
    });
    let mut out = Vec::new();
    template.write(TransactionId(dice.bytes()), false, None, &key, &mut out);
    out
}

/// An answer to a check that `side` sent: of the peer, or of somebody who saw
/// the check.
fn answer(pair: &Pair, side: usize, dice: &mut Rng) -> Option<(SocketAddr, Vec<u8>)> {
    let is_check = |sent: &&crate::network::Sent| {
        let message = Message::parse(&sent.bytes).unwrap();
        sent.side == side && message.class() == Class::Request && message.username().is_some()
    };
    let checks: Vec<_> = pair.trace().iter().filter(is_check).collect();
    let check = checks.iter().rev().nth(below(dice, 4) as usize)?;
    let id = Message::parse(&check.bytes).unwrap().transaction_id();
    let peer = credentials(pair, 1 - side);
    let (right, wrong) = (IntegrityKey::short_term(&peer.pwd), IntegrityKey::short_term("wrong"));
    let key = [&right, &wrong, &wrong, &wrong][below(dice, 4) as usize];
    let from = [check.to, check.to, check.from][below(dice, 3) as usize];
    let mut out = Vec::new();
    match below(dice, 3) {
        0 => floe::stun::write_success(id, check.from, key, &mut out),
        1 => floe::stun::write_success(id, SocketAddr::new(host(8, 8), 8), key, &mut out),
        _ => {
            let code = [400, 403, 487, 500][below(dice, 4) as usize];
            floe::stun::write_error(id, code, "no \u{7f}\u{2028}", &[], Some(key), &mut out);
        }
    }
    Some((from, out))
}

/// The answer of the STUN server, at some time.
fn mapped_by_server(pair: &Pair, side: usize, dice: &mut Rng) -> Option<(SocketAddr, Vec<u8>)> {
    let mut asked = pair.trace().iter().filter(|s| s.side == side && s.to == server());
    let sent = asked.nth(below(dice, 6) as usize)?;
    let id = Message::parse(&sent.bytes).unwrap().transaction_id();
    let mut out = Vec::new();
    match below(dice, 3) {
        0 => floe::stun::write_mapped_address(id, sent.from, true, &mut out),
        1 => {
            let mapped = SocketAddr::new(host(8, 1), sent.from.port());
            floe::stun::write_mapped_address(id, mapped, false, &mut out);
        }
        _ => floe::stun::write_error(id, 500, &"why ".repeat(100), &[], None, &mut out),
    }
    Some((server(), out))
}
