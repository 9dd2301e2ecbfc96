//! What a server asks credentials with: realm, nonce, and what the nonce
//! promises (RFC 8489 §9.2). Everything here is read from a stranger.

use crate::stun::{Message, PasswordAlgorithm};

/// What a nonce begins with if the server knows RFC 8489, before the features.
const COOKIE: &[u8; 9] = b"obMatJos2";

/// More bytes of PASSWORD-ALGORITHMS are not sent back.
const MAX_ALGORITHMS: usize = 512;

/// The security features of a server (RFC 8489 §18.1), as its nonces say, so
/// that nobody on the way can take them out of a message unseen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Features {
    /// It names algorithms for the password.
    pub(super) password_algorithms: bool,
    /// It wants the username as a hash.
    pub(super) username_anonymity: bool,
}

impl Features {
    /// Those that `nonce` tells of; none where it does not begin with the
    /// nonce cookie.
    pub(super) fn of(nonce: &[u8]) -> Self {
        let bits = nonce.strip_prefix(COOKIE).and_then(|rest| rest.first_chunk::<4>());
        let Some(bits) = bits.and_then(base64) else { return Features::default() };
        Features {
            password_algorithms: bits & 1 << 23 != 0,
            username_anonymity: bits & 1 << 22 != 0,
        }
    }
}

