//! How a packet travels: from a host to the middle of its realm, up and down
//! through NATs, and to a host.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::event::{HostEvent, HostId};
use super::log::{Fate, Sender};
use super::nat::{Answer, Verdict};
use super::network::{Happening, INTERNET, NatId, Network, Realm};
use super::packet::{Body, Packet, Protocol};

impl Network {
    /// A host sends.
    pub(super) fn emit(&mut self, host: HostId, from: SocketAddr, to: SocketAddr, body: Body) {
        let packet = self.packet(Sender::Host(host), (from, to), body);
        let interfaces = &self.hosts[host.0].interfaces;
        if interfaces.iter().any(|i| i.ip == to.ip()) {
            return self.push(Duration::ZERO, Happening::Host(host, packet));
        }
        match interfaces.iter().find(|i| i.ip == from.ip()) {
            Some(i) => self.push(i.delay, Happening::Middle(i.realm, packet)),
            None => self.end(&packet, Fate::Nowhere),
        }
    }

    fn end(&mut self, packet: &Packet, fate: Fate) {
        self.log.change(packet, |record| record.fate = fate);
    }

    pub(super) fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Middle(realm, packet) => self.cross(realm, packet),
            Happening::Outside(nat, packet) => self.enter(nat, packet),
            Happening::Host(host, packet) => self.arrive(host, packet),
        }
    }

    fn cross(&mut self, realm: Realm, packet: Packet) {
        let mut late = Duration::ZERO;
        if realm == INTERNET {
            self.log.change(&packet, |record| record.seen_from = Some(packet.from));
            let is_blocked = self.air.blocks_udp && packet.protocol() == Protocol::Udp;
            if is_blocked || self.dice.chance(self.air.loss) {
                return self.end(&packet, Fate::Lost);
            }
            late = self.dice.up_to(self.air.jitter);
        }
        let ip = packet.to.ip();
        if let Some((host, delay)) = self.host_in(realm, ip) {
            self.push(delay + late, Happening::Host(host, packet));
        } else if let Some(nat) = self.gateway_to(realm, ip) {
            let delay = self.gateways[nat.0].delay;
            self.push(delay + late, Happening::Outside(nat, packet));
        } else if let Some(nat) = realm {
            self.leave(nat, packet);
        } else {
            self.end(&packet, Fate::Nowhere);
        }
    }

    fn host_in(&self, realm: Realm, ip: IpAddr) -> Option<(HostId, Duration)> {
        self.hosts.iter().enumerate().find_map(|(at, host)| {
            let found = host.interfaces.iter().find(|i| i.realm == realm && i.ip == ip);
            found.map(|i| (HostId(at), i.delay))
        })
    }

    /// The NAT in `realm` that answers to `ip`.
    fn gateway_to(&self, realm: Realm, ip: IpAddr) -> Option<NatId> {
        let inside = |nat: NatId| {
            self.host_in(Some(nat), ip).is_some() || self.gateway_to(Some(nat), ip).is_some()
        };
        let found = self.gateways.iter().enumerate().find(|(at, gateway)| {
            gateway.outer == realm
                && match gateway.nat.outside {
                    Some(outside) => outside == ip,
                    None => inside(NatId(*at)),
                }
        });
        found.map(|(at, _)| NatId(at))
    }

    /// A packet leaves the realm of a NAT.
    fn leave(&mut self, nat: NatId, mut packet: Packet) {
        let gateway = &mut self.gateways[nat.0];
        let Some(from) = gateway.nat.outbound(&packet) else {
            return self.end(&packet, Fate::Stopped(nat, self.now));
        };
        packet.from = from;
        if gateway.nat.outside != Some(packet.to.ip()) {
            let (outer, delay) = (gateway.outer, gateway.delay);
            return self.push(delay, Happening::Middle(outer, packet));
        }
        if gateway.nat.rules.hairpin {
            self.enter(nat, packet);
        } else {
            self.end(&packet, Fate::Stopped(nat, self.now));
        }
    }

    /// A packet has come to the outside of a NAT.
    fn enter(&mut self, nat: NatId, mut packet: Packet) {
        match self.gateways[nat.0].nat.inbound(&packet) {
            Verdict::Pass(inside) => {
                packet.to = inside;
                self.push(Duration::ZERO, Happening::Middle(Some(nat), packet));
            }
            Verdict::Answer(answer) => {
                self.end(&packet, Fate::Stopped(nat, self.now));
                self.answer(nat, answer, &packet);
            }
        }
    }

    fn answer(&mut self, nat: NatId, answer: Answer, packet: &Packet) {
        let Body::Segment(segment) = &packet.body else { return };
        let body = match answer {
            Answer::Drop => None,
            Answer::Reset => segment.refusal().map(Body::Segment),
            Answer::Unreachable if segment.rst => None,
            Answer::Unreachable => Some(Body::Unreachable { seq: segment.seq }),
        };
        let Some(body) = body else { return };
        let answer = self.packet(Sender::Nat(nat), (packet.to, packet.from), body);
        let Network { gateways, .. } = &*self;
        let gateway = &gateways[nat.0];
        if gateway.nat.outside == Some(packet.from.ip()) {
            // To a packet that made a hairpin.
            return self.enter(nat, answer);
        }
        let (outer, delay) = (gateway.outer, gateway.delay);
        self.push(delay, Happening::Middle(outer, answer));
    }

    fn arrive(&mut self, host: HostId, packet: Packet) {
        let now = self.now;
        self.end(&packet, Fate::Reached(host, now));
        let Packet { from, to, body, .. } = packet;
        match body {
            Body::Segment(segment) => self.on(host, |kernel, effects| {
                kernel.receive(to, from, &segment, now, effects);
            }),
            Body::Unreachable { seq } => self.on(host, |kernel, effects| {
                kernel.unreachable((to, from), seq, effects);
            }),
            Body::Datagram(bytes) => self.tell(host, HostEvent::Datagram { from, to, bytes }),
        }
    }
}
