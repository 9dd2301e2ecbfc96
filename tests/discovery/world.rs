//! One machine, the NAT before it, and servers.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use floe::discovery::{BASES, CHANGE_REQUEST, Change, Discovery, Report};
use floe::rng::{Rng, Seed};
use floe::stun::{AttributeType, Builder, Class, Message, Method, TransactionId};
use floe::timer::Time;

use crate::dice::Dice;
use crate::nat::Nat;

/// One way.
pub const DELAY: Duration = Duration::from_millis(20);

pub const MAIN: &str = "198.51.100.1:3478";
pub const OTHER: &str = "198.51.100.2:3479";

pub fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// How a server behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// As RFC 5780 has it.
    Full,
    /// As a server with one address: 420 where it is asked for a change.
    Plain,
    /// It has another address, and gives no answer from there.
    Forgetful,
    /// It has another address, and answers from the first all the same.
    Stubborn,
    /// As one that answers 500 where it is asked for a change.
    Busy,
    /// Its other address does not answer.
    Lame,
    /// Nothing.
    Dead,
}

pub struct World {
    pub discovery: Discovery,
    pub rng: Rng,
    pub nat: Option<Nat>,
    pub locals: [SocketAddr; BASES],
    /// Where each answers, with where its other address is.
    pub servers: Vec<(SocketAddr, Option<SocketAddr>, Manner)>,
    pub dice: Dice,
    /// Each way.
    pub loss: f64,
    /// A gateway that changes MAPPED-ADDRESS.
    pub rewrites: bool,
    /// When each transaction began.
    pub began: BTreeMap<TransactionId, Time>,
    pub now: Time,
    number: u64,
    queue: BTreeMap<(Time, u64), (usize, SocketAddr, Vec<u8>)>,
}

impl World {
    /// Behind `nat`; the address inside is public where there is none.
    pub fn new(nat: Option<Nat>, manner: Manner, seed: u64) -> Self {
        let is_mapped = nat.as_ref().is_some_and(|nat| nat.outside.is_some());
        let ip: IpAddr = if is_mapped { [192, 168, 1, 2] } else { [203, 0, 113, 9] }.into();
        let mut ports = [5000, 5107, 5209, 5303].into_iter();
        let locals = [(); BASES].map(|()| SocketAddr::new(ip, ports.next().unwrap()));
        World {
            discovery: Discovery::new(locals, &[at(MAIN)]),
            rng: Rng::new(&Seed::from_number(seed)),
            nat,
            locals,
            servers: vec![(at(MAIN), Some(at(OTHER)), manner)],
            dice: Dice::new(seed),
            loss: 0.0,
            rewrites: false,
            began: BTreeMap::new(),
            now: Time::ZERO,
            number: 0,
            queue: BTreeMap::new(),
        }
    }

    /// With these servers instead of the one.
    pub fn with_servers(mut self, servers: &[(&str, Option<&str>, Manner)]) -> Self {
        self.servers = servers
            .iter()
            .map(|(main, other, manner)| (at(main), other.map(at), *manner))
            .collect();
        let asked: Vec<SocketAddr> = self.servers.iter().map(|(main, ..)| *main).collect();
        self.discovery = Discovery::new(self.locals, &asked);
        self
    }

    /// Runs it to its end.
    pub fn run(&mut self) -> Report {
        self.discovery.start(self.now, &mut self.rng);
        for _ in 0..100_000 {
            while let Some(transmit) = self.discovery.poll_transmit() {
                self.send(transmit.base, transmit.to, &transmit.bytes);
            }
            if let Some(report) = self.discovery.report() {
                assert_eq!(self.discovery.poll_timeout(), None);
                return report;
            }
            let packet = self.queue.first_key_value().map(|((time, _), _)| *time);
            let timeout = self.discovery.poll_timeout();
            let next = packet.into_iter().chain(timeout).min().expect("it waits for something");
            let is_packet = packet == Some(next);
            assert!(next >= self.now);
            self.now = next;
            if is_packet {
                let (_, (base, from, bytes)) = self.queue.pop_first().unwrap();
                let (now, rng) = (self.now, &mut self.rng);
                self.discovery.handle_datagram(base, from, &bytes, now, rng);
            } else {
                self.discovery.handle_timeout(self.now, &mut self.rng);
                assert!(self.discovery.poll_timeout().is_none_or(|next| next > self.now));
            }
        }
        panic!("it comes to no end");
    }

