//! What travels: segments, datagrams and ICMP, with their endpoints.

use std::net::SocketAddr;

use super::segment::Segment;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    Tcp,
    Udp,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    Segment(Segment),
    Datagram(Vec<u8>),
    /// ICMP host unreachable, in the name of the host that a segment with this
    /// number did not reach.
    Unreachable {
        seq: u32,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Its number in the log.
    pub number: usize,
    pub from: SocketAddr,
    pub to: SocketAddr,
    pub body: Body,
}

impl Packet {
    /// ICMP counts as what it is about.
    pub fn protocol(&self) -> Protocol {
        match self.body {
            Body::Datagram(_) => Protocol::Udp,
            Body::Segment(_) | Body::Unreachable { .. } => Protocol::Tcp,
        }
    }

    pub fn is_rst(&self) -> bool {
        matches!(&self.body, Body::Segment(segment) if segment.rst)
    }

    pub fn is_bare_syn(&self) -> bool {
        matches!(&self.body, Body::Segment(segment) if segment.is_bare_syn())
    }
}
