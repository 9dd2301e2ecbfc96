//! Lines and their fields, each with its place for error messages.

use std::str::FromStr;

use crate::candidate::{self, Host, MAX_LINE, is_token, parse_host};
use crate::sdp::{Field, Rule, SdpError};

/// A line without its end.
#[derive(Clone, Copy)]
pub(super) struct Line<'a> {
    /// Counted from 1.
    pub(super) number: usize,
    pub(super) text: &'a str,
}

/// A part of a line: its text, where it begins, and what it is.
#[derive(Clone, Copy)]
pub(super) struct Part<'a> {
    pub(super) text: &'a str,
    pub(super) position: usize,
    pub(super) line: usize,
    pub(super) field: Field,
}

impl<'a> Line<'a> {
    /// The value of the line or attribute, which is its last `value.len()`
    /// bytes, if it is short enough to be read.
    pub(super) fn value(self, value: &'a str, field: Field) -> Result<Part<'a>, SdpError> {
        let position = self.text.len() - value.len();
        let part = Part { text: value, position, line: self.number, field };
        if self.text.len() > MAX_LINE {
            let end = Part { position: MAX_LINE, ..part };
            return Err(end.breaks(Rule::TooLong));
        }
        Ok(part)
    }

    /// An error of the attribute as a whole.
    pub(super) const fn attribute(self, field: Field, rule: Rule) -> SdpError {
        SdpError { line: self.number, position: "a=".len(), field, rule }
    }

    pub(super) fn candidate_error(self, error: candidate::CandidateError) -> SdpError {
        let candidate::CandidateError { field, position, rule } = error;
        SdpError {
            line: self.number,
            position: "a=".len() + position,
            field: Field::Candidate(field),
            rule: Rule::Candidate(rule),
        }
    }
}

impl<'a> Part<'a> {
    pub(super) const fn breaks(self, rule: Rule) -> SdpError {
        SdpError { line: self.line, position: self.position, field: self.field, rule }
    }

    /// The parts between single spaces; empty ones where there are more.
    pub(super) fn words(self) -> impl Iterator<Item = Part<'a>> + Clone {
        let mut position = self.position;
        self.text.split(' ').map(move |text| {
            let word = Part { text, position, ..self };
            position += text.len() + 1;
            word
        })
    }

    /// Everything after the first `count` words; empty if there is no more.
    pub(super) fn after_words(self, count: usize) -> &'a str {
        self.text.splitn(count + 1, ' ').nth(count).unwrap_or_default()
    }

    /// A number of digits alone, with any number of leading zeros.
    pub(super) fn number<N: FromStr>(self, rule: Rule) -> Result<N, SdpError> {
        let digits = !self.text.is_empty() && self.text.bytes().all(|b| b.is_ascii_digit());
        self.text.parse().ok().filter(|_| digits).ok_or(self.breaks(rule))
    }

    pub(super) fn host(self, rule: Rule) -> Result<Host, SdpError> {
        parse_host(self.text).ok_or(self.breaks(rule))
    }

    pub(super) fn token(self, rule: Rule) -> Result<Box<str>, SdpError> {
        if is_token(self.text) { Ok(self.text.into()) } else { Err(self.breaks(rule)) }
    }
}
