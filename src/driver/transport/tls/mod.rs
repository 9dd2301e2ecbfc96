//! TLS on a TCP connection, as its client (RFC 8446, and RFC 5246 where the
//! server is old): TURN over TLS (RFC 8656 §2.1), with the protocol's name of
//! RFC 7443.

mod refusal;
mod roots;
mod stream;

use std::sync::Arc;

use rustls::ClientConfig;
use rustls::client::Resumption;
use rustls::crypto::ring;

pub(crate) use refusal::TlsRefusal;
pub use roots::{RootCertificates, RootError};
pub(crate) use stream::TlsStream;

/// What a client of TURN calls the protocol (RFC 7443 §4).
const ALPN: &[u8] = b"stun.turn";

/// Settings that the connections of an agent share.
#[derive(Clone, Debug)]
pub(crate) struct TlsSettings(Arc<ClientConfig>);

impl TlsSettings {
    /// Trusts the servers whose certificates come from one of the roots.
    pub(crate) fn new(roots: &RootCertificates) -> Result<Self, TlsRefusal> {
        let provider = Arc::new(ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots.store())
            .with_no_client_auth();
        config.alpn_protocols = vec![ALPN.to_vec()];
        // A session that is resumed shows no certificate, and connections are few.
        config.resumption = Resumption::disabled();
        Ok(TlsSettings(Arc::new(config)))
    }
}

#[cfg(test)]
pub(crate) mod fixture;
#[cfg(test)]
mod tests;
