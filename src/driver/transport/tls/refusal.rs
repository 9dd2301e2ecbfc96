use std::fmt;
use std::io;

use rustls::{AlertDescription, CertificateError, Error};

use crate::net;

/// Names of a certificate that are shown, and characters of each.
const MAX_NAMES: usize = 3;
const MAX_NAME: usize = 64;

/// Why there is no TLS with a server. The text, for people, holds no word of
/// the server that is not escaped.
#[derive(Debug)]
pub(crate) enum TlsRefusal {
    /// What stands for the server's name is neither a name nor an address.
    Name,
    /// One of the sides did not accept the other.
    Tls(Error),
    /// The connection ended before.
    Ended(io::Error),
}

impl From<Error> for TlsRefusal {
    fn from(error: Error) -> Self {
        TlsRefusal::Tls(error)
    }
}

impl From<io::Error> for TlsRefusal {
    fn from(error: io::Error) -> Self {
        TlsRefusal::Ended(error)
    }
}

impl fmt::Display for TlsRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TlsRefusal::Name => f.write_str("its name can not stand in a certificate"),
            TlsRefusal::Ended(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                f.write_str("it closed the connection before TLS was agreed on")
            }
            TlsRefusal::Ended(error) => {
                let word = net::error_word(error.kind());
                write!(f, "the connection broke before TLS was agreed on: {word}")
            }
            TlsRefusal::Tls(Error::InvalidCertificate(error)) => certificate(error, f),
            TlsRefusal::Tls(error) => f.write_str(&words(error)),
        }
    }
}

fn words(error: &Error) -> String {
    match error {
        Error::InvalidMessage(_) => "what it answers is not TLS".into(),
        Error::NoCertificatesPresented => "it shows no certificate".into(),
        Error::PeerIncompatible(_) => "it has no version or cipher of TLS in common with us".into(),
        Error::AlertReceived(AlertDescription::NoApplicationProtocol)
        | Error::NoApplicationProtocol => {
            "it speaks other protocols over TLS than `stun.turn` (RFC 7443)".into()
        }
        Error::AlertReceived(alert) => {
            format!("it refuses TLS with the alert {} ({alert:?})", u8::from(*alert))
        }
        Error::PeerMisbehaved(_)
        | Error::InappropriateMessage { .. }
        | Error::InappropriateHandshakeMessage { .. }
        | Error::PeerSentOversizedRecord
        | Error::DecryptError => "it breaks the rules of TLS".into(),
        other => format!("TLS failed: {}", shown(&other.to_string())),
    }
}

/// Which rule of RFC 5280 or RFC 9525 the certificate breaks.
fn certificate(error: &CertificateError, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    use CertificateError as C;
    f.write_str("its certificate ")?;
    f.write_str(match error {
        C::Expired | C::ExpiredContext { .. } => "has expired",
        C::NotValidYet | C::NotValidYetContext { .. } => {
            "is not valid yet, or the clock of this machine is wrong"
        }
        C::UnknownIssuer => "comes from an issuer that is not trusted here",
        C::Revoked => "is revoked",
        C::BadSignature => "has a wrong signature",
        C::BadEncoding => "can not be read",
        C::NotValidForName => "is for another name",
        C::NotValidForNameContext { expected, presented } => {
            return other_name(&expected.to_str(), presented, f);
        }
        C::InvalidPurpose | C::InvalidPurposeContext { .. } => "is not one for servers",
        other if format!("{other:?}").contains("CaUsedAsEndEntity") => {
            "is one of an authority (CA), and no server's"
        }
        other => return write!(f, "is not accepted: {}", shown(&other.to_string())),
    })
}

fn other_name(expected: &str, presented: &[String], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(f, "is not for {}", shown(expected))?;
    for (at, name) in presented.iter().take(MAX_NAMES).enumerate() {
        // As the library says it: `DnsName("name")`.
        let name = name.split('"').nth(1).unwrap_or(name);
        write!(f, "{} {}", if at == 0 { " but for" } else { "," }, shown(name))?;
    }
    if presented.len() > MAX_NAMES { f.write_str(" and more") } else { Ok(()) }
}

fn shown(text: &str) -> String {
    text.chars().take(MAX_NAME).flat_map(char::escape_debug).collect()
}
