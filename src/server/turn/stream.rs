//! Connections of clients, with TLS and without.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use super::conn::Work;
use super::front::MAX_MESSAGE;
use super::leg::{Judged, Leg, OUTBOX, Outbox, Outlet};
use super::splitter::Splitter;
use crate::driver::transport::{TcpListener, TcpStream};
use crate::server::binding::Request;
use crate::server::rest_after;
use crate::server::sources::Sources;

/// How long a client may take for its first request, the handshake of TLS
/// included, and for reading what it is sent.
const FIRST: Duration = Duration::from_secs(10);

/// How long nothing may come on a connection without an allocation.
const IDLE: Duration = Duration::from_secs(300);

/// Bytes that are read at once.
const READ: usize = 4_096;

/// Serves what the listener takes in. Its connections end with it.
pub(super) async fn serve(leg: Arc<Leg>, listener: TcpListener, tls: Option<TlsAcceptor>) {
    let sources = Arc::new(Sources::default());
    let mut connections = JoinSet::new();
    while let Some(accepted) = poll_fn(|cx| listener.poll_accept(cx)).await {
        while connections.try_join_next().is_some() {}
        let stream = match accepted {
            Ok(stream) => stream,
            Err(error) => {
                rest_after(&error).await;
                continue;
            }
        };
        let remote = stream.remote();
        if !sources.admit(remote.ip()) {
            leg.counters.dropped.fetch_add(1, Ordering::Relaxed);
            stream.abort();
            continue;
        }
        let (leg, sources, tls) = (leg.clone(), sources.clone(), tls.clone());
        connections.spawn(async move {
            // An error is the end of a connection, and nothing else.
            let _ = serve_one(&leg, stream, tls).await;
            sources.leave(remote.ip());
        });
    }
}

async fn serve_one(leg: &Leg, stream: TcpStream, tls: Option<TlsAcceptor>) -> io::Result<()> {
    let remote = stream.remote();
    let stream = stream.into_io().ok_or(io::ErrorKind::NotConnected)?;
    match tls {
        Some(tls) => {
            let stream = timeout(FIRST, tls.accept(stream)).await??;
            registered(leg, remote, stream).await
        }
        None => registered(leg, remote, stream).await,
    }
}

/// Serves a connection while the leg knows it, and ends its allocation with
/// it (RFC 8656 §7.2 binds it to the 5-tuple).
async fn registered(
    leg: &Leg,
    remote: SocketAddr,
    stream: impl AsyncRead + AsyncWrite + Unpin,
) -> io::Result<()> {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let Outlet::Connections(connections) = &leg.outlet else { return Ok(()) };
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let (messages, inbox) = mpsc::channel(OUTBOX);
    connections.lock().insert(remote, Outbox { number, messages });
    let result = exchange(leg, remote, stream, inbox).await;
    let is_ours = {
        let mut connections = connections.lock();
        let is_ours = connections.get(&remote).is_some_and(|outbox| outbox.number == number);
        if is_ours {
            connections.remove(&remote);
        }
        is_ours
    };
    let release = leg.front.lock().release((leg.id, remote), Instant::now());
    if let Some(job) = release.filter(|_| is_ours) {
        let _ = leg.work.send(Work::Job(Box::new(job))).await;
    }
    result
}

/// Moves messages both ways until the connection ends.
async fn exchange(
    leg: &Leg,
    remote: SocketAddr,
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    mut inbox: mpsc::Receiver<Vec<u8>>,
) -> io::Result<()> {
    let mut splitter = Splitter::new(MAX_MESSAGE);
    let mut buffer = vec![0; READ];
    let mut deadline = tokio::time::Instant::now() + FIRST;
    loop {
        tokio::select! {
            message = inbox.recv() => {
                let Some(message) = message else { return Ok(()) };
                timeout(FIRST, write(&mut stream, &message)).await??;
            }
            read = stream.read(&mut buffer) => {
                let read = read?;
                if read == 0 {
                    return Ok(());
                }
                let bytes = buffer.get(..read).unwrap_or_default();
                if take(leg, remote, &mut splitter, bytes).await? {
                    deadline = tokio::time::Instant::now() + IDLE;
                }
            }
            () = tokio::time::sleep_until(deadline) => {
                if leg.front.lock().table.get((leg.id, remote), Instant::now()).is_none() {
                    return Err(io::ErrorKind::TimedOut.into());
                }
                deadline = tokio::time::Instant::now() + IDLE;
            }
        }
    }
}

async fn write(stream: &mut (impl AsyncWrite + Unpin), message: &[u8]) -> io::Result<()> {
    stream.write_all(message).await?;
    stream.flush().await
}

/// Calls a client back, and answers it.
async fn dial_back(leg: &Leg, remote: SocketAddr, request: Request) {
    let outcome = leg.dial_backs.attempt(&leg.place, request.change, remote).await;
    let mut answer = Vec::new();
    request.conclude(remote, &leg.place, outcome, &mut answer);
    leg.send(remote, answer);
}

/// Takes what was read; whether anything of it was worth an answer.
async fn take(
    leg: &Leg,
    remote: SocketAddr,
    splitter: &mut Splitter,
    bytes: &[u8],
) -> io::Result<bool> {
    let (mut work, mut dial_backs, mut is_of_use) = (Vec::new(), Vec::new(), false);
    let now = Instant::now();
    let result = splitter.feed(bytes, |message| match leg.judge(remote, message, now) {
        Judged::Dropped => {}
        Judged::Answered => is_of_use = true,
        Judged::DialBack(request) => {
            is_of_use = true;
            dial_backs.push(request);
        }
        Judged::Passed(next) => {
            is_of_use = true;
            work.push(next);
        }
    });
    // While the server behind has enough to do, nothing more is read.
    for next in work {
        leg.work.send(next).await.map_err(|_| io::ErrorKind::NotConnected)?;
    }
    // Nor while it is called back.
    for request in dial_backs {
        dial_back(leg, remote, request).await;
    }
    result.map_err(io::Error::other)?;
    Ok(is_of_use)
}
