//! What two agents tell each other about time, and its text form.

use std::fmt::{self, Write as _};
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

use crate::punch::schedule::{MAX_EVERY, MAX_ROUND, MIN_EVERY};

/// The highest time in a message, in microseconds: 12.7 days after the
/// sender's clock began. A JSON number holds it exactly, and sums of such
/// times do not overflow.
pub(super) const MAX_MICROS: u64 = 1 << 40;
/// So many attempts from fresh ports a component.
pub(super) const MAX_ATTEMPTS: u8 = 3;
/// No message is longer than this, in bytes.
const MAX_LEN: usize = 128;

/// Which of two agents leads: the controlling one; between two of one role
/// the one with the larger tie-breaker (RFC 8445 §7.3.1.1 decides the same
/// way). Who connected to whom has no say. It orders: the greater one leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rank {
    /// Whether the agent has the controlling role.
    pub controls: bool,
    /// Its tie-breaker (RFC 8445 §16.1): random, no secret.
    pub tie_breaker: u64,
}

/// What a message says. Times are in microseconds, 0 to 2⁴⁰, on a clock that
/// began when its owner's [`Sync`](crate::punch::Sync) was made, and so tell
/// nothing of the machine's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyncBody {
    /// What time is it with you? Sent at `t1` of the sender's clock.
    Ask {
        /// When it was sent.
        t1: u64,
    },
    /// The answer to an `Ask` with the same id.
    Answer {
        /// As in the `Ask`.
        t1: u64,
        /// When the `Ask` came, on the clock of who answers.
        t2: u64,
        /// When the answer was sent, on the same clock; not before `t2`.
        t3: u64,
    },
    /// A proposal of the agent that leads: both start at `t0`, and again
    /// every `every`.
    Start {
        /// The time on the clock of who receives this.
        t0: u64,
        /// The time between two rounds in microseconds, 250,000 to 2,000,000.
        every: u64,
        /// The number of the round that starts at `t0`, up to 1,000,000.
        round: u32,
    },
    /// The `Start` with the same id is agreed to.
    Agree {
        /// As in the `Start`.
        t0: u64,
    },
    /// DCUtR's CONNECT, and the answer to it.
    Connect,
    /// DCUtR's SYNC.
    Sync,
    /// Of a component nothing came through on the ports that were signalled:
    /// both sides are to check between fresh ones at the start of a round.
    Fresh(Offer),
}

/// The fresh port of a [`SyncBody::Fresh`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Offer {
    /// The component, from 1 on.
    pub component: u16,
    /// Which attempt it is for, 1 to 3: both sides have to be at the same.
    pub attempt: u8,
    /// The first round that the sender can begin in. The later one of both
    /// sides' counts.
    pub round: u32,
    /// Where the sender is seen when it sends from its fresh port. Nothing
    /// may be sent there sooner.
    pub address: SocketAddr,
}

/// A message about time, opaque to whatever carries it.
///
/// Its text form ([`fmt::Display`], [`FromStr`]) is one line of ASCII, fields
/// with one space between them: kind, id, `c` for a controlling or `d` for a
/// controlled sender, its tie-breaker as 16 hexadecimal digits, then the
/// numbers in the order of [`SyncBody`]: `ask 1 c 00000000000000ff 20000`. An
/// address is an IP address and a port: `fresh 9 d 00000000000000ff 1 1 4
/// 203.0.113.9 40000` (one line).
/// With the feature `serde` it is that string.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(into = "String", try_from = "String")
)]
pub struct SyncMessage {
    /// Tells the sender's messages apart; an answer bears that of the question.
    pub id: u32,
    /// Who sends it.
    pub from: Rank,
    /// What it says.
    pub body: SyncBody,
}

/// Why a text is no [`SyncMessage`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MessageError {
    /// It is longer than any message, 128 bytes.
    #[error("a sync message is not that long")]
    TooLong,
    /// Its kind is unknown.
    #[error("unknown kind of sync message")]
    Kind,
    /// It has too few or too many fields, or one that is no number.
    #[error("malformed sync message")]
    Malformed,
    /// A number is out of range.
    #[error("a number in a sync message is out of range")]
    Range,
}

impl SyncBody {
    /// The word that the text form begins with.
    fn kind(&self) -> &'static str {
        match self {
            SyncBody::Ask { .. } => "ask",
            SyncBody::Answer { .. } => "answer",
            SyncBody::Start { .. } => "start",
            SyncBody::Agree { .. } => "agree",
            SyncBody::Connect => "connect",
            SyncBody::Sync => "sync",
            SyncBody::Fresh(_) => "fresh",
        }
    }

    /// Whether all numbers are in their ranges.
    pub(super) fn is_in_range(&self) -> bool {
        match *self {
            SyncBody::Ask { t1 } => t1 <= MAX_MICROS,
            SyncBody::Answer { t1, t2, t3 } => t1 <= MAX_MICROS && t2 <= t3 && t3 <= MAX_MICROS,
            SyncBody::Start { t0, every, round } => {
                let range = MIN_EVERY..=MAX_EVERY;
                t0 <= MAX_MICROS
                    && range.contains(&Duration::from_micros(every))
                    && round <= MAX_ROUND
            }
            SyncBody::Agree { t0 } => t0 <= MAX_MICROS,
            SyncBody::Connect | SyncBody::Sync => true,
            SyncBody::Fresh(Offer { component, attempt, round, address }) => {
                component > 0
                    && (1..=MAX_ATTEMPTS).contains(&attempt)
                    && round <= MAX_ROUND
                    && address.port() > 0
            }
        }
    }
}