/// The 24 bits of four characters of base64.
fn base64(text: &[u8; 4]) -> Option<u32> {
    text.iter().try_fold(0, |bits, char| {
        let value = match char {
            b'A'..=b'Z' => char - b'A',
            b'a'..=b'z' => char - b'a' + 26,
            b'0'..=b'9' => char - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        Some(bits << 6 | u32::from(value))
    })
}

/// A 401 or 438 response that can be followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Challenge<'a> {
    pub(super) realm: &'a str,
    pub(super) nonce: &'a [u8],
    pub(super) features: Features,
    /// PASSWORD-ALGORITHMS as it is to be sent back, and which is taken.
    pub(super) algorithms: Option<(&'a [u8], PasswordAlgorithm)>,
}

impl<'a> Challenge<'a> {
    /// What `message` asks for. `realm` is what counts where it names none, as
    /// a 438 response may not.
    ///
    /// # Errors
    /// Why it cannot be followed, as the end of a sentence.
    pub(super) fn read(
        message: &Message<'a>,
        realm: Option<&'a str>,
    ) -> Result<Challenge<'a>, &'static str> {
        let realm = message.realm().or(realm).ok_or("names no realm")?;
        let nonce = message.nonce().ok_or("gives no nonce")?;
        let features = Features::of(nonce);
        let algorithms = match message.password_algorithms() {
            // RFC 8489 §9.2.5: somebody has taken them out.
            None if features.password_algorithms => {
                return Err("promises password algorithms and names none");
            }
            None => None,
            Some(list) if list.len() > MAX_ALGORITHMS => {
                return Err("names too many password algorithms");
            }
            Some(list) => {
                let chosen = choose(list).ok_or("names no password algorithm that is known")?;
                Some((list, chosen))
            }
        };
        Ok(Challenge { realm, nonce, features, algorithms })
    }
}

/// Whether `message`, of any kind, promises PASSWORD-ALGORITHMS by its nonce
/// and has none: RFC 8489 §9.2.5 has it ignored.
pub(super) fn lacks_algorithms(message: &Message<'_>) -> bool {
    message.nonce().is_some_and(|nonce| Features::of(nonce).password_algorithms)
        && message.password_algorithms().is_none()
}

/// The algorithm that is taken of a list: SHA-256 before MD5, in whatever
/// order they stand (RFC 8656 §6).
fn choose(list: &[u8]) -> Option<PasswordAlgorithm> {
    let mut rest = list;
    let mut chosen = None;
    while let Some((&[a0, a1, l0, l1], behind)) = rest.split_first_chunk::<4>() {
        match u16::from_be_bytes([a0, a1]) {
            1 => chosen = chosen.or(Some(PasswordAlgorithm::Md5)),
            2 => return Some(PasswordAlgorithm::Sha256),
            _ => {}
        }
        let parameters = usize::from(u16::from_be_bytes([l0, l1])).next_multiple_of(4);
        rest = behind.get(parameters..).unwrap_or_default();
    }
    chosen
}

/// The value of PASSWORD-ALGORITHM: the number, and no parameters (RFC 8489
/// §18.5.1).
pub(super) const fn algorithm_value(algorithm: PasswordAlgorithm) -> [u8; 4] {
    match algorithm {
        PasswordAlgorithm::Md5 => [0, 1, 0, 0],
        PasswordAlgorithm::Sha256 => [0, 2, 0, 0],
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::stun::{AttributeType as T, Builder, Class, Method, TransactionId};

    const MD5: [u8; 4] = [0, 1, 0, 0];
    const SHA256: [u8; 4] = [0, 2, 0, 0];

    fn features(password_algorithms: bool, username_anonymity: bool) -> Features {
        Features { password_algorithms, username_anonymity }
    }

    #[test]
    fn a_nonce_tells_of_features_by_its_cookie_alone() {
        for (nonce, expected) in [
            (&b"obMatJos2AAAAx"[..], features(false, false)),
            (b"obMatJos2gAAAx", features(true, false)),
            (b"obMatJos2QAAA", features(false, true)),
            (b"obMatJos2wAAA", features(true, true)),
            (b"obMatJos2////", features(true, true)),
            (b"obMatJos2P///", features(false, false)),
            (b"obMatJos3wAAA", features(false, false)),
            (b"xobMatJos2wAAA", features(false, false)),
            (b"obMatJos2wAA", features(false, false)),
            (b"obMatJos2wA=A", features(false, false)),
            (b"obMatJos2\xff\xff\xff\xff", features(false, false)),
            (b"obMatJos2", features(false, false)),
            (b"", features(false, false)),
        ] {
            assert_eq!(Features::of(nonce), expected, "{}", nonce.escape_ascii());
        }
    }

    #[test]
    fn sha256_is_taken_where_it_stands_in_the_list() {
        use PasswordAlgorithm::{Md5, Sha256};
        let unknown = [&[0, 9, 0, 5][..], &[7; 8]].concat();
        for (list, expected) in [
            (vec![], None),
            (MD5.to_vec(), Some(Md5)),
            (SHA256.to_vec(), Some(Sha256)),
            ([MD5, SHA256].concat(), Some(Sha256)),
            ([SHA256, MD5].concat(), Some(Sha256)),
            (unknown.clone(), None),
            ([&unknown[..], &MD5].concat(), Some(Md5)),
            ([&MD5[..], &[0, 9, 0xff, 0xff], &SHA256].concat(), Some(Md5)),
            (vec![0, 2, 0], None),
        ] {
            assert_eq!(choose(&list), expected, "{list:?}");
        }
    }

    fn challenge(attributes: &[(T, &[u8])]) -> Vec<u8> {
        let mut out = Vec::new();
        let builder =
            Builder::new(Class::Error, Method::ALLOCATE, TransactionId([0; 12]), &mut out);
        let builder = attributes.iter().fold(builder, |b, (kind, value)| b.attribute(*kind, value));
        builder.finish();
        out
    }

    #[test]
    fn what_cannot_be_followed_is_refused() {
        let (realm, nonce) = ((T::REALM, &b"r"[..]), (T::NONCE, &b"n"[..]));
        let cookie = (T::NONCE, &b"obMatJos2gAAAn"[..]);
        fn list(list: &[u8]) -> (T, &[u8]) {
            (T::PASSWORD_ALGORITHMS, list)
        }
        for (attributes, known, followed) in [
            (&[realm, nonce][..], None, true),
            (&[nonce], None, false),
            (&[nonce], Some("r"), true),
            (&[realm], None, false),
            (&[realm, cookie], None, false),
            (&[realm, cookie, list(&MD5)], None, true),
            (&[realm, cookie, list(&[0, 7, 0, 0])], None, false),
            (&[realm, nonce, list(&SHA256)], None, true),
            (&[realm, nonce, list(&[1; 516])], None, false),
        ] {
            let bytes = challenge(attributes);
            let message = Message::parse(&bytes).unwrap();
            let read = Challenge::read(&message, known);
            assert_eq!(read.is_ok(), followed, "{attributes:?} {read:?}");
        }
    }

    proptest! {
        #[test]
        fn hostile_values_are_read_without_panic(
            nonce in proptest::collection::vec(any::<u8>(), 0..40),
            cut in 0usize..14,
            list in proptest::collection::vec(any::<u8>(), 0..600),
        ) {
            Features::of(&nonce);
            Features::of(&[&b"obMatJos2gAAA"[..cut.min(13)], &nonce].concat());
            choose(&list);
        }
    }
}
