//! Sessions drawn from a seed: two agents in virtual time, with loss, role
//! conflicts, missing signalling, hostile datagrams and errors of the system.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::time::Duration;

use floe::agent::{
    BaseId, Config, Input, RemoteParameters, Rewrite, RewriteMode, Sockets, State, StreamId,
    StunServer,
};
use floe::candidate::Candidate;
use floe::check::{Best, PairId, Role};
use floe::net::Protocol;
use floe::rng::{Rng, Seed};
use floe::timer::Time;

use crate::hostile;
use crate::network::{Options, Pair, host, local_address};

/// The STUN server; the network carries nothing to it.
pub fn server() -> SocketAddr {
    SocketAddr::new(host(9, 9), 3478)
}

pub struct Session {
    pub pair: Pair,
    pub dice: Rng,
}

/// A number from 0 to `end` - 1.
pub fn below(dice: &mut Rng, end: u64) -> u64 {
    dice.number() % end
}

impl Session {
    pub fn new(seed: u64) -> Self {
        let mut dice = Rng::new(&Seed::from_number(seed | 1 << 63));
        let role = |dice: &mut Rng| match below(dice, 2) {
            0 => Role::Controlling,
            _ => Role::Controlled,
        };
        let one = role(&mut dice);
        let roles = match below(&mut dice, 3) {
            0 => [one, one],
            _ => [one, one.other()],
        };
        let loss = [0, 0, 10, 30, 60, 100][below(&mut dice, 6) as usize];
        let air = RefCell::new(Rng::new(&Seed::from_number(seed | 1 << 62)));
        let mut addresses =
            || (1..=1 + below(&mut dice, 3) as u8).map(|n| host(1, n)).collect::<Vec<_>>();
        let addresses = [addresses(), addresses().into_iter().map(of_other_machine).collect()];
        let streams = [vec![1], vec![1], vec![2], vec![1, 2]][below(&mut dice, 4) as usize].clone();
        let pair = Pair::new(Options {
            seed,
            addresses,
            delay: Duration::from_millis(1 + below(&mut dice, 100)),
            roles,
            streams,
            options: below(&mut dice, 2) == 0,
            configure: [configure, configure, publishing, rewriting][below(&mut dice, 4) as usize],
            passes: Box::new(move |_, to| {
                to != server() && below(&mut air.borrow_mut(), 100) >= loss
            }),
            one_to_one: None,
            pacer: None,
        });
        Session { pair, dice }
    }

    /// Signals, attacks, waits and closes.
    pub fn run(&mut self) {
        for side in 0..2 {
            self.signal(side);
        }
        let span = [2_000, 50_000, 100_000][below(&mut self.dice, 3) as usize];
        let steps = 12;
        let cut = below(&mut self.dice, 3 * steps);
        for step in 0..steps {
            let until = Time::from_millis(span * (step + 1) / steps + below(&mut self.dice, 50));
            self.pair.run_until(until.max(self.pair.now()));
            if step == cut {
                self.pair.cut();
            }
            for side in 0..2 {
                self.resolve(side);
                match below(&mut self.dice, 6) {
                    0 => self.attack(side),
                    1 => self.fail_to_send(side),
                    2 => self.command(side),
                    3 => self.restart(side),
                    4 => self.nominate(side),
                    _ => {}
                }
            }
            self.pair.pump();
        }
        let side = below(&mut self.dice, 2) as usize;
        let now = self.pair.now();
        self.pair.core_mut(side).close(now);
        self.attack(side);
        self.pair.core_mut(side).handle_timeout(now + Duration::from_secs(1));
        self.pair.pump();
    }

    /// In whole, without candidates, or late.
    fn signal(&mut self, side: usize) {
        let now = self.pair.now();
        match below(&mut self.dice, 4) {
            0 => self.pair.signal_parameters(side),
            1 => {
                self.pair.run_until(now + Duration::from_millis(below(&mut self.dice, 700)));
                self.crowd(side);
                self.pair.signal(side);
            }
            _ => self.pair.signal(side),
        }
    }

