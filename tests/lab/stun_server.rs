//! A STUN server for the lab, written by hand, so that what an agent learns
//! about itself does not come from the code under test. It answers over UDP
//! and over TCP, where messages follow each other without framing (RFC 8489
//! §6.2.2) and connections stay open.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, ppoll};

use crate::harness::namespace::Namespace;
use crate::stun_message::{answer, length};

/// Connections at once; more are closed.
const CONNECTIONS: usize = 512;
/// How late the server may notice that the test is over.
const IDLE: Duration = Duration::from_millis(20);

/// A running server; it ends when dropped.
#[derive(Debug)]
pub(crate) struct StunServer {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl StunServer {
    /// Answers Binding requests at `addresses` of `namespace`.
    pub(crate) fn start(namespace: &Namespace, addresses: &[SocketAddr]) -> Self {
        let mut server = namespace
            .run(|| Server::bind(addresses))
            .unwrap_or_else(|error| panic!("STUN server at {addresses:?}: {error}"));
        let stop = Arc::new(AtomicBool::new(false));
        let thread = thread::spawn({
            let stop = Arc::clone(&stop);
            move || {
                while !stop.load(Ordering::Relaxed) {
                    server.step().expect("the server's sockets work");
                }
            }
        });
        Self { stop, thread: Some(thread) }
    }
}

impl Drop for StunServer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Server {
    udp: Vec<UdpSocket>,
    listeners: Vec<TcpListener>,
    connections: Vec<Connection>,
}

impl Server {
    fn bind(addresses: &[SocketAddr]) -> io::Result<Self> {
        let mut server = Self { udp: vec![], listeners: vec![], connections: vec![] };
        for address in addresses {
            let udp = UdpSocket::bind(address)?;
            udp.set_nonblocking(true)?;
            server.udp.push(udp);
            let listener = TcpListener::bind(address)?;
            listener.set_nonblocking(true)?;
            server.listeners.push(listener);
        }
        Ok(server)
    }

    /// Waits for something to do, for a while, and does it.
    fn step(&mut self) -> io::Result<()> {
        let descriptors = (self.udp.iter().map(AsFd::as_fd))
            .chain(self.listeners.iter().map(AsFd::as_fd))
            .chain(self.connections.iter().map(|one| one.stream.as_fd()));
        let mut polled: Vec<PollFd<'_>> =
            descriptors.map(|one| PollFd::new(one, PollFlags::POLLIN)).collect();
        ppoll(&mut polled, Some(IDLE.into()), None)?;
        for socket in &self.udp {
            answer_datagrams(socket)?;
        }
        for listener in &self.listeners {
            // What has been reset before it was accepted is no fault.
            while let Ok((stream, from)) = listener.accept() {
                if self.connections.len() < CONNECTIONS {
                    stream.set_nonblocking(true)?;
                    self.connections.push(Connection { stream, from, unread: vec![] });
                }
            }
        }
        self.connections.retain_mut(|one| one.answer().is_ok());
        Ok(())
    }
}

fn answer_datagrams(socket: &UdpSocket) -> io::Result<()> {
    let mut request = [0; 1500];
    loop {
        match socket.recv_from(&mut request) {
            Ok((length, from)) => {
                if let Some(answer) = answer(&request[..length], from) {
                    // A full queue loses the answer.
                    let _ = socket.send_to(&answer, from);
                }
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            // An ICMP error about an earlier answer.
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => {}
            Err(error) => return Err(error),
        }
    }
}

struct Connection {
    stream: TcpStream,
    from: SocketAddr,
    unread: Vec<u8>,
}

impl Connection {
    /// Answers what has come; an error ends the connection.
    fn answer(&mut self) -> io::Result<()> {
        let mut bytes = [0; 1500];
        loop {
            match self.stream.read(&mut bytes) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(read) => self.unread.extend(&bytes[..read]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
            while let Some(length) = length(&self.unread) {
                let Some(message) = self.unread.get(..length) else { break };
                if let Some(answer) = answer(message, self.from) {
                    self.stream.write_all(&answer)?;
                }
                self.unread.drain(..length);
            }
        }
    }
}
