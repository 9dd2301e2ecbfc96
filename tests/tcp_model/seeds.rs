//! Whatever hosts do in whatever order: nothing panics, queues are bounded,
//! bytes arrive whole and in order, and a seed says all.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use floe::timer::Time;

use crate::model::dice::Dice;
use crate::model::{
    Air, Answer, Dependence, HostEvent, HostId, INTERNET, ListenerId, Log, Nat, Network, Ports,
    Rules, Segment, SocketId,
};
use crate::punch::at;

fn rules(dice: &mut Dice) -> Rules {
    let answers = [Answer::Drop, Answer::Reset, Answer::Unreachable];
    Rules {
        mapping: dice.pick(&Dependence::ALL),
        ports: dice.pick(&[Ports::Preserved, Ports::Other]),
        filtering: dice.pick(&Dependence::ALL),
        unsolicited: dice.pick(&answers),
        bare_syn: dice.pick(&[None, None, Some(Answer::Drop), Some(Answer::Reset)]),
        hairpin: dice.chance(0.5),
        poisonable: dice.chance(0.5),
    }
}

fn segment(dice: &mut Dice) -> Segment {
    let mut number = || dice.range(0..=u64::from(u32::MAX)) as u32;
    let (seq, ack) = (number(), number());
    let mut flag = || dice.chance(0.5);
    let (has_ack, syn, rst, fin, has_data) = (flag(), flag(), flag(), flag(), flag());
    let data = if has_data { vec![1; 9] } else { vec![] };
    Segment { seq, ack: has_ack.then_some(ack), syn, rst, fin, data }
}

struct World {
    network: Network,
    dice: Dice,
    hosts: Vec<HostId>,
    locals: Vec<SocketAddr>,
    /// What can be sent to.
    remotes: Vec<SocketAddr>,
    sockets: Vec<SocketId>,
    listeners: Vec<ListenerId>,
    /// What was told last of each socket, as far as it ends it.
    ended: BTreeMap<SocketId, HostEvent>,
}

const BACKLOG: usize = 2;

impl World {
    fn new(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let mut network = Network::new(seed);
        let (loss, jitter) = (dice.pick(&[0.0, 0.1]), dice.millis(0..=30));
        network.set_air(Air { loss, jitter, ..Air::default() });
        let locals = [at("10.0.0.2:6000"), at("10.0.0.3:6000"), at("198.51.100.1:6000")];
        let outside = at("203.0.113.1:6000");
        let nat = Nat::new(rules(&mut dice), Some(outside.ip()), 6000);
        let nat = network.add_nat(nat, INTERNET, dice.millis(1..=40));
        let hosts = locals.map(|local| {
            let realm = if local.ip() == locals[2].ip() { INTERNET } else { Some(nat) };
            network.add_host(local.ip(), realm, dice.millis(0..=40))
        });
        let remotes = locals.into_iter().chain([outside, at("192.0.2.1:1")]).collect();
        World {
            network,
            dice,
            hosts: hosts.to_vec(),
            locals: locals.to_vec(),
            remotes,
            sockets: Vec::new(),
            listeners: Vec::new(),
            ended: BTreeMap::new(),
        }
    }

    fn act(&mut self) {
        let which = self.dice.below(self.hosts.len());
        let (host, local) = (self.hosts[which], self.locals[which]);
        let remote = self.dice.pick(&self.remotes);
        let socket = (!self.sockets.is_empty()).then(|| self.dice.pick(&self.sockets));
        let listener = (!self.listeners.is_empty()).then(|| self.dice.pick(&self.listeners));
        match (self.dice.below(10), socket, listener) {
            (0 | 1, _, _) => {
                self.sockets.extend(self.network.connect(host, local, remote));
            }
            (2, _, _) => self.listeners.extend(self.network.listen(host, local, BACKLOG)),
            (3, Some(socket), _) => self.network.close(socket),
            (4, Some(socket), _) => self.network.abort(socket),
            (5 | 6, Some(socket), _) => {
                let _ = self.network.send(socket, &[7; 3000]);
            }
            (7, _, Some(listener)) => {
                let paused = self.dice.chance(0.5);
                self.network.pause_accepting(listener, paused);
                self.network.accept(listener);
            }
            (8, _, Some(listener)) if self.dice.chance(0.2) => {
                self.network.close_listener(listener);
            }
            (9, _, _) => {
                let segment = segment(&mut self.dice);
                self.network.inject(host, local, remote, segment);
            }
            _ => self.network.send_udp(host, local, remote, b"datagram"),
        }
    }

