//! What a session description says of ICE: the attributes of RFC 8839 §5, the
//! default destination of RFC 8839 §4.2.1.2, and the fragments in which
//! RFC 8840 trickles candidates. Not a general SDP library: the application
//! writes its descriptions, and everything that is not ICE's is passed over.
//!
//! [`Description`] reads an offer or an answer, one [`MediaSection`] for each
//! `m=` line with the session's values already applied to it. [`Fragment`]
//! reads and prints a body of type `application/trickle-ice-sdpfrag`.
//!
//! # An answer to an offer
//!
//! ```
//! use std::time::Duration;
//!
//! use floe::agent::Credentials;
//! use floe::sdp::{DefaultDestination, Description, IceAttributes, IceSupport};
//!
//! let offer: Description = "v=0\r\n\
//!     o=jdoe 2890844526 2890842807 IN IP4 203.0.113.141\r\n\
//!     s=-\r\n\
//!     c=IN IP4 192.0.2.3\r\n\
//!     t=0 0\r\n\
//!     a=ice-options:ice2 trickle\r\n\
//!     a=ice-pacing:50\r\n\
//!     a=ice-pwd:asd88fgpdd777uzjYhagZg\r\n\
//!     a=ice-ufrag:8hhY\r\n\
//!     m=audio 45664 RTP/AVP 0\r\n\
//!     a=mid:1\r\n\
//!     a=candidate:2 1 UDP 1694498815 192.0.2.3 45664 typ srflx raddr 203.0.113.141 rport 8998\r\n"
//!     .parse()?;
//! let section = &offer.sections[0];
//! assert_eq!(section.ice_support(), IceSupport::Proceed);
//!
//! // For the agent: `set_remote`, then `add_remote_candidate` for each, and
//! // `end_of_remote_candidates` if they are complete.
//! let remote = section.ice.remote_parameters().ok_or("no ICE")?;
//! assert_eq!(remote.credentials.ufrag.as_ref(), "8hhY");
//! assert_eq!((section.ice.candidates.len(), section.ice.end_of_candidates), (1, false));
//!
//! // The answer: `credentials` are those of the agent's stream. Its
//! // candidates follow in fragments, so the default destination says nothing.
//! let credentials = Credentials { ufrag: "9uB6".into(), pwd: "YH75Fviy6338Vbrhrlp8Yh".into() };
//! let mut ice = IceAttributes::new(credentials);
//! ice.pacing = Some(Duration::from_millis(5));
//! let default = DefaultDestination::UNKNOWN_V4;
//! let answer = format!(
//!     "v=0\r\no=bob 2808844564 2808844564 IN IP4 192.0.2.1\r\ns=-\r\nt=0 0\r\n\
//!      {}m=audio {} RTP/AVP 0\r\n{}\r\na=mid:1\r\n{ice}",
//!     ice.session_lines(), default.port, default.connection_line(),
//! );
//! assert_eq!(
//!     answer,
//!     "v=0\r\no=bob 2808844564 2808844564 IN IP4 192.0.2.1\r\ns=-\r\nt=0 0\r\n\
//!      a=ice-pacing:5\r\n\
//!      m=audio 9 RTP/AVP 0\r\n\
//!      c=IN IP4 0.0.0.0\r\n\
//!      a=mid:1\r\n\
//!      a=ice-ufrag:9uB6\r\n\
//!      a=ice-pwd:YH75Fviy6338Vbrhrlp8Yh\r\n\
//!      a=ice-options:ice2 trickle\r\n"
//! );
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod destination;
mod error;
mod fields;
mod fragment;
mod read;
mod restart;
mod section;
mod write;

use std::time::Duration;

use crate::agent::{Credentials, RemoteParameters};
use crate::candidate::{Candidate, ComponentId, Host};

pub use destination::{DefaultDestination, IceSupport};
pub use error::{Field, Rule, SdpError};
pub use fragment::Fragment;
pub use restart::CredentialsChange;
pub use section::{Description, MediaSection, RtcpAddress};
pub use write::SessionLines;

/// The largest number of lines that is read.
pub const MAX_LINES: usize = 16_384;

/// The largest number of media sections.
pub const MAX_SECTIONS: usize = 512;

/// The largest number of candidates of all sections together, those counted
/// that are ignored.
pub const MAX_CANDIDATES: usize = 4096;

/// The largest number of `ice-options` of a section.
pub const MAX_OPTIONS: usize = 32;

/// The ICE attributes of one media section. Values that were given for the
/// whole session are in here, as far as the section has none of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct IceAttributes {
    /// `ice-ufrag` and `ice-pwd` (RFC 8839 §5.4); `None` where there is no ICE.
    pub credentials: Option<Credentials>,
    /// `ice-options` (RFC 8839 §5.6), those of the session first; tokens that
    /// nobody knows are kept.
    pub options: Vec<Box<str>>,
    /// `ice-pacing` (RFC 8839 §5.5), in whole milliseconds.
    pub pacing: Option<Duration>,
    /// `ice-lite` (RFC 8839 §5.3).
    pub lite: bool,
    /// `ice-mismatch` (RFC 8839 §5.3), of answers.
    pub mismatch: bool,
    /// The candidates (RFC 8839 §5.1), in their order.
    pub candidates: Vec<Candidate>,
    /// The number of candidates of an unknown transport or type, which are
    /// ignored (RFC 8839 §5.1). Never printed.
    pub ignored_candidates: usize,
    /// `remote-candidates` (RFC 8839 §5.2), of offers.
    pub remote_candidates: Vec<RemoteCandidate>,
    /// `end-of-candidates` (RFC 8840 §8).
    pub end_of_candidates: bool,
}

/// The selected remote candidate of a component, as `remote-candidates` names
/// it (RFC 8839 §5.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteCandidate {
    /// The component.
    pub component: ComponentId,
    /// Its address.
    pub host: Host,
    /// Its port.
    pub port: u16,
}

impl IceAttributes {
    /// What an agent of this crate says of itself by default: a full agent
    /// (RFC 8839 §4.2.1.4) that follows RFC 8445 (`ice2`, §4.2.1.5) and trickles
    /// (RFC 8838 §3). For one that is configured otherwise set
    /// [`Self::options`] to those of [`Core::options`](crate::agent::Core::options),
    /// and [`Self::lite`].
    pub fn new(credentials: Credentials) -> Self {
        IceAttributes {
            credentials: Some(credentials),
            options: vec!["ice2".into(), "trickle".into()],
            ..Self::default()
        }
    }

    /// Whether `ice-options` has this token. Tokens are compared with case.
    pub fn has_option(&self, option: &str) -> bool {
        self.options.iter().any(|known| **known == *option)
    }

    /// For the agent: what the peer says of itself, `None` if it does not
    /// speak ICE. Without `ice-pacing` it paces at 50 ms (RFC 8839 §5.5).
    pub fn remote_parameters(&self) -> Option<RemoteParameters> {
        Some(RemoteParameters {
            credentials: self.credentials.clone()?,
            pacing: self.pacing.unwrap_or(RemoteParameters::DEFAULT_PACING),
            lite: self.lite,
            options: self.options.clone(),
            // In SDP an answer belongs to its offer.
            answers: None,
        })
    }
}

#[cfg(test)]
mod tests;
