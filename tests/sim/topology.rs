//! Realms and the gateways between them: which packet arrives where.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use floe::timer::Time;

use crate::nat::{Nat, Rules};

/// A network in which addresses are unique; number 0 is the internet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RealmId(pub usize);

pub const INTERNET: RealmId = RealmId(0);

#[derive(Clone, Debug, Default)]
struct Realm {
    hosts: BTreeSet<IpAddr>,
    /// The way to the realm around this one.
    gateway: Option<Gateway>,
}

#[derive(Clone, Debug)]
struct Gateway {
    nat: Nat,
    outer: RealmId,
    /// It drops whatever is UDP.
    blocked: bool,
}

/// The realms of a world.
#[derive(Clone, Debug)]
pub struct Topology {
    realms: Vec<Realm>,
    /// From an address to the middle of its realm.
    delays: BTreeMap<IpAddr, Duration>,
}

/// Where no other delay was set, as in the networks of homes.
const SHORT_DELAY: Duration = Duration::from_micros(150);

/// A packet at the highest realm of its way, with its source as seen there.
#[derive(Clone, Copy, Debug)]
pub struct Aloft {
    realm: RealmId,
    pub from: SocketAddr,
    pub to: SocketAddr,
    /// The realm that it left last.
    left: Option<RealmId>,
}

/// Where a packet arrives, and from whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    pub realm: RealmId,
    pub from: SocketAddr,
    pub to: SocketAddr,
}

impl Topology {
    pub fn new() -> Self {
        Topology { realms: vec![Realm::default()], delays: BTreeMap::new() }
    }

    /// Packets from or to `ip` take so long to or from the middle of its realm.
    pub fn set_delay(&mut self, ip: IpAddr, delay: Duration) {
        self.delays.insert(ip, delay);
    }

    /// How long a packet is under way.
    pub fn delay(&self, aloft: &Aloft) -> Duration {
        let of = |addr: SocketAddr| self.delays.get(&addr.ip()).copied().unwrap_or(SHORT_DELAY);
        of(aloft.from) + of(aloft.to)
    }

    pub fn add_host(&mut self, realm: RealmId, ip: IpAddr) {
        self.realms[realm.0].hosts.insert(ip);
    }

    /// A realm behind a NAT, or without `outside` behind a firewall.
    pub fn add_realm(
        &mut self,
        outer: RealmId,
        rules: Rules,
        outside: Option<IpAddr>,
        first_port: u16,
    ) -> RealmId {
        let nat = Nat::new(rules, outside, first_port);
        let gateway = Some(Gateway { nat, outer, blocked: false });
        self.realms.push(Realm { hosts: BTreeSet::new(), gateway });
        RealmId(self.realms.len() - 1)
    }

    /// A realm that leads nowhere.
    pub fn add_island(&mut self) -> RealmId {
        self.realms.push(Realm::default());
        RealmId(self.realms.len() - 1)
    }

    pub fn block(&mut self, realm: RealmId) {
        if let Some(gateway) = &mut self.realms[realm.0].gateway {
            gateway.blocked = true;
        }
    }

    /// The NAT of a realm forgets what it mapped.
    pub fn reboot(&mut self, realm: RealmId) {
        if let Some(gateway) = &mut self.realms[realm.0].gateway {
            gateway.nat.forget();
        }
    }

    /// Every NAT lets in to itself what nobody inside has asked for. None has a
    /// hairpin: neighbours are 0.3 ms apart, which no common start is exact to.
    pub fn drop_input_filters(&mut self) {
        for gateway in self.realms.iter_mut().filter_map(|realm| realm.gateway.as_mut()) {
            gateway.nat.rules.poisonable = true;
            gateway.nat.rules.hairpin = false;
        }
    }

    /// The same with nothing mapped, mappings that never end and that nothing
    /// poisons.
    pub fn fresh(&self) -> Topology {
        let mut fresh = self.clone();
        for gateway in fresh.realms.iter_mut().filter_map(|r| r.gateway.as_mut()) {
            let Nat { rules, outside, .. } = gateway.nat;
            let timeout = Duration::from_secs(u64::from(u32::MAX));
            let rules = Rules { timeout, poisonable: false, ..rules };
            gateway.nat = Nat::new(rules, outside, 20_000);
        }
        fresh
    }

