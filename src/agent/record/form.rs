//! How values look in JSON: durations as milliseconds, numbers of 64 bits and
//! ids in hex (other languages round large numbers), candidates as their lines.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::de::{Deserialize, Deserializer, Error, Visitor};
use serde::ser::{Serialize, Serializer};

use crate::candidate::{Candidate, ComponentId, Prefix};
use crate::check::{FailReason, PairId};
use crate::net::NotConnected;
use crate::stun::TransactionId;
use crate::timer::Time;

/// Nanoseconds are exact in it for 104 days.
fn to_millis(duration: Duration) -> f64 {
    duration.as_nanos() as f64 / 1e6
}

fn from_millis<E: Error>(millis: f64) -> Result<Duration, E> {
    // Above, nanoseconds do not fit 64 bits.
    if (0.0..1.8e13).contains(&millis) {
        Ok(Duration::from_nanos((millis * 1e6).round() as u64))
    } else {
        Err(E::custom("no duration in milliseconds"))
    }
}

/// What is taken of a log that says nothing.
pub(super) fn yes() -> bool {
    true
}

/// How long servers keep permissions in a log that does not say.
pub(super) fn five_minutes() -> Duration {
    Duration::from_secs(300)
}

/// `Duration` as milliseconds.
pub(in crate::agent) mod millis {
    use super::*;

    pub(in crate::agent) fn serialize<S: Serializer>(
        duration: &Duration,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.serialize_f64(to_millis(*duration))
    }

    pub(in crate::agent) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Duration, D::Error> {
        from_millis(f64::deserialize(from)?)
    }
}

/// `Option<Duration>` likewise.
pub(in crate::agent) mod maybe_millis {
    use super::*;

    pub(in crate::agent) fn serialize<S: Serializer>(
        duration: &Option<Duration>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        duration.map(to_millis).serialize(to)
    }

    pub(in crate::agent) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<Duration>, D::Error> {
        Option::<f64>::deserialize(from)?.map(from_millis).transpose()
    }
}

/// `Vec<Duration>` likewise.
pub(super) mod all_millis {
    use super::*;

    pub(in crate::agent) fn serialize<S: Serializer>(
        durations: &[Duration],
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.collect_seq(durations.iter().map(|duration| to_millis(*duration)))
    }

    pub(in crate::agent) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Vec<Duration>, D::Error> {
        Vec::<f64>::deserialize(from)?.into_iter().map(from_millis).collect()
    }
}

/// `Time` as milliseconds since the epoch.
pub(in crate::agent) mod millis_of_time {
    use super::*;

    pub(in crate::agent) fn serialize<S: Serializer>(
        time: &Time,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        millis::serialize(&time.since_epoch(), to)
    }

    pub(in crate::agent) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Time, D::Error> {
        millis::deserialize(from).map(|since| Time::ZERO + since)
    }
}

/// Numbers of 64 bits in hex.
struct Hex(u64);

impl Serialize for Hex {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&format_args!("{:016x}", self.0))
    }
}

impl<'de> Deserialize<'de> for Hex {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        text(from, "16 hexadecimal digits", |text| {
            (text.len() == 16).then(|| u64::from_str_radix(text, 16).ok()).flatten().map(Hex)
        })
    }
}

/// `u64` in hex.
pub(super) mod hex {
    use super::*;

    pub(in crate::agent) fn serialize<S: Serializer>(
        number: &u64,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        Hex(*number).serialize(to)
    }

    pub(in crate::agent) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<u64, D::Error> {
        Hex::deserialize(from).map(|hex| hex.0)
    }
}

/// `Option<u64>` in hex.
pub(super) mod maybe_hex {
    use super::*;

    pub(in crate::agent) fn serialize<S: Serializer>(
        number: &Option<u64>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        number.map(Hex).serialize(to)
    }

    pub(in crate::agent) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<u64>, D::Error> {
        Ok(Option::<Hex>::deserialize(from)?.map(|hex| hex.0))
    }
}

/// `Vec<u64>` in hex.
pub(super) mod all_hex {
    use super::*;

    pub(in crate::agent) fn serialize<S: Serializer>(
        numbers: &[u64],
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.collect_seq(numbers.iter().copied().map(Hex))
    }

    pub(in crate::agent) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Vec<u64>, D::Error> {
        Ok(Vec::<Hex>::deserialize(from)?.into_iter().map(|hex| hex.0).collect())
    }
}

/// `io::ErrorKind` as its word.
pub(in crate::agent) mod error_kind {
    use std::io;

    use super::*;
    use crate::net;

    pub(in crate::agent) fn serialize<S: Serializer>(
        kind: &io::ErrorKind,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.serialize_str(net::error_word(*kind))
    }

