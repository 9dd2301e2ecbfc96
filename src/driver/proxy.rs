//! Proxies: how they are written, and who they are.

use std::fmt;
use std::str::FromStr;

use super::uri::{self, UriRule};

/// The longest user name and password (RFC 1929 §2).
const MAX_CREDENTIAL: usize = 255;

/// A proxy for connections to TURN servers over TCP and TLS, written as
/// `http://[user:password@]host:port` (CONNECT of RFC 9110 §9.3.6, with the
/// Basic scheme of RFC 7617) or `socks5://[user:password@]host:port` (RFC 1928,
/// with RFC 1929). Special characters in user and password are
/// percent-encoded. What is sent to the proxy itself is not encrypted.
///
/// Neither `Display` nor `Debug` shows the password.
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy {
    pub(super) kind: ProxyKind,
    pub(super) host: Box<str>,
    pub(super) port: u16,
    pub(super) login: Option<Login>,
}

/// What a proxy speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ProxyKind {
    Http,
    Socks5,
}

#[derive(Clone, PartialEq, Eq)]
pub(super) struct Login {
    pub(super) user: Box<str>,
    pub(super) password: Box<str>,
}

/// Why a text is no proxy. It does not repeat the text, in which there may be
/// a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProxyError {
    /// The scheme comes first.
    #[error("a proxy starts with `http://` or `socks5://`")]
    Scheme,
    /// The host is a name, an IPv4 address or an IPv6 address in brackets.
    #[error("a proxy's host is a name, an IPv4 address or an IPv6 address in brackets")]
    Host,
    /// The port is given.
    #[error("a proxy has a port, a number from 1 to 65535, and nothing behind it")]
    Port,
    /// User and password stand before the host.
    #[error(
        "a proxy's user and password stand as `user:password@` before the host, each with 1 to 255 \
         bytes, percent-encoded where they have special characters, and the user without a colon"
    )]
    Login,
}

impl FromStr for Proxy {
    type Err = ProxyError;

    fn from_str(text: &str) -> Result<Self, ProxyError> {
        let (scheme, rest) = text.split_once("://").ok_or(ProxyError::Scheme)?;
        let kind = match scheme.to_ascii_lowercase().as_str() {
            "http" => ProxyKind::Http,
            "socks5" => ProxyKind::Socks5,
            _ => return Err(ProxyError::Scheme),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (login, rest) = match rest.rsplit_once('@') {
            Some((login, rest)) => (Some(read_login(login).ok_or(ProxyError::Login)?), rest),
            None => (None, rest),
        };
        let (host, port, _) = uri::host_and_port(rest).map_err(|rule| match rule {
            UriRule::Port => ProxyError::Port,
            _ => ProxyError::Host,
        })?;
        let port = port.and_then(uri::parse_port).ok_or(ProxyError::Port)?;
        Ok(Proxy { kind, host: host.into(), port, login })
    }
}

fn read_login(text: &str) -> Option<Login> {
    let (user, password) = text.split_once(':')?;
    let (user, password) = (decoded(user)?, decoded(password)?);
    let fits = |text: &str| (1..=MAX_CREDENTIAL).contains(&text.len());
    let is_login = fits(&user) && fits(&password) && !user.contains(':');
    is_login.then_some(Login { user, password })
}

/// Without percent-encoding (RFC 3986 §2.1).
fn decoded(text: &str) -> Option<Box<str>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || char::from(rest.next()?).to_digit(16);
        let (high, low) = (digit()?, digit()?);
        bytes.push(u8::try_from(high * 16 + low).ok()?);
    }
    String::from_utf8(bytes).ok().map(String::into_boxed_str)
}

/// Without user and password.
impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.kind {
            ProxyKind::Http => "http",
            ProxyKind::Socks5 => "socks5",
        };
        let Proxy { host, port, .. } = self;
        if host.contains(':') {
            write!(f, "{scheme}://[{host}]:{port}")
        } else {
            write!(f, "{scheme}://{host}:{port}")
        }
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let user = self.login.as_ref().map(|login| &login.user);
        f.debug_struct("Proxy")
            .field("uri", &format_args!("{self}"))
            .field("user", &user)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proxies_are_read() {
        for (text, shown, login) in [
            ("http://proxy.example:3128", "http://proxy.example:3128", None),
            ("HTTP://192.0.2.1:80/", "http://192.0.2.1:80", None),
            ("socks5://[2001:db8::1]:1080", "socks5://[2001:db8::1]:1080", None),
            ("socks5://u:p@a:1", "socks5://a:1", Some(("u", "p"))),
            ("http://u:a:b@c@a:1", "http://a:1", Some(("u", "a:b@c"))),
            ("http://u%40x:%3a%C3%A9@a:1", "http://a:1", Some(("u@x", ":é"))),
        ] {
            let proxy: Proxy = text.parse().unwrap();
            assert_eq!(proxy.to_string(), shown);
            let read = proxy.login.as_ref().map(|login| (&*login.user, &*login.password));
            assert_eq!(read, login, "{text}");
        }
    }

    #[test]
    fn what_is_no_proxy_names_its_rule() {
        for (text, rule) in [
            ("", ProxyError::Scheme),
            ("proxy.example:3128", ProxyError::Scheme),
            ("https://a:1", ProxyError::Scheme),
            ("socks4://a:1", ProxyError::Scheme),
            ("http://a", ProxyError::Port),
            ("http://a:", ProxyError::Port),
            ("http://a:0", ProxyError::Port),
            ("http://a:1/path", ProxyError::Port),
            ("http://:1", ProxyError::Host),
            ("http://2001:db8::1:1", ProxyError::Host),
            ("http://a\r\nb:1", ProxyError::Host),
            ("http://user@a:1", ProxyError::Login),
            ("http://:secret@a:1", ProxyError::Login),
            ("http://user:@a:1", ProxyError::Login),
            ("http://user:%4@a:1", ProxyError::Login),
            ("http://user:%ff@a:1", ProxyError::Login),
            ("http://us%3aer:secret@a:1", ProxyError::Login),
        ] {
            assert_eq!(text.parse::<Proxy>().unwrap_err(), rule, "{text}");
        }
        let long = format!("http://user:{}@a:1", "s".repeat(256));
        assert_eq!(long.parse::<Proxy>().unwrap_err(), ProxyError::Login);
    }

    #[test]
    fn the_password_is_not_shown() {
        let proxy: Proxy = "socks5://someone:secret@a:1".parse().unwrap();
        let shown = format!("{proxy} {proxy:?} {proxy:#?}");
        assert!(shown.contains("someone") && !shown.contains("secret"), "{shown}");
    }
}