    /// Names get their addresses, or others, or stay unanswered for a while.
    fn resolve(&mut self, side: usize) {
        if below(&mut self.dice, 3) == 0 {
            return;
        }
        for name in self.pair.asked(side) {
            let published = self.pair.published(1 - side).iter().find(|(known, _)| *known == name);
            let addresses = match below(&mut self.dice, 8) {
                0 => vec![],
                1 => vec![[127, 0, 0, 1].into()],
                2 => vec![host(1, 1), host(2, 1)],
                3 => vec![host(3, 3)],
                _ => published.map(|(_, ip)| *ip).into_iter().collect(),
            };
            self.pair.resolve(side, &name, &addresses);
        }
    }

    fn attack(&mut self, side: usize) {
        let now = self.pair.now();
        for _ in 0..=below(&mut self.dice, 40) {
            let (from, bytes) = hostile::datagram(&self.pair, side, &mut self.dice);
            let base = BaseId(below(&mut self.dice, 6) as u32);
            let input = Input::Datagram { base, from, bytes: &bytes };
            self.pair.core_mut(side).handle_input(now, input);
        }
    }

    /// More checks than are kept before the peer's parameters are known.
    fn crowd(&mut self, side: usize) {
        let (now, base) = (self.pair.now(), BaseId(0));
        for port in 1..=40 {
            let bytes = hostile::check(&self.pair, side, &mut self.dice);
            let from = SocketAddr::new(host(9, 2), port);
            let input = Input::Datagram { base, from, bytes: &bytes };
            self.pair.core_mut(side).handle_input(now, input);
        }
    }

    /// Both sides restart, or one does and the other does not hear of it; or
    /// a stream goes.
    fn restart(&mut self, side: usize) {
        let (now, stream) = (self.pair.now(), StreamId(below(&mut self.dice, 2) as u16));
        let sockets = [Sockets::Keep, Sockets::Rebind][below(&mut self.dice, 2) as usize];
        match below(&mut self.dice, 14) {
            2 => drop(self.pair.core_mut(side).revoke_consent(stream, now)),
            3..6 => {
                let slept = Duration::from_secs(below(&mut self.dice, 60));
                self.pair.core_mut(side).handle_input(now, Input::Woke { slept });
            }
            6..9 => self.move_on(side),
            0 => drop(self.pair.core_mut(side).remove_stream(stream, now)),
            1 => drop(self.pair.core_mut(side).restart(stream, sockets, now)),
            _ => {
                if self.pair.core_mut(side).restart(stream, sockets, now).is_ok() {
                    self.pair.pump();
                    self.exchange(stream);
                }
            }
        }
    }

    /// The machine has other addresses from now on.
    fn move_on(&mut self, side: usize) {
        let (now, first) = (self.pair.now(), 1 + below(&mut self.dice, 4) as u8);
        let count = below(&mut self.dice, 3) as u8;
        let addresses: Vec<_> = (first..first + count).map(|n| host(1 + side as u8, n)).collect();
        let known: Vec<_> = addresses.iter().copied().map(local_address).collect();
        self.pair.set_addresses(side, addresses);
        self.pair.core_mut(side).handle_input(now, Input::LocalAddresses(&known));
        self.pair.pump();
        for stream in self.pair.core(side).streams() {
            self.exchange(stream);
        }
    }

    /// What both sides signal of a stream, if both have it.
    fn exchange(&mut self, stream: StreamId) {
        let now = self.pair.now();
        for side in 0..2 {
            let theirs = self.pair.core(1 - side).local_credentials(stream).cloned();
            let Some(theirs) = theirs else { return };
            let mut remote = RemoteParameters::new(&theirs.ufrag, &theirs.pwd);
            let options = ["renomination", "continual"];
            remote.options = options[..below(&mut self.dice, 3) as usize]
                .iter()
                .copied()
                .map(Into::into)
                .collect();
            let ours = self.pair.core(side).local_credentials(stream).map(|c| c.ufrag.clone());
            remote.answers = match below(&mut self.dice, 6) {
                0 => Some("overtaken".into()),
                1 => ours,
                _ => None,
            };
            let _ = self.pair.core_mut(side).set_remote_parameters(stream, remote, now);
            self.pair.pump();
            for candidate in self.pair.candidates(1 - side, stream) {
                let _ = self.pair.core_mut(side).add_remote_candidate(stream, &candidate, now);
            }
            let _ = self.pair.core_mut(side).end_of_remote_candidates(stream, now);
            self.pair.pump();
        }
    }

