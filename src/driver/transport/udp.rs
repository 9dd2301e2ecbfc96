use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use parking_lot::Mutex;
use quinn_udp::{UdpSockRef, UdpSocketState};
use socket2::SockRef;
use tokio::io::Interest;

use super::received::{BATCH, Received};
use crate::driver::TrafficClass;
use crate::net;

/// How many errors in a row a wake reads past. ICMP errors stand in the
/// receive queue of some systems, one for each datagram that was refused.
const ERRORS: usize = 64;

/// The largest UDP payload over IPv4, and with it of one batch to the kernel.
const MAX_PAYLOAD: usize = 65_507;

/// A UDP socket that starts with plain receives and switches, for good, to
/// batches of glued datagrams (GRO) when that pays or is asked for: for one
/// datagram at a time the batch call is the slower one.
#[derive(Debug)]
pub(crate) struct UdpSocket {
    io: tokio::net::UdpSocket,
    local: SocketAddr,
    /// The interface of a link-local address, see [`net::in_scope`].
    scope: u32,
    /// Present once batches are on.
    batches: OnceLock<UdpSocketState>,
    /// What is sent has a traffic class other than 0.
    is_classed: AtomicBool,
    /// Held over plain receives, so that the kernel does not begin to glue
    /// datagrams together in the middle of one.
    plain: Mutex<()>,
}

/// Whether a look at the socket took everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Drained {
    /// Nothing is left, and the readiness is cleared.
    Yes,
    /// There may be more.
    No,
}

impl UdpSocket {
    pub(super) fn new(io: tokio::net::UdpSocket) -> io::Result<Self> {
        let address = io.local_addr()?;
        let scope = match address {
            SocketAddr::V4(_) => 0,
            SocketAddr::V6(v6) => v6.scope_id(),
        };
        Ok(UdpSocket {
            io,
            local: net::canonical(address),
            scope,
            batches: OnceLock::new(),
            is_classed: AtomicBool::new(false),
            plain: Mutex::new(()),
        })
    }

    /// The address that it is bound to, without a scope.
    pub(crate) fn local(&self) -> SocketAddr {
        self.local
    }

    /// Sets the traffic class of what is sent from now on.
    pub(crate) fn set_traffic_class(&self, class: TrafficClass) -> io::Result<()> {
        let (socket, byte) = (SockRef::from(&self.io), class.byte());
        match self.local {
            SocketAddr::V4(_) => socket.set_tos_v4(byte.into())?,
            #[cfg(unix)]
            SocketAddr::V6(_) => socket.set_tclass_v6(byte.into())?,
            #[cfg(not(unix))]
            SocketAddr::V6(_) => return Err(io::ErrorKind::Unsupported.into()),
        }
        self.is_classed.store(byte != 0, Ordering::Relaxed);
        Ok(())
    }

    /// Sends one datagram if the socket takes it now.
    pub(crate) fn try_send(&self, to: SocketAddr, datagram: &[u8]) -> io::Result<()> {
        self.io.try_send_to(datagram, net::in_scope(to, self.scope)).map(drop)
    }

    /// Sends one datagram without asking whether the socket is known to be
    /// writable: a new socket is not known to be until the runtime has looked
    /// at it once, and checks do not wait for that.
    pub(crate) fn send_now(&self, to: SocketAddr, datagram: &[u8]) -> io::Result<()> {
        SockRef::from(&self.io).send_to(datagram, &net::in_scope(to, self.scope).into()).map(drop)
    }

