//! A socket with its reader: one task that routes what arrives.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::task::JoinHandle;

use super::router::{LastPath, Router};
use super::transport::{BindOptions, Drained, UdpSocket, bind_udp, with_buffers};

/// Wakes that took as much as a wake may, after which a socket switches to
/// batches.
const FULL_WAKES: u64 = 4;

/// How long a reader rests when its socket gives nothing but errors.
const REST: Duration = Duration::from_millis(100);

/// A bound socket, its routes, and the task that reads it. Dropping it ends
/// the task and closes the socket.
#[derive(Debug)]
pub(crate) struct Socket {
    io: Arc<UdpSocket>,
    router: Arc<Router>,
    /// Datagrams that need fragments passed: batches would end that.
    keep_plain: Arc<AtomicBool>,
    /// `None` once somebody waits for its end.
    reader: Mutex<Option<JoinHandle<()>>>,
}

impl Socket {
    /// Binds a socket and starts its reader, in the runtime that the caller
    /// is in.
    pub(crate) fn bind(ip: IpAddr, scope: u32, options: &BindOptions) -> io::Result<Self> {
        let io = Arc::new(bind_udp(ip, scope, options)?);
        let router = Arc::new(Router::default());
        let keep_plain = Arc::new(AtomicBool::new(false));
        let reader =
            Reader { io: io.clone(), router: router.clone(), keep_plain: keep_plain.clone() };
        let reader = Mutex::new(Some(tokio::spawn(reader.run())));
        Ok(Socket { io, router, keep_plain, reader })
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
    pub(crate) fn router(&self) -> &Router {
        &self.router
    }

    /// Does not switch to batches for load alone: they forbid fragments.
    pub(crate) fn keep_plain(&self) {
        self.keep_plain.store(true, Ordering::Relaxed);
    }

    /// Ends the reader and waits until it is gone.
    pub(crate) async fn stop(&self) {
        let reader = self.reader.lock().take();
        if let Some(reader) = reader {
            reader.abort();
            // An error is what aborting leads to.
            let _ = reader.await;
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if let Some(reader) = self.reader.get_mut() {
            reader.abort();
        }
    }
}

struct Reader {
    io: Arc<UdpSocket>,
    router: Arc<Router>,
    keep_plain: Arc<AtomicBool>,
}

impl Reader {
    async fn run(self) {
        let (mut full_wakes, mut last) = (0_u64, LastPath::default());
        // An error here means that the runtime shuts down.
        while self.io.readable().await.is_ok() {
            match self.receive(&mut last) {
                Ok(Drained::Yes) => {}
                Ok(Drained::No) => {
                    full_wakes += 1;
                    if full_wakes == FULL_WAKES && !self.keep_plain.load(Ordering::Relaxed) {
                        // Where the system has no batches, plain receives go on.
                        let _ = self.io.use_batches();
                    }
                    Turn(false).await;
                }
                Err(error) => {
                    tracing::debug!(local = %self.io.local(), %error, "only errors arrive");
                    tokio::time::sleep(REST).await;
                }
            }
        }
    }

    fn receive(&self, last: &mut LastPath) -> io::Result<Drained> {
        with_buffers(|received| {
            let result = self.io.receive(received);
            self.router.route(received.iter(), last);
            result
        })
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
