//! The embedded TURN server on real sockets of loopback, asked with messages
//! made by hand and by the client of the crate `turn`.

mod behavior;
mod client;
#[path = "../coturn/mod.rs"]
#[allow(dead_code, reason = "the tests of agents use the rest")]
mod coturn;
mod coturn_too;
mod crowd;
mod data;
mod hostile;
mod policy;
mod turn_crate;

use std::net::SocketAddr;
use std::sync::Arc;

use floe::server::{PeerPolicy, TlsIdentity, TurnServer, TurnServerConfig, User};
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use client::Client;

const USER: &str = "ann";
const PASSWORD: &str = "secret";
const REALM: &str = "example.org";

/// The three ways to a server.
#[derive(Clone, Copy, Debug)]
enum Leg {
    Udp,
    Tcp,
    Tls,
}

const LEGS: [Leg; 3] = [Leg::Udp, Leg::Tcp, Leg::Tls];

/// A server on loopback, which relays to loopback.
struct Bench {
    server: TurnServer,
    tls: Arc<ClientConfig>,
}

fn any() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

fn config() -> TurnServerConfig {
    let mut config = TurnServerConfig::default();
    config.listen = vec![any()];
    config.realm = REALM.to_owned();
    config.users = vec![User { name: USER.to_owned(), password: PASSWORD.to_owned() }];
    config.peers = PeerPolicy::default();
    config.peers.allow_loopback = true;
    config
}

impl Bench {
    async fn new() -> Self {
        Self::with(config()).await
    }

    async fn with(mut config: TurnServerConfig) -> Self {
        let identity = TlsIdentity::self_signed(&["127.0.0.1".to_owned()]).unwrap();
        let pem = identity.certificate_pem().as_bytes();
        let tls = trusting(CertificateDer::from_pem_slice(pem).unwrap());
        config.tls = Some((vec![any()], identity));
        Bench { server: TurnServer::bind(config).await.unwrap(), tls: Arc::new(tls) }
    }

    fn address(&self, leg: Leg) -> SocketAddr {
        match leg {
            Leg::Udp | Leg::Tcp => self.server.addresses()[0],
            Leg::Tls => self.server.tls_addresses()[0],
        }
    }

    async fn client(&self, leg: Leg) -> Client {
        Client::new(leg, self.address(leg), self.tls.clone()).await
    }
}

/// TLS for clients that trust this certificate and no other.
fn trusting(certificate: CertificateDer<'static>) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(certificate).unwrap();
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth()
}

/// Waits until something holds; the test's own limit ends it if it never does.
async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..2_000 {
        if holds() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("never: {what}");
}
