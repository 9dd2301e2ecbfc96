//! Something between two agents that passes bytes on and can cut them off.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::AbortHandle;

/// Passes connections to its address on to another one.
pub(super) struct Proxy {
    pub(super) address: SocketAddr,
    cut: watch::Sender<usize>,
    opened: Arc<AtomicUsize>,
    task: AbortHandle,
}

impl Proxy {
    pub(super) async fn start(to: SocketAddr) -> Self {
        let listener = TcpListener::bind((to.ip(), 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (cut, cuts) = watch::channel(0);
        let opened = Arc::<AtomicUsize>::default();
        let counter = opened.clone();
        let task = tokio::spawn(async move {
            while let Ok((from, _)) = listener.accept().await {
                counter.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(pass(from, to, cuts.clone()));
            }
        });
        Proxy { address, cut, opened, task: task.abort_handle() }
    }

    /// Resets all connections. Later ones pass.
    pub(super) fn reset(&self) {
        self.cut.send_modify(|count| *count += 1);
    }

    /// Connections so far.
    pub(super) fn opened(&self) -> usize {
        self.opened.load(Ordering::Relaxed)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn pass(mut from: TcpStream, to: SocketAddr, mut cuts: watch::Receiver<usize>) {
    cuts.borrow_and_update();
    let Ok(mut to) = TcpStream::connect(to).await else { return };
    tokio::select! {
        _ = copy_bidirectional(&mut from, &mut to) => {}
        _ = cuts.changed() => {
            for stream in [&from, &to] {
                socket2::SockRef::from(stream).set_linger(Some(Duration::ZERO)).unwrap();
            }
        }
    }
}
