//! What the core asks of TCP, and what it is told of it.
//!
//! A task that has something to tell takes the machine's lock first and then
//! looks whether the core still knows the attempt or connection: what was
//! given up stays silent.

mod table;

use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

pub(super) use self::table::Tcp;
use self::table::{Attempt, Entry, Listening, TcpBase};
use super::{Machine, Shared};
use crate::agent::{BaseId, Input};
use crate::candidate::TcpType;
use crate::driver::clock;
use crate::driver::link::{self, Link, LinkId, Owner};
use crate::driver::router::Control as _;
use crate::driver::transport::{
    Connecting, Stream, TcpListener, TcpStream, connect_tcp, listen_tcp,
};
use crate::net;
use crate::tcp::{Framing, Handshake};

/// The port of an active candidate (RFC 6544 §4.1).
const ACTIVE_PORT: u16 = 9;

/// Connections of an agent that somebody else opened and that have passed no
/// check. What comes beyond is closed at once.
const MAX_UNPROVEN: usize = 64;

/// How long a listener rests when the system has nothing left to accept with.
const REST: Duration = Duration::from_millis(100);

impl Shared {
    /// Makes a base for TCP, and tells the core.
    pub(super) fn bind_tcp(
        &self,
        machine: &mut Machine,
        base: BaseId,
        (ip, scope): (IpAddr, u32),
        tcp_type: TcpType,
    ) {
        let made = self.make_base(base, (ip, scope), tcp_type);
        let input = match &made {
            Ok(made) => Input::Bound { base, local: made.local },
            Err(error) => Input::BindFailed { base, error },
        };
        machine.core.handle_input(clock::now(), input);
        if let Ok(made) = made {
            machine.tcp.insert(base, made);
        }
    }

    fn make_base(
        &self,
        base: BaseId,
        (ip, scope): (IpAddr, u32),
        tcp_type: TcpType,
    ) -> io::Result<TcpBase> {
        if !self.sockets.is_empty() {
            let text = "an agent on shared sockets opens none for TCP";
            return Err(io::Error::new(io::ErrorKind::Unsupported, text));
        }
        if tcp_type == TcpType::Active {
            let local = net::canonical(SocketAddr::new(ip, ACTIVE_PORT));
            return Ok(TcpBase::new(local, scope, None));
        }
        let listener = Arc::new(listen_tcp(ip, scope, &self.options)?);
        let local = listener.local();
        let me = self.me.upgrade().ok_or(io::ErrorKind::ConnectionAborted)?;
        let task = self.runtime.spawn(accept(me, base, listener.clone())).abort_handle();
        Ok(TcpBase::new(local, scope, Some(Listening { listener, task })))
    }

    /// Opens a connection. What is known at once is told at once.
    pub(super) fn open_connection(
        &self,
        machine: &mut Machine,
        base: BaseId,
        to: SocketAddr,
        framing: Framing,
    ) {
        let to = net::canonical(to);
        if let Err(error) = self.attempt(machine, base, to, framing) {
            tracing::debug!(?base, %to, %error, "no connection");
            let input = Input::ConnectFailed { base, to, kind: error.kind() };
            machine.core.handle_input(clock::now(), input);
        }
    }

