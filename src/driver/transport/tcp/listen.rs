use std::io;
use std::net::{IpAddr, SocketAddr};
use std::task::{Context, Poll, ready};

use parking_lot::Mutex;
use socket2::SockRef;

use super::plan::Plan;
use super::{BindOptions, TcpStream, mark, new_socket, share_port};
use crate::driver::transport::bind::{address, shuffled};
use crate::net;

/// Connections that wait to be accepted. The reader is quick; what is beyond
/// tries again.
const BACKLOG: i32 = 128;

/// The one listener of a port.
#[derive(Debug)]
pub(crate) struct TcpListener {
    /// `None` once it is closed.
    io: Mutex<Option<tokio::net::TcpListener>>,
    local: SocketAddr,
    options: BindOptions,
}

/// Listens at `ip` on a port of the system's choice or out of the range, which
/// no other listener has. `scope` is the interface of a link-local IPv6
/// address, else 0.
///
/// # Errors
///
/// What the system says; [`io::ErrorKind::AddrInUse`] if the whole range is taken.
pub(crate) fn listen_tcp(ip: IpAddr, scope: u32, options: &BindOptions) -> io::Result<TcpListener> {
    let Some(range) = &options.ports else {
        return open(address(ip, 0, scope), options);
    };
    for port in shuffled(range) {
        let address = address(ip, port, scope);
        match trial(address).and_then(|()| open(address, options)) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
            result => return result,
        }
    }
    let text = format!("no free TCP port on {ip} in {}-{}", range.start(), range.end());
    Err(io::Error::new(io::ErrorKind::AddrInUse, text))
}

/// Looks whether somebody listens there: a socket that shares its port would
/// be let in beside another, and the two would get connections at random.
fn trial(address: SocketAddr) -> io::Result<()> {
    let socket = new_socket(address)?;
    if Plan::HERE.trial_reuses_address {
        socket.set_reuse_address(true)?;
    }
    socket.bind(&address.into())?;
    socket.listen(1)
}

fn open(address: SocketAddr, options: &BindOptions) -> io::Result<TcpListener> {
    let socket = new_socket(address)?;
    share_port(&socket)?;
    mark(&SockRef::from(&socket), address, options);
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    let io = tokio::net::TcpListener::from_std(socket.into())?;
    let local = net::canonical(io.local_addr()?);
    Ok(TcpListener { io: Mutex::new(Some(io)), local, options: options.clone() })
}

impl TcpListener {
    /// The address that it listens on, without a scope.
    pub(crate) fn local(&self) -> SocketAddr {
        self.local
    }

    /// The next connection; `None` once it is closed. One task may wait.
    ///
    /// # Errors
    ///
    /// What the system says; there may be more to accept.
    pub(crate) fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<Option<io::Result<TcpStream>>> {
        let guard = self.io.lock();
        let Some(io) = &*guard else { return Poll::Ready(None) };
        let accepted = ready!(io.poll_accept(cx));
        Poll::Ready(Some(accepted.and_then(|(io, _)| TcpStream::new(io, &self.options))))
    }

    /// Closes it at once; what waits to be accepted is reset.
    pub(crate) fn close(&self) {
        self.io.lock().take();
    }
}