    pub(in crate::agent) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<io::ErrorKind, D::Error> {
        // A word of a newer version is an error like any other.
        text(from, "the word of an error", |word| {
            Some(net::error_of_word(word).unwrap_or(io::ErrorKind::Other))
        })
    }
}

/// A value from its text.
fn text<'de, D: Deserializer<'de>, T>(
    from: D,
    what: &'static str,
    read: impl FnOnce(&str) -> Option<T>,
) -> Result<T, D::Error> {
    struct Text<F>(&'static str, F);

    impl<T, F: FnOnce(&str) -> Option<T>> Visitor<'_> for Text<F> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
            let what = self.0;
            (self.1)(text).ok_or_else(|| E::custom(format_args!("not {what}")))
        }
    }

    from.deserialize_str(Text(what, read))
}

impl Serialize for Candidate {
    /// The candidate as its line (RFC 8839 §5.1).
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Candidate {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        text(from, "a candidate line", |line| Candidate::from_str(line).ok())
    }
}

impl Serialize for Prefix {
    /// The network as it is written: `192.0.2.0/24`.
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Prefix {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        text(from, "a network", |network| network.parse().ok())
    }
}

impl Serialize for ComponentId {
    /// The component as its number.
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u16(self.number())
    }
}

impl<'de> Deserialize<'de> for ComponentId {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let number = u16::deserialize(from)?;
        ComponentId::new(number).ok_or_else(|| D::Error::custom("no component from 1 to 256"))
    }
}

impl Serialize for TransactionId {
    /// The id as 24 hexadecimal digits.
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&format_args!("{self:?}"))
    }
}

impl<'de> Deserialize<'de> for TransactionId {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        text(from, "24 hexadecimal digits", |text| {
            let mut id = [0; 12];
            if text.len() != 2 * id.len() {
                return None;
            }
            for (byte, digits) in id.iter_mut().zip(text.as_bytes().chunks(2)) {
                *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
            }
            Some(TransactionId(id))
        })
    }
}

/// A [`FailReason`] in JSON: its word, and beside it what belongs to it.
#[derive(Clone, Copy, serde::Serialize, serde::Deserialize)]
struct FailForm {
    reason: Word,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    code: Option<u16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    error: Option<ErrorWord>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    why: Option<NotConnected>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    by: Option<PairId>,
}

#[derive(Clone, Copy, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
struct ErrorWord(#[serde(with = "error_kind")] std::io::ErrorKind);

#[derive(Clone, Copy, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Word {
    NoAnswer,
    Refused,
    NotConnected,
    WrongIntegrity,
    NotSymmetric,
    ErrorResponse,
    RoleConflict,
    Superseded,
    Limit,
    ListFailed,
    ConsentExpired,
    ConsentRevoked,
    Restarted,
    AddressGone,
}

impl FailForm {
    /// The reason in its form.
    fn of(reason: FailReason) -> Self {
        let plain = |reason| FailForm { reason, code: None, error: None, why: None, by: None };
        match reason {
            FailReason::NoAnswer => plain(Word::NoAnswer),
            FailReason::Refused(kind) => {
                FailForm { error: Some(ErrorWord(kind)), ..plain(Word::Refused) }
            }
            FailReason::NotConnected(NotConnected::System(kind)) => {
                FailForm { error: Some(ErrorWord(kind)), ..plain(Word::NotConnected) }
            }
            FailReason::NotConnected(why) => {
                FailForm { why: Some(why), ..plain(Word::NotConnected) }
            }
            FailReason::WrongIntegrity => plain(Word::WrongIntegrity),
            FailReason::NotSymmetric => plain(Word::NotSymmetric),
            FailReason::ErrorResponse(code) => {
                FailForm { code: Some(code), ..plain(Word::ErrorResponse) }
            }
            FailReason::RoleConflict => plain(Word::RoleConflict),
            FailReason::Superseded(by) => FailForm { by: Some(by), ..plain(Word::Superseded) },
            FailReason::Limit => plain(Word::Limit),
            FailReason::ListFailed => plain(Word::ListFailed),
            FailReason::ConsentExpired => plain(Word::ConsentExpired),
            FailReason::ConsentRevoked => plain(Word::ConsentRevoked),
            FailReason::Restarted => plain(Word::Restarted),
            FailReason::AddressGone => plain(Word::AddressGone),
        }
    }

