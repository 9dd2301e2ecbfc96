//! What flows between the two sides is encrypted: QUIC over UDP and relays, TLS
//! over TCP. Each takes the certificate that the other side told of, and no
//! other.

mod identity;
mod socket;
mod stream;

use std::sync::Arc;
use std::time::Duration;

use floe::Connection;
use floe::adapter::quinn::{IceSocket, PEER};
use floe::net::Protocol;
use parking_lot::Mutex;
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{
    ClientConfig, Endpoint, EndpointConfig, IdleTimeout, ServerConfig, TokioRuntime,
    TransportConfig, VarInt,
};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::{TlsAcceptor, TlsConnector};

pub(crate) use identity::{Fingerprint, Identity};

use crate::exit::{Exit, Failure};
use identity::{NAME, internal};
use socket::Peeked;
use stream::ByteStream;

/// The largest datagram.
const MAX_DATAGRAM: usize = 65_535;

/// What a TLS handshake begins with, and the bits of a QUIC packet with a long
/// header, with which its handshake begins (RFC 9000 §17.2).
const TLS_HANDSHAKE: u8 = 22;
const LONG_HEADER: u8 = 0xc0;

/// What may be under way: 8 MiB are 100 ms at 670 Mbit/s.
const WINDOW: u32 = 8 << 20;

/// ICE says sooner that a path is gone.
const IDLE: Duration = Duration::from_secs(60);
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// A stream of bytes each way, and what it runs on.
pub(crate) struct Link {
    pub(crate) read: Box<dyn AsyncRead + Send + Unpin>,
    pub(crate) write: Box<dyn AsyncWrite + Send + Unpin>,
    pub(crate) carrier: Carrier,
}

/// What encrypts the stream.
#[derive(Clone)]
pub(crate) enum Carrier {
    Quic(Endpoint, quinn::Connection),
    Tls,
}

/// The two certificates. Whose fingerprint is the smaller one dials.
pub(crate) struct Pair<'a> {
    pub(crate) ours: &'a Identity,
    pub(crate) peer: Fingerprint,
}

impl Pair<'_> {
    /// Sets up the stream over `connection`, whose selected pair is over
    /// `protocol`.
    pub(crate) async fn secure(
        &self,
        connection: Connection,
        protocol: Protocol,
    ) -> Result<Link, Failure> {
        let is_dialer = self.ours.fingerprint() < self.peer;
        match (is_dialer, protocol) {
            (true, Protocol::Udp) => self.dial_quic(connection).await,
            (true, Protocol::Tcp) => self.dial_tls(connection).await,
            (false, _) => self.answer(connection).await,
        }
    }

    /// Answers in the way that the other side chose.
    async fn answer(&self, connection: Connection) -> Result<Link, Failure> {
        let mut first = vec![0; MAX_DATAGRAM];
        loop {
            let length = connection.recv(&mut first).await.map_err(lost)?;
            let datagram = first.get(..length).unwrap_or_default();
            match datagram.first() {
                Some(&TLS_HANDSHAKE) => return self.answer_tls(connection, datagram).await,
                Some(byte) if byte & LONG_HEADER == LONG_HEADER => {
                    return self.answer_quic(connection, datagram.to_vec()).await;
                }
                // Nothing that a handshake begins with.
                _ => {}
            }
        }
    }

    async fn dial_tls(&self, connection: Connection) -> Result<Link, Failure> {
        let connector = TlsConnector::from(Arc::new(self.ours.client(self.peer)?));
        let name = ServerName::try_from(NAME).map_err(internal)?;
        let stream = ByteStream::new(connection, &[]);
        let stream = TlsConnector::connect(&connector, name, stream).await.map_err(refused)?;
        let (read, write) = tokio::io::split(stream);
        Ok(Link { read: Box::new(read), write: Box::new(write), carrier: Carrier::Tls })
    }

    async fn answer_tls(&self, connection: Connection, first: &[u8]) -> Result<Link, Failure> {
        let acceptor = TlsAcceptor::from(Arc::new(self.ours.server(self.peer)?));
        let stream = ByteStream::new(connection, first);
        let stream = acceptor.accept(stream).await.map_err(refused)?;
        let (read, write) = tokio::io::split(stream);
        Ok(Link { read: Box::new(read), write: Box::new(write), carrier: Carrier::Tls })
    }

    async fn dial_quic(&self, connection: Connection) -> Result<Link, Failure> {
        let config = QuicClientConfig::try_from(self.ours.client(self.peer)?).map_err(internal)?;
        let mut config = ClientConfig::new(Arc::new(config));
        config.transport_config(transport());
        let socket = Arc::new(IceSocket::new(connection));
        let endpoint = endpoint(None, socket)?;
        let quic = endpoint.connect_with(config, PEER, NAME).map_err(internal)?;
        let quic = quic.await.map_err(broken)?;
        let (write, read) = quic.open_bi().await.map_err(broken)?;
        let carrier = Carrier::Quic(endpoint, quic);
        Ok(Link { read: Box::new(read), write: Box::new(write), carrier })
    }

    async fn answer_quic(&self, connection: Connection, first: Vec<u8>) -> Result<Link, Failure> {
        let config = QuicServerConfig::try_from(self.ours.server(self.peer)?).map_err(internal)?;
        let mut config = ServerConfig::with_crypto(Arc::new(config));
        config.transport_config(transport());
        let socket = Arc::new(IceSocket::new(connection));
        let socket = Arc::new(Peeked { socket, first: Mutex::new(Some(first)) });
        let endpoint = endpoint(Some(config), socket)?;
        let gone = || Failure::new(Exit::Lost, "the other side is gone");
        let quic = endpoint.accept().await.ok_or_else(gone)?.await.map_err(broken)?;
        let (write, read) = quic.accept_bi().await.map_err(broken)?;
        let carrier = Carrier::Quic(endpoint, quic);
        Ok(Link { read: Box::new(read), write: Box::new(write), carrier })
    }
}

