use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use parking_lot::Mutex;
use socket2::{SockRef, Socket};
use tokio::net::TcpSocket;

use super::plan::Plan;
use super::{BindOptions, TcpStream, mark, new_socket, share_port};
use crate::driver::transport::bind::{address, shuffled};
use crate::net;
use crate::tcp::Handshake;

type Opening = Pin<Box<dyn Future<Output = io::Result<tokio::net::TcpStream>> + Send>>;

/// A connection on its way: its SYN was sent.
pub(crate) struct Connecting {
    /// Owns the socket; `None` once it is given up, or has come to an end.
    opening: Mutex<Option<Opening>>,
    local: SocketAddr,
    to: SocketAddr,
    /// The interface of link-local addresses, else 0.
    scope: u32,
    is_shared: bool,
    options: BindOptions,
}

/// Opens a connection from `ip`: from `port`, on which the base listens, or,
/// if that is `None`, from one of its own, which is of the system's choice or
/// out of the range. The SYN is on its way when this returns.
///
/// # Errors
///
/// What the system says at once. [`io::ErrorKind::AddrNotAvailable`] means
/// that the connection exists already, and
/// [`io::ErrorKind::InvalidInput`] that it would lead to itself.
pub(crate) fn connect_tcp(
    (ip, scope, port): (IpAddr, u32, Option<u16>),
    to: SocketAddr,
    options: &BindOptions,
) -> io::Result<Connecting> {
    let port = port.filter(|_| Plan::HERE.shares_port);
    let is_shared = port.is_some();
    let socket = match port {
        Some(port) => bound(address(ip, port, scope), true),
        None => bound_apart(ip, scope, options),
    };
    let socket = socket.map_err(|error| told(error, false))?;
    let local = socket.local_addr()?.as_socket().ok_or(io::ErrorKind::Unsupported)?;
    let (local, to) = (net::canonical(local), net::canonical(to));
    if local == to {
        let text = "a connection to itself";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    }
    mark(&SockRef::from(&socket), local, options);
    let socket = TcpSocket::from_std_stream(socket.into());
    let mut opening: Opening = Box::pin(socket.connect(net::in_scope(to, scope)));
    // The first poll sends the SYN. Nobody is to be woken yet: the task that
    // will wait for it polls it once more first.
    let opening = match opening.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Pending => opening,
        Poll::Ready(Err(error)) => return Err(told(error, is_shared)),
        Poll::Ready(Ok(stream)) => Box::pin(std::future::ready(Ok(stream))),
    };
    let (opening, options) = (Mutex::new(Some(opening)), options.clone());
    Ok(Connecting { opening, local, to, scope, is_shared, options })
}

fn told(error: io::Error, is_shared: bool) -> io::Error {
    let kind = Plan::HERE.told(error.kind(), is_shared);
    if kind == error.kind() { error } else { io::Error::new(kind, error) }
}

fn bound(address: SocketAddr, is_shared: bool) -> io::Result<Socket> {
    let socket = new_socket(address)?;
    if is_shared {
        share_port(&socket)?;
    }
    socket.bind(&address.into())?;
    Ok(socket)
}

/// A socket on a port of the system's choice.
pub(super) fn bound_to_system_port(ip: IpAddr) -> io::Result<Socket> {
    bound(address(ip, 0, 0), false)
}

/// A socket on a port that nobody else has.
fn bound_apart(ip: IpAddr, scope: u32, options: &BindOptions) -> io::Result<Socket> {
    let Some(range) = &options.ports else { return bound(address(ip, 0, scope), false) };
    for port in shuffled(range) {
        match bound(address(ip, port, scope), false) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
            result => return result,
        }
    }
    Err(io::ErrorKind::AddrInUse.into())
}

impl Connecting {
    /// The address that it leaves from.
    #[cfg(test)]
    pub(crate) fn local(&self) -> SocketAddr {
        self.local
    }

    /// The connection, or why there is none; nothing once it was given up. One
    /// task may wait.
    pub(crate) fn poll(&self, cx: &mut Context<'_>) -> Poll<Option<io::Result<TcpStream>>> {
        let mut guard = self.opening.lock();
        let Some(opening) = &mut *guard else { return Poll::Ready(None) };
        let result = ready!(opening.as_mut().poll(cx));
        *guard = None;
        let result = result.map_err(|error| told(error, self.is_shared));
        Poll::Ready(Some(result.and_then(|io| {
            let stream = TcpStream::new(io, &self.options)?;
            // The system lets a simultaneous open meet itself.
            let to_itself = stream.local() == stream.remote();
            if to_itself { Err(io::ErrorKind::InvalidInput.into()) } else { Ok(stream) }
        })))
    }

    /// Closes its socket at once.
    pub(crate) fn give_up(&self) {
        self.opening.lock().take();
    }

    /// How far it is, as the system tells.
    pub(crate) fn handshake(&self) -> Handshake {
        if !Plan::HERE.tells_handshake {
            return Handshake::Unknown;
        }
        #[cfg(target_os = "linux")]
        let told = super::handshake::look(self.local, self.to, self.scope);
        #[cfg(not(target_os = "linux"))]
        let told: io::Result<Handshake> = Ok(Handshake::Unknown);
        told.unwrap_or_else(|error| {
            tracing::debug!(local = %self.local, to = %self.to, scope = self.scope, %error,
                "the system does not tell how far a handshake is");
            Handshake::Unknown
        })
    }
}

impl fmt::Debug for Connecting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Connecting { local, to, .. } = self;
        f.debug_struct("Connecting").field("local", local).field("to", to).finish_non_exhaustive()
    }
}
