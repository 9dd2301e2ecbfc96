use std::fmt;

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, TrustAnchor};

/// More certificates than these are not taken in.
const MAX_ROOTS: usize = 4_096;

/// The certificates that a server's has to come from, directly or over others
/// that the server sends. By default those that Mozilla trusts
/// (`webpki-roots`); others can be added, or take their place.
#[derive(Clone)]
pub struct RootCertificates {
    is_public: bool,
    added: Vec<TrustAnchor<'static>>,
}

/// Why something is no certificate to trust.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RootError {
    /// It is text, and no PEM with a certificate in it.
    #[error("there is no certificate in PEM (RFC 7468 §5)")]
    Pem,
    /// It holds something that is no certificate.
    #[error("it is no X.509 certificate (RFC 5280 §4.1)")]
    Certificate,
    /// There are too many.
    #[error("there are more than {MAX_ROOTS} certificates")]
    TooMany,
}

/// Those that Mozilla trusts.
impl Default for RootCertificates {
    fn default() -> Self {
        RootCertificates { is_public: true, added: Vec::new() }
    }
}

impl RootCertificates {
    /// None at all, until some are added.
    pub fn none() -> Self {
        RootCertificates { is_public: false, added: Vec::new() }
    }

    /// Adds the certificates of a file: all that stand in PEM, or one in DER.
    /// A server may show one of them itself unless it is one of an authority
    /// (CA).
    ///
    /// # Errors
    ///
    /// [`RootError`]; then none is added.
    pub fn add(&mut self, file: &[u8]) -> Result<(), RootError> {
        let mut store = RootCertStore::empty();
        for certificate in certificates(file)? {
            if self.added.len() + store.len() >= MAX_ROOTS {
                return Err(RootError::TooMany);
            }
            store.add(certificate).map_err(|_| RootError::Certificate)?;
        }
        self.added.append(&mut store.roots);
        Ok(())
    }

    pub(super) fn store(&self) -> RootCertStore {
        let public = if self.is_public { webpki_roots::TLS_SERVER_ROOTS } else { &[] };
        public.iter().chain(&self.added).cloned().collect()
    }
}

fn certificates(file: &[u8]) -> Result<Vec<CertificateDer<'static>>, RootError> {
    // DER of a certificate begins with a long SEQUENCE; text does not.
    if file.first() == Some(&0x30) {
        return Ok(vec![CertificateDer::from(file.to_vec())]);
    }
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(file).take(MAX_ROOTS + 1).collect();
    all.ok().filter(|all| !all.is_empty()).ok_or(RootError::Pem)
}

impl fmt::Debug for RootCertificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let RootCertificates { is_public, added } = self;
        let mut out = f.debug_struct("RootCertificates");
        out.field("is_public", is_public).field("added", &added.len()).finish()
    }
}