    /// Sends `datagrams` cut into pieces of `size` bytes, the last perhaps
    /// shorter, if the socket takes them now. Returns how many bytes of
    /// `datagrams` were sent; always whole pieces.
    pub(crate) fn try_send_batch(
        &self,
        to: SocketAddr,
        datagrams: &[u8],
        size: NonZeroUsize,
    ) -> io::Result<usize> {
        if self.is_classed.load(Ordering::Relaxed) {
            return self.try_send_pieces(to, datagrams, size);
        }
        let state = self.batches()?;
        let to = net::in_scope(to, self.scope);
        let mut sent = 0;
        while sent < datagrams.len() {
            // Asked each time: a send that fails may turn offloading off.
            let pieces = state.max_gso_segments().min(MAX_PAYLOAD / size).max(1);
            let rest = datagrams.get(sent..).unwrap_or_default();
            let contents = rest.get(..pieces * size.get()).unwrap_or(rest);
            match self.send_glued(state, to, contents, size) {
                Ok(()) => sent += contents.len(),
                Err(_) if pieces > 1 && state.max_gso_segments() == 1 => {}
                Err(_) if sent > 0 => break,
                Err(error) => return Err(error),
            }
        }
        Ok(sent)
    }

    /// A batch, piece by piece: quinn-udp gives each batch a traffic class of
    /// its own, and of that only the part for congestion.
    fn try_send_pieces(
        &self,
        to: SocketAddr,
        datagrams: &[u8],
        size: NonZeroUsize,
    ) -> io::Result<usize> {
        let mut sent = 0;
        for piece in datagrams.chunks(size.get()) {
            match self.try_send(to, piece) {
                Ok(()) => sent += piece.len(),
                Err(_) if sent > 0 => break,
                Err(error) => return Err(error),
            }
        }
        Ok(sent)
    }

    fn send_glued(
        &self,
        state: &UdpSocketState,
        destination: SocketAddr,
        contents: &[u8],
        size: NonZeroUsize,
    ) -> io::Result<()> {
        let transmit = quinn_udp::Transmit {
            destination,
            ecn: None,
            contents,
            segment_size: Some(size.get()),
            src_ip: None,
        };
        let socket = UdpSockRef::from(&self.io);
        self.io.try_io(Interest::WRITABLE, || state.try_send(socket, &transmit))
    }

    /// Waits until the socket may take a datagram.
    pub(crate) async fn writable(&self) -> io::Result<()> {
        self.io.writable().await
    }

