//! TURN servers over TLS and through proxies, as the command line sees them.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use base64::Engine as _;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::stdio::start;

/// Longer than anything here takes: only a hang reaches it.
const HANG: Duration = Duration::from_secs(30);

/// A server with a certificate of its own: that as PEM, and what it reads first.
fn server() -> (SocketAddr, String, JoinHandle<std::io::Result<[u8; 20]>>) {
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".into()]).unwrap();
    let certificate = made.cert.der().clone();
    let text = base64::engine::general_purpose::STANDARD.encode(&certificate);
    let pem = format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n");
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.key_pair.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let thread = std::thread::spawn(move || {
        let (stream, _) = listener.accept()?;
        stream.set_read_timeout(Some(HANG))?;
        let connection = ServerConnection::new(Arc::new(config)).unwrap();
        let mut head = [0; 20];
        StreamOwned::new(connection, stream).read_exact(&mut head).map(|()| head)
    });
    (address, pem, thread)
}

/// With UDP alone to relay there is one connection to the server.
const LOGIN: [&str; 8] =
    ["--user", "u", "--pass", "p", "--candidates", "relay", "--transport", "udp"];

#[test]
fn a_certificate_that_is_not_trusted_is_exit_code_17() {
    let (address, _, thread) = server();
    let uri = format!("turns:{address}");
    let mut probe = start("--controlling", &[&["--turn", uri.as_str()], &LOGIN[..]].concat());
    let error = probe.next("candidate-error");
    assert_eq!((&error["url"], &error["code"]), (&uri.into(), &701.into()));
    let text = error["text"].as_str().unwrap();
    assert!(text.ends_with("comes from an issuer that is not trusted here"), "{text}");
    probe.next("end-of-candidates");
    probe.end_input();
    assert_eq!(probe.exit_code(), Some(17));
    assert!(thread.join().unwrap().is_err());
}

#[test]
fn a_certificate_of_a_file_is_trusted() {
    let (address, pem, thread) = server();
    let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("root.pem");
    std::fs::write(&file, pem).unwrap();
    let (uri, file) = (format!("turns:{address}"), file.to_str().unwrap());
    let options = ["--turn", uri.as_str(), "--ca", file];
    let mut probe = start("--controlling", &[&options, &LOGIN[..]].concat());
    let head = thread.join().unwrap().unwrap();
    // Allocate (RFC 8656 §17).
    assert_eq!(head[..2], [0, 3]);
    probe.next("end-of-candidates");
    probe.end_input();
    assert_eq!(probe.exit_code(), Some(18));
}

#[test]
fn a_proxy_is_asked_and_its_password_is_not_shown() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy = format!("http://me:hidden@{}", listener.local_addr().unwrap());
    let thread = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(HANG)).unwrap();
        let mut heard = [0; 32];
        stream.read_exact(&mut heard).unwrap();
        stream.write_all(b"HTTP/1.1 403 Forbidden\r\n\r\n").unwrap();
        let _ = stream.read_to_end(&mut Vec::new());
        heard
    });
    let log = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("proxy.jsonl");
    let options = ["--turn", "turn:192.0.2.1:5000?transport=tcp", "--proxy", proxy.as_str()];
    let logged = ["--log", log.to_str().unwrap()];
    let mut probe = start("--controlling", &[&options, &LOGIN[..], &logged].concat());
    let error = probe.next("candidate-error");
    let text = error["text"].as_str().unwrap();
    assert!(text.ends_with("does not connect to 192.0.2.1:5000: 403 Forbidden"), "{text}");
    assert!(text.starts_with("the proxy http://127.0.0.1:"), "{text}");
    probe.next("end-of-candidates");
    probe.end_input();
    assert_eq!(probe.exit_code(), Some(18));
    assert_eq!(&thread.join().unwrap(), b"CONNECT 192.0.2.1:5000 HTTP/1.1\r");
    let log = std::fs::read_to_string(log).unwrap();
    assert!(log.contains("http://127.0.0.1:") && !log.contains("hidden"));
}
