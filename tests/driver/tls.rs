//! TURN servers over TLS: that they are spoken with, and what is said of those
//! that are not.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread::JoinHandle;

use floe::agent::replay::replay;
use floe::agent::{Event, TurnServer};
use floe::check::Role;
use floe::driver::RootCertificates;
use floe::gather::Cause;
use floe::{Agent, AgentConfig};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::{HANG, V4, config, gathered};

type Session = StreamOwned<ServerConnection, TcpStream>;

/// A server for one connection.
struct Server {
    address: SocketAddr,
    certificate: Vec<u8>,
    thread: JoinHandle<()>,
}

impl Server {
    fn start(act: impl FnOnce(Session) + Send + 'static) -> Self {
        let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".into()]).unwrap();
        let certificate = made.cert.der().clone();
        let der = certificate.to_vec();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.key_pair.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .unwrap();
        let listener = TcpListener::bind((V4, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let thread = std::thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            stream.set_read_timeout(Some(HANG)).unwrap();
            act(StreamOwned::new(ServerConnection::new(Arc::new(config)).unwrap(), stream));
        });
        Server { address, certificate: der, thread }
    }

    fn agent(&self, edit: impl FnOnce(&mut AgentConfig)) -> Agent {
        let mut config = config(Role::Controlling, V4);
        let uri = format!("turns:{}", self.address);
        config.ice.turn_servers = vec![TurnServer::new(&uri, "someone", "hidden").unwrap()];
        config.ice.log = true;
        edit(&mut config);
        Agent::new(config).unwrap()
    }
}

/// What is said of the server.
async fn error(agent: &Agent) -> (Cause, u16, String) {
    let (_, events) = gathered(agent).await;
    let errors = events.iter().filter_map(|event| match event {
        Event::CandidateError { cause, code, text, .. } => Some((*cause, *code, text.to_string())),
        _ => None,
    });
    let errors: Vec<_> = errors.collect();
    assert_eq!(errors.len(), 1, "{errors:?}");
    errors[0].clone()
}

#[tokio::test]
async fn a_certificate_that_is_refused_is_told_and_replayed() {
    let server = Server::start(|mut session| assert!(session.read(&mut [0]).is_err()));
    let agent = server.agent(|_| ());
    let words = "its certificate comes from an issuer that is not trusted here";
    let text = format!("no TLS with {}: {words}", server.address);
    assert_eq!(error(&agent).await, (Cause::Tls, 701, text));
    replay(agent.log_records()).unwrap();
    server.thread.join().unwrap();
}

/// Reads one message.
fn message(session: &mut Session) -> Vec<u8> {
    let mut message = vec![0; 20];
    session.read_exact(&mut message).unwrap();
    let len = usize::from(u16::from_be_bytes([message[2], message[3]]));
    message.resize(20 + len, 0);
    session.read_exact(&mut message[20..]).unwrap();
    message
}

#[tokio::test]
async fn an_allocation_is_asked_for_over_tls() {
    let server = Server::start(|mut session| {
        let asked = message(&mut session);
        assert_eq!(asked[..2], [0, 3]);
        // ERROR-CODE 401, REALM and NONCE.
        let attributes = b"\0\x09\0\x04\0\0\x04\x01\0\x14\0\x04home\0\x15\0\x04once";
        let head = [1, 0x13, 0, 24];
        session.write_all(&[&head, &asked[4..20], attributes].concat()).unwrap();
        let asked = message(&mut session);
        assert_eq!(asked[..2], [0, 3]);
        assert!(asked.windows(7).any(|window| window == b"someone"));
        session.conn.send_close_notify();
        session.flush().unwrap();
    });
    let agent = server.agent(|config| {
        config.roots = RootCertificates::none();
        config.roots.add(&server.certificate).unwrap();
    });
    let (cause, _, text) = error(&agent).await;
    assert_eq!(cause, Cause::NotReached);
    assert!(text.starts_with(&format!("the connection to {} ended", server.address)), "{text}");
    server.thread.join().unwrap();
}
