use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use floe::agent::RemoteParameters;
use floe::candidate::{Candidate, ComponentId};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{MAX_LINE, MAX_PAYLOAD, Output};

/// A line from the signalling, or from whoever uses the agent.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Input {
    /// The peer's credentials.
    Credentials(RemoteParameters),
    /// What the peer trickles, and the generation that it belongs to.
    Remote {
        /// The username fragment of the generation; absent for the current one.
        ufrag: Option<String>,
        /// The candidate, or the end of them.
        remote: Remote,
    },
    /// A payload to send.
    Send {
        /// On which component.
        component: ComponentId,
        /// The bytes.
        payload: Vec<u8>,
    },
    /// An ICE restart is wanted.
    Restart,
    /// A `stats` line is wanted.
    Stats,
    /// The end.
    Close,
    /// Nothing that this version knows.
    Ignored,
}

/// What the peer trickles.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Remote {
    /// A candidate.
    Candidate(Candidate),
    /// A message of the agreement on T0.
    Sync(String),
    /// There are no more.
    End,
}

/// Why a line was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BadLine {
    code: &'static str,
    field: String,
    position: usize,
    rule: String,
}

impl BadLine {
    fn new(field: impl Into<String>, position: usize, rule: impl Into<String>) -> Self {
        BadLine { code: "bad-input", field: field.into(), position, rule: rule.into() }
    }

    /// A line that was longer than is read.
    pub(crate) fn too_long() -> Self {
        Self::new("line", MAX_LINE + 1, format!("must not exceed {MAX_LINE} bytes"))
    }

    /// A line that reads well, and asks for what cannot be.
    pub(crate) fn refused(field: &str, rule: impl Into<String>) -> Self {
        Self::new(field, 1, rule)
    }

    /// The answer to the line.
    pub(crate) fn answer(&self) -> Output {
        Output::Error {
            code: self.code,
            message: format!("byte {}: {} {}", self.position, self.field, self.rule),
            field: Some(self.field.clone()),
            position: Some(self.position),
            rule: Some(self.rule.clone()),
        }
    }
}

impl Input {
    /// Reads a line, without its end. Positions in errors count bytes of the
    /// line from 1; where a key is missing, the position is the line's end.
    pub(crate) fn parse(line: &[u8]) -> Result<Input, BadLine> {
        if line.len() > MAX_LINE {
            return Err(BadLine::too_long());
        }
        let text = std::str::from_utf8(line)
            .map_err(|error| BadLine::new("line", error.valid_up_to() + 1, "must be UTF-8"))?;
        let object = Object::read(text)?;
        match object.required::<String>("type", "a string")?.value.as_str() {
            "credentials" => credentials(&object),
            "candidate" => candidate(&object),
            "end-of-candidates" => {
                Ok(Input::Remote { ufrag: ufrag(&object)?, remote: Remote::End })
            }
            "sync" => sync(&object),
            "send" => send(&object),
            "restart" => Ok(Input::Restart),
            "stats" => Ok(Input::Stats),
            "close" => Ok(Input::Close),
            _ => Ok(Input::Ignored),
        }
    }
}

/// A message without what we put into ours is of a peer that has its own.
fn sync(object: &Object<'_>) -> Result<Input, BadLine> {
    match object.optional::<String>("message", "a string") {
        Ok(Some(message)) => {
            Ok(Input::Remote { ufrag: ufrag(object)?, remote: Remote::Sync(message.value) })
        }
        _ => Ok(Input::Ignored),
    }
}

/// RFC 8839 §5.4: a username fragment has 4 to 256 ice-chars, a password 22 to 256.
const UFRAG_LENGTH: std::ops::RangeInclusive<usize> = 4..=256;
const PWD_LENGTH: std::ops::RangeInclusive<usize> = 22..=256;

/// RFC 8839 §5.5: a pacing value has at most ten digits.
const MAX_PACING: u64 = 9_999_999_999;

fn credentials(object: &Object<'_>) -> Result<Input, BadLine> {
    let ufrag = object.required::<String>("ufrag", "a string")?.ice_chars(&UFRAG_LENGTH)?;
    let pwd = object.required::<String>("pwd", "a string")?.ice_chars(&PWD_LENGTH)?;
    let mut parameters = RemoteParameters::new(&ufrag, &pwd);
    if let Some(pacing) = object.optional::<u64>("pacing", "a whole number of milliseconds")? {
        if pacing.value > MAX_PACING {
            return Err(pacing.breaks("must have at most ten digits"));
        }
        parameters.pacing = Duration::from_millis(pacing.value);
    }
    if let Some(lite) = object.optional::<bool>("lite", "true or false")? {
        parameters.lite = lite.value;
    }
    if let Some(answers) = object.optional::<String>("answers", "a string")? {
        parameters.answers = Some(answers.ice_chars(&UFRAG_LENGTH)?.into());
    }
    if let Some(options) = object.optional::<Vec<String>>("options", "an array of strings")? {
        parameters.options = options.value.into_iter().map(Into::into).collect();
    }
    Ok(Input::Credentials(parameters))
}

