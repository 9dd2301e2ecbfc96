//! What the core asks of TURN servers' connections, and what it tells of what
//! they relay.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::{Machine, Shared};
use crate::agent::{BaseId, Input, TurnTransport};
use crate::driver::clock;
use crate::driver::link::LinkId;
use crate::driver::relay::{OVERHEAD, RelayPath, Relayed};
use crate::driver::transport::{BindOptions, Connecting, TcpStream, connect_tcp};
use crate::net::{self, Family};
use crate::tcp::Framing;

/// How long an address may take before the next one is tried beside it (RFC
/// 8305 §5).
const STAGGER: Duration = Duration::from_millis(250);

/// What servers relay for an agent.
#[derive(Debug, Default)]
pub(super) struct Relays {
    /// By the relayed base.
    bases: BTreeMap<BaseId, Entry>,
}

#[derive(Debug)]
struct Entry {
    leg: BaseId,
    server: SocketAddr,
    relayed: Arc<Relayed>,
}

impl Relays {
    pub(super) fn of(&self, base: BaseId) -> Option<&Arc<Relayed>> {
        self.bases.get(&base).map(|entry| &entry.relayed)
    }

    pub(super) fn bind_channel(&self, base: BaseId, peer: SocketAddr, number: u16) {
        if let Some(relayed) = self.of(base) {
            relayed.bind_channel(peer, number);
        }
    }
}

impl Machine {
    /// A server relays for us.
    pub(super) fn open_relay(
        &mut self,
        base: BaseId,
        address: SocketAddr,
        leg: BaseId,
        server: SocketAddr,
    ) {
        let server = net::canonical(server);
        let same = |entry: &&Entry| (entry.leg, entry.server) == (leg, server);
        let known = self.relays.bases.values().find(same).map(|entry| entry.relayed.clone());
        let Some(relayed) = known.or_else(|| self.begin_relayed(leg, server)) else { return };
        relayed.add_base(base, Family::of(address.ip()));
        self.relays.bases.insert(base, Entry { leg, server, relayed });
    }

    fn begin_relayed(&self, leg: BaseId, server: SocketAddr) -> Option<Arc<Relayed>> {
        let relayed = Arc::new(Relayed::default());
        match self.bases.get(&leg) {
            Some(base) => base.socket.router().open_relay(base.member, server, relayed.clone()),
            None => self.tcp.link(leg, server)?.open_relay(relayed.clone()),
        }
        Some(relayed)
    }

    /// A relayed base is closed.
    pub(super) fn close_relay(&mut self, base: BaseId) {
        let Some(Entry { leg, server, relayed }) = self.relays.bases.remove(&base) else { return };
        if !relayed.remove_base(base)
            && let Some(base) = self.bases.get(&leg)
        {
            base.socket.router().close_relay(base.member, server);
        }
    }

    /// The way through a relay, where the base is one's.
    pub(super) fn relay_path(&self, base: BaseId, to: SocketAddr) -> Option<(RelayPath, usize)> {
        let Entry { leg, server, relayed } = self.relays.bases.get(&base)?;
        let (leg, max_payload) = self.leg(*leg, *server)?;
        let path = RelayPath::new(leg, *server, relayed.channel(to));
        Some((path, max_payload.saturating_sub(OVERHEAD)))
    }
}

impl Shared {
    /// Opens a connection to a TURN server: to its addresses one beside the
    /// other, each a little later than the one before.
    pub(super) fn connect_server(
        &self,
        machine: &mut Machine,
        base: BaseId,
        server: usize,
        to: Box<[SocketAddr]>,
    ) {
        let Some(entry) = self.turn_servers.get(server) else { return };
        let options = BindOptions { ports: None, ..self.options.clone() };
        let (transport, serial) = (entry.transport, machine.tcp.next_serial());
        let Some(first) = to.first().copied() else { return };
        let ip = net::unspecified(Family::of(first.ip()));
        machine.tcp.insert_leg(base, SocketAddr::new(ip, 0));
        self.spawn(machine, async move |me| {
            let result = match transport {
                TurnTransport::Tls => Err(io::ErrorKind::Unsupported.into()),
                _ => reach(&to, &options).await,
            };
            me.server_reached(base, first, serial, result);
        });
    }

    fn server_reached(
        &self,
        base: BaseId,
        first: SocketAddr,
        serial: u64,
        result: io::Result<TcpStream>,
    ) {
        self.change(|machine| {
            if !machine.tcp.has(base) {
                return;
            }
            match result {
                Ok(stream) => {
                    let (to, local) = (stream.remote(), stream.local());
                    let id = LinkId { base, remote: to, serial };
                    self.insert_link(machine, id, stream, Framing::Turn, false);
                    machine.core.handle_input(clock::now(), Input::Connected { base, to, local });
                }
                Err(error) => {
                    tracing::debug!(?base, %error, "no connection to the server");
                    let input = Input::ConnectFailed { base, to: first, kind: error.kind() };
                    machine.core.handle_input(clock::now(), input);
                }
            }
        });
    }
}

/// The first connection to one of the addresses.
async fn reach(addresses: &[SocketAddr], options: &BindOptions) -> io::Result<TcpStream> {
    let mut rest = addresses.iter();
    let mut attempts: Vec<Connecting> = Vec::new();
    let mut failed: io::Error = io::ErrorKind::AddrNotAvailable.into();
    loop {
        let next = rest.next();
        if let Some(to) = next {
            let from = net::unspecified(Family::of(to.ip()));
            match connect_tcp((from, 0, None), *to, options) {
                Ok(attempt) => attempts.push(attempt),
                Err(error) => {
                    failed = error;
                    continue;
                }
            }
        } else if attempts.is_empty() {
            return Err(failed);
        }
        let first = poll_fn(|cx| {
            let done =
                attempts.iter().enumerate().find_map(|(at, attempt)| match attempt.poll(cx) {
                    std::task::Poll::Ready(result) => Some((at, result)),
                    std::task::Poll::Pending => None,
                });
            done.map_or(std::task::Poll::Pending, std::task::Poll::Ready)
        });
        let patience = if rest.as_slice().is_empty() { Duration::MAX } else { STAGGER };
        match tokio::time::timeout(patience, first).await {
            Ok((_, Some(Ok(stream)))) => return Ok(stream),
            Ok((at, result)) => {
                attempts.swap_remove(at);
                if let Some(Err(error)) = result {
                    failed = error;
                }
            }
            Err(_) => {}
        }
    }
}