impl fmt::Display for SyncMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Rank { controls, tie_breaker } = self.from;
        let side = if controls { 'c' } else { 'd' };
        write!(f, "{} {} {side} {tie_breaker:016x}", self.body.kind(), self.id)?;
        match self.body {
            SyncBody::Ask { t1 } => write!(f, " {t1}"),
            SyncBody::Answer { t1, t2, t3 } => write!(f, " {t1} {t2} {t3}"),
            SyncBody::Start { t0, every, round } => write!(f, " {t0} {every} {round}"),
            SyncBody::Agree { t0 } => write!(f, " {t0}"),
            SyncBody::Connect | SyncBody::Sync => Ok(()),
            SyncBody::Fresh(Offer { component, attempt, round, address }) => {
                let (ip, port) = (address.ip(), address.port());
                write!(f, " {component} {attempt} {round} {ip} {port}")
            }
        }
    }
}

/// A number as [`fmt::Display`] writes it: digits only, no leading zero.
fn number(text: &str) -> Result<u64, MessageError> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(MessageError::Malformed);
    }
    if text.len() > 1 && text.starts_with('0') {
        return Err(MessageError::Malformed);
    }
    text.parse().map_err(|_| MessageError::Range)
}

fn rank(side: &str, tie_breaker: &str) -> Result<Rank, MessageError> {
    let controls = match side {
        "c" => true,
        "d" => false,
        _ => return Err(MessageError::Malformed),
    };
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    if tie_breaker.len() != 16 || !tie_breaker.bytes().all(is_digit) {
        return Err(MessageError::Malformed);
    }
    let tie_breaker = u64::from_str_radix(tie_breaker, 16);
    Ok(Rank { controls, tie_breaker: tie_breaker.map_err(|_| MessageError::Malformed)? })
}

/// An IP address as [`fmt::Display`] writes it.
fn ip(text: &str) -> Result<IpAddr, MessageError> {
    let ip = text.parse::<IpAddr>().map_err(|_| MessageError::Malformed)?;
    if ip.to_string() == text { Ok(ip) } else { Err(MessageError::Malformed) }
}

/// A number that fits.
fn narrow<T: TryFrom<u64>>(number: u64) -> Result<T, MessageError> {
    T::try_from(number).map_err(|_| MessageError::Range)
}

impl FromStr for SyncMessage {
    type Err = MessageError;

    /// Reads the text form, and nothing but what [`fmt::Display`] writes.
    fn from_str(text: &str) -> Result<Self, MessageError> {
        if text.len() > MAX_LEN {
            return Err(MessageError::TooLong);
        }
        let mut fields = text.split(' ');
        let mut next = || fields.next().ok_or(MessageError::Malformed);
        let kind = next()?;
        let id = number(next()?)?;
        let from = rank(next()?, next()?)?;
        let body = match kind {
            "ask" => SyncBody::Ask { t1: number(next()?)? },
            "answer" => {
                let [t1, t2, t3] = [number(next()?)?, number(next()?)?, number(next()?)?];
                SyncBody::Answer { t1, t2, t3 }
            }
            "start" => SyncBody::Start {
                t0: number(next()?)?,
                every: number(next()?)?,
                round: narrow(number(next()?)?)?,
            },
            "agree" => SyncBody::Agree { t0: number(next()?)? },
            "connect" => SyncBody::Connect,
            "sync" => SyncBody::Sync,
            "fresh" => SyncBody::Fresh(Offer {
                component: narrow(number(next()?)?)?,
                attempt: narrow(number(next()?)?)?,
                round: narrow(number(next()?)?)?,
                address: SocketAddr::new(ip(next()?)?, narrow(number(next()?)?)?),
            }),
            _ => return Err(MessageError::Kind),
        };
        if fields.next().is_some() {
            return Err(MessageError::Malformed);
        }
        let id = narrow(id)?;
        if !body.is_in_range() {
            return Err(MessageError::Range);
        }
        Ok(SyncMessage { id, from, body })
    }
}

impl From<SyncMessage> for String {
    fn from(message: SyncMessage) -> String {
        let mut text = String::with_capacity(MAX_LEN);
        // Writing to a string does not fail.
        let _ = write!(text, "{message}");
        text
    }
}

impl TryFrom<String> for SyncMessage {
    type Error = MessageError;

    fn try_from(text: String) -> Result<Self, MessageError> {
        text.parse()
    }
}
