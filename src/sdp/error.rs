use std::fmt;

use crate::candidate;
use crate::sdp::{MAX_CANDIDATES, MAX_LINES, MAX_OPTIONS, MAX_SECTIONS};

/// Why a description or a fragment was refused: which line, where in it, which
/// field, and which rule it breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[error("SDP line {line}, byte {position}: {field} {rule}")]
pub struct SdpError {
    /// The line, counted from 1.
    pub line: usize,
    /// Where the field begins, in bytes from the start of the line.
    pub position: usize,
    /// The field.
    pub field: Field,
    /// The rule.
    pub rule: Rule,
}

/// A field of a description, by its name in SDP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Field {
    /// The text as a whole.
    Text,
    /// A line as a whole.
    Line,
    /// `m=`
    Media,
    /// `c=`
    Connection,
    /// `a=rtcp`
    Rtcp,
    /// `a=mid`
    Mid,
    /// `a=ice-ufrag`
    Ufrag,
    /// `a=ice-pwd`
    Pwd,
    /// `a=ice-options`
    Options,
    /// `a=ice-pacing`
    Pacing,
    /// `a=remote-candidates`
    RemoteCandidates,
    /// `a=candidate`
    Candidates,
    /// A field of `a=candidate`.
    Candidate(candidate::Field),
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Field::Text => "description",
            Field::Line => "line",
            Field::Media => "m=",
            Field::Connection => "c=",
            Field::Rtcp => "rtcp",
            Field::Mid => "mid",
            Field::Ufrag => "ice-ufrag",
            Field::Pwd => "ice-pwd",
            Field::Options => "ice-options",
            Field::Pacing => "ice-pacing",
            Field::RemoteCandidates => "remote-candidates",
            Field::Candidates => "candidate",
            Field::Candidate(field) => return write!(f, "candidate {field}"),
        })
    }
}

/// A rule of SDP (RFC 8866) or of the attributes that ICE adds to it (RFC 8839
/// §5, RFC 8840 §9.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Rule {
    /// A line that is read has at most [`candidate::MAX_LINE`] bytes.
    TooLong,
    /// A text has at most [`MAX_LINES`] lines.
    TooManyLines,
    /// A description has at most [`MAX_SECTIONS`] media sections.
    TooManySections,
    /// A text has at most [`MAX_CANDIDATES`] candidates.
    TooManyCandidates,
    /// A section has at most [`MAX_OPTIONS`] options.
    TooManyOptions,
    /// A line is a letter, `=` and a value.
    LineForm,
    /// `m=<media> <port>[/<number>] <proto> <fmt> …`
    MediaForm,
    /// `c=IN IP4|IP6 <address>`
    ConnectionForm,
    /// `rtcp:<port>[ IN IP4|IP6 <address>]`
    RtcpForm,
    /// 4 to 256 ice-chars.
    Ufrag,
    /// 22 to 256 ice-chars.
    Pwd,
    /// Tokens of at most 64 characters with one space between them.
    Options,
    /// A number of at most ten digits.
    Pacing,
    /// A component, an address and a port for each component.
    RemoteCandidates,
    /// The characters of a token (RFC 8866 §9).
    Token,
    /// The attribute may stand once in a section.
    Twice,
    /// A fragment does not come without its password, nor a password without
    /// its fragment.
    Alone,
    /// The attribute belongs to a media section.
    NotInSession,
    /// A rule of the candidate grammar.
    Candidate(candidate::Rule),
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Rule::TooLong => return write!(f, "must not exceed {} bytes", candidate::MAX_LINE),
            Rule::TooManyLines => return write!(f, "must not exceed {MAX_LINES} lines"),
            Rule::TooManySections => {
                return write!(f, "must not stand more than {MAX_SECTIONS} times");
            }
            Rule::TooManyCandidates => {
                return write!(f, "must not stand more than {MAX_CANDIDATES} times");
            }
            Rule::TooManyOptions => return write!(f, "must not exceed {MAX_OPTIONS} tokens"),
            Rule::LineForm => "must be a letter, \"=\" and a value",
            Rule::MediaForm => "must be media, port, protocol and formats",
            Rule::ConnectionForm => "must be \"IN\", \"IP4\" or \"IP6\", and an address",
            Rule::RtcpForm => "must be a port, and at most \"IN\", \"IP4\" or \"IP6\", an address",
            Rule::Ufrag => "must be 4 to 256 letters, digits, \"+\" or \"/\"",
            Rule::Pwd => "must be 22 to 256 letters, digits, \"+\" or \"/\"",
            Rule::Options => "must be tokens of at most 64 characters with one space between them",
            Rule::Pacing => "must be a number of at most ten digits",
            Rule::RemoteCandidates => "must be a component, an address and a port for each",
            Rule::Token => "must be a token",
            Rule::Twice => "must not be given twice",
            Rule::Alone => "must come with the other of ice-ufrag and ice-pwd",
            Rule::NotInSession => "must stand in a media section",
            Rule::Candidate(rule) => return rule.fmt(f),
        })
    }
}