    fn nominate(&mut self, side: usize) {
        let now = self.pair.now();
        let pair = PairId(below(&mut self.dice, 4) as u32);
        let _ = self.pair.core_mut(side).nominate(pair, now);
    }

    fn fail_to_send(&mut self, side: usize) {
        use std::io::ErrorKind;
        let now = self.pair.now();
        let sent = self.pair.trace().iter().rev().find(|sent| sent.side == side);
        let to = sent.map_or(server(), |sent| sent.to);
        let kinds =
            [ErrorKind::ConnectionRefused, ErrorKind::HostUnreachable, ErrorKind::UnexpectedEof];
        let kind = kinds[below(&mut self.dice, 3) as usize];
        let base = BaseId(below(&mut self.dice, 2) as u32);
        self.pair.core_mut(side).handle_input(now, Input::SendError { base, to, kind });
    }

    /// Something that the signalling says twice, or should not say.
    fn command(&mut self, side: usize) {
        let (now, stream) = (self.pair.now(), StreamId(below(&mut self.dice, 2) as u16));
        let candidates = [
            "candidate:7 1 UDP 2130706431 10.7.7.7 7777 typ host generation 0",
            "candidate:8 1 UDP 2130706431 10.1.0.1 5000 typ host",
            "candidate:9 1 UDP 99 somewhere.example.org 7777 typ srflx",
            "candidate:9 1 TCP 99 10.7.7.7 9 typ host tcptype active",
            "candidate:7 1 UDP 2130706431 10.7.7.8 7777 typ host ufrag elsewhere",
            "candidate:7 200 UDP 2130706431 10.7.7.8 7777 typ host",
            "candidate:7 1 UDP 2130706431 1f4712db-ea17-4bcf-a596-105139dfd8bf.local 7777 typ host",
            "candidate:7 1 UDP 2130706431 127.0.0.1 7777 typ host",
            "candidate:7 1 UDP 2130706431 10.6.6.6 7777 typ host",
        ];
        let at = below(&mut self.dice, 12) as usize;
        let core = self.pair.core_mut(side);
        if let Some(line) = candidates.get(at) {
            let candidate: Candidate = line.parse().unwrap();
            let _ = core.add_remote_candidate(stream, &candidate, now);
            let _ = core.add_remote_candidate(stream, &candidate, now);
        } else if at == 9 {
            let _ = core.end_of_remote_candidates(stream, now);
        } else if at == 10 {
            let _ = core.add_stream(if now > Time::from_millis(30_000) { 1 } else { 0 });
        } else if core.state() != State::New {
            let pwd = ["short", "anotherPasswordThatIsLong"][below(&mut self.dice, 2) as usize];
            let remote = RemoteParameters::new("other", pwd);
            let _ = core.set_remote_parameters(stream, remote, now);
        }
    }
}

fn configure(side: usize, config: &mut Config) {
    config.max_pairs = 8;
    config.stun_servers = vec![StunServer {
        uri: "stun:server".into(),
        host: "server".into(),
        port: 3478,
        address: Some(server()),
        protocol: Protocol::Udp,
    }];
    config.continual = true;
    config.remote_policy.deny.push("10.6.0.0/16".parse().unwrap());
    if side == 1 {
        config.nomination = std::sync::Arc::new(Best::default());
    }
}

/// Side 1 signals names in the place of its addresses.
fn publishing(side: usize, config: &mut Config) {
    configure(side, config);
    config.publish_mdns = side == 1;
}

/// Side 0 has a public address, or so it says.
fn rewriting(side: usize, config: &mut Config) {
    configure(side, config);
    let rewrite = |n, mode| Rewrite { local: host(1, n), public: host(8, n), mode };
    config.rewrites = vec![rewrite(1, RewriteMode::Add), rewrite(2, RewriteMode::Replace)];
}

fn of_other_machine(ip: std::net::IpAddr) -> std::net::IpAddr {
    match ip {
        std::net::IpAddr::V4(v4) => {
            let [a, _, c, d] = v4.octets();
            [a, 2, c, d].into()
        }
        v6 => v6,
    }
}
