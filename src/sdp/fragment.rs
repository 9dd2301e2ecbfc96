use crate::agent::Credentials;
use crate::sdp::{IceAttributes, MediaSection};

/// A body of type `application/trickle-ice-sdpfrag` (RFC 8840 §9): candidates
/// of some media sections, and the credentials of the ICE session to which
/// they belong.
///
/// [`FromStr`](std::str::FromStr) reads it, by the rules of
/// [`Description`](crate::sdp::Description) except that `c=` lines are passed
/// over; [`Display`](std::fmt::Display) prints it.
///
/// ```
/// use floe::agent::Credentials;
/// use floe::sdp::Fragment;
///
/// let mut fragment = Fragment::new(Credentials {
///     ufrag: "8hhY".into(),
///     pwd: "asd88fgpdd777uzjYhagZg".into(),
/// });
/// let section = fragment.add_section("audio", "RTP/AVP", "0", "1");
/// section.ice.candidates.push("candidate:1 1 UDP 2130706431 192.0.2.1 5000 typ host".parse()?);
/// section.ice.end_of_candidates = true;
/// let body = fragment.to_string();
/// assert_eq!(
///     body,
///     "a=ice-ufrag:8hhY\r\n\
///      a=ice-pwd:asd88fgpdd777uzjYhagZg\r\n\
///      m=audio 9 RTP/AVP 0\r\n\
///      a=mid:1\r\n\
///      a=candidate:1 1 UDP 2130706431 192.0.2.1 5000 typ host\r\n\
///      a=end-of-candidates\r\n"
/// );
/// assert_eq!(body.parse(), Ok(fragment));
/// # Ok::<(), floe::candidate::CandidateError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Fragment {
    /// What holds for the session, and for every section that has nothing else
    /// of its own: credentials, options, pacing, `ice-lite`, and
    /// `end-of-candidates`, which then ends the candidates of all sections
    /// (RFC 8840 §8). Candidates in here are not printed.
    pub session: IceAttributes,
    /// The sections, by their `mid` (RFC 8840 §9.2).
    pub sections: Vec<MediaSection>,
}

impl Fragment {
    /// A fragment without sections, of the ICE session with our credentials.
    pub fn new(credentials: Credentials) -> Self {
        let session = IceAttributes { credentials: Some(credentials), ..IceAttributes::default() };
        Fragment { session, sections: Vec::new() }
    }

    /// Adds a section, named by its `m=` line and its `mid`; what the session
    /// has so far holds for it.
    pub fn add_section(
        &mut self,
        media: &str,
        protocol: &str,
        formats: &str,
        mid: &str,
    ) -> &mut MediaSection {
        let mut section = MediaSection::new(media, protocol, formats, mid);
        section.ice = IceAttributes { candidates: Vec::new(), ..self.session.clone() };
        self.sections.push(section);
        self.sections.last_mut().expect("invariant: a section was pushed")
    }

    /// The section with this `mid`.
    pub fn section(&self, mid: &str) -> Option<&MediaSection> {
        self.sections.iter().find(|section| section.mid.as_deref() == Some(mid))
    }
}
