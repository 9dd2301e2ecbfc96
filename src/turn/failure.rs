//! Why something was not to be had, in words. What the server says is shown,
//! and cannot do anything to a terminal.

use crate::stun::ErrorCode;
use crate::turn::{Cause, Failure};

/// Longest part of what the server says that is passed on, in characters.
const MAX_SHOWN: usize = 128;

/// `text` of the server without control characters, and not too long. Some
/// servers count the padding to their text.
pub(super) fn shown(text: &str) -> String {
    let shown = |c: char| if is_shown(c) { c } else { '\u{fffd}' };
    text.trim_end_matches('\0').chars().take(MAX_SHOWN).map(shown).collect()
}

/// Characters that change the direction of text would let a server rewrite
/// what stands around them.
fn is_shown(c: char) -> bool {
    !c.is_control()
        && !matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

impl Cause {
    /// What an error code means in TURN (RFC 8489 §14.8, RFC 8656 §19).
    pub(super) const fn of_code(code: u16) -> Self {
        match code {
            400 => Cause::BadRequest,
            401 | 441 => Cause::Secrets,
            403 => Cause::Forbidden,
            420 | 442 => Cause::Unsupported,
            437 => Cause::Mismatch,
            438 => Cause::Nonces,
            440 | 443 => Cause::Family,
            446 | 447 => Cause::Peer,
            486 => Cause::Quota,
            508 => Cause::Capacity,
            500..=599 => Cause::Server,
            _ => Cause::Refused,
        }
    }
}

impl Failure {
    pub(super) fn new(cause: Cause, text: impl Into<Box<str>>) -> Self {
        Failure { cause, code: None, text: text.into() }
    }

    /// The server refused with an error code.
    pub(super) fn refused(error: ErrorCode<'_>) -> Self {
        let ErrorCode { code, reason } = error;
        let meaning = match code {
            400 => "the server takes the request for malformed",
            403 => "the server forbids it",
            420 => "the server does not know an attribute of the request",
            437 => "the server has another idea of which allocations there are",
            440 => "the server does not have this address family",
            441 => "the allocation was made with other credentials",
            442 => "the server does not relay this protocol",
            443 => "the peer's address is of another family than the relayed one",
            446 => "there is a connection to this peer already",
            447 => "the server could not connect to the peer",
            486 => "the user has as many allocations as it may have",
            508 => "the server has no more room",
            500..=599 => "the server failed",
            _ => "the server refused",
        };
        let text = match shown(reason).as_str() {
            "" => format!("{meaning} (code {code})"),
            reason => format!("{meaning} (code {code}: {reason})"),
        };
        Failure { cause: Cause::of_code(code), code: Some(code), text: text.into() }
    }

    /// The server does not take the secrets.
    pub(super) fn secrets(user: &str, realm: &str) -> Self {
        let (user, realm) = (shown(user), shown(realm));
        let text = format!(
            "the server does not take the password of {user} for the realm {realm} (code 401)"
        );
        Failure { cause: Cause::Secrets, code: Some(401), text: text.into() }
    }

    /// Nothing that came was signed as it has to be; the last that came had
    /// this code.
    pub(super) fn unsigned(code: Option<u16>) -> Self {
        let text = match code {
            None => "the server's answer was not signed with our password".into(),
            Some(code) => format!(
                "the server's answer, with the code {code}, was not signed with our password"
            ),
        };
        Failure { cause: Cause::Integrity, code, text: text.into() }
    }

    /// It wants a newer nonce however often it is given one.
    pub(super) fn nonces() -> Self {
        let text = "the server wants a newer nonce however often it is given one (code 438)";
        Failure { cause: Cause::Nonces, code: Some(438), text: text.into() }
    }

    pub(super) fn no_answer() -> Self {
        Failure::new(Cause::NoAnswer, "the server did not answer")
    }

    /// The server asks for credentials in a way that cannot be followed.
    pub(super) fn challenge(code: u16, why: &str) -> Self {
        let text = format!("the server asks for credentials and {why} (code {code})");
        Failure { cause: Cause::Challenge, code: Some(code), text: text.into() }
    }

    pub(super) fn useless(why: &str) -> Self {
        Failure::new(Cause::Useless, format!("the server's answer {why}"))
    }

    pub(super) fn limit(what: &str) -> Self {
        Failure::new(Cause::Limit, format!("there are as many {what} as there may be"))
    }

    pub(super) fn no_channels() -> Self {
        Failure::new(Cause::Unsupported, "an allocation of TCP has no channels")
    }

    pub(super) fn family() -> Self {
        Failure::new(Cause::Family, "there is no relayed address of the peer's family")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_of_turn_has_its_cause() {
        for (code, cause) in [
            (300, Cause::Refused),
            (400, Cause::BadRequest),
            (401, Cause::Secrets),
            (403, Cause::Forbidden),
            (420, Cause::Unsupported),
            (437, Cause::Mismatch),
            (438, Cause::Nonces),
            (440, Cause::Family),
            (441, Cause::Secrets),
            (442, Cause::Unsupported),
            (443, Cause::Family),
            (446, Cause::Peer),
            (447, Cause::Peer),
            (486, Cause::Quota),
            (500, Cause::Server),
            (508, Cause::Capacity),
            (599, Cause::Server),
            (600, Cause::Refused),
        ] {
            let failure = Failure::refused(ErrorCode { code, reason: "why" });
            assert_eq!((failure.cause, failure.code), (cause, Some(code)));
            assert!(failure.text.ends_with(&format!("(code {code}: why)")), "{failure}");
        }
    }

    #[test]
    fn what_the_server_says_is_shown_without_doing_anything() {
        let reason = format!("a\x1b[2J\n\u{202e}b{}", "x".repeat(900));
        let failure = Failure::refused(ErrorCode { code: 403, reason: &reason });
        assert!(failure.text.contains("a\u{fffd}[2J\u{fffd}\u{fffd}bx"), "{failure}");
        assert!(failure.text.chars().count() < 200);
        assert_eq!(shown("padded\0\0"), "padded");
        assert!(!Failure::secrets("u\x07", "r\0").text.contains(char::is_control));
    }
}