fn candidate(object: &Object<'_>) -> Result<Input, BadLine> {
    let line = object.required::<String>("candidate", "a string")?;
    let ufrag = ufrag(object)?;
    match line.value.parse::<Candidate>() {
        Ok(candidate) => Ok(Input::Remote { ufrag, remote: Remote::Candidate(candidate) }),
        // RFC 8839 §5.1: what follows the grammar and is of a kind that is
        // not known is ignored.
        Err(error) if error.is_unsupported() => Ok(Input::Ignored),
        Err(error) => {
            let position = line.position + line.offset_inside(error.position);
            Err(BadLine::new(
                format!("candidate {}", error.field),
                position,
                error.rule.to_string(),
            ))
        }
    }
}

fn ufrag(object: &Object<'_>) -> Result<Option<String>, BadLine> {
    let ufrag = object.optional::<String>("ufrag", "a string")?;
    ufrag.map(|ufrag| ufrag.ice_chars(&UFRAG_LENGTH)).transpose()
}

fn send(object: &Object<'_>) -> Result<Input, BadLine> {
    let component = match object.optional::<u16>("component", "a number from 1 to 256")? {
        None => ComponentId::ONE,
        Some(number) => ComponentId::new(number.value)
            .ok_or_else(|| number.breaks("must be a number from 1 to 256"))?,
    };
    let text = object.optional::<String>("text", "a string")?;
    let base64 = object.optional::<String>("base64", "a string")?;
    let payload = match (text, base64) {
        (Some(text), None) => text.value.into_bytes(),
        (None, Some(base64)) => STANDARD
            .decode(&base64.value)
            .map_err(|_| base64.breaks("must be standard base64 with padding"))?,
        (None, None) => return Err(object.lacks("text", "or base64 must be given")),
        (Some(_), Some(base64)) => return Err(base64.breaks("must not be given beside text")),
    };
    if payload.len() > MAX_PAYLOAD {
        let rule = format!("must not exceed {MAX_PAYLOAD} bytes, and has {}", payload.len());
        return Err(BadLine { code: "too-large", ..BadLine::new("payload", 1, rule) });
    }
    Ok(Input::Send { component, payload })
}

/// A JSON object whose values remember where they stand in the line.
struct Object<'a> {
    line: &'a str,
    values: BTreeMap<String, &'a RawValue>,
}

/// A value, and where it stands.
struct Located<'a, T> {
    key: &'static str,
    raw: &'a str,
    position: usize,
    value: T,
}

impl<'a> Object<'a> {
    fn read(line: &'a str) -> Result<Self, BadLine> {
        match serde_json::from_str(line) {
            Ok(values) => Ok(Object { line, values }),
            Err(error) if error.is_data() => Err(BadLine::new("line", 1, "must be a JSON object")),
            Err(error) => {
                let words = error.to_string();
                let rule = words.split(" at line ").next().unwrap_or_default();
                Err(BadLine::new("line", error.column().max(1), format!("must be JSON: {rule}")))
            }
        }
    }

    /// The value of `key`; `null` counts as absent.
    fn optional<T: Deserialize<'a>>(
        &self,
        key: &'static str,
        what: &str,
    ) -> Result<Option<Located<'a, T>>, BadLine> {
        let Some(raw) = self.values.get(key).map(|raw| raw.get()).filter(|raw| *raw != "null")
        else {
            return Ok(None);
        };
        // The raw value is a slice of the line.
        let position = raw.as_ptr().addr().saturating_sub(self.line.as_ptr().addr()) + 1;
        match serde_json::from_str(raw) {
            Ok(value) => Ok(Some(Located { key, raw, position, value })),
            Err(_) => Err(BadLine::new(key, position, format!("must be {what}"))),
        }
    }

    fn required<T: Deserialize<'a>>(
        &self,
        key: &'static str,
        what: &str,
    ) -> Result<Located<'a, T>, BadLine> {
        self.optional(key, what)?.ok_or_else(|| self.lacks(key, "is missing"))
    }

    fn lacks(&self, key: &str, rule: &str) -> BadLine {
        BadLine::new(key, self.line.trim_end().len().max(1), rule)
    }
}

impl<T> Located<'_, T> {
    fn breaks(&self, rule: &str) -> BadLine {
        BadLine::new(self.key, self.position, rule)
    }
}

impl Located<'_, String> {
    fn ice_chars(self, length: &std::ops::RangeInclusive<usize>) -> Result<String, BadLine> {
        let is_ice_char = |b: u8| b.is_ascii_alphanumeric() || b == b'+' || b == b'/';
        if length.contains(&self.value.len()) && self.value.bytes().all(is_ice_char) {
            return Ok(self.value);
        }
        let (low, high) = length.clone().into_inner();
        Err(self.breaks(&format!("must be {low} to {high} letters, digits, \"+\" or \"/\"")))
    }

    /// How far into the raw string byte `position` of the value stands; the
    /// string's beginning where escapes make that hard to say.
    fn offset_inside(&self, position: usize) -> usize {
        if self.raw.len() == self.value.len() + 2 { position + 1 } else { 0 }
    }
}