    /// The way up, when the packet is sent: NATs map.
    pub fn ascend(
        &mut self,
        realm: RealmId,
        from: SocketAddr,
        to: SocketAddr,
        now: Time,
    ) -> Option<Aloft> {
        let mut aloft = Aloft { realm, from, to, left: None };
        while !self.knows(aloft.realm, to) {
            let gateway = self.realms[aloft.realm.0].gateway.as_mut().filter(|g| !g.blocked)?;
            aloft.from = gateway.nat.outbound(aloft.from, to, now);
            aloft.left = Some(std::mem::replace(&mut aloft.realm, gateway.outer));
        }
        Some(aloft)
    }

    /// The way down, when it arrives: NATs filter.
    pub fn descend(&mut self, aloft: Aloft, now: Time) -> Option<Arrival> {
        let Aloft { mut realm, from, mut to, left } = aloft;
        while !self.realms[realm.0].hosts.contains(&to.ip()) {
            let inner = self.inner(realm, to.ip())?;
            let gateway = self.realms[inner.0].gateway.as_mut().filter(|g| !g.blocked)?;
            if left == Some(inner) && !gateway.nat.rules.hairpin {
                return None;
            }
            to = gateway.nat.inbound(from, to, now)?;
            realm = inner;
        }
        Some(Arrival { realm, from, to })
    }

    fn knows(&self, realm: RealmId, to: SocketAddr) -> bool {
        self.realms[realm.0].hosts.contains(&to.ip()) || self.inner(realm, to.ip()).is_some()
    }

    /// The realm inside `realm` whose gateway answers to `ip` there.
    fn inner(&self, realm: RealmId, ip: IpAddr) -> Option<RealmId> {
        let inner = self.realms.iter().position(|r| {
            r.gateway.as_ref().is_some_and(|g| {
                g.outer == realm
                    && match g.nat.outside {
                        Some(outside) => outside == ip,
                        None => r.hosts.contains(&ip),
                    }
            })
        });
        inner.map(RealmId)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nat::Dependence;

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn carry(
        net: &mut Topology,
        realm: RealmId,
        from: SocketAddr,
        to: SocketAddr,
    ) -> Option<Arrival> {
        let aloft = net.ascend(realm, from, to, Time::ZERO)?;
        net.descend(aloft, Time::ZERO)
    }

    #[test]
    fn packets_pass_two_nats_and_come_back() {
        let mut net = Topology::new();
        let server = at("198.51.100.1:3478");
        net.add_host(INTERNET, server.ip());
        let carrier =
            net.add_realm(INTERNET, Rules::PORT_RESTRICTED, Some([203, 0, 113, 1].into()), 40_000);
        let home =
            net.add_realm(carrier, Rules::PORT_RESTRICTED, Some([100, 64, 0, 2].into()), 50_000);
        let host = at("192.168.1.2:5000");
        net.add_host(home, host.ip());
        let there = carry(&mut net, home, host, server).unwrap();
        assert_eq!(there, Arrival { realm: INTERNET, from: at("203.0.113.1:40000"), to: server });
        let back = carry(&mut net, INTERNET, server, there.from).unwrap();
        assert_eq!(back, Arrival { realm: home, from: server, to: host });
        assert_eq!(carry(&mut net, INTERNET, at("198.51.100.1:9"), there.from), None);
        assert_eq!(carry(&mut net, home, host, at("192.168.1.3:1")), None, "nobody has it");
    }

    #[test]
    fn only_a_hairpin_lets_neighbours_meet_at_the_outside_address() {
        for hairpin in [false, true] {
            let mut net = Topology::new();
            let rules =
                Rules { hairpin, filtering: Dependence::Endpoint, ..Rules::PORT_RESTRICTED };
            let home = net.add_realm(INTERNET, rules, Some([203, 0, 113, 1].into()), 40_000);
            let (one, two) = (at("192.168.1.2:5000"), at("192.168.1.3:5000"));
            net.add_host(home, one.ip());
            net.add_host(home, two.ip());
            let server = at("198.51.100.1:3478");
            net.add_host(INTERNET, server.ip());
            let mapped = carry(&mut net, home, two, server).unwrap().from;
            let arrival = carry(&mut net, home, one, mapped);
            assert_eq!(arrival.map(|a| a.to), hairpin.then_some(two));
            assert_eq!(carry(&mut net, home, one, two).map(|a| a.from), Some(one));
        }
    }
}
