//! Sockets. This folder is the only place of the crate that binds them; all
//! else asks it and moves datagrams through [`UdpSocket`], and streams through
//! [`TcpStream`].

mod bind;
mod changes;
#[cfg(feature = "mdns")]
mod multicast;
#[cfg(target_os = "linux")]
mod netlink;
mod received;
mod tcp;
mod udp;

pub(crate) use bind::{BindOptions, bind_udp, source_towards};
pub(crate) use changes::{Changes, Stop, Waited, changes};
#[cfg(feature = "mdns")]
pub(crate) use multicast::MulticastSocket;
pub(crate) use received::{Glued, with_buffers};
pub(crate) use tcp::{
    Connecting, TcpListener, TcpStream, connect_tcp, listen_tcp, opens_from_both_ends,
};
pub(crate) use udp::{Drained, UdpSocket};
