//! A socket with its reader: one task that routes what arrives.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::task::AbortHandle;

use super::router::Router;
use super::transport::{BindOptions, Drained, UdpSocket, bind_udp, with_buffers};

/// Wakes that took as much as a wake may, after which a socket switches to
/// batches.
const FULL_WAKES: u32 = 4;

/// How long a reader rests when its socket gives nothing but errors.
const REST: Duration = Duration::from_millis(100);

/// A bound socket, its routes, and the task that reads it. Dropping it ends
/// the task and closes the socket.
#[derive(Debug)]
pub(crate) struct Socket {
    io: Arc<UdpSocket>,
    router: Arc<Router>,
    reader: AbortHandle,
}

impl Socket {
    /// Binds a socket and starts its reader, in the runtime that the caller
    /// is in.
    pub(crate) fn bind(
        ip: std::net::IpAddr,
        scope: u32,
        options: &BindOptions,
    ) -> io::Result<Self> {
        let io = Arc::new(bind_udp(ip, scope, options)?);
        let router = Arc::new(Router::default());
        let reader = tokio::spawn(read(io.clone(), router.clone())).abort_handle();
        Ok(Socket { io, router, reader })
    }

    /// The address that it is bound to.
    pub(crate) fn local(&self) -> SocketAddr {
        self.io.local()
    }

    /// What sends and receives.
    pub(crate) fn io(&self) -> &Arc<UdpSocket> {
        &self.io
    }

    /// Its routes.
    pub(crate) fn router(&self) -> &Arc<Router> {
        &self.router
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

async fn read(io: Arc<UdpSocket>, router: Arc<Router>) {
    let mut full_wakes = 0;
    // An error here means that the runtime shuts down.
    while io.readable().await.is_ok() {
        let result = with_buffers(|received| {
            let result = io.receive(received);
            router.route(received.iter().map(|(from, bytes)| (io.source(from), bytes)));
            result
        });
        match result {
            Ok(Drained::Yes) => {}
            Ok(Drained::No) => {
                full_wakes += 1;
                if full_wakes == FULL_WAKES {
                    // Where the system has no batches, plain receives go on.
                    let _ = io.use_batches();
                }
                Turn(false).await;
            }
            Err(error) => {
                tracing::debug!(local = %io.local(), %error, "the socket gives only errors");
                tokio::time::sleep(REST).await;
            }
        }
    }
}

/// Lets the tasks run that were just woken. Unlike `yield_now` it does not
/// make the runtime look for events first.
struct Turn(bool);

impl Future for Turn {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if std::mem::replace(&mut self.0, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}
