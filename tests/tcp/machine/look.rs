//! What can be seen of an agent and its host, and what happens to it.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};

use floe::agent::{BaseId, PairReport, State};
use floe::candidate::TcpType;
use floe::tcp::Framing;

use crate::machine::{End, Link, Machine, STREAM};
use crate::model::{HostEvent, Network, SocketId};

impl Machine {
    /// The open connections.
    pub fn open(&self) -> impl Iterator<Item = (End, Framing)> {
        self.links.iter().filter(|(_, link)| link.open).map(|(end, link)| (*end, link.framing))
    }

    /// Whether it has any socket to this address, open or not.
    pub fn has_socket(&self, network: &Network, remote: IpAddr) -> bool {
        network.sockets(self.host).any(|(_, socket)| socket.remote.ip() == remote)
    }

    /// Something on the way resets every connection to a peer, at both ends.
    pub fn reset_all(&mut self, network: &mut Network) {
        let peers = |link: &&Link| link.open && link.framing == Framing::Rfc4571;
        let sockets: Vec<SocketId> = self.links.values().filter(peers).map(|l| l.socket).collect();
        for socket in sockets {
            network.abort(socket);
            let kind = ErrorKind::ConnectionReset;
            self.happened(network, HostEvent::Reset { socket, kind });
        }
    }

    pub fn pause(&mut self, network: &mut Network, paused: bool) {
        for listener in self.bases.values().filter_map(|base| base.listener) {
            network.pause_accepting(listener, paused);
        }
    }

    pub fn local_ip(&self) -> IpAddr {
        self.ip
    }

    pub fn tcp_type(&self, base: BaseId) -> Option<TcpType> {
        self.bases.get(&base).and_then(|base| base.tcp_type)
    }

    pub fn local(&self, base: BaseId) -> SocketAddr {
        self.bases[&base].local
    }

    pub fn pairs(&self) -> Vec<PairReport> {
        self.core.pairs(STREAM).collect()
    }

    pub fn send_path(&self) -> Option<End> {
        self.send_path
    }

    pub fn connected(&self) -> bool {
        matches!(self.core.state(), State::Connected | State::Completed)
    }
}