    fn send(&mut self, base: usize, to: SocketAddr, bytes: &[u8]) {
        let id = Message::parse(bytes).expect("it is STUN").transaction_id();
        self.began.entry(id).or_insert(self.now);
        let local = self.locals[base];
        let from = self.nat.as_mut().map_or(local, |nat| nat.outbound(local, to, self.now));
        let outside = self.nat.as_ref().and_then(|nat| nat.outside);
        if outside == Some(to.ip()) {
            if self.nat.as_ref().is_some_and(|nat| nat.rules.hairpin) {
                self.deliver(from, to, bytes.to_vec());
            }
            return;
        }
        if self.dice.chance(self.loss) {
            return;
        }
        if let Some((source, answer)) = self.answer(from, to, bytes)
            && !self.dice.chance(self.loss)
        {
            self.deliver(source, from, answer);
        }
    }

    /// Brings a packet to the NAT from outside, a round trip after now.
    fn deliver(&mut self, from: SocketAddr, to: SocketAddr, bytes: Vec<u8>) {
        let inside = match &mut self.nat {
            Some(nat) => nat.inbound(from, to, self.now),
            None => Some(to),
        };
        let Some(inside) = inside else { return };
        if let Some(base) = self.locals.iter().position(|local| *local == inside) {
            self.number += 1;
            self.queue.insert((self.now + 2 * DELAY, self.number), (base, from, bytes));
        }
    }

    /// What a server answers, and from where.
    fn answer(
        &self,
        from: SocketAddr,
        to: SocketAddr,
        bytes: &[u8],
    ) -> Option<(SocketAddr, Vec<u8>)> {
        let (main, other, manner) = self.servers.iter().copied().find(|(main, other, _)| {
            let ips: BTreeSet<IpAddr> =
                [Some(main), other.as_ref()].into_iter().flatten().map(SocketAddr::ip).collect();
            let ports: BTreeSet<u16> =
                [Some(main), other.as_ref()].into_iter().flatten().map(SocketAddr::port).collect();
            ips.contains(&to.ip()) && ports.contains(&to.port())
        })?;
        let request = Message::parse(bytes).unwrap();
        let change = request.attributes().find(|(kind, _)| *kind == CHANGE_REQUEST);
        let change = change.map_or(Change::NONE, |(_, value)| Change::read(value).unwrap());
        let id = request.transaction_id();
        let mut out = Vec::new();
        let mut error = |code| {
            let error = Builder::new(Class::Error, Method::BINDING, id, &mut out);
            error.error(code, "no").seal(None);
        };
        match (manner, change) {
            (Manner::Dead, _) => return None,
            (Manner::Lame, _) if to != main => return None,
            (Manner::Forgetful, change) if change != Change::NONE => return None,
            (Manner::Plain, change) if change != Change::NONE => {
                error(420);
                return Some((to, out));
            }
            (Manner::Busy, change) if change != Change::NONE => {
                error(500);
                return Some((to, out));
            }
            _ => {}
        }
        let other = other.filter(|_| manner != Manner::Plain);
        let beside = |here: SocketAddr| {
            let other = other?;
            let ip = if here.ip() == main.ip() { other.ip() } else { main.ip() };
            let port = if here.port() == main.port() { other.port() } else { main.port() };
            Some(SocketAddr::new(ip, port))
        };
        let source = beside(to).filter(|_| manner != Manner::Stubborn).map_or(to, |beside| {
            let ip = if change.ip { beside.ip() } else { to.ip() };
            SocketAddr::new(ip, if change.port { beside.port() } else { to.port() })
        });
        let plain = if self.rewrites { self.locals[0] } else { from };
        let mut answer = Builder::new(Class::Success, Method::BINDING, id, &mut out)
            .xored(AttributeType::XOR_MAPPED_ADDRESS, from)
            .plain(AttributeType::MAPPED_ADDRESS, plain);
        if let Some(beside) = beside(to) {
            answer = answer
                .plain(AttributeType::RESPONSE_ORIGIN, source)
                .plain(AttributeType::OTHER_ADDRESS, beside);
        }
        answer.seal(None);
        Some((source, out))
    }
}