fn endpoint(
    server: Option<ServerConfig>,
    socket: Arc<dyn quinn::AsyncUdpSocket>,
) -> Result<Endpoint, Failure> {
    let (config, runtime) = (EndpointConfig::default(), Arc::new(TokioRuntime));
    Endpoint::new_with_abstract_socket(config, server, socket, runtime).map_err(internal)
}

fn transport() -> Arc<TransportConfig> {
    let mut config = TransportConfig::default();
    config.stream_receive_window(WINDOW.into()).receive_window(WINDOW.into());
    config.send_window(WINDOW.into());
    config.max_concurrent_bidi_streams(VarInt::from_u32(1));
    config.max_concurrent_uni_streams(VarInt::from_u32(0));
    config.datagram_receive_buffer_size(None);
    config.max_idle_timeout(IdleTimeout::try_from(IDLE).ok());
    config.keep_alive_interval(Some(KEEP_ALIVE));
    Arc::new(config)
}

fn lost(error: std::io::Error) -> Failure {
    Failure::new(Exit::Lost, format!("the connection is lost: {error}"))
}

/// A handshake of TLS that failed.
fn refused(error: std::io::Error) -> Failure {
    let is_tls = error.get_ref().is_some_and(|error| error.is::<rustls::Error>());
    if is_tls {
        return Failure::new(
            Exit::Tls,
            format!("the other side does not prove who it is: {error}"),
        );
    }
    lost(error)
}

/// One of QUIC that failed: 0x100 and above are the alerts of TLS (RFC 9001
/// §4.8).
fn broken(error: quinn::ConnectionError) -> Failure {
    let code = match &error {
        quinn::ConnectionError::TransportError(error) => u64::from(error.code),
        quinn::ConnectionError::ConnectionClosed(close) => u64::from(close.error_code),
        _ => 0,
    };
    if (0x100..0x200).contains(&code) {
        let sentence = format!("the other side does not prove who it is: {error}");
        return Failure::new(Exit::Tls, sentence);
    }
    Failure::new(Exit::Lost, format!("the connection is lost: {error}"))
}
