//! The words between a visitor and the server of a room. They are text; what
//! the visitors say to each other is binary, and passed on as it is.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

/// The largest message that the server passes on, in bytes.
pub const MAX_MESSAGE: usize = 16 * 1024;

/// How many characters the name of a room has.
pub const NAME_LENGTH: RangeInclusive<usize> = 1..=32;

/// What every line begins with, so that another version is told apart.
const VERSION: &str = "floe1";

/// What a visitor asks of the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// A new room, whose name the server makes.
    Open,
    /// The room of this name, whether somebody is in it or not.
    Enter(Box<str>),
    /// The other visitor, or the server, does not know the secret.
    Wrong,
}

/// What the server tells a visitor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tell {
    /// The visitor is in the room of this name.
    Entered(Box<str>),
    /// There are two in the room; `first` for the one who was there.
    Met {
        /// Whether this visitor was there first.
        first: bool,
    },
    /// The other one has left.
    Left,
    /// The visitor is not, or no longer, in a room.
    Refused(Refusal),
}

/// Why the server has no room for a visitor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// There are two in it already.
    #[error("there are two in the room already")]
    Full,
    /// There were three wrong guesses.
    #[error("the room is closed after three wrong guesses")]
    Guessed,
    /// The room's time is over.
    #[error("the room's time is over")]
    Expired,
    /// The server has no room left, or this visitor has asked too often.
    #[error("the rendezvous has no room left, or was asked too often")]
    Busy,
    /// More was sent than signalling takes.
    #[error("more was sent than the rendezvous passes on")]
    TooMuch,
    /// The server did not understand.
    #[error("the rendezvous does not understand this program")]
    Malformed,
    /// The server is being shut down.
    #[error("the rendezvous is being shut down")]
    Ending,
}

/// A line that this version does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a line that this version does not know")]
pub struct Unknown;

impl Refusal {
    /// Every one with its word.
    const WORDS: [(Refusal, &str); 7] = [
        (Refusal::Full, "full"),
        (Refusal::Guessed, "guessed"),
        (Refusal::Expired, "expired"),
        (Refusal::Busy, "busy"),
        (Refusal::TooMuch, "too-much"),
        (Refusal::Malformed, "malformed"),
        (Refusal::Ending, "ending"),
    ];

    fn word(self) -> &'static str {
        Self::WORDS.iter().find(|(refusal, _)| *refusal == self).map_or("", |(_, word)| word)
    }
}

/// Whether a room may be called so.
pub fn is_name(text: &str) -> bool {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    NAME_LENGTH.contains(&text.len()) && text.chars().all(fits)
}

impl fmt::Display for Ask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Ask::Open => write!(f, "{VERSION} open"),
            Ask::Enter(name) => write!(f, "{VERSION} enter {name}"),
            Ask::Wrong => write!(f, "{VERSION} wrong"),
        }
    }
}

impl FromStr for Ask {
    type Err = Unknown;

    fn from_str(line: &str) -> Result<Self, Unknown> {
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            [VERSION, "open"] => Ok(Ask::Open),
            [VERSION, "enter", name] if is_name(name) => Ok(Ask::Enter(name.into())),
            [VERSION, "wrong"] => Ok(Ask::Wrong),
            _ => Err(Unknown),
        }
    }
}

impl fmt::Display for Tell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Tell::Entered(name) => write!(f, "{VERSION} entered {name}"),
            Tell::Met { first: true } => write!(f, "{VERSION} met first"),
            Tell::Met { first: false } => write!(f, "{VERSION} met second"),
            Tell::Left => write!(f, "{VERSION} left"),
            Tell::Refused(refusal) => write!(f, "{VERSION} refused {}", refusal.word()),
        }
    }
}

impl FromStr for Tell {
    type Err = Unknown;

    fn from_str(line: &str) -> Result<Self, Unknown> {
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            [VERSION, "entered", name] if is_name(name) => Ok(Tell::Entered(name.into())),
            [VERSION, "met", "first"] => Ok(Tell::Met { first: true }),
            [VERSION, "met", "second"] => Ok(Tell::Met { first: false }),
            [VERSION, "left"] => Ok(Tell::Left),
            [VERSION, "refused", word] => {
                let known = Refusal::WORDS.iter().find(|(_, known)| *known == word);
                known.map(|(refusal, _)| Tell::Refused(*refusal)).ok_or(Unknown)
            }
            _ => Err(Unknown),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_read_as_it_was_meant() {
        for ask in [Ask::Open, Ask::Enter("417".into()), Ask::Wrong] {
            assert_eq!(ask.to_string().parse(), Ok(ask));
        }
        let refused = Refusal::WORDS.map(|(refusal, _)| Tell::Refused(refusal));
        let met = [Tell::Met { first: true }, Tell::Met { first: false }, Tell::Left];
        for tell in [Tell::Entered("x".into())].into_iter().chain(met).chain(refused) {
            assert_eq!(tell.to_string().parse(), Ok(tell));
        }
    }

    #[test]
    fn other_lines_are_unknown() {
        let long = format!("floe1 enter {}", "7".repeat(33));
        for line in
            ["", "open", "floe2 open", "floe1 enter", "floe1 enter A", "floe1 open 7", &long]
        {
            assert_eq!(line.parse::<Ask>(), Err(Unknown), "{line}");
        }
        for line in ["", "floe1 met", "floe1 met third", "floe1 refused no", "floe1 entered \u{1b}"]
        {
            assert_eq!(line.parse::<Tell>(), Err(Unknown), "{line}");
        }
    }
}
