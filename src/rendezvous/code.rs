//! The code that a person reads out.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use super::visit::is_name;
use super::words::WORDS;
use crate::rng::Rng;

/// How many words a secret that is made has: 8 bits each.
const MADE: usize = 3;

/// How many bytes a secret may have. Shorter ones are guessed too easily.
const SECRET_LENGTH: RangeInclusive<usize> = 6..=128;

/// `name-secret`: the name tells the room, and the secret whom to trust in it.
/// The secret is in no output of [`fmt::Debug`].
#[derive(Clone, PartialEq, Eq)]
pub struct Code {
    name: Box<str>,
    secret: Box<str>,
}

/// Why a text is no [`Code`]. It does not repeat the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CodeError {
    /// There is no `-` in it.
    #[error("a code is `name-secret`, as in 417-copper-lantern-walrus")]
    NoSecret,
    /// The name is empty, too long, or has other characters.
    #[error("the name before the first `-` of a code is 1 to 32 letters and digits")]
    Name,
    /// The secret is too short or too long.
    #[error("the secret after the first `-` of a code has 6 to 128 characters")]
    Length,
    /// There is a control character in the secret.
    #[error("the secret of a code is of visible characters")]
    Character,
}

impl Code {
    /// A code with a new secret of 24 random bits for the room `name`.
    ///
    /// # Errors
    ///
    /// [`CodeError::Name`]
    pub fn new(name: &str, rng: &mut Rng) -> Result<Self, CodeError> {
        let words = rng.bytes::<MADE>().map(|byte| WORDS[usize::from(byte)]);
        format!("{name}-{}", words.join("-")).parse()
    }

    /// The name, which the server may know.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The secret, for the exchange.
    pub(super) fn secret(&self) -> &str {
        &self.secret
    }

    /// The whole code, to be told to the other side and to nobody else.
    pub fn text(&self) -> String {
        format!("{}-{}", self.name, self.secret)
    }
}

impl FromStr for Code {
    type Err = CodeError;

    /// Reads a code as people type it: in capitals, with blanks for dashes.
    fn from_str(text: &str) -> Result<Self, CodeError> {
        let text = text.to_lowercase();
        let text = text.split_whitespace().collect::<Vec<_>>().join("-");
        let (name, secret) = text.split_once('-').ok_or(CodeError::NoSecret)?;
        if !is_name(name) {
            return Err(CodeError::Name);
        }
        if !SECRET_LENGTH.contains(&secret.len()) {
            return Err(CodeError::Length);
        }
        if secret.contains(char::is_control) {
            return Err(CodeError::Character);
        }
        Ok(Code { name: name.into(), secret: secret.into() })
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Code").field("name", &self.name).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Seed;

    #[test]
    fn a_made_code_is_read_again_however_it_is_typed() {
        let code = Code::new("417", &mut Rng::new(&Seed::from_number(1))).unwrap();
        assert_eq!((code.name(), code.text().matches('-').count()), ("417", 3));
        let typed = format!("  {} ", code.text().to_uppercase().replace('-', " "));
        assert_eq!(typed.parse(), Ok(code.clone()));
        let other = Code::new("417", &mut Rng::new(&Seed::from_number(2))).unwrap();
        assert_ne!(code.secret(), other.secret());
        assert!(!format!("{code:?}").contains(code.secret()));
    }

    #[test]
    fn what_is_no_code_is_told_so() {
        let long = format!("7-{}", "x".repeat(129));
        for (text, error) in [
            ("", CodeError::NoSecret),
            ("crossover", CodeError::NoSecret),
            ("-crossover", CodeError::Name),
            ("sieben!-crossover", CodeError::Name),
            ("7-short", CodeError::Length),
            (&long, CodeError::Length),
            ("7-cross\u{1b}over", CodeError::Character),
        ] {
            assert_eq!(text.parse::<Code>(), Err(error), "{text}");
        }
        assert_eq!(
            "7-crossover-clockwork".parse::<Code>().unwrap().secret(),
            "crossover-clockwork"
        );
    }
}