    /// [`UdpSocket::writable`] for `poll` functions; wakes the last caller.
    pub(crate) fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.io.poll_send_ready(cx)
    }

    /// Waits until something may have arrived. Of several tasks only the last
    /// one is woken; a socket has one reader.
    pub(crate) async fn readable(&self) -> io::Result<()> {
        poll_fn(|cx| self.io.poll_recv_ready(cx)).await
    }

    /// Replaces what is in `received` by what has arrived, in one batch or a
    /// few plain receives.
    ///
    /// # Errors
    ///
    /// The socket gave nothing but errors.
    pub(crate) fn receive(&self, received: &mut Received) -> io::Result<Drained> {
        received.clear();
        if self.batches.get().is_none() {
            match self.receive_plain(received) {
                Ok(Drained::No) if received.is_empty() => {}
                result => return result,
            }
        }
        match self.batches.get() {
            Some(state) => self.receive_batch(state, received),
            None => Ok(Drained::No),
        }
    }

    /// Switches to batches, for good.
    pub(crate) fn use_batches(&self) -> io::Result<()> {
        self.batches().map(drop)
    }

    /// How many datagrams one call may send once batches are on, else 1.
    pub(crate) fn max_batch(&self) -> usize {
        self.batches.get().map_or(1, UdpSocketState::max_gso_segments)
    }

    /// Whether datagrams above the link's size leave in fragments: once
    /// batches are on most systems refuse them.
    #[cfg(feature = "quinn")]
    pub(crate) fn may_fragment(&self) -> bool {
        self.batches.get().is_none_or(UdpSocketState::may_fragment)
    }

    fn batches(&self) -> io::Result<&UdpSocketState> {
        if let Some(state) = self.batches.get() {
            return Ok(state);
        }
        let _no_plain_receive = self.plain.lock();
        if self.batches.get().is_none() {
            let state = UdpSocketState::new(UdpSockRef::from(&self.io))?;
            self.forgo_tos();
            let _ = self.batches.set(state);
        }
        self.batches.get().ok_or_else(|| io::ErrorKind::Unsupported.into())
    }

    /// Nobody asks for the traffic class, and without it the kernel has one
    /// control message less to write for each datagram.
    fn forgo_tos(&self) {
        #[cfg(any(target_os = "linux", target_os = "macos"))]
        let _ = match (SockRef::from(&self.io), self.local) {
            (socket, SocketAddr::V4(_)) => socket.set_recv_tos_v4(false),
            (socket, SocketAddr::V6(_)) => socket.set_recv_tclass_v6(false),
        };
    }

    fn receive_plain(&self, received: &mut Received) -> io::Result<Drained> {
        let _no_batches = self.plain.lock();
        if self.batches.get().is_some() {
            return Ok(Drained::No);
        }
        let mut errors = 0;
        while received.filled() < BATCH {
            match received.push(|slot| self.io.try_recv_from(slot)) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Drained::Yes),
                Err(error) if errors == ERRORS => return Err(error),
                Err(_) => errors += 1,
            }
        }
        Ok(Drained::No)
    }

    fn receive_batch(
        &self,
        state: &UdpSocketState,
        received: &mut Received,
    ) -> io::Result<Drained> {
        for errors in 0.. {
            let result = self.io.try_io(Interest::READABLE, || {
                received.fill(|slots, meta| state.recv((&self.io).into(), slots, meta))?;
                // A batch that is not full has emptied the socket. Saying so in
                // here clears the readiness without a call that only fails, and
                // not the readiness of what comes after.
                let full = received.filled() == BATCH;
                if full { Ok(()) } else { Err(io::ErrorKind::WouldBlock.into()) }
            });
            match result {
                Ok(()) => break,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Drained::Yes),
                Err(error) if errors == ERRORS => return Err(error),
                Err(_) => {}
            }
        }
        Ok(Drained::No)
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

    use super::super::{BindOptions, Glued, bind_udp, with_buffers};
    use super::*;

    fn bound(ip: impl Into<IpAddr>) -> UdpSocket {
        bind_udp(ip.into(), 0, &BindOptions::default()).unwrap()
    }

    /// Receives until `count` datagrams have come.
    async fn take(socket: &UdpSocket, count: usize) -> Vec<(SocketAddr, Vec<u8>)> {
        let mut all = Vec::new();
        while all.len() < count {
            socket.readable().await.unwrap();
            with_buffers(|received| {
                socket.receive(received).unwrap();
                for glued in received.iter() {
                    all.extend(glued.datagrams().map(|bytes| (glued.from, bytes.to_vec())));
                }
            });
        }
        all
    }

    #[tokio::test]
    async fn datagrams_pass_plain_and_in_batches() {
        for ip in [IpAddr::from(Ipv4Addr::LOCALHOST), Ipv6Addr::LOCALHOST.into()] {
            let (a, b) = (bound(ip), bound(ip));
            for batches in [false, true] {
                if batches {
                    b.use_batches().unwrap();
                }
                let sent: [&[u8]; 4] = [b"one", b"", b"three", &[7; 9_000]];
                for datagram in sent {
                    a.send_now(b.local(), datagram).unwrap();
                }
                let expected: Vec<_> = sent.map(|bytes| (a.local(), bytes.to_vec())).into();
                assert_eq!(take(&b, 4).await, expected, "batches: {batches}");
            }
        }
    }

    #[tokio::test]
    async fn a_batch_arrives_as_its_pieces() {
        let (a, b) = (bound(Ipv4Addr::LOCALHOST), bound(Ipv4Addr::LOCALHOST));
        let contents: Vec<u8> = (0..54 * 1_200 + 17).map(|n| (n / 1_200) as u8).collect();
        a.writable().await.unwrap();
        let size = NonZeroUsize::new(1_200).unwrap();
        for batches in [false, true] {
            if batches {
                b.use_batches().unwrap();
            }
            assert_eq!(a.try_send_batch(b.local(), &contents, size).unwrap(), contents.len());
            let pieces: Vec<_> = take(&b, 55).await.into_iter().map(|(_, bytes)| bytes).collect();
            assert!(pieces.iter().eq(contents.chunks(1_200)), "batches: {batches}");
        }
    }

    #[tokio::test]
    async fn a_batch_with_pieces_that_are_too_long_is_an_error() {
        let (a, b) = (bound(Ipv4Addr::LOCALHOST), bound(Ipv4Addr::LOCALHOST));
        a.writable().await.unwrap();
        let size = NonZeroUsize::new(65_508).unwrap();
        let error = a.try_send_batch(b.local(), &[0; 65_508], size).unwrap_err();
        assert_ne!(error.kind(), io::ErrorKind::WouldBlock);
    }

    #[tokio::test]
    async fn an_emptied_socket_is_not_ready_and_wakes_again() {
        let (a, b) = (bound(Ipv4Addr::LOCALHOST), bound(Ipv4Addr::LOCALHOST));
        b.use_batches().unwrap();
        for round in 0..3_u8 {
            a.send_now(b.local(), &[round]).unwrap();
            b.readable().await.unwrap();
            with_buffers(|received| {
                assert_eq!(b.receive(received).unwrap(), Drained::Yes);
                let glued = Glued { from: a.local(), bytes: &[round], size: 1 };
                assert!(received.iter().eq([glued]));
                assert_eq!(b.receive(received).unwrap(), Drained::Yes);
                assert!(received.is_empty());
            });
        }
    }

    /// The class arrives with each datagram, however it was sent.
    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn what_is_sent_has_the_traffic_class() {
        use crate::driver::Ecn;
        for ip in [IpAddr::from(Ipv4Addr::LOCALHOST), Ipv6Addr::LOCALHOST.into()] {
            let class = TrafficClass::new(46).unwrap().with_ecn(Ecn::Ect0);
            let options = BindOptions { class, ..BindOptions::default() };
            let socket = bind_udp(ip, 0, &options).unwrap();
            let peer = std::net::UdpSocket::bind((ip, 0)).unwrap();
            let to = peer.local_addr().unwrap();
            socket.writable().await.unwrap();
            let size = NonZeroUsize::new(4).unwrap();
            socket.send_now(to, b"now").unwrap();
            socket.try_send(to, b"try").unwrap();
            assert_eq!(socket.try_send_batch(to, b"batches", size).unwrap(), 7);
            socket.use_batches().unwrap();
            assert_eq!(socket.try_send_batch(to, b"batches", size).unwrap(), 7);
            socket.set_traffic_class(TrafficClass::new(10).unwrap()).unwrap();
            socket.send_now(to, b"other").unwrap();
            socket.set_traffic_class(TrafficClass::default()).unwrap();
            assert_eq!(socket.try_send_batch(to, b"batches", size).unwrap(), 7);
            let received: Vec<_> = (0..9).map(|_| class_of(&peer)).collect();
            assert_eq!(received, [0xba, 0xba, 0xba, 0xba, 0xba, 0xba, 40, 0, 0], "{ip}");
        }
    }

    /// The traffic class of the next datagram.
    #[cfg(target_os = "linux")]
    fn class_of(socket: &std::net::UdpSocket) -> u8 {
        use nix::sys::socket::{
            ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, setsockopt, sockopt,
        };
        use std::os::fd::AsRawFd;
        setsockopt(socket, sockopt::IpRecvTos, &true).unwrap();
        if socket.local_addr().unwrap().is_ipv6() {
            setsockopt(socket, sockopt::Ipv6RecvTClass, &true).unwrap();
        }
        socket.set_read_timeout(Some(std::time::Duration::from_secs(20))).unwrap();
        let (mut bytes, mut control) = ([0; 64], nix::cmsg_space!(u8, i32));
        let mut parts = [io::IoSliceMut::new(&mut bytes)];
        let flags = MsgFlags::empty();
        let message =
            recvmsg::<SockaddrStorage>(socket.as_raw_fd(), &mut parts, Some(&mut control), flags);
        let message = message.unwrap();
        let class = message.cmsgs().unwrap().find_map(|control| match control {
            ControlMessageOwned::Ipv4Tos(tos) => Some(tos),
            ControlMessageOwned::Ipv6TClass(class) => u8::try_from(class).ok(),
            _ => None,
        });
        class.unwrap()
    }
}