    fn advance(&mut self) {
        let longest = Duration::from_millis(self.dice.pick(&[1, 30, 1500]));
        let to = self.network.now() + self.dice.up_to(longest);
        for happened in self.network.advance(to) {
            let (socket, ends) = match &happened.event {
                HostEvent::Connected { socket, .. }
                | HostEvent::Received { socket, .. }
                | HostEvent::Writable { socket }
                | HostEvent::Closed { socket } => (*socket, false),
                HostEvent::Accepted { socket, .. } => {
                    self.sockets.push(*socket);
                    (*socket, false)
                }
                HostEvent::ConnectFailed { socket, .. } | HostEvent::Reset { socket, .. } => {
                    (*socket, true)
                }
                HostEvent::Datagram { .. } => continue,
            };
            assert!(!self.ended.contains_key(&socket), "{happened:?} after {:?}", self.ended);
            if ends {
                self.ended.insert(socket, happened.event);
            }
        }
        for host in &self.hosts {
            let (requests, queued) = self.network.backlog(*host);
            assert!(requests <= BACKLOG && queued <= BACKLOG + 1, "{requests}, {queued}");
        }
    }
}

fn run(seed: u64) -> Log {
    let mut world = World::new(seed);
    for _ in 0..200 {
        world.act();
        world.advance();
    }
    // Everything comes to an end.
    for socket in std::mem::take(&mut world.sockets) {
        world.network.close(socket);
    }
    for listener in std::mem::take(&mut world.listeners) {
        world.network.close_listener(listener);
    }
    world.network.advance(world.network.now() + Duration::from_secs(3600));
    assert_eq!(world.network.next_event_time(), None);
    for host in world.hosts {
        let left: Vec<_> = world.network.sockets(host).collect();
        assert!(left.is_empty(), "{left:?}");
    }
    world.network.log().clone()
}

#[test]
fn whatever_happens_is_bounded_and_ends() {
    crate::model::dice::each_seed("whatever", 0..300, |seed| {
        run(seed);
    });
}

#[test]
fn the_same_seed_gives_the_same_log() {
    for seed in 0..20 {
        assert!(run(seed) == run(seed), "seed {seed}");
    }
    assert!(run(0) != run(1));
}

/// Sends `amount` bytes from one host to the other; returns when all had come.
fn transfer(seed: u64, air: Air, amount: usize) -> Time {
    let mut network = Network::new(seed);
    let (from, to) = (at("192.0.2.1:1"), at("192.0.2.2:2"));
    let hosts =
        [from, to].map(|local| network.add_host(local.ip(), INTERNET, Duration::from_millis(10)));
    network.listen(hosts[1], to, 1).unwrap();
    network.set_air(air);
    let socket = network.connect(hosts[0], from, to).unwrap();
    let bytes: Vec<u8> = (0..amount).map(|at| (at / 3) as u8).collect();
    let (mut sent, mut received) = (0, Vec::new());
    while let Some(time) = network.next_event_time() {
        for happened in network.advance(time) {
            match happened.event {
                HostEvent::Connected { .. } | HostEvent::Writable { .. } => {
                    sent += network.send(socket, &bytes[sent..]).unwrap_or(0);
                    if sent == amount {
                        network.close(socket);
                    }
                }
                HostEvent::Received { bytes, .. } => received.extend(bytes),
                HostEvent::Closed { socket } => {
                    network.close(socket);
                    assert!(received == bytes, "{} of {amount}", received.len());
                    return network.now();
                }
                HostEvent::Accepted { .. } => {}
                other => panic!("seed {seed}: {other:?}"),
            }
        }
    }
    panic!("seed {seed}: {} of {amount}", received.len());
}

#[test]
fn bytes_arrive_whole_and_in_order() {
    assert_eq!(transfer(0, Air::default(), 100), Time::from_millis(60));
    for seed in 0..30 {
        let air = Air { loss: 0.1, jitter: Duration::from_millis(30), ..Air::default() };
        transfer(seed, air, 600_000);
    }
}
