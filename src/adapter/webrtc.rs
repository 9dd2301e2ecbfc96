//! [`Conn`] for a component's connection (feature `webrtc`): what the crates
//! `dtls`, `webrtc-sctp` and `webrtc-srtp` 0.17 run on.
//!
//! ```no_run
//! use std::sync::Arc;
//!
//! use dtls::config::{ClientAuthType, Config};
//! use dtls::conn::DTLSConn;
//! use dtls::crypto::Certificate;
//! use floe::Agent;
//! use floe::candidate::ComponentId;
//! use webrtc_sctp::association::{Association, Config as SctpConfig};
//!
//! # async fn example(agent: Agent) -> Result<(), Box<dyn std::error::Error>> {
//! agent.connected().await?;
//! let connection = agent.connection(ComponentId::ONE).ok_or("no component 1")?;
//! let config = Config {
//!     certificates: vec![Certificate::generate_self_signed(vec!["peer".to_owned()])?],
//!     client_auth: ClientAuthType::RequireAnyClientCert,
//!     // The certificate is checked against what the peer signalled of it; see
//!     // `examples/data_channel.rs`.
//!     insecure_skip_verify: true,
//!     ..Config::default()
//! };
//! let is_client = true;
//! let dtls = DTLSConn::new(Arc::new(connection), config, is_client, None).await?;
//! let sctp = Association::client(SctpConfig {
//!     net_conn: Arc::new(dtls),
//!     max_receive_buffer_size: 0,
//!     max_message_size: 0,
//!     mtu: 0,
//!     name: "client".to_owned(),
//!     remote_port: 5_000,
//!     local_port: 5_000,
//! });
//! let association = sctp.await?;
//! # Ok(())
//! # }
//! ```
//!
//! # What the methods mean
//!
//! - `send` is [`Connection::send`], but what there is no path for, or what the
//!   system refuses, is lost: nothing was sent, so it gives 0. SCTP would end
//!   at an error, and DTLS give up its handshake; so they send again, and
//!   outlive a lost path and a restart. After the agent was closed it is an
//!   error.
//! - `recv` is [`Connection::recv`]. After the agent was closed it gives its
//!   error with a pause before it, because the reader of `dtls` goes on after
//!   every error.
//! - Errors are [`webrtc_util::Error::Io`], with the kinds of [`Connection`].
//! - `remote_addr` and `local_addr` are those of the current path and change
//!   with it; without one there is `None`, and an error.
//! - `recv_from` names the peer by its current address, wherever the datagram
//!   came from, and is an error before there is a path. `send_to` sends to that
//!   address and to no other.
//! - `connect` is an error: the path is the agent's choice.
//! - **`close` does nothing**, as in `webrtc-ice`. DTLS and SCTP call it when
//!   they end; the agent may have other components, and a new session may
//!   follow on the same one. [`Agent::close`](crate::Agent::close), or dropping
//!   the last handle on the agent, ends the connection.

use std::any::Any;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use async_trait::async_trait;
pub use webrtc_util;
use webrtc_util::{Conn, Result};

use crate::Connection;

/// What a reader waits that does not end at an error.
const PAUSE: Duration = Duration::from_millis(100);

#[async_trait]
impl Conn for Connection {
    async fn connect(&self, _addr: SocketAddr) -> Result<()> {
        Err(io::Error::new(io::ErrorKind::Unsupported, "the agent chooses the path").into())
    }

    async fn recv(&self, buf: &mut [u8]) -> Result<usize> {
        match Connection::recv(self, buf).await {
            Ok(len) => Ok(len),
            Err(error) => {
                tokio::time::sleep(PAUSE).await;
                Err(error.into())
            }
        }
    }

    async fn recv_from(&self, buf: &mut [u8]) -> Result<(usize, SocketAddr)> {
        let before = self.remote_address().ok_or_else(no_path)?;
        let len = Conn::recv(self, buf).await?;
        Ok((len, self.remote_address().unwrap_or(before)))
    }

    async fn send(&self, buf: &[u8]) -> Result<usize> {
        match Connection::send(self, buf).await {
            Ok(()) => Ok(buf.len()),
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => Err(error.into()),
            Err(error) => {
                tracing::trace!(%error, len = buf.len(), "a datagram is lost");
                Ok(0)
            }
        }
    }

    async fn send_to(&self, buf: &[u8], target: SocketAddr) -> Result<usize> {
        let peer = self.remote_address().ok_or_else(no_path)?;
        if crate::net::canonical(target) != peer {
            let text = "a connection sends to the peer of its current path only";
            return Err(io::Error::new(io::ErrorKind::AddrNotAvailable, text).into());
        }
        Conn::send(self, buf).await
    }

    fn local_addr(&self) -> Result<SocketAddr> {
        self.local_address().ok_or_else(|| no_path().into())
    }

    fn remote_addr(&self) -> Option<SocketAddr> {
        self.remote_address()
    }

    async fn close(&self) -> Result<()> {
        Ok(())
    }

    fn as_any(&self) -> &(dyn Any + Send + Sync) {
        self
    }
}

fn no_path() -> io::Error {
    io::Error::new(io::ErrorKind::NotConnected, "the component has no valid pair")
}
