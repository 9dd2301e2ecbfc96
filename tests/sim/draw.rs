//! Draws worlds: what lies between the two sides, and how well it works.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use floe::agent::{Config, Sockets, StunServer};
use floe::check::Role;
use floe::net::Protocol;
use floe::timer::Time;

use crate::dice::Dice;
use crate::machine::Interface;
use crate::nat::{Dependence, Rules};
use crate::topology::{INTERNET, RealmId, Topology};
use crate::world::{Air, Change, Plan, Side, Signalling};

/// How bad packets have it.
#[derive(Clone, Copy, Debug)]
pub struct Weather {
    /// Some of the worlds lose nothing.
    pub clear: f64,
    pub loss: (f64, f64),
}

impl Weather {
    /// Up to 10 % loss.
    pub const FAIR: Weather = Weather { clear: 0.3, loss: (0.0, 0.1) };
    /// Up to 30 %.
    pub const FOUL: Weather = Weather { clear: 0.0, loss: (0.1, 0.3) };
}

/// A world from a seed.
pub fn plan(seed: u64, weather: Weather) -> Plan {
    let mut draw = Draw { dice: Dice::new(seed ^ 0x5eed), topology: Topology::new(), next: 1 };
    let servers = draw.servers();
    let interfaces = draw.interfaces();
    let streams = draw.dice.pick(&[&[1][..], &[1], &[2], &[1, 1], &[2, 1], &[2, 2]]).to_vec();
    let conflict = draw.dice.chance(0.25);
    let first = draw.dice.pick(&[Role::Controlling, Role::Controlled]);
    let roles = [first, if conflict { first } else { first.other() }];
    let mut at = 0;
    let sides = interfaces.map(|interfaces| {
        let side = draw.side(roles[at], interfaces, &servers);
        at += 1;
        side
    });
    let Draw { mut dice, topology, .. } = draw;
    let (low, high) = weather.loss;
    let loss = low + (high - low) * dice.range(0..=1000) as f64 / 1000.0;
    let air = Air {
        loss: if dice.chance(weather.clear) { 0.0 } else { loss },
        duplication: if dice.chance(0.5) { 0.1 } else { 0.0 },
        jitter: dice.pick(&[0, 0, 2, 30, 60]) * Duration::from_millis(1),
    };
    let servers = servers.into_iter().filter(|s| s.alive).map(|s| s.address).collect();
    Plan { seed, topology, sides, servers, streams, air, changes: Vec::new() }
}

/// A world from a seed in which things change after a while.
pub fn changing_plan(seed: u64, weather: Weather) -> Plan {
    let mut plan = plan(seed, weather);
    let mut dice = Dice::new(seed ^ 0xc4a6e);
    for (n, side) in plan.sides.iter_mut().enumerate() {
        // Another network of its own, with a NAT like most.
        let outside = IpAddr::from([203, 0, 113, 250 + n as u8]);
        let realm =
            plan.topology.add_realm(INTERNET, Rules::PORT_RESTRICTED, Some(outside), 30_000);
        plan.topology.set_delay(outside, dice.millis(1..=120));
        let ip = IpAddr::from([192, 168, 7, 1 + n as u8]);
        plan.topology.add_host(realm, ip);
        side.spare = Some(Interface { ip, realm });
    }
    let mut at = Time::ZERO;
    for _ in 0..dice.range(1..=4) {
        // Some before anything is decided, some long after.
        at += match dice.chance(0.4) {
            true => Duration::from_secs(6) + dice.millis(0..=2_000),
            false => Duration::from_secs(12) + dice.millis(0..=20_000),
        };
        let side = dice.below(2);
        let sockets = dice.pick(&[Sockets::Keep, Sockets::Rebind]);
        plan.changes.push((
            at,
            match dice.range(0..=7) {
                0..=2 => Change::Restart(side, sockets),
                3..=4 => Change::Roam(side),
                5..=6 => Change::Sleep(side, Duration::from_secs(dice.range(1..=900))),
                _ => Change::Reboot(side),
            },
        ));
        if dice.chance(0.15) {
            // Both at once, or nearly.
            let late = dice.pick(&[0, 1, 30, 400]) * Duration::from_millis(1);
            plan.changes.push((at + late, Change::Restart(1 - side, sockets)));
        }
    }
    plan
}

#[derive(Clone, Copy)]
struct Server {
    address: SocketAddr,
    alive: bool,
}

struct Draw {
    dice: Dice,
    topology: Topology,
    next: u8,
}

impl Draw {
    fn servers(&mut self) -> Vec<Server> {
        let mut servers = Vec::new();
        for n in 0..self.dice.pick(&[0, 1, 1, 1, 1, 1, 1, 2, 2, 2]) {
            let ip: IpAddr = match self.dice.chance(0.1) {
                true => Ipv6Addr::new(0x2001, 0xdb8, 0xf, n, 0, 0, 0, 1).into(),
                false => [198, 51, 100, 1 + n as u8].into(),
            };
            let alive = !self.dice.chance(0.05);
            self.topology.add_host(INTERNET, ip);
            let delay = self.dice.millis(1..=60);
            self.topology.set_delay(ip, delay);
            servers.push(Server { address: SocketAddr::new(ip, 3478), alive });
        }
        servers
    }

