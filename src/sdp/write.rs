//! Printing. Every line ends with CR and LF.

use std::fmt;

use crate::sdp::destination::address_type;
use crate::sdp::{Fragment, IceAttributes, MediaSection, RemoteCandidate, RtcpAddress};

/// The attributes of a section that belong to its session: `ice-lite` and
/// `ice-pacing` (RFC 8839 §5.3, §5.5), see [`IceAttributes::session_lines`].
#[derive(Clone, Copy, Debug)]
pub struct SessionLines<'a>(&'a IceAttributes);

impl IceAttributes {
    /// The lines that belong to the session. A lite agent names no pacing
    /// (RFC 8839 §4.3.1).
    pub fn session_lines(&self) -> SessionLines<'_> {
        SessionLines(self)
    }

    fn write_credentials(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(credentials) = &self.credentials else { return Ok(()) };
        write!(f, "a=ice-ufrag:{}\r\na=ice-pwd:{}\r\n", credentials.ufrag, credentials.pwd)
    }

    /// With `ice-mismatch` there are no candidates (RFC 8839 §4.2.5).
    fn write_candidates(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.mismatch {
            return f.write_str("a=ice-mismatch\r\n");
        }
        self.candidates.iter().try_for_each(|candidate| write!(f, "a={candidate}\r\n"))?;
        if !self.remote_candidates.is_empty() {
            f.write_str("a=remote-candidates:")?;
            for (i, remote) in self.remote_candidates.iter().enumerate() {
                write!(f, "{}{remote}", if i == 0 { "" } else { " " })?;
            }
            f.write_str("\r\n")?;
        }
        Ok(())
    }

    fn write_end(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.end_of_candidates { f.write_str("a=end-of-candidates\r\n") } else { Ok(()) }
    }
}

fn write_options<'a>(
    f: &mut fmt::Formatter<'_>,
    options: impl Iterator<Item = &'a Box<str>>,
) -> fmt::Result {
    let mut options = options.peekable();
    let Some(first) = options.next() else { return Ok(()) };
    write!(f, "a=ice-options:{first}")?;
    options.try_for_each(|option| write!(f, " {option}"))?;
    f.write_str("\r\n")
}

/// The lines of the media section, in a description.
impl fmt::Display for IceAttributes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_credentials(f)?;
        write_options(f, self.options.iter())?;
        self.write_candidates(f)?;
        self.write_end(f)
    }
}

impl fmt::Display for SessionLines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.lite {
            return f.write_str("a=ice-lite\r\n");
        }
        match self.0.pacing {
            Some(pacing) => write!(f, "a=ice-pacing:{}\r\n", pacing.as_millis()),
            None => Ok(()),
        }
    }
}

/// The body of a message (RFC 8840 §9.2). What a section has in common with
/// the session is printed there only.
impl fmt::Display for Fragment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.session.session_lines().fmt(f)?;
        self.session.write_credentials(f)?;
        write_options(f, self.session.options.iter())?;
        self.session.write_end(f)?;
        self.sections.iter().try_for_each(|section| section.write(&self.session, f))
    }
}

impl MediaSection {
    fn write(&self, session: &IceAttributes, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let MediaSection { media, port, protocol, formats, .. } = self;
        write!(f, "m={media} {port} {protocol} {formats}\r\n")?;
        if let Some(mid) = &self.mid {
            write!(f, "a=mid:{mid}\r\n")?;
        }
        if let Some(rtcp) = &self.rtcp {
            write!(f, "a={rtcp}\r\n")?;
        }
        if self.rtcp_mux {
            f.write_str("a=rtcp-mux\r\n")?;
        }
        if self.ice.credentials != session.credentials {
            self.ice.write_credentials(f)?;
        }
        write_options(f, self.ice.options.iter().filter(|own| !session.options.contains(own)))?;
        self.ice.write_candidates(f)?;
        if session.end_of_candidates { Ok(()) } else { self.ice.write_end(f) }
    }
}

/// `rtcp:53020 IN IP4 192.0.2.1`, without `a=` and line end.
impl fmt::Display for RtcpAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rtcp:{}", self.port)?;
        match &self.host {
            Some(host) => write!(f, " IN {} {host}", address_type(host)),
            None => Ok(()),
        }
    }
}

impl fmt::Display for RemoteCandidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.component, self.host, self.port)
    }
}
