//! The grammar of a candidate line: RFC 8839 §5.1, with the `tcptype` of
//! RFC 6544 §4.5.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::str::FromStr;

use crate::candidate::{
    Candidate, CandidateError, ComponentId, Field, Foundation, Host, Kind, MAX_PRIORITY, Rule,
    TcpType,
};
use crate::net::Protocol;

/// The longest candidate line that is read, in bytes.
pub const MAX_LINE: usize = 1024;

/// The longest host name, in bytes (RFC 1035 §2.3.4, without the last dot).
const MAX_NAME: usize = 253;

/// Reads the line with or without a leading `a=` and a line end. Keywords are
/// compared without case, as ABNF does. An IPv4-mapped IPv6 address becomes
/// IPv4. `raddr` and `rport` are [`Candidate::related`] where both are there
/// and hold an address; else they stay among the extensions, like `tcptype`
/// on UDP, so that nothing is lost.
impl FromStr for Candidate {
    type Err = CandidateError;

    fn from_str(line: &str) -> Result<Self, CandidateError> {
        let mut fields = Fields::new(line)?;
        let foundation = foundation(fields.next(Field::Foundation)?)?;
        let component = component(fields.next(Field::Component)?)?;
        let protocol = transport(fields.next(Field::Transport)?)?;
        let priority = priority(fields.next(Field::Priority)?)?;
        let host = host(fields.next(Field::Address)?)?;
        let port = port(fields.next(Field::Port)?)?;
        typ_keyword(fields.next(Field::Type)?)?;
        let kind = kind(fields.next(Field::Type)?)?;
        let related = related(&mut fields)?;
        let (tcp_type, extensions) = extensions(&mut fields, protocol)?;
        Ok(Candidate {
            foundation,
            component,
            protocol,
            priority,
            host,
            port,
            kind,
            related,
            tcp_type,
            extensions,
        })
    }
}

/// The space-separated fields of a line, each with its place.
#[derive(Clone)]
struct Fields<'a> {
    rest: Option<&'a str>,
    position: usize,
}

/// One field: its text, where it begins, and what it is.
#[derive(Clone, Copy)]
struct Text<'a> {
    text: &'a str,
    position: usize,
    field: Field,
}

impl<'a> Fields<'a> {
    fn new(line: &'a str) -> Result<Self, CandidateError> {
        let fail = |field, position, rule| CandidateError { field, position, rule };
        if line.len() > MAX_LINE {
            return Err(fail(Field::Line, MAX_LINE, Rule::TooLong));
        }
        let bare = line.strip_prefix("a=").unwrap_or(line);
        let start = line.len() - bare.len();
        let bare = bare.strip_suffix('\n').unwrap_or(bare);
        let bare = bare.strip_suffix('\r').unwrap_or(bare);
        let rest = bare
            .strip_prefix("candidate:")
            .ok_or_else(|| fail(Field::Attribute, start, Rule::Prefix))?;
        Ok(Fields { rest: Some(rest), position: start + bare.len() - rest.len() })
    }

    /// The next field, if there is one; it may be empty.
    fn take(&mut self, field: Field) -> Option<Text<'a>> {
        let rest = self.rest?;
        let (text, after) = match rest.split_once(' ') {
            Some((text, after)) => (text, Some(after)),
            None => (rest, None),
        };
        let taken = Text { text, position: self.position, field };
        self.rest = after;
        self.position += text.len() + usize::from(after.is_some());
        Some(taken)
    }

    /// The next field, which must be there and not empty.
    fn next(&mut self, field: Field) -> Result<Text<'a>, CandidateError> {
        let missing = self.missing(field);
        self.take(field).filter(|taken| !taken.text.is_empty()).ok_or(missing)
    }

    const fn missing(&self, field: Field) -> CandidateError {
        CandidateError { field, position: self.position, rule: Rule::Missing }
    }
}

impl Text<'_> {
    const fn breaks(&self, rule: Rule) -> CandidateError {
        CandidateError { field: self.field, position: self.position, rule }
    }

    fn is(&self, keyword: &str) -> bool {
        self.text.eq_ignore_ascii_case(keyword)
    }

    /// A decimal number of at most `digits` digits in `range`.
    fn number(
        &self,
        digits: usize,
        range: RangeInclusive<u32>,
        rule: Rule,
    ) -> Result<u32, CandidateError> {
        let is_number = self.text.len() <= digits && self.text.bytes().all(|b| b.is_ascii_digit());
        let number = self.text.parse().ok().filter(|n| is_number && range.contains(n));
        number.ok_or(self.breaks(rule))
    }

    fn is_token(&self) -> bool {
        is_token(self.text)
    }
}

/// A token (RFC 3261 §25.1).
pub(crate) fn is_token(text: &str) -> bool {
    let is_token_char = |b: u8| b.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(&b);
    !text.is_empty() && text.bytes().all(is_token_char)
}

fn foundation(field: Text<'_>) -> Result<Foundation, CandidateError> {
    Foundation::new(field.text).ok_or(field.breaks(Rule::IceChars))
}