    fn reason(self) -> Option<FailReason> {
        Some(match self.reason {
            Word::NoAnswer => FailReason::NoAnswer,
            Word::Refused => FailReason::Refused(self.error?.0),
            Word::NotConnected => FailReason::NotConnected(match self.error {
                Some(ErrorWord(kind)) => NotConnected::System(kind),
                None => self.why?,
            }),
            Word::WrongIntegrity => FailReason::WrongIntegrity,
            Word::NotSymmetric => FailReason::NotSymmetric,
            Word::ErrorResponse => FailReason::ErrorResponse(self.code?),
            Word::RoleConflict => FailReason::RoleConflict,
            Word::Superseded => FailReason::Superseded(self.by?),
            Word::Limit => FailReason::Limit,
            Word::ListFailed => FailReason::ListFailed,
            Word::ConsentExpired => FailReason::ConsentExpired,
            Word::ConsentRevoked => FailReason::ConsentRevoked,
            Word::Restarted => FailReason::Restarted,
            Word::AddressGone => FailReason::AddressGone,
        })
    }
}

impl Serialize for FailReason {
    /// An object: `reason`, and where it has more to say `code`, `error` or `by`.
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        FailForm::of(*self).serialize(to)
    }
}

impl<'de> Deserialize<'de> for FailReason {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let form = FailForm::deserialize(from)?;
        form.reason().ok_or_else(|| D::Error::custom("the reason lacks its detail"))
    }
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;

    use serde_json::{Value, json};

    use super::*;
    use crate::agent::{DropReason, State, StateReason};
    use crate::candidate::{AddressRefusal, Kind};
    use crate::check::Role;

    fn word(value: impl Serialize) -> Value {
        serde_json::to_value(value).unwrap()
    }

    #[test]
    fn words_in_a_log_are_those_that_are_shown() {
        for reason in DropReason::ALL {
            assert_eq!(word(reason), reason.to_string());
        }
        for refusal in AddressRefusal::ALL {
            assert_eq!(word(refusal), refusal.word());
        }
        for role in [Role::Controlling, Role::Controlled] {
            assert_eq!(word(role), role.to_string());
        }
        for kind in [Kind::Host, Kind::ServerReflexive, Kind::PeerReflexive, Kind::Relayed] {
            assert_eq!(word(kind), kind.to_string());
        }
        for state in [State::New, State::Checking, State::Completed, State::Disconnected] {
            assert_eq!(word(state), state.to_string());
        }
        for reason in [StateReason::ChecksStarted, StateReason::NoPairs, StateReason::Restarting] {
            assert_eq!(word(reason), reason.to_string());
        }
    }

    #[test]
    fn reasons_have_a_word_and_what_belongs_to_it() {
        let reasons = [
            (FailReason::NoAnswer, json!({"reason":"no-answer"})),
            (
                FailReason::Refused(ErrorKind::ConnectionRefused),
                json!({"reason":"refused","error":"connection-refused"}),
            ),
            (
                FailReason::NotConnected(NotConnected::RefusedNearby),
                json!({"reason":"not-connected","why":"refused-nearby"}),
            ),
            (
                FailReason::NotConnected(NotConnected::System(ErrorKind::PermissionDenied)),
                json!({"reason":"not-connected","error":"permission-denied"}),
            ),
            (FailReason::WrongIntegrity, json!({"reason":"wrong-integrity"})),
            (FailReason::NotSymmetric, json!({"reason":"not-symmetric"})),
            (FailReason::ErrorResponse(400), json!({"reason":"error-response","code":400})),
            (FailReason::RoleConflict, json!({"reason":"role-conflict"})),
            (FailReason::Superseded(PairId(3)), json!({"reason":"superseded","by":3})),
            (FailReason::Limit, json!({"reason":"limit"})),
            (FailReason::ListFailed, json!({"reason":"list-failed"})),
            (FailReason::ConsentExpired, json!({"reason":"consent-expired"})),
            (FailReason::ConsentRevoked, json!({"reason":"consent-revoked"})),
            (FailReason::Restarted, json!({"reason":"restarted"})),
            (FailReason::AddressGone, json!({"reason":"address-gone"})),
        ];
        for (reason, form) in reasons {
            assert_eq!(word(reason), form);
            assert_eq!(form["reason"], reason.word());
            assert!(reason.to_string().starts_with(reason.word()));
            assert_eq!(serde_json::from_value::<FailReason>(form).unwrap(), reason);
        }
        let bare = json!({"reason":"superseded"});
        assert!(serde_json::from_value::<FailReason>(bare).is_err());
    }

    #[test]
    fn times_are_exact_to_the_nanosecond() {
        for nanos in [0, 1, 999_999, 1_000_001, 86_400_000_000_001, (1 << 50) - 1] {
            let text = serde_json::to_string(&to_millis(Duration::from_nanos(nanos))).unwrap();
            let millis: f64 = serde_json::from_str(&text).unwrap();
            let read = from_millis::<serde_json::Error>(millis).unwrap();
            assert_eq!(read, Duration::from_nanos(nanos), "{text}");
        }
    }
}
