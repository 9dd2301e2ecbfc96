//! Nonces that the server does not have to remember: a time, and an HMAC over
//! it and the client's 5-tuple under a key of this process.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use hmac::{Hmac, Mac};
use rand::TryRngCore as _;
use rand::rngs::OsRng;
use sha2::Sha256;
use subtle::ConstantTimeEq;

use super::LegId;

/// Eight hexadecimal digits of the time, twenty-four of the HMAC.
const LEN: usize = 32;

const TIME_LEN: usize = 8;

/// What a client's nonce is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Freshness {
    /// We gave it to this client a while ago.
    Fresh,
    /// We gave it to this client too long ago.
    Stale,
    /// We never gave it to this client.
    Foreign,
}

/// Gives nonces and knows them again.
pub(super) struct Nonces {
    keyed: Hmac<Sha256>,
    start: Instant,
    lifetime: Duration,
}

impl Nonces {
    /// With a key from the system.
    pub(super) fn new(lifetime: Duration, now: Instant) -> std::io::Result<Self> {
        let mut key = [0; 32];
        OsRng.try_fill_bytes(&mut key).map_err(std::io::Error::other)?;
        let keyed = Hmac::new_from_slice(&key).map_err(std::io::Error::other)?;
        Ok(Nonces { keyed, start: now, lifetime })
    }

    /// A nonce for this client.
    pub(super) fn give(&self, leg: LegId, from: SocketAddr, now: Instant) -> String {
        self.at(self.seconds(now), leg, from)
    }

    /// What `nonce`, of a message of this client, is worth.
    pub(super) fn check(
        &self,
        nonce: &[u8],
        leg: LegId,
        from: SocketAddr,
        now: Instant,
    ) -> Freshness {
        let given = nonce.get(..TIME_LEN).and_then(|time| std::str::from_utf8(time).ok());
        let given = given.and_then(|time| u32::from_str_radix(time, 16).ok());
        let Some(given) = given else { return Freshness::Foreign };
        if !bool::from(self.at(given, leg, from).as_bytes().ct_eq(nonce)) {
            return Freshness::Foreign;
        }
        let age = self.seconds(now).saturating_sub(given);
        if Duration::from_secs(age.into()) < self.lifetime {
            Freshness::Fresh
        } else {
            Freshness::Stale
        }
    }

    fn seconds(&self, now: Instant) -> u32 {
        let seconds = now.saturating_duration_since(self.start).as_secs();
        u32::try_from(seconds).unwrap_or(u32::MAX)
    }

    fn at(&self, seconds: u32, leg: LegId, from: SocketAddr) -> String {
        let mut mac = self.keyed.clone();
        mac.update(&seconds.to_be_bytes());
        mac.update(&leg.0.to_be_bytes());
        mac.update(&from.port().to_be_bytes());
        match from.ip() {
            IpAddr::V4(ip) => mac.update(&ip.octets()),
            IpAddr::V6(ip) => mac.update(&ip.octets()),
        }
        let digits = mac.finalize().into_bytes().into_iter().map(|byte| format!("{byte:02x}"));
        let mut nonce = format!("{seconds:08x}");
        nonce.extend(digits.take((LEN - TIME_LEN) / 2));
        nonce
    }
}

impl std::fmt::Debug for Nonces {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Nonces").field("lifetime", &self.lifetime).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIFETIME: Duration = Duration::from_secs(300);

    #[test]
    fn a_nonce_is_good_for_one_client_and_a_while() {
        let start = Instant::now();
        let nonces = Nonces::new(LIFETIME, start).unwrap();
        let from = "192.0.2.1:5000".parse().unwrap();
        let nonce = nonces.give(LegId(1), from, start + Duration::from_secs(7));
        assert_eq!(nonce.len(), LEN);
        let check = |leg, from: &str, after| {
            let now = start + Duration::from_secs(7) + after;
            nonces.check(nonce.as_bytes(), LegId(leg), from.parse().unwrap(), now)
        };
        let last = LIFETIME - Duration::from_secs(1);
        assert_eq!(check(1, "192.0.2.1:5000", Duration::ZERO), Freshness::Fresh);
        assert_eq!(check(1, "192.0.2.1:5000", last), Freshness::Fresh);
        assert_eq!(check(1, "192.0.2.1:5000", LIFETIME), Freshness::Stale);
        assert_eq!(check(1, "192.0.2.1:5001", Duration::ZERO), Freshness::Foreign);
        assert_eq!(check(1, "192.0.2.2:5000", Duration::ZERO), Freshness::Foreign);
        assert_eq!(check(2, "192.0.2.1:5000", Duration::ZERO), Freshness::Foreign);
    }

    #[test]
    fn what_is_made_up_or_of_another_process_is_foreign() {
        let start = Instant::now();
        let nonces = Nonces::new(LIFETIME, start).unwrap();
        let from = "[2001:db8::1]:5000".parse().unwrap();
        let good = nonces.give(LegId(1), from, start);
        let other = Nonces::new(LIFETIME, start).unwrap().give(LegId(1), from, start);
        let mut later = good.clone().into_bytes();
        later[TIME_LEN - 1] ^= 1;
        let cut = good.as_bytes()[..LEN - 1].to_vec();
        let longer = [good.as_bytes(), b"0"].concat();
        let upper = good.to_uppercase();
        let signed = format!("+{}", &good[1..]).into_bytes();
        for nonce in [other.into_bytes(), later, cut, longer, signed, vec![], vec![0xff; LEN]] {
            assert_eq!(nonces.check(&nonce, LegId(1), from, start), Freshness::Foreign);
        }
        let fresh = upper == good;
        let verdict = nonces.check(upper.as_bytes(), LegId(1), from, start);
        assert_eq!(verdict == Freshness::Fresh, fresh);
    }
}
