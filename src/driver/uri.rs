//! `stun:` URIs (RFC 7064), `turn:` and `turns:` URIs (RFC 7065).

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use crate::agent::{StunServer, TurnServer, TurnTransport};
use crate::net::Protocol;
use crate::turn::Secrets;

/// The port of a `stun:` or `turn:` URI that names none (RFC 7064 §3.2, RFC 7065
/// §3.2).
const DEFAULT_PORT: u16 = 3478;

/// That of a `turns:` URI (RFC 7065 §3.2).
const DEFAULT_TLS_PORT: u16 = 5349;

/// Why a text is no URI of a server.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{uri:?} is not a {kind} server: {rule}")]
pub struct UriError {
    uri: Box<str>,
    kind: &'static str,
    rule: UriRule,
}

impl UriError {
    /// The rule that it breaks.
    pub fn rule(&self) -> UriRule {
        self.rule
    }
}

/// The rules of such a URI.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UriRule {
    /// The scheme comes first.
    #[error("it has to start with `stun:` (RFC 7064 §3.1)")]
    Scheme,
    /// The scheme comes first.
    #[error("it has to start with `turn:` or `turns:` (RFC 7065 §3.1)")]
    TurnScheme,
    /// The transport is UDP or TCP.
    #[error("the transport is `?transport=udp` or `?transport=tcp` (RFC 7065 §3.1)")]
    TurnTransport,
    /// TURN over DTLS is still to come.
    #[error("TURN over DTLS is not supported, only over TLS: leave `?transport=udp` out")]
    Dtls,
    /// The transport is UDP or TCP; `?transport=` is an extension of ours.
    #[error("only STUN over UDP and, with `?transport=tcp`, over TCP is supported, without TLS")]
    Transport,
    /// The host is a name, an IPv4 address or an IPv6 address in brackets.
    #[error("the host is a name, an IPv4 address or an IPv6 address in brackets (RFC 7064 §3.1)")]
    Host,
    /// The port is a number.
    #[error("the port is a number from 1 to 65535 (RFC 7064 §3.1)")]
    Port,
}

impl FromStr for StunServer {
    type Err = UriError;

    /// Reads `stun:host`, `stun:host:port` or `stun:[address]:port`, with
    /// `?transport=tcp` behind it for a server that is asked over TCP.
    fn from_str(uri: &str) -> Result<Self, UriError> {
        parse(uri).map_err(|rule| UriError { uri: uri.into(), kind: "STUN", rule })
    }
}

impl TurnServer {
    /// The server of a URI: `turn:host`, `turn:host:port`, each with
    /// `?transport=udp`, which is the default, or `?transport=tcp` behind it, or
    /// `turns:host[:port]` for TLS over TCP.
    ///
    /// # Errors
    /// [`UriError`] names the rule that the text breaks.
    pub fn new(uri: &str, username: &str, password: &str) -> Result<Self, UriError> {
        let secrets = Secrets { username: username.into(), password: password.into() };
        parse_turn(uri, secrets).map_err(|rule| UriError { uri: uri.into(), kind: "TURN", rule })
    }
}

fn parse_turn(uri: &str, secrets: Secrets) -> Result<TurnServer, UriRule> {
    let (scheme, rest) = uri.split_once(':').ok_or(UriRule::TurnScheme)?;
    let is_secure = scheme.eq_ignore_ascii_case("turns");
    if !is_secure && !scheme.eq_ignore_ascii_case("turn") {
        return Err(UriRule::TurnScheme);
    }
    let (rest, transport) = match rest.split_once('?') {
        None => (rest, None),
        Some((rest, transport)) => (rest, Some(transport)),
    };
    let transport = match (is_secure, transport) {
        (false, None | Some("transport=udp")) => TurnTransport::Udp,
        (false, Some("transport=tcp")) => TurnTransport::Tcp,
        (true, None | Some("transport=tcp")) => TurnTransport::Tls,
        (true, Some("transport=udp")) => return Err(UriRule::Dtls),
        _ => return Err(UriRule::TurnTransport),
    };
    let (host, port, ip) = host_and_port(rest)?;
    let port = match port {
        None if is_secure => DEFAULT_TLS_PORT,
        None => DEFAULT_PORT,
        Some(digits) => parse_port(digits).ok_or(UriRule::Port)?,
    };
    let address = ip.map(|ip| SocketAddr::new(ip, port));
    Ok(TurnServer { uri: uri.into(), host: host.into(), port, address, transport, secrets })
}

fn parse(uri: &str) -> Result<StunServer, UriRule> {
    let (scheme, rest) = uri.split_once(':').ok_or(UriRule::Scheme)?;
    if scheme.eq_ignore_ascii_case("stuns") {
        return Err(UriRule::Transport);
    }
    if !scheme.eq_ignore_ascii_case("stun") {
        return Err(UriRule::Scheme);
    }
    let (rest, protocol) = match rest.split_once('?') {
        None => (rest, Protocol::Udp),
        Some((rest, "transport=udp")) => (rest, Protocol::Udp),
        Some((rest, "transport=tcp")) => (rest, Protocol::Tcp),
        Some(_) => return Err(UriRule::Transport),
    };
    let (host, port, ip) = host_and_port(rest)?;
    let port = match port {
        None => DEFAULT_PORT,
        Some(digits) => parse_port(digits).ok_or(UriRule::Port)?,
    };
    let address = ip.map(|ip| SocketAddr::new(ip, port));
    Ok(StunServer { uri: uri.into(), host: host.into(), port, address, protocol })
}

