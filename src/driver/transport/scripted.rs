//! Servers that do what a test says, each in a thread.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::thread::JoinHandle;
use std::time::Duration;

/// Longer than anything in these tests takes: only a hang reaches it.
pub(crate) const HANG: Duration = Duration::from_secs(30);

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    thread: JoinHandle<()>,
}

impl Server {
    /// Serves one connection.
    pub(crate) fn new(act: impl FnOnce(TcpStream) + Send + 'static) -> Self {
        let mut act = Some(act);
        Server::of(1, move |stream| act.take().unwrap()(stream))
    }

    /// Serves so many connections, one after the other.
    pub(crate) fn of(count: usize, mut act: impl FnMut(TcpStream) + Send + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let thread = std::thread::spawn(move || {
            for _ in 0..count {
                let (stream, _) = listener.accept().unwrap();
                stream.set_read_timeout(Some(HANG)).unwrap();
                stream.set_write_timeout(Some(HANG)).unwrap();
                stream.set_nodelay(true).unwrap();
                act(stream);
            }
        });
        Server { address, thread }
    }

    /// Waits for its end; what failed in it fails here.
    pub(crate) async fn ended(self) {
        let ended = tokio::task::spawn_blocking(|| self.thread.join());
        tokio::time::timeout(HANG, ended).await.unwrap().unwrap().unwrap();
    }
}