    fn interfaces(&mut self) -> [Vec<Interface>; 2] {
        // Both in one network, or behind one NAT of a carrier.
        let shared = match self.dice.range(0..=9) {
            0 => Some(self.nat(INTERNET)),
            1 => {
                let carrier = self.nat(INTERNET);
                return [(); 2].map(|()| {
                    let home = self.nat(carrier);
                    self.with_others(home)
                });
            }
            _ => None,
        };
        [(); 2].map(|()| {
            let main = shared.unwrap_or_else(|| self.site());
            self.with_others(main)
        })
    }

    fn site(&mut self) -> RealmId {
        match self.dice.range(0..=19) {
            0..=2 => INTERNET,
            3..=13 => self.nat(INTERNET),
            14..=17 => {
                let carrier = self.nat(INTERNET);
                self.nat(carrier)
            }
            18 => {
                let realm = self.nat(INTERNET);
                self.topology.block(realm);
                realm
            }
            _ => self.topology.add_island(),
        }
    }

    fn nat(&mut self, outer: RealmId) -> RealmId {
        let outside = if outer == INTERNET { self.public() } else { self.carrier(outer) };
        let rules = self.rules();
        let first_port = 1024 + self.dice.below(60_000) as u16;
        self.topology.add_realm(outer, rules, Some(outside), first_port)
    }

    fn rules(&mut self) -> Rules {
        use Dependence::{AddressAndPort, Endpoint};
        let (mapping, filtering) = match self.dice.range(0..=9) {
            // Port-restricted, full cone, symmetric: what there is most of.
            0..=4 => (Endpoint, AddressAndPort),
            5 => (Endpoint, Endpoint),
            6 => (AddressAndPort, AddressAndPort),
            _ => (self.dice.pick(&Dependence::ALL), self.dice.pick(&Dependence::ALL)),
        };
        let timeout = Duration::from_secs(self.dice.range(30..=180));
        Rules { mapping, filtering, timeout, hairpin: self.dice.chance(0.5), poisonable: false }
    }

    /// The interface that leads somewhere, and perhaps others.
    fn with_others(&mut self, realm: RealmId) -> Vec<Interface> {
        let mut all = vec![self.host_v4(realm)];
        if self.dice.chance(0.15) {
            all.push(self.host_v4(realm));
        }
        if self.dice.chance(0.2) {
            // A tunnel that leads nowhere.
            let island = self.topology.add_island();
            all.push(self.host_v4(island));
        }
        if self.dice.chance(0.3) {
            all.push(self.host_v6());
        }
        if self.dice.chance(0.1) {
            let other = self.site();
            all.push(self.host_v4(other));
        }
        all
    }

    fn host_v4(&mut self, realm: RealmId) -> Interface {
        let ip = if realm == INTERNET {
            self.public()
        } else {
            self.next += 1;
            // Two homes often use the same addresses.
            IpAddr::from([192, 168, self.dice.below(2) as u8, self.next])
        };
        self.topology.add_host(realm, ip);
        Interface { ip, realm }
    }

    fn host_v6(&mut self) -> Interface {
        self.next += 1;
        let ip = Ipv6Addr::new(0x2001, 0xdb8, u16::from(self.next), 0, 0, 0, 0, 1).into();
        let delay = self.dice.millis(1..=80);
        self.topology.set_delay(ip, delay);
        let realm = match self.dice.chance(0.5) {
            true => INTERNET,
            false => self.topology.add_realm(INTERNET, Rules::PORT_RESTRICTED, None, 0),
        };
        self.topology.add_host(realm, ip);
        Interface { ip, realm }
    }

    fn public(&mut self) -> IpAddr {
        self.next += 1;
        let ip = [203, 0, 113, self.next].into();
        let delay = self.dice.millis(1..=120);
        self.topology.set_delay(ip, delay);
        ip
    }

    fn carrier(&mut self, _outer: RealmId) -> IpAddr {
        self.next += 1;
        [100, 64, 0, self.next].into()
    }

    fn side(&mut self, role: Role, interfaces: Vec<Interface>, servers: &[Server]) -> Side {
        let dice = &mut self.dice;
        let mut config = Config::new(role);
        config.pacing = Duration::from_millis(dice.pick(&[5, 5, 5, 5, 20, 50]));
        config.stun_servers = servers.iter().map(|s| stun_server(s.address)).collect();
        // So many that no pair has to make room.
        config.max_pairs = 400;
        let late = if dice.chance(0.2) { dice.millis(500..=5000) } else { Duration::ZERO };
        let signalling = Signalling {
            delay: dice.millis(0..=200) + late,
            jitter: dice.pick(&[0, 5, 300, 2000]) * Duration::from_millis(1),
            bundled: dice.chance(0.3),
        };
        let bogus = (0..dice.pick(&[0, 0, 0, 1, 5]))
            .map(|n| SocketAddr::from(([10, 66, 0, n as u8 + 1], 9)))
            .collect();
        let begins = Time::ZERO + dice.millis(0..=300);
        Side { config, interfaces, begins, signalling, spare: None, bogus }
    }
}

pub fn stun_server(address: SocketAddr) -> StunServer {
    let host = address.ip().to_string().into();
    let uri = format!("stun:{address}").into();
    let (port, address) = (address.port(), Some(address));
    StunServer { uri, host, port, address, protocol: Protocol::Udp }
}