fn component(field: Text<'_>) -> Result<ComponentId, CandidateError> {
    let number = field.number(3, 1..=256, Rule::ComponentRange)?;
    let component = u16::try_from(number).ok().and_then(ComponentId::new);
    component.ok_or(field.breaks(Rule::ComponentRange))
}

fn transport(field: Text<'_>) -> Result<Protocol, CandidateError> {
    match field {
        _ if field.is("UDP") => Ok(Protocol::Udp),
        _ if field.is("TCP") => Ok(Protocol::Tcp),
        _ if field.is_token() => Err(field.breaks(Rule::UnknownTransport)),
        _ => Err(field.breaks(Rule::Token)),
    }
}

fn priority(field: Text<'_>) -> Result<u32, CandidateError> {
    field.number(10, 1..=MAX_PRIORITY, Rule::PriorityRange)
}

/// RFC 8866 allows any number of leading zeros.
fn port(field: Text<'_>) -> Result<u16, CandidateError> {
    let number = field.number(MAX_LINE, 0..=u32::from(u16::MAX), Rule::PortRange)?;
    u16::try_from(number).map_err(|_| field.breaks(Rule::PortRange))
}

fn host(field: Text<'_>) -> Result<Host, CandidateError> {
    parse_host(field.text).ok_or(field.breaks(Rule::Address))
}

/// A connection-address. A colon means IPv6 (RFC 8839 §5.1); what is made of
/// digits and dots alone can only be meant as IPv4.
pub(crate) fn parse_host(text: &str) -> Option<Host> {
    if text.is_empty() {
        None
    } else if text.contains(':') {
        text.parse::<Ipv6Addr>().ok().map(|ip| Host::Ip(IpAddr::V6(ip).to_canonical()))
    } else if text.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
        text.parse::<Ipv4Addr>().ok().map(|ip| Host::Ip(ip.into()))
    } else {
        let is_name_char = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
        let is_name = text.len() <= MAX_NAME && text.bytes().all(is_name_char);
        is_name.then(|| Host::Name(text.into()))
    }
}

fn typ_keyword(field: Text<'_>) -> Result<(), CandidateError> {
    if field.is("typ") { Ok(()) } else { Err(field.breaks(Rule::TypKeyword)) }
}

fn kind(field: Text<'_>) -> Result<Kind, CandidateError> {
    let kinds = [Kind::Host, Kind::ServerReflexive, Kind::PeerReflexive, Kind::Relayed];
    let known = kinds.into_iter().find(|kind| field.is(kind.word()));
    known.ok_or(field.breaks(if field.is_token() { Rule::UnknownType } else { Rule::Token }))
}

/// Takes `raddr A rport P` if both come next and A is an address.
fn related(fields: &mut Fields<'_>) -> Result<Option<SocketAddr>, CandidateError> {
    let mut ahead = fields.clone();
    let is_keyword = |field: Option<Text<'_>>, word| field.is_some_and(|f: Text<'_>| f.is(word));
    if !is_keyword(ahead.take(Field::RelatedAddress), "raddr") {
        return Ok(None);
    }
    let Host::Ip(ip) = host(ahead.next(Field::RelatedAddress)?)? else { return Ok(None) };
    if !is_keyword(ahead.take(Field::RelatedPort), "rport") {
        return Ok(None);
    }
    let port = port(ahead.next(Field::RelatedPort)?)?;
    *fields = ahead;
    Ok(Some(SocketAddr::new(ip, port)))
}

type Extensions = Vec<(Box<str>, Box<str>)>;

fn extensions(
    fields: &mut Fields<'_>,
    protocol: Protocol,
) -> Result<(Option<TcpType>, Extensions), CandidateError> {
    let mut tcp_type = None;
    let mut extensions = Vec::new();
    while let Some(name) = fields.take(Field::ExtensionName) {
        if !name.is_token() {
            let rule = if name.text.is_empty() { Rule::Missing } else { Rule::Token };
            return Err(name.breaks(rule));
        }
        let missing = fields.missing(Field::ExtensionValue);
        let value = fields.take(Field::ExtensionValue).ok_or(missing)?;
        if !value.text.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(value.breaks(Rule::Visible));
        }
        if protocol == Protocol::Tcp && name.is("tcptype") {
            let direction = direction(Text { field: Field::TcpType, ..value })?;
            if tcp_type.replace(direction).is_some() {
                return Err(Text { field: Field::TcpType, ..name }.breaks(Rule::Twice));
            }
        } else {
            extensions.push((name.text.into(), value.text.into()));
        }
    }
    if protocol == Protocol::Tcp && tcp_type.is_none() {
        return Err(CandidateError { rule: Rule::NeedsTcpType, ..fields.missing(Field::TcpType) });
    }
    Ok((tcp_type, extensions))
}

fn direction(field: Text<'_>) -> Result<TcpType, CandidateError> {
    let directions = [TcpType::Active, TcpType::Passive, TcpType::SimultaneousOpen];
    let known = directions.into_iter().find(|direction| field.is(direction.word()));
    known.ok_or(field.breaks(if field.is_token() { Rule::UnknownTcpType } else { Rule::Token }))
}

#[cfg(test)]
mod tests;
