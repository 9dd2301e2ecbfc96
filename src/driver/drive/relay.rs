//! What the core asks of TURN servers' connections, and what it tells of what
//! they relay.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use super::{Machine, Shared};
use crate::agent::{BaseId, Input};
use crate::driver::clock;
use crate::driver::link::LinkId;
use crate::driver::reach::{Reached, Refusal};
use crate::driver::relay::{OVERHEAD, RelayPath, Relayed};
use crate::net::{self, Family};
use crate::tcp::Framing;

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

    pub(super) fn expect_channel(&self, base: BaseId, peer: SocketAddr, number: u16) {
        if let Some(relayed) = self.of(base) {
            relayed.expect_channel(peer, number);
        }
    }

    pub(super) fn end_channel(&self, base: BaseId, peer: SocketAddr) {
        if let Some(relayed) = self.of(base) {
            relayed.end_channel(peer);
        }
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
    /// Opens a connection to a TURN server.
    pub(super) fn connect_server(
        &self,
        machine: &mut Machine,
        base: BaseId,
        (server, name): (usize, Option<Box<str>>),
        to: Box<[SocketAddr]>,
    ) {
        let Some(mut server) = self.turn_servers.get(server).cloned() else { return };
        if let Some(name) = name {
            server.host = name;
        }
        let (reach, serial) = (self.reach.clone(), machine.tcp.next_serial());
        let Some(first) = to.first().copied() else { return };
        let ip = net::unspecified(Family::of(first.ip()));
        machine.tcp.insert_leg(base, SocketAddr::new(ip, 0));
        self.spawn(machine, async move |me| {
            let result = reach.open(&server, &to).await;
            me.server_reached(base, first, serial, result);
        });
    }

    fn server_reached(
        &self,
        base: BaseId,
        first: SocketAddr,
        serial: u64,
        result: Result<Reached, Refusal>,
    ) {
        self.change(|machine| {
            if !machine.tcp.has(base) {
                return;
            }
            let refusal = match result {
                Ok(Reached { stream, to }) => {
                    let (to, local) = (net::canonical(to), stream.local());
                    let id = LinkId { base, remote: to, serial };
                    self.insert_link(machine, id, stream, Framing::Turn, false);
                    let input = Input::Connected { base, to, local };
                    return machine.core.handle_input(clock::now(), input);
                }
                Err(refusal) => refusal,
            };
            tracing::debug!(?base, ?refusal, "no connection to the server");
            machine.tcp.close(base);
            let input = match &refusal {
                Refusal::System(kind) => Input::ConnectFailed { base, to: first, kind: *kind },
                Refusal::Told { cause, text } => Input::ServerRefused { base, cause: *cause, text },
            };
            machine.core.handle_input(clock::now(), input);
        });
    }
}
