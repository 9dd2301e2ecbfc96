//! A netlink socket as an alarm bell (rtnetlink(7)).

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, bind, recv, socket_with};

use super::changes::Waited;

/// Interfaces, addresses and routes of both families: `RTMGRP_LINK`,
/// `RTMGRP_IPV4_IFADDR`, `RTMGRP_IPV4_ROUTE`, `RTMGRP_IPV6_IFADDR` and
/// `RTMGRP_IPV6_ROUTE` of linux/rtnetlink.h.
const GROUPS: u32 = 0x1 | 0x10 | 0x40 | 0x100 | 0x400;

/// How many messages are thrown away at a time: a router may have thousands
/// of routes to tell of.
const DRAIN: usize = 512;

/// The socket, and the event that ends a wait.
#[derive(Debug)]
pub(crate) struct Netlink {
    socket: OwnedFd,
    stopped: Arc<OwnedFd>,
}

/// Ends a wait when it is dropped.
#[derive(Debug)]
pub(crate) struct StopNetlink(Arc<OwnedFd>);

impl Drop for StopNetlink {
    fn drop(&mut self) {
        // A counter at 0 always takes 1.
        let _ = rustix::io::write(&*self.0, &1_u64.to_ne_bytes());
    }
}

impl Netlink {
    /// # Errors
    ///
    /// What the system says: some forbid netlink.
    pub(super) fn open() -> io::Result<(StopNetlink, Self)> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        // No protocol is NETLINK_ROUTE.
        let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None)?;
        bind(&socket, &SocketAddrNetlink::new(0, GROUPS))?;
        let stopped = Arc::new(eventfd(0, EventfdFlags::CLOEXEC)?);
        Ok((StopNetlink(stopped.clone()), Netlink { socket, stopped }))
    }

    pub(super) fn wait(&self, limit: Duration) -> Waited {
        let mut fds =
            [PollFd::new(&*self.stopped, PollFlags::IN), PollFd::new(&self.socket, PollFlags::IN)];
        self.poll(&mut fds, limit);
        let [stopped, socket] = fds.map(|fd| !fd.revents().is_empty());
        match (stopped, socket) {
            (true, _) => Waited::Stopped,
            (false, true) => self.drained(),
            (false, false) => Waited::InVain,
        }
    }

    pub(super) fn pause(&self, time: Duration) -> Waited {
        let mut fds = [PollFd::new(&*self.stopped, PollFlags::IN)];
        self.poll(&mut fds, time);
        let [stopped] = fds.map(|fd| !fd.revents().is_empty());
        if stopped { Waited::Stopped } else { self.drained() }
    }

    fn poll(&self, fds: &mut [PollFd<'_>], limit: Duration) {
        let timeout = Timespec::try_from(limit).ok();
        match poll(fds, timeout.as_ref()) {
            // What interrupts a wait only makes it shorter.
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(_) => std::thread::sleep(limit),
        }
    }

    /// Throws away what was said. An error says that there was more than the
    /// system could keep.
    fn drained(&self) -> Waited {
        let mut word = [0_u8; 16];
        for told in 0..DRAIN {
            match recv(self.socket.as_fd(), &mut word[..], RecvFlags::empty()) {
                Err(rustix::io::Errno::AGAIN) if told == 0 => return Waited::InVain,
                Err(rustix::io::Errno::AGAIN) => break,
                Ok(_) | Err(_) => {}
            }
        }
        Waited::Changed
    }
}
