//! Servers with certificates of an authority of their own.

use std::io;
use std::net::TcpStream;
use std::sync::Arc;

use rcgen::{BasicConstraints, Certificate, CertificateParams, DnType, IsCa, KeyPair};
use rustls::crypto::ring;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::RootCertificates;
use crate::driver::transport::scripted::Server;

pub(crate) type Session = StreamOwned<ServerConnection, TcpStream>;

pub(crate) struct Authority {
    certificate: Certificate,
    key: KeyPair,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([]).unwrap();
        // Another key under the same name would be a wrong signature.
        let name = format!("authority {:?}", &key.public_key_raw()[..8]);
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Authority { certificate: params.self_signed(&key).unwrap(), key }
    }

    /// Trusts nobody else.
    pub(crate) fn roots(&self) -> RootCertificates {
        let mut roots = RootCertificates::none();
        roots.add(self.certificate.der()).unwrap();
        roots
    }

    /// The settings of a server with a certificate for these names.
    pub(crate) fn server(
        &self,
        names: &[&str],
        edit: impl FnOnce(&mut CertificateParams),
    ) -> ServerConfig {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        edit(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.certificate, &self.key).unwrap();
        self::server(&certificate, &key)
    }

    /// That of a server which shows the certificate of the authority itself.
    pub(crate) fn as_server(&self) -> ServerConfig {
        server(&self.certificate, &self.key)
    }
}

fn server(certificate: &Certificate, key: &KeyPair) -> ServerConfig {
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    config.alpn_protocols = vec![b"stun.turn".to_vec()];
    config
}

/// Serves one connection.
pub(crate) fn serve(config: ServerConfig, act: impl FnOnce(Session) + Send + 'static) -> Server {
    Server::new(move |stream| {
        let connection = ServerConnection::new(Arc::new(config)).unwrap();
        act(StreamOwned::new(connection, stream));
    })
}

/// Serves a client that does not like the server.
pub(crate) fn refused(config: ServerConfig) -> Server {
    serve(config, |mut session| {
        let result: io::Result<u64> = io::copy(&mut session, &mut io::sink());
        assert!(result.is_err());
    })
}
