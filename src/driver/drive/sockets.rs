//! The UDP sockets that the core asks for: the agent's own, or shared ones.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use super::{Base, Machine, Shared};
use crate::agent::{BaseId, StreamId};
use crate::driver::config::SharedSocket;
use crate::driver::router::Control;
use crate::driver::socket::Socket;

impl Shared {
    pub(super) fn open_socket(
        &self,
        machine: &Machine,
        base: BaseId,
        ip: IpAddr,
        scope: u32,
        stream: StreamId,
    ) -> io::Result<Base> {
        let credentials = machine.core.local_credentials(stream);
        let fragment = credentials.map_or("", |credentials| &credentials.ufrag);
        let (socket, shared) = if self.sockets.is_empty() {
            (Arc::new(Socket::bind(ip, scope, &self.options)?), false)
        } else {
            (self.shared_socket(ip, fragment)?, true)
        };
        let me: Arc<dyn Control> = self.me.upgrade().ok_or(io::ErrorKind::ConnectionAborted)?;
        let member = socket.router().join(base, fragment, me);
        socket.router().add_servers(member, &machine.servers);
        let max_payload = machine.max_payload(ip);
        Ok(Base { stream, socket, member, shared, max_payload })
    }

    fn shared_socket(&self, ip: IpAddr, fragment: &str) -> io::Result<Arc<Socket>> {
        let at_ip = self.sockets.iter().filter(|socket| socket.local_address().ip() == ip);
        let mut any = false;
        for SharedSocket(socket) in at_ip.inspect(|_| any = true) {
            if !socket.router().knows(fragment) {
                return Ok(socket.clone());
            }
        }
        let text = if any {
            "every component of a stream needs a shared socket of its own"
        } else {
            "no shared socket is bound to this address"
        };
        Err(io::Error::new(io::ErrorKind::AddrNotAvailable, text))
    }
}
