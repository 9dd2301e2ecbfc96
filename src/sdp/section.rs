use crate::candidate::Host;
use crate::sdp::IceAttributes;

/// A session description, as far as ICE is concerned: its media sections.
///
/// [`FromStr`](std::str::FromStr) reads it. Lines end with LF, or CR and LF.
/// Of the session, `c=` and the ICE attributes are read and applied to every
/// section that has none of its own; `ice-options` add up. `ice-pacing` and
/// `ice-lite`, which belong to the session (RFC 8839 §5.3, §5.5), are read in
/// a section too. Other lines and attributes are passed over, at any length.
///
/// # Errors
///
/// [`SdpError`](crate::sdp::SdpError), where a line that is read breaks its
/// grammar.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Description {
    /// A section for each `m=` line, in their order.
    pub sections: Vec<MediaSection>,
}

/// A media section: its `m=` and `c=` lines, what identifies it, and what it
/// says of ICE.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MediaSection {
    /// The media of the `m=` line: `audio`, `application` …
    pub media: Box<str>,
    /// The port of the `m=` line; 0 disables the section, 9 says nothing.
    pub port: u16,
    /// The protocol of the `m=` line: `UDP/TLS/RTP/SAVPF` …
    pub protocol: Box<str>,
    /// The formats of the `m=` line.
    pub formats: Box<str>,
    /// `mid` (RFC 5888 §4).
    pub mid: Option<Box<str>>,
    /// The address of the `c=` line, here or in the session; `None` if there
    /// is none of the Internet.
    pub connection: Option<Host>,
    /// `rtcp` (RFC 3605 §2.1).
    pub rtcp: Option<RtcpAddress>,
    /// `rtcp-mux` (RFC 5761 §5.1.1) or `rtcp-mux-only` (RFC 8858 §3).
    pub rtcp_mux: bool,
    /// What it says of ICE.
    pub ice: IceAttributes,
}

/// Where RTCP goes: the `rtcp` attribute (RFC 3605 §2.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RtcpAddress {
    /// The port.
    pub port: u16,
    /// The address, if it is not that of the `c=` line.
    pub host: Option<Host>,
}

impl MediaSection {
    /// A section of a fragment: its `m=` line, which says nothing of where
    /// media go, and its `mid` (RFC 8840 §9).
    pub fn new(media: &str, protocol: &str, formats: &str, mid: &str) -> Self {
        MediaSection {
            media: media.into(),
            port: 9,
            protocol: protocol.into(),
            formats: formats.into(),
            mid: Some(mid.into()),
            ..Self::default()
        }
    }

    /// The section is disabled: its port is zero (RFC 3264 §8.2).
    pub const fn is_disabled(&self) -> bool {
        self.port == 0
    }
}
