//! QUIC endpoints over connections, and a file that passes between them.

use std::sync::Arc;

use floe::Connection;
use floe::adapter::quinn::{IceSocket, PEER};
use quinn::{ClientConfig, Endpoint, EndpointConfig, ServerConfig, TokioRuntime};
use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use sha2::{Digest as _, Sha256};

/// The name in the server's certificate.
pub(crate) const NAME: &str = "peer";

/// The server's settings, and the client's that trust it alone.
pub(crate) fn settings() -> (ClientConfig, ServerConfig) {
    let made = rcgen::generate_simple_self_signed([NAME.to_owned()]).unwrap();
    let certificate: CertificateDer<'static> = made.cert.der().clone();
    let key = PrivatePkcs8KeyDer::from(made.key_pair.serialize_der());
    let server = ServerConfig::with_single_cert(vec![certificate.clone()], key.into()).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(certificate).unwrap();
    (ClientConfig::with_root_certificates(Arc::new(roots)).unwrap(), server)
}

/// An endpoint over `connection`; with `server` it accepts.
pub(crate) fn endpoint(connection: Connection, server: Option<ServerConfig>) -> Endpoint {
    endpoint_with(connection, server, EndpointConfig::default())
}

/// The same, with these settings of QUIC's.
pub(crate) fn endpoint_with(
    connection: Connection,
    server: Option<ServerConfig>,
    config: EndpointConfig,
) -> Endpoint {
    let socket = Arc::new(IceSocket::new(connection));
    Endpoint::new_with_abstract_socket(config, server, socket, Arc::new(TokioRuntime)).unwrap()
}

/// The client's side: connects.
pub(crate) async fn dial(endpoint: &Endpoint, config: ClientConfig) -> quinn::Connection {
    endpoint.connect_with(config, PEER, NAME).unwrap().await.unwrap()
}

/// The server's side: accepts.
pub(crate) async fn answer(endpoint: &Endpoint) -> quinn::Connection {
    endpoint.accept().await.expect("the endpoint is open").await.unwrap()
}

/// A file of `size` bytes that look like noise.
pub(crate) fn file(size: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut file = Vec::with_capacity(size + 8);
    while file.len() < size {
        // Marsaglia's xorshift.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        file.extend_from_slice(&state.to_le_bytes());
    }
    file.truncate(size);
    file
}

/// Sends `file` and takes the checksum that the receiver got.
pub(crate) async fn send(quic: &quinn::Connection, file: &[u8]) -> Vec<u8> {
    let (mut out, mut back) = quic.open_bi().await.unwrap();
    out.write_all(file).await.unwrap();
    out.finish().unwrap();
    back.read_to_end(64).await.unwrap()
}

/// Receives the last file: returns when the sender has closed, so that no
/// answer is lost at the end.
pub(crate) async fn receive(quic: &quinn::Connection) -> usize {
    let length = receive_one(quic).await;
    quic.closed().await;
    length
}

/// Receives a file, answers with its checksum, and gives its length.
pub(crate) async fn receive_one(quic: &quinn::Connection) -> usize {
    let (mut back, mut input) = quic.accept_bi().await.unwrap();
    let (mut hash, mut length) = (Sha256::new(), 0);
    while let Some(chunk) = input.read_chunk(usize::MAX, true).await.unwrap() {
        hash.update(&chunk.bytes);
        length += chunk.bytes.len();
    }
    back.write_all(&hash.finalize()).await.unwrap();
    back.finish().unwrap();
    length
}

/// The checksum of `file`.
pub(crate) fn checksum(file: &[u8]) -> Vec<u8> {
    Sha256::digest(file).to_vec()
}
