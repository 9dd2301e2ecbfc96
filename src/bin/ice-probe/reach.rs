//! How TURN servers over TCP and TLS, and a rendezvous, are reached: whom to trust, and through
//! which proxy.

use std::ffi::OsStr;

use clap::builder::TypedValueParser;
use clap::error::ErrorKind;
use floe::AgentConfig;
use floe::driver::{Proxy, RootCertificates};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

#[derive(Debug, clap::Args)]
pub(crate) struct ReachOptions {
    /// Trust the certificates in this file (PEM or DER) with turns: servers, and
    /// a wss: rendezvous, too; repeatable
    #[arg(long, value_name = "FILE", value_parser = authority)]
    ca: Vec<Authority>,
    /// The proxy.
    #[arg(
        long,
        value_name = "URI",
        value_parser = ProxyParser,
        help = "Reach TURN servers over TCP and TLS, and a rendezvous, through this proxy, as \
                http://[USER:PASS@]HOST:PORT or socks5://[USER:PASS@]HOST:PORT"
    )]
    proxy: Option<Proxy>,
}

/// A file with certificates, which are sound.
#[derive(Clone, Debug)]
struct Authority {
    file: String,
    certificates: Vec<u8>,
}

fn authority(file: &str) -> Result<Authority, String> {
    let certificates = std::fs::read(file).map_err(|error| error.to_string())?;
    RootCertificates::none().add(&certificates).map_err(|error| error.to_string())?;
    Ok(Authority { file: file.to_owned(), certificates })
}

/// Complains without a word of the value, in which there may be a password.
#[derive(Clone)]
struct ProxyParser;

impl TypedValueParser for ProxyParser {
    type Value = Proxy;

    fn parse_ref(
        &self,
        _: &clap::Command,
        _: Option<&clap::Arg>,
        value: &OsStr,
    ) -> Result<Proxy, clap::Error> {
        value.to_string_lossy().parse().map_err(|error| {
            clap::Error::raw(ErrorKind::ValueValidation, format!("--proxy: {error}\n"))
        })
    }
}

impl ReachOptions {
    /// Takes them into the settings of an agent.
    pub(crate) fn apply(&self, config: &mut AgentConfig) {
        for Authority { file, certificates } in &self.ca {
            if let Err(error) = config.roots.add(certificates) {
                tracing::warn!(file, %error, "certificates are left out");
            }
        }
        config.proxy = self.proxy.clone();
    }

    /// Whom to trust, public authorities included.
    pub(crate) fn roots(&self) -> RootCertStore {
        let mut store = RootCertStore::from_iter(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        for Authority { certificates, .. } in &self.ca {
            // They were sound when they were read.
            match CertificateDer::pem_slice_iter(certificates).collect::<Result<Vec<_>, _>>() {
                Ok(pem) if !pem.is_empty() => drop(store.add_parsable_certificates(pem)),
                _ => drop(store.add(certificates.clone().into())),
            }
        }
        store
    }

    /// The proxy, with user and password.
    pub(crate) fn given_proxy(&self) -> Option<&Proxy> {
        self.proxy.as_ref()
    }

    /// The files of certificates.
    pub(crate) fn files(&self) -> Vec<&str> {
        self.ca.iter().map(|authority| authority.file.as_str()).collect()
    }

    /// The proxy, without user and password.
    pub(crate) fn proxy(&self) -> Option<String> {
        self.proxy.as_ref().map(Proxy::to_string)
    }
}