    fn attempt(
        &self,
        machine: &mut Machine,
        base: BaseId,
        to: SocketAddr,
        framing: Framing,
    ) -> io::Result<()> {
        let me = self.me.upgrade().ok_or(io::ErrorKind::ConnectionAborted)?;
        let serial = machine.tcp.next_serial();
        let at = machine.tcp.get_mut(base).ok_or(io::ErrorKind::NotConnected)?;
        if at.attempts.contains_key(&to) || at.links.contains_key(&to) {
            return Err(io::ErrorKind::AddrNotAvailable.into());
        }
        if to == at.local {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let port = at.listening.as_ref().map(|_| at.local.port());
        let connecting = connect_tcp((at.local.ip(), at.scope, port), to, &self.options)?;
        let connecting = Arc::new(connecting);
        let id = LinkId { base, remote: to, serial };
        let task = self.runtime.spawn(wait(me, id, connecting.clone())).abort_handle();
        at.attempts.insert(to, Attempt { serial, connecting, framing, task });
        Ok(())
    }

    /// An attempt came to an end.
    fn attempted(&self, id: LinkId, result: io::Result<TcpStream>) {
        self.change(|machine| {
            let LinkId { base, remote: to, .. } = id;
            let Some(attempt) = machine.tcp.take_attempt(id) else { return };
            match result {
                Ok(stream) => {
                    let local = stream.local();
                    self.insert_link(machine, id, stream, attempt.framing, false);
                    machine.core.handle_input(clock::now(), Input::Connected { base, to, local });
                }
                Err(error) => {
                    tracing::debug!(?base, %to, %error, "no connection");
                    let input = Input::ConnectFailed { base, to, kind: error.kind() };
                    machine.core.handle_input(clock::now(), input);
                }
            }
        });
    }

    /// A listener took a connection in.
    fn accepted(&self, base: BaseId, stream: TcpStream) {
        let from = stream.remote();
        self.change(|machine| {
            let serial = machine.tcp.next_serial();
            let unproven = machine.tcp.unproven();
            let Some(at) = machine.tcp.get_mut(base) else { return };
            if from == at.local {
                return;
            }
            let is_expected = at.attempts.remove(&from).is_some();
            let older = at.links.remove(&from);
            let is_known = is_expected || older.is_some();
            if let Some(older) = older {
                older.close();
                let kind = Some(io::ErrorKind::ConnectionAborted);
                machine.core.handle_input(clock::now(), Input::Disconnected { base, from, kind });
            }
            if !is_known && unproven >= MAX_UNPROVEN {
                machine.tcp.count_refused();
                return;
            }
            let id = LinkId { base, remote: from, serial };
            self.insert_link(machine, id, stream, Framing::Rfc4571, !is_expected);
            machine.core.handle_input(clock::now(), Input::Accepted { base, from });
        });
    }

    pub(super) fn insert_link(
        &self,
        machine: &mut Machine,
        id: LinkId,
        stream: impl Into<Stream>,
        framing: Framing,
        is_unproven: bool,
    ) {
        let Some(me) = self.me.upgrade() else { return };
        let link = Arc::new(Link::new(id, stream, framing, machine.tcp.unrouted_counter()));
        let task = self.runtime.spawn(link::run(link.clone(), me)).abort_handle();
        if let Some(at) = machine.tcp.get_mut(id.base) {
            at.links.insert(id.remote, Entry { link, task, is_unproven });
        }
    }
}

impl Machine {
    /// Tells the core how far an attempt is.
    pub(super) fn inspect(&mut self, base: BaseId, to: SocketAddr) {
        let to = net::canonical(to);
        let attempt = self.tcp.get_mut(base).and_then(|at| at.attempts.get(&to));
        let handshake =
            attempt.map_or(Handshake::Unknown, |attempt| attempt.connecting.handshake());
        self.core.handle_input(clock::now(), Input::Inspected { base, to, handshake });
    }
}

/// Tells what becomes of an attempt.
async fn wait(shared: Arc<Shared>, id: LinkId, connecting: Arc<Connecting>) {
    if let Some(result) = poll_fn(|cx| connecting.poll(cx)).await {
        shared.attempted(id, result);
    }
}

/// Takes connections in until the listener is closed.
async fn accept(shared: Arc<Shared>, base: BaseId, listener: Arc<TcpListener>) {
    while let Some(result) = poll_fn(|cx| listener.poll_accept(cx)).await {
        match result {
            Ok(stream) => shared.accepted(base, stream),
            Err(error) if is_of_the_connection(error.kind()) => {}
            Err(error) => {
                tracing::debug!(local = %listener.local(), %error, "nothing can be accepted");
                tokio::time::sleep(REST).await;
            }
        }
        tokio::task::coop::consume_budget().await;
    }
}

/// Whether accepting failed for what became of the one connection.
fn is_of_the_connection(kind: io::ErrorKind) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, InvalidInput, NotConnected};
    matches!(kind, ConnectionAborted | ConnectionReset | InvalidInput | NotConnected)
}

impl Owner for Shared {
    fn message(&self, id: LinkId, bytes: &[u8]) {
        self.change(|machine| {
            if machine.tcp.knows(id) {
                let (base, from) = (id.base, id.remote);
                machine.core.handle_input(clock::now(), Input::Datagram { base, from, bytes });
            }
        });
    }

    fn relayed(&self, base: BaseId, from: SocketAddr, bytes: &[u8]) {
        self.datagram(base, from, bytes);
    }

    fn not_stun(&self, id: LinkId) {
        self.change(|machine| {
            if machine.tcp.knows(id) {
                let (base, from) = (id.base, id.remote);
                machine.core.handle_input(clock::now(), Input::NotStun { base, from });
            }
        });
    }

    fn ended(&self, id: LinkId, kind: Option<io::ErrorKind>) {
        self.change(|machine| {
            if machine.tcp.remove_link(id) {
                let (base, from) = (id.base, id.remote);
                machine.core.handle_input(clock::now(), Input::Disconnected { base, from, kind });
            }
        });
    }
}

#[cfg(test)]
mod tests;