/// Whether a URI of a server that is one names its port.
pub(super) fn names_port(uri: &str) -> bool {
    let rest = uri.split_once(':').map_or("", |(_, rest)| rest);
    let rest = rest.split_once('?').map_or(rest, |(rest, _)| rest);
    host_and_port(rest).is_ok_and(|(_, port, _)| port.is_some())
}

pub(super) fn host_and_port(rest: &str) -> Result<(&str, Option<&str>, Option<IpAddr>), UriRule> {
    if let Some(rest) = rest.strip_prefix('[') {
        let (host, after) = rest.split_once(']').ok_or(UriRule::Host)?;
        let ip: Ipv6Addr = host.parse().map_err(|_| UriRule::Host)?;
        let port = match after.strip_prefix(':') {
            None if after.is_empty() => None,
            None => return Err(UriRule::Host),
            port => port,
        };
        return Ok((host, port, Some(ip.into())));
    }
    let (host, port) = match rest.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (rest, None),
    };
    // An IPv6 address without brackets ends up here with a colon in its "port".
    let is_name_char = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
    let is_host = !host.is_empty() && host.len() <= 255 && host.bytes().all(is_name_char);
    if !is_host || port.is_some_and(|port| port.contains(':')) {
        return Err(UriRule::Host);
    }
    Ok((host, port, host.parse().ok()))
}

pub(super) fn parse_port(digits: &str) -> Option<u16> {
    let is_number = digits.bytes().all(|b| b.is_ascii_digit());
    is_number.then(|| digits.parse().ok()).flatten().filter(|&port| port != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uris_are_read() {
        use Protocol::{Tcp, Udp};
        for (uri, host, port, address, protocol) in [
            ("stun:stun.example.org", "stun.example.org", 3478, None, Udp),
            ("STUN:a-b.example:19302", "a-b.example", 19302, None, Udp),
            ("stun:192.0.2.1:5", "192.0.2.1", 5, Some("192.0.2.1:5"), Udp),
            ("stun:192.0.2.1?transport=udp", "192.0.2.1", 3478, Some("192.0.2.1:3478"), Udp),
            ("stun:a.example?transport=tcp", "a.example", 3478, None, Tcp),
            ("stun:[2001:db8::1]", "2001:db8::1", 3478, Some("[2001:db8::1]:3478"), Udp),
            ("stun:[::1]:65535", "::1", 65535, Some("[::1]:65535"), Udp),
        ] {
            let server: StunServer = uri.parse().unwrap();
            let address = address.map(|address| address.parse().unwrap());
            let (uri, host) = (uri.into(), host.into());
            let expected = StunServer { uri, host, port, address, protocol };
            assert_eq!(server, expected);
        }
    }

    #[test]
    fn uris_of_relays_are_read() {
        use TurnTransport::{Tcp, Tls, Udp};
        for (uri, host, port, transport) in [
            ("turn:turn.example.org", "turn.example.org", 3478, Udp),
            ("TURN:a.example:80?transport=udp", "a.example", 80, Udp),
            ("turn:192.0.2.1?transport=tcp", "192.0.2.1", 3478, Tcp),
            ("turns:a.example", "a.example", 5349, Tls),
            ("turns:[2001:db8::1]:443?transport=tcp", "2001:db8::1", 443, Tls),
        ] {
            let server = TurnServer::new(uri, "user", "swordfish").unwrap();
            assert_eq!((&*server.host, server.port, server.transport), (host, port, transport));
            assert_eq!(server.address.is_some(), host.parse::<IpAddr>().is_ok());
            assert!(!format!("{server:?}").contains("swordfish"));
        }
        for (uri, rule) in [
            ("stun:a.example", UriRule::TurnScheme),
            ("turn.example.org", UriRule::TurnScheme),
            ("turns:a.example?transport=udp", UriRule::Dtls),
            ("turn:a.example?transport=sctp", UriRule::TurnTransport),
            ("turn:a.example:0", UriRule::Port),
            ("turn:", UriRule::Host),
        ] {
            let error = TurnServer::new(uri, "user", "secret").unwrap_err();
            assert_eq!(error.rule(), rule, "{uri}");
            assert!(error.to_string().contains(uri));
        }
    }

    #[test]
    fn what_is_no_uri_names_its_rule() {
        for (uri, rule) in [
            ("", UriRule::Scheme),
            ("stun.example.org:3478", UriRule::Scheme),
            ("turn:example.org", UriRule::Scheme),
            ("stuns:example.org", UriRule::Transport),
            ("stun:example.org?transport=sctp", UriRule::Transport),
            ("stun:", UriRule::Host),
            ("stun::3478", UriRule::Host),
            ("stun:user@example.org", UriRule::Host),
            ("stun:a b", UriRule::Host),
            ("stun:2001:db8::1", UriRule::Host),
            ("stun:[2001:db8::1", UriRule::Host),
            ("stun:[192.0.2.1]", UriRule::Host),
            ("stun:[::1]x", UriRule::Host),
            ("stun:example.org:", UriRule::Port),
            ("stun:example.org:0", UriRule::Port),
            ("stun:example.org:+1", UriRule::Port),
            ("stun:example.org:65536", UriRule::Port),
        ] {
            let error = uri.parse::<StunServer>().unwrap_err();
            assert_eq!(error.rule(), rule, "{uri}");
            assert!(error.to_string().contains(uri));
        }
    }
}
