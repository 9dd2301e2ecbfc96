//! Binding over TCP: requests stand back to back on connections, which the
//! client closes when it needs them no more (RFC 8489 §6.2.2).

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::behavior::Place;
use super::binding::Reply;
use super::dial_back::DialBacks;
use super::rate::RateLimit;
use super::sources::Sources;
use super::{Counters, binding, rest_after};
use crate::driver::transport::{TcpListener, TcpStream};
use crate::tcp::{Deframer, Framing};

/// How long nothing may come on a connection: ICE keeps it open while it runs.
const IDLE: Duration = Duration::from_secs(300);

/// Serves what the listener takes in. Its connections end with it.
pub(super) async fn serve(
    listener: TcpListener,
    place: Place,
    dial_backs: Arc<DialBacks>,
    counters: Arc<Counters>,
) {
    let rate = Arc::new(Mutex::new(RateLimit::new(Instant::now())));
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
        let source = stream.remote().ip();
        if !sources.admit(source) {
            counters.dropped.fetch_add(1, Ordering::Relaxed);
            stream.abort();
            continue;
        }
        let (counters, rate, sources) = (counters.clone(), rate.clone(), sources.clone());
        let dial_backs = dial_backs.clone();
        connections.spawn(async move {
            // An error is the end of a connection, and nothing else.
            let _ = answer(&stream, &place, &dial_backs, &counters, &rate).await;
            stream.close();
            sources.leave(source);
        });
    }
}

/// Answers requests until the connection ends, or anything else than STUN
/// comes on it.
async fn answer(
    stream: &TcpStream,
    place: &Place,
    dial_backs: &DialBacks,
    counters: &Counters,
    rate: &Mutex<RateLimit>,
) -> io::Result<()> {
    let mut deframer = Deframer::new(Framing::Stun);
    let mut response = Vec::with_capacity(128);
    let remote = stream.remote();
    loop {
        let read = timeout(IDLE, read(stream, &mut deframer)).await??;
        if read == 0 {
            return Ok(());
        }
        while let Some(request) = deframer.next_frame().map_err(io::Error::other)? {
            let reply = binding::respond(request, remote, place, || true, &mut response);
            let reply = reply.filter(|_| rate.lock().admits(remote.ip(), Instant::now()));
            let counter = if reply.is_some() { &counters.answered } else { &counters.dropped };
            counter.fetch_add(1, Ordering::Relaxed);
            let Some(reply) = reply else { continue };
            if let Reply::DialBack(request) = reply {
                let outcome = dial_backs.attempt(place, request.change, remote).await;
                request.conclude(remote, place, outcome, &mut response);
            }
            timeout(IDLE, write(stream, &response)).await??;
        }
    }
}

async fn read(stream: &TcpStream, deframer: &mut Deframer) -> io::Result<usize> {
    loop {
        poll_fn(|cx| stream.poll_readable(cx)).await?;
        match stream.try_read(deframer.space()) {
            Ok(count) => {
                deframer.filled(count);
                return Ok(count);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}

async fn write(stream: &TcpStream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match stream.try_write(&[IoSlice::new(bytes)]) {
            Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                poll_fn(|cx| stream.poll_writable(cx)).await?;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
