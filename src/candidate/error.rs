use std::fmt;

use crate::candidate::MAX_LINE;

/// Why a candidate line was refused: which field, where, and which rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[error("candidate line, byte {position}: {field} {rule}")]
pub struct CandidateError {
    /// The field, by its name in RFC 8839 §5.1.
    pub field: Field,
    /// Where the field begins, in bytes from the start of the line.
    pub position: usize,
    /// The rule that it breaks.
    pub rule: Rule,
}

impl CandidateError {
    /// Whether the line follows the grammar and is only of a kind that this
    /// agent does not know: such a candidate is ignored (RFC 8839 §5.1).
    pub const fn is_unsupported(&self) -> bool {
        matches!(self.rule, Rule::UnknownTransport | Rule::UnknownType | Rule::UnknownTcpType)
    }
}

/// A field of a candidate line (RFC 8839 §5.1, RFC 6544 §4.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Field {
    /// The line as a whole.
    Line,
    /// `candidate:`
    Attribute,
    /// The foundation.
    Foundation,
    /// The component id.
    Component,
    /// The transport protocol.
    Transport,
    /// The priority.
    Priority,
    /// The connection address.
    Address,
    /// The port.
    Port,
    /// `typ` and the candidate type.
    Type,
    /// `raddr` and the related address.
    RelatedAddress,
    /// `rport` and the related port.
    RelatedPort,
    /// `tcptype` and the direction.
    TcpType,
    /// An extension's name.
    ExtensionName,
    /// An extension's value.
    ExtensionValue,
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Field::Line => "line",
            Field::Attribute => "attribute name",
            Field::Foundation => "foundation",
            Field::Component => "component-id",
            Field::Transport => "transport",
            Field::Priority => "priority",
            Field::Address => "connection-address",
            Field::Port => "port",
            Field::Type => "cand-type",
            Field::RelatedAddress => "rel-addr",
            Field::RelatedPort => "rel-port",
            Field::TcpType => "tcptype",
            Field::ExtensionName => "extension-att-name",
            Field::ExtensionValue => "extension-att-value",
        })
    }
}

/// A rule of the candidate grammar (RFC 8839 §5.1, RFC 6544 §4.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Rule {
    /// A line has at most [`MAX_LINE`] bytes.
    TooLong,
    /// The line starts with `candidate:`.
    Prefix,
    /// The field is required.
    Missing,
    /// 1 to 32 ice-chars.
    IceChars,
    /// 1 to 256, in at most 3 digits.
    ComponentRange,
    /// 1 to 2³¹ − 1, in at most 10 digits.
    PriorityRange,
    /// 0 to 65535.
    PortRange,
    /// An IPv4 address, an IPv6 address without zone or brackets, or a name.
    Address,
    /// The keyword `typ` comes before the type.
    TypKeyword,
    /// The characters of a token (RFC 3261 §25.1).
    Token,
    /// Visible ASCII characters only.
    Visible,
    /// A TCP candidate has a `tcptype`.
    NeedsTcpType,
    /// The attribute may stand once.
    Twice,
    /// A transport that this agent does not know.
    UnknownTransport,
    /// A candidate type that this agent does not know.
    UnknownType,
    /// A `tcptype` that this agent does not know.
    UnknownTcpType,
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Rule::TooLong => return write!(f, "must not exceed {MAX_LINE} bytes"),
            Rule::Prefix => "must be \"candidate:\"",
            Rule::Missing => "is missing",
            Rule::IceChars => "must be 1 to 32 letters, digits, \"+\" or \"/\"",
            Rule::ComponentRange => "must be a number from 1 to 256",
            Rule::PriorityRange => "must be a number from 1 to 2147483647",
            Rule::PortRange => "must be a number from 0 to 65535",
            Rule::Address => "must be an IPv4 or IPv6 address or a host name",
            Rule::TypKeyword => "must begin with \"typ\"",
            Rule::Token => "must be a token: letters, digits or any of -.!%*_+`'~",
            Rule::Visible => "must be visible ASCII characters",
            Rule::NeedsTcpType => "must be given for a TCP candidate",
            Rule::Twice => "must not be given twice",
            Rule::UnknownTransport => "is not UDP or TCP; the candidate is ignored",
            Rule::UnknownType => "is not host, srflx, prflx or relay; the candidate is ignored",
            Rule::UnknownTcpType => "is not active, passive or so; the candidate is ignored",
        })
    }
}
