//! The certificate of a server.

use std::fmt;
use std::io;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// What a client may ask for (RFC 7443 §3): TURN, or STUN alone.
const ALPN: [&[u8]; 2] = [b"stun.turn", b"stun.nat-discovery"];

/// A certificate with its key, ready for TLS 1.2 and 1.3.
#[derive(Clone)]
pub struct TlsIdentity {
    config: Arc<ServerConfig>,
    certificate: Box<[u8]>,
    pem: Box<str>,
}

impl TlsIdentity {
    /// From a chain of certificates, the server's first, and its private key,
    /// both in PEM.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::InvalidData`] where one of them cannot be read, or
    /// they do not belong together.
    pub fn from_pem(chain: &str, key: &str) -> io::Result<Self> {
        let certificates = CertificateDer::pem_slice_iter(chain.as_bytes());
        let certificates = certificates.collect::<Result<Vec<_>, _>>().map_err(invalid)?;
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(invalid)?;
        Self::new(certificates, key, chain)
    }

    /// A new key and a certificate for `names`, host names or addresses, that
    /// nobody has signed: a client has to be told of it.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::InvalidData`] where a name is none.
    pub fn self_signed(names: &[String]) -> io::Result<Self> {
        let made = rcgen::generate_simple_self_signed(names).map_err(invalid)?;
        let key = PrivateKeyDer::try_from(made.key_pair.serialize_der()).map_err(invalid)?;
        Self::new(vec![made.cert.der().clone()], key, &made.cert.pem())
    }

    fn new(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
        pem: &str,
    ) -> io::Result<Self> {
        let certificate = chain.first().ok_or_else(|| invalid("there is no certificate"))?;
        let certificate = certificate.as_ref().into();
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(invalid)?
            .with_no_client_auth()
            .with_single_cert(chain, key);
        let mut config = config.map_err(invalid)?;
        config.alpn_protocols = ALPN.iter().map(|protocol| protocol.to_vec()).collect();
        Ok(TlsIdentity { config: Arc::new(config), certificate, pem: pem.into() })
    }

    /// The SHA-256 of the certificate, as browsers and `openssl x509
    /// -fingerprint -sha256` show it.
    pub fn fingerprint(&self) -> String {
        let bytes = Sha256::digest(&self.certificate);
        bytes.iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(":")
    }

    /// The certificate, with its chain, in PEM; without the key.
    pub fn certificate_pem(&self) -> &str {
        &self.pem
    }

    /// For clients that ask for other protocols.
    pub(in crate::server) fn acceptor_for(&self, protocols: &[&[u8]]) -> TlsAcceptor {
        let mut config = ServerConfig::clone(&self.config);
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        Arc::new(config).into()
    }

    pub(super) fn acceptor(&self) -> TlsAcceptor {
        self.config.clone().into()
    }
}

fn invalid(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

impl fmt::Debug for TlsIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsIdentity").field("fingerprint", &self.fingerprint()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_made_certificate_can_be_kept_and_used_again() {
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let made = rcgen::generate_simple_self_signed(names.clone()).unwrap();
        let (pem, key) = (made.cert.pem(), made.key_pair.serialize_pem());
        let read = TlsIdentity::from_pem(&pem, &key).unwrap();
        assert_eq!(read.certificate_pem(), pem);
        assert_eq!(read.fingerprint().len(), 32 * 3 - 1);
        let one = TlsIdentity::self_signed(&names).unwrap();
        let two = TlsIdentity::self_signed(&names).unwrap();
        assert_ne!(one.fingerprint(), two.fingerprint());
        assert!(!one.certificate_pem().contains("PRIVATE"));
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let names = ["localhost".to_owned()];
        let made = rcgen::generate_simple_self_signed(names.clone()).unwrap();
        let other = rcgen::generate_simple_self_signed(names).unwrap();
        let (pem, key) = (made.cert.pem(), other.key_pair.serialize_pem());
        for (pem, key) in [(&*pem, &*key), ("", &key), (&pem, ""), (&pem, "no key")] {
            let error = TlsIdentity::from_pem(pem, key).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        }
    }
}
