//! Sockets. This folder is the only place of the crate that binds them; all
//! else asks it and moves datagrams through [`UdpSocket`], and streams through
//! [`TcpStream`].

mod bind;
mod changes;
#[cfg(feature = "mdns")]
mod multicast;
#[cfg(target_os = "linux")]
mod netlink;
mod proxy;
mod received;
#[cfg(test)]
pub(crate) mod scripted;
mod stream;
mod tcp;
#[cfg(feature = "tls")]
mod tls;
mod udp;

pub(crate) use bind::{BindOptions, bind_udp, source_towards};
pub(crate) use changes::{Changes, Stop, Waited, changes};
#[cfg(feature = "mdns")]
pub(crate) use multicast::MulticastSocket;
pub(crate) use proxy::{Target, TunnelError, tunnel};
pub(crate) use received::{Glued, with_buffers};
pub(crate) use stream::Stream;
pub(crate) use tcp::{
    Connecting, Crossed, TcpListener, TcpStream, connect_tcp, listen_tcp, opens_from_both_ends,
    opens_to_itself,
};
#[cfg(all(test, feature = "tls"))]
pub(crate) use tls::fixture as tls_fixture;
#[cfg(feature = "tls")]
pub use tls::{RootCertificates, RootError};
#[cfg(feature = "tls")]
pub(crate) use tls::{TlsSettings, TlsStream};
pub(crate) use udp::{Drained, UdpSocket};
