//! The rendezvous: two visitors that say the same name are in one room, and
//! what one sends goes to the other. WebSocket, with TLS where there is a
//! certificate.
//!
//! It hears names and sealed messages, and no secret ([`crate::rendezvous`]).

mod config;
mod rooms;
mod visit;

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

pub use config::{RendezvousConfig, RendezvousLimits};

use super::rate::RateLimit;
use super::rest_after;
use super::sources::Sources;
use crate::driver::transport::TcpListener;
use rooms::Rooms;

/// How long visitors are waited for when the server ends.
const ENDING: Duration = Duration::from_secs(2);

/// How often one source may ask for a room, and in which time.
const ASKED: u32 = 30;
const ASKED_IN: Duration = Duration::from_secs(60);

/// A rendezvous server. It stops when it is dropped, and takes leave of its
/// visitors with [`RendezvousServer::close`].
pub struct RendezvousServer {
    addresses: Vec<SocketAddr>,
    is_secure: bool,
    hall: Arc<Hall>,
    ending: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
}

/// What all visitors share.
struct Hall {
    rooms: Mutex<Rooms>,
    asked: Mutex<RateLimit>,
    limits: RendezvousLimits,
    tls: Option<TlsAcceptor>,
    ending: watch::Receiver<bool>,
}

impl Hall {
    /// Waits until the server ends.
    async fn ended(&self) {
        // Without a sender it is gone.
        let _ = self.ending.clone().wait_for(|ending| *ending).await;
    }
}

impl RendezvousServer {
    /// Listens at those addresses that can be bound (port 0 leaves the port
    /// to the system), and says what the system says of the others.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn bind_some(config: RendezvousConfig) -> (Self, Vec<(SocketAddr, io::Error)>) {
        let (ending, ended) = watch::channel(false);
        let tls = config.tls.as_ref().map(|identity| identity.acceptor_for(&[b"http/1.1"]));
        let now = Instant::now();
        let hall = Arc::new(Hall {
            rooms: Mutex::new(Rooms::new(config.limits)),
            asked: Mutex::new(RateLimit::with(ASKED, ASKED_IN, now)),
            limits: config.limits,
            tls,
            ending: ended,
        });
        let (mut addresses, mut tasks, mut failures) = (Vec::new(), Vec::new(), Vec::new());
        for address in config.listen {
            match super::listen(address) {
                Ok(listener) => {
                    addresses.push(listener.local());
                    tasks.push(tokio::spawn(serve(listener, hall.clone())));
                }
                Err(error) => failures.push((address, error)),
            }
        }
        let is_secure = config.tls.is_some();
        (RendezvousServer { addresses, is_secure, hall, ending, tasks }, failures)
    }

    /// The addresses that it listens at.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// What to give to the two sides: `wss://` where there is a certificate.
    pub fn urls(&self) -> Vec<String> {
        let scheme = if self.is_secure { "wss" } else { "ws" };
        self.addresses.iter().map(|at| format!("{scheme}://{at}")).collect()
    }

    /// Rooms that there are, those that are closed to guessers included.
    pub fn rooms(&self) -> usize {
        self.hall.rooms.lock().len()
    }

    /// Tells the visitors that it ends, and ends.
    pub async fn close(mut self) {
        self.ending.send_replace(true);
        let tasks = std::mem::take(&mut self.tasks);
        let all = async {
            for task in tasks {
                let _ = task.await;
            }
        };
        let _ = timeout(ENDING, all).await;
    }
}

impl Drop for RendezvousServer {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl std::fmt::Debug for RendezvousServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RendezvousServer")
            .field("addresses", &self.addresses)
            .finish_non_exhaustive()
    }
}

/// Serves what the listener takes in, until the server ends. Its visitors end
/// with it.
async fn serve(listener: TcpListener, hall: Arc<Hall>) {
    let sources = Arc::new(Sources::default());
    let mut visits = JoinSet::new();
    loop {
        while visits.try_join_next().is_some() {}
        let accepted = tokio::select! {
            accepted = poll_fn(|cx| listener.poll_accept(cx)) => accepted,
            () = hall.ended() => break,
        };
        let stream = match accepted {
            Some(Ok(stream)) => stream,
            Some(Err(error)) => {
                rest_after(&error).await;
                continue;
            }
            None => break,
        };
        let source = stream.remote().ip();
        if !sources.admit(source) {
            stream.abort();
            continue;
        }
        let (hall, sources) = (hall.clone(), sources.clone());
        visits.spawn(async move {
            if let Some(stream) = stream.into_io() {
                // An error is the end of a visit, and nothing else.
                let _ = visit::serve(&hall, stream, source).await;
            }
            sources.leave(source);
        });
    }
    drop(listener);
    while visits.join_next().await.is_some() {}
}

#[cfg(test)]
mod tests;
