use std::fmt;
use std::future::poll_fn;
use std::io::{self, IoSlice, Read, Write};
use std::net::SocketAddr;
use std::task::{Context, Poll};

use parking_lot::Mutex;
use rustls::ClientConnection;
use rustls::pki_types::ServerName;

use super::{TlsRefusal, TlsSettings};
use crate::driver::transport::TcpStream;

/// Bytes that are encrypted before the system has taken those before them.
pub(super) const AHEAD: usize = 64 * 1024;

/// How often one call reads from the system: a server that sends nothing but
/// records without data would else hold up others.
const ROUNDS: usize = 16;

/// An established connection with TLS on it, which can be closed while it is
/// in use: after that all calls give [`io::ErrorKind::NotConnected`].
///
/// What was encrypted has to be sent, and there is nobody here to send it
/// later. So data counts as written only once the system has all of it, and
/// until then the caller, to whom that is no room, gives it again, and waits
/// for room as it does on TCP.
pub(crate) struct TlsStream {
    tcp: TcpStream,
    tls: Mutex<Tls>,
}

struct Tls {
    connection: ClientConnection,
    /// Bytes that are encrypted and do not count as written yet.
    ahead: usize,
}

impl TlsStream {
    /// Agrees with the server on TLS, whose certificate has to be for `host`.
    /// It takes as long as the server likes.
    pub(crate) async fn open(
        tcp: TcpStream,
        settings: &TlsSettings,
        host: &str,
    ) -> Result<Self, TlsRefusal> {
        let name = ServerName::try_from(host).map_err(|_| TlsRefusal::Name)?.to_owned();
        let mut connection = ClientConnection::new(settings.0.clone(), name)?;
        connection.set_buffer_limit(Some(AHEAD));
        while connection.is_handshaking() || connection.wants_write() {
            if connection.wants_write() {
                match flush(&mut connection, &tcp) {
                    Ok(()) => {}
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        poll_fn(|cx| tcp.poll_writable(cx)).await?;
                    }
                    Err(error) => return Err(error.into()),
                }
                continue;
            }
            poll_fn(|cx| tcp.poll_readable(cx)).await?;
            match connection.read_tls(&mut Io(&tcp)) {
                Ok(0) => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
                Ok(_) => process(&mut connection, &tcp)?,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error.into()),
            }
            tokio::task::coop::consume_budget().await;
        }
        Ok(TlsStream { tcp, tls: Mutex::new(Tls { connection, ahead: 0 }) })
    }

    /// Our end, canonical.
    pub(crate) fn local(&self) -> SocketAddr {
        self.tcp.local()
    }

    /// Waits for something to read; one task may.
    pub(crate) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.tls.lock().connection.reader().into_first_chunk() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.tcp.poll_readable(cx),
            // Data, or the end.
            _ => Poll::Ready(self.tcp.is_open()),
        }
    }

    /// Waits for room to write; one task may.
    pub(crate) fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.tcp.poll_writable(cx)
    }

    /// Reads what is there. The end is one in order only if the server says
    /// so; else it is [`io::ErrorKind::UnexpectedEof`] (RFC 8446 §6.1).
    pub(crate) fn try_read(&self, into: &mut [u8]) -> io::Result<usize> {
        let Tls { connection, .. } = &mut *self.tls.lock();
        self.tcp.is_open()?;
        for _ in 0..ROUNDS {
            match connection.reader().read(into) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return result,
            }
            connection.read_tls(&mut Io(&self.tcp))?;
            let processed = process(connection, &self.tcp);
            processed.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        }
        Err(io::ErrorKind::WouldBlock.into())
    }

    /// Writes as much as there is room for. What was not written has to be
    /// given again first: a part of it may be on its way.
    pub(crate) fn try_write(&self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        let Tls { connection, ahead } = &mut *self.tls.lock();
        self.tcp.is_open()?;
        let mut written = 0;
        loop {
            match flush(connection, &self.tcp) {
                Ok(()) => written += std::mem::take(ahead),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && written > 0 => {
                    return Ok(written);
                }
                Err(error) => return Err(error),
            }
            let mut behind = written;
            let mut rest = [IoSlice::new(&[]); 2];
            for (rest, part) in rest.iter_mut().zip(parts) {
                *rest = IoSlice::new(part.get(behind..).unwrap_or_default());
                behind = behind.saturating_sub(part.len());
            }
            *ahead = connection.writer().write_vectored(&rest)?;
            if *ahead == 0 {
                return Ok(written);
            }
        }
    }

    /// Says that nothing more will be written.
    pub(crate) fn end_writing(&self) -> io::Result<()> {
        self.say_goodbye(&mut self.tls.lock().connection);
        self.tcp.end_writing()
    }

    /// Closes it at once. The system still delivers what was written.
    pub(crate) fn close(&self) {
        if self.tcp.is_open().is_ok() {
            self.say_goodbye(&mut self.tls.lock().connection);
        }
        self.tcp.close();
    }

    /// Resets it: whatever was written and has not arrived is lost.
    pub(crate) fn abort(&self) {
        self.tcp.abort();
    }

    /// Whether something is encrypted and not sent, and the bytes that do not
    /// count as written yet.
    #[cfg(test)]
    pub(super) fn waits(&self) -> (usize, usize) {
        let tls = self.tls.lock();
        (tls.connection.wants_write().into(), tls.ahead)
    }

    /// `close_notify`, if there is room for it.
    fn say_goodbye(&self, connection: &mut ClientConnection) {
        connection.send_close_notify();
        let _ = flush(connection, &self.tcp);
    }
}

impl fmt::Debug for TlsStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsStream").field("tcp", &self.tcp).finish_non_exhaustive()
    }
}

/// Has the system take all that is encrypted.
fn flush(connection: &mut ClientConnection, tcp: &TcpStream) -> io::Result<()> {
    while connection.wants_write() {
        if connection.write_tls(&mut Io(tcp))? == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
    }
    Ok(())
}

/// Takes in what was read. What it leads to, an alert perhaps, is sent if there
/// is room.
fn process(connection: &mut ClientConnection, tcp: &TcpStream) -> Result<(), rustls::Error> {
    let result = connection.process_new_packets();
    if result.is_err() || !connection.is_handshaking() {
        let _ = flush(connection, tcp);
    }
    result.map(|_| ())
}

/// The connection below, as the library wants it.
struct Io<'a>(&'a TcpStream);

impl Read for Io<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(into)
    }
}

impl Write for Io<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(&[IoSlice::new(bytes)])
    }

    fn write_vectored(&mut self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.try_write(parts)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
