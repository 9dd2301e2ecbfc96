//! Who each side is: a certificate of this run, of which the other side knows
//! the fingerprint, and no other is taken.

use std::fmt;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, ServerConfig,
    SignatureScheme, version,
};
use sha2::{Digest as _, Sha256};

use crate::exit::{Exit, Failure};

/// The name in every certificate, which nobody looks at.
pub(super) const NAME: &str = "peer";

/// What both sides speak after the handshake, above QUIC and TLS alike.
const ALPN: &[u8] = b"floe-connect/1";

/// The SHA-256 of a certificate.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Fingerprint([u8; 32]);

impl Fingerprint {
    fn of(certificate: &CertificateDer<'_>) -> Self {
        Fingerprint(Sha256::digest(certificate).into())
    }

    /// Of its hexadecimal digits.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let digits = text.as_bytes();
        let mut bytes = [0; 32];
        if digits.len() != 2 * bytes.len() {
            return None;
        }
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            let digit = |digit: u8| char::from(digit).to_digit(16);
            *byte = u8::try_from(digit(pair[0])? * 16 + digit(pair[1])?).ok()?;
        }
        Some(Fingerprint(bytes))
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}

/// Our certificate and its key.
pub(crate) struct Identity {
    certificate: CertificateDer<'static>,
    key: PrivatePkcs8KeyDer<'static>,
}

impl Identity {
    /// A new one.
    pub(crate) fn new() -> Result<Self, Failure> {
        let made = rcgen::generate_simple_self_signed([NAME.to_owned()]).map_err(internal)?;
        let key = PrivatePkcs8KeyDer::from(made.key_pair.serialize_der());
        Ok(Identity { certificate: made.cert.der().clone(), key })
    }

    /// What the other side has to know of it.
    pub(crate) fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.certificate)
    }

    /// TLS as the client towards `peer` and nobody else.
    pub(super) fn client(&self, peer: Fingerprint) -> Result<ClientConfig, Failure> {
        let pinned = Arc::new(Pinned::new(peer));
        let mut config = ClientConfig::builder_with_provider(pinned.provider.clone())
            .with_protocol_versions(&[&version::TLS13])
            .map_err(internal)?
            .dangerous()
            .with_custom_certificate_verifier(pinned)
            .with_client_auth_cert(vec![self.certificate.clone()], self.key())
            .map_err(internal)?;
        config.alpn_protocols = vec![ALPN.to_vec()];
        Ok(config)
    }

    /// TLS as the server towards `peer` and nobody else.
    pub(super) fn server(&self, peer: Fingerprint) -> Result<ServerConfig, Failure> {
        let pinned = Arc::new(Pinned::new(peer));
        let mut config = ServerConfig::builder_with_provider(pinned.provider.clone())
            .with_protocol_versions(&[&version::TLS13])
            .map_err(internal)?
            .with_client_cert_verifier(pinned)
            .with_single_cert(vec![self.certificate.clone()], self.key())
            .map_err(internal)?;
        config.alpn_protocols = vec![ALPN.to_vec()];
        Ok(config)
    }

    fn key(&self) -> PrivateKeyDer<'static> {
        self.key.clone_key().into()
    }
}

pub(super) fn internal(error: impl fmt::Display) -> Failure {
    Failure::new(Exit::Internal, format!("no encryption can be set up: {error}"))
}

/// Takes the one certificate that was told, on either side.
#[derive(Debug)]
struct Pinned {
    peer: Fingerprint,
    provider: Arc<CryptoProvider>,
}

impl Pinned {
    fn new(peer: Fingerprint) -> Self {
        Pinned { peer, provider: Arc::new(ring::default_provider()) }
    }

    fn check(&self, certificate: &CertificateDer<'_>) -> Result<(), rustls::Error> {
        if Fingerprint::of(certificate) == self.peer {
            Ok(())
        } else {
            Err(CertificateError::ApplicationVerificationFailure.into())
        }
    }

    /// That the other side has the certificate's key, too.
    fn signed(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// TLS 1.2 is not spoken.
fn too_old() -> rustls::Error {
    rustls::Error::General("TLS 1.2 is not spoken here".to_owned())
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.check(certificate).map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(too_old())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.signed(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes()
    }
}

impl ClientCertVerifier for Pinned {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        self.check(certificate).map(|()| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(too_old())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.signed(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes()
    }
}

#[cfg(test)]
mod tests {
    use tokio_rustls::{TlsAcceptor, TlsConnector};

    use super::*;

    #[test]
    fn a_fingerprint_is_read_as_it_is_printed() {
        let fingerprint = Identity::new().unwrap().fingerprint();
        assert_eq!(Fingerprint::parse(&fingerprint.to_string()), Some(fingerprint));
        for text in ["", "00", &"0".repeat(63), &"g".repeat(64), &"é".repeat(32)] {
            assert_eq!(Fingerprint::parse(text), None, "{text}");
        }
    }

    /// Whether a handshake works between `a` and `b` where `a` expects
    /// `of_b`, and `b` `of_a`.
    async fn agree(a: &Identity, of_b: Fingerprint, b: &Identity, of_a: Fingerprint) -> bool {
        let connector = TlsConnector::from(Arc::new(a.client(of_b).unwrap()));
        let acceptor = TlsAcceptor::from(Arc::new(b.server(of_a).unwrap()));
        let (one, other) = tokio::io::duplex(65_536);
        let name = ServerName::try_from(NAME).unwrap();
        let (client, server) =
            tokio::join!(TlsConnector::connect(&connector, name, one), acceptor.accept(other));
        client.is_ok() && server.is_ok()
    }

    #[tokio::test]
    async fn only_the_certificates_that_were_told_are_taken_on_both_sides() {
        let (a, b, c) =
            (Identity::new().unwrap(), Identity::new().unwrap(), Identity::new().unwrap());
        let prints = [&a, &b, &c].map(Identity::fingerprint);
        assert!(agree(&a, prints[1], &b, prints[0]).await);
        assert!(!agree(&a, prints[2], &b, prints[0]).await);
        assert!(!agree(&a, prints[1], &b, prints[2]).await);
        assert!(!agree(&c, prints[1], &b, prints[0]).await);
    }
}
