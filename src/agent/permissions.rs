//! Whom relays are asked to relay to and from (RFC 8656 §9): the peers of pairs
//! that are of use, and for what carries data a channel (§12).

use std::net::{IpAddr, SocketAddr};

use crate::agent::relay::Phase;
use crate::agent::{BaseId, Core, Event};
use crate::check::PairState;
use crate::net::{self, NotConnected};
use crate::tcp::Key;
use crate::timer::Time;

impl Core {
    /// A peer may be sent to: the checks that have waited for it are sent.
    pub(super) fn permitted(&mut self, at: usize, peer: IpAddr, now: Time) {
        // Over TCP it is the connection that checks wait for.
        let Some(base) = self.relayed_base(at, peer).filter(|base| !self.is_tcp(*base)) else {
            return;
        };
        for to in self.remotes_of(base, peer) {
            self.checks.path_ready(base.0, to, now);
        }
    }

    /// The server will not relay to a peer.
    pub(super) fn peer_refused(&mut self, at: usize, peer: IpAddr, now: Time) {
        for base in self.relayed_bases(at, peer).collect::<Vec<_>>() {
            for to in self.remotes_of(base, peer) {
                self.tcp.drop_entry(Key::new(base.0, to), true);
                self.checks.path_failed(base.0, to, NotConnected::RefusedByRelay, now);
            }
        }
    }

    /// The addresses of a peer that a base has pairs with which are of use.
    fn remotes_of(&self, base: BaseId, peer: IpAddr) -> Vec<SocketAddr> {
        self.wanted_remotes(base).filter(|to| to.ip() == peer).collect()
    }

    fn wanted_remotes(&self, base: BaseId) -> impl Iterator<Item = SocketAddr> + '_ {
        let seats = self.base(base).into_iter().flat_map(|base| &base.seats);
        seats.flat_map(move |seat| {
            let pairs = self.checks.pairs(seat.list);
            let is_its = move |pair: &crate::check::Pair| {
                Some(pair.local) == seat.local
                    && !matches!(pair.state, PairState::Failed | PairState::Removed)
            };
            pairs
                .filter(move |(_, pair)| is_its(pair))
                .map(move |(_, pair)| self.checks.remote(pair.stream, pair.remote).address)
        })
    }

    /// Asks for the permissions that pairs want; what nobody wants any more is
    /// forgotten. What carries data gets a channel.
    pub(super) fn ask_permissions(&mut self, now: Time) {
        for at in 0..self.relays.all.len() {
            if self.relays.all[at].phase != Phase::Open {
                continue;
            }
            let bases = self.relays.all[at].bases.clone();
            let remotes = bases.iter().flat_map(|base| {
                self.wanted_remotes(*base).chain(self.remotes_that_may_connect(*base))
            });
            let mut wanted: Vec<IpAddr> = remotes.map(|to| to.ip()).collect();
            wanted.sort_unstable();
            wanted.dedup();
            let carrying = self.streams.iter().flat_map(|stream| stream.paths.iter().flatten());
            let carrying: Vec<SocketAddr> = carrying
                .filter(|(base, _)| bases.contains(base) && !self.is_tcp(*base))
                .map(|(_, to)| net::canonical(*to))
                .collect();
            let (relay, mut asked) = (&mut self.relays.all[at], Vec::new());
            for to in carrying {
                if !relay.channels.contains(&to) {
                    relay.channels.push(to);
                    relay.client.bind_channel(to, now, &mut self.rng);
                    asked.extend(relay.client.channel_to_be(to).map(|number| (to, number)));
                }
            }
            let gone: Vec<IpAddr> =
                relay.permits.iter().filter(|ip| !wanted.contains(ip)).copied().collect();
            let mut ended = Vec::new();
            for peer in gone {
                relay.client.forget(peer);
                relay.permits.retain(|ip| *ip != peer);
                ended.extend(relay.channels.extract_if(.., |to| to.ip() == peer));
            }
            for peer in wanted {
                if !relay.permits.contains(&peer) {
                    relay.permits.push(peer);
                    relay.client.permit(peer, now, &mut self.rng);
                }
            }
            ended.into_iter().for_each(|peer| self.channel_ended(at, peer));
            for (peer, number) in asked {
                if let Some(base) = self.relayed_base(at, peer.ip()) {
                    self.events.push_back(Event::ChannelAsked { base, peer, number });
                }
            }
        }
    }

    /// Whether a check from a relayed base can be sent now. Where the server
    /// has not yet said that it relays to the peer, it is sent once it has.
    pub(super) fn opens_relay(&self, base: BaseId, to: SocketAddr) -> bool {
        if self.is_tcp(base) {
            return true;
        }
        self.relay_under(base).is_none_or(|relay| relay.client.is_permitted(to.ip()))
    }
}
