//! What servers relay over TCP (RFC 6062): a connection between two of them,
//! with a stream to either client, and candidates that lead there.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use floe::agent::{Config, Input, State, Transports, TurnTransport};
use floe::candidate::{Kind, TcpType};
use floe::check::Role;
use floe::stun::{AttributeType as T, Builder, Class, Message, Method, TransactionId};
use floe::timer::Time;

use crate::server::Reply;
use crate::world::{SERVER, STREAM, World, relay_only};

/// Connections at the servers.
#[derive(Debug, Default)]
pub(crate) struct Streams {
    /// The other end of each, by the number that its server has for it; none
    /// where that has closed it.
    ends: BTreeMap<u32, Option<u32>>,
    /// The stream that a client opened for it.
    bound: BTreeMap<u32, SocketAddr>,
    /// What came before there was one.
    early: BTreeMap<u32, Vec<Vec<u8>>>,
}

fn server() -> SocketAddr {
    SERVER.parse().unwrap()
}

impl World {
    /// A client has its server connect to what another server relays. Whether
    /// the message was that.
    pub(crate) fn connects(&mut self, from: SocketAddr, bytes: &[u8]) -> bool {
        let message = Message::parse(bytes).ok();
        let Some(message) = message.filter(|message| message.method() == Method::CONNECT) else {
            return false;
        };
        let now = self.now;
        let peer = message.xor_peer_addresses().next().expect("a peer");
        let relayed = self.servers[&from].relayed[0];
        let there = self.servers.iter_mut().find(|(_, s)| s.relayed[0] == peer && s.relays == 6);
        let target = there.map(|(client, server)| {
            let is_permitted = server.permissions.get(&relayed.ip()).is_some_and(|t| *t > now);
            (*client, is_permitted)
        });
        let ours = self.servers.get_mut(&from).unwrap();
        if target.is_none() {
            ours.next(Method::CONNECT, [Reply::Error(447)]);
        }
        let made = ours.connections.len();
        let number = ours.first + made as u32;
        let answer = ours.handle(bytes, now);
        let is_made = ours.connections.len() > made;
        if let Some((client, is_permitted)) = target.filter(|_| is_made) {
            let theirs = self.servers.get_mut(&client).unwrap();
            let other = theirs.first + theirs.connections.len() as u32;
            self.streams.ends.insert(number, is_permitted.then_some(other));
            if is_permitted {
                theirs.connections.push(relayed);
                self.streams.ends.insert(other, Some(number));
                let mut out = Vec::new();
                let id = TransactionId([4; 12]);
                Builder::new(Class::Indication, Method::CONNECTION_ATTEMPT, id, &mut out)
                    .xored(T::XOR_PEER_ADDRESS, relayed)
                    .number(T::CONNECTION_ID, other)
                    .finish();
                self.post(server(), client, out);
            }
        }
        if let Some(answer) = answer {
            self.post(server(), from, answer);
        }
        true
    }

    /// What a client sends on a stream of a connection, or to make it one.
    pub(crate) fn forwarded(&mut self, from: SocketAddr, bytes: &[u8]) -> bool {
        if let Some((number, _)) = self.streams.bound.iter().find(|(_, local)| **local == from) {
            if let Some(other) = self.streams.ends[number] {
                match self.streams.bound.get(&other) {
                    Some(to) => self.post(server(), *to, bytes.to_vec()),
                    None => self.streams.early.entry(other).or_default().push(bytes.to_vec()),
                }
                self.relayed += 1;
            }
            return true;
        }
        let Ok(message) = Message::parse(bytes) else { return false };
        if message.method() != Method::CONNECTION_BIND {
            return false;
        }
        let number = message.connection_id().expect("a number");
        let mut owners = self.servers.values_mut();
        let owner = owners.find(|server| server.connection(number).is_some()).expect("an owner");
        let Some(answer) = owner.handle(bytes, self.now) else { return true };
        let is_bound = Message::parse(&answer).unwrap().class() == Class::Success;
        let is_cut = is_bound && self.streams.ends[&number].is_none();
        if is_cut {
            owner.connections[(number - owner.first) as usize] = server();
        }
        self.post(server(), from, answer);
        if is_bound {
            self.streams.bound.insert(number, from);
            for early in self.streams.early.remove(&number).unwrap_or_default() {
                self.post(server(), from, early);
            }
            if is_cut {
                // The end of the stream.
                self.post(server(), from, Vec::new());
            }
        }
        true
    }

    /// What arrives at a client on a stream that leads to a peer.
    pub(crate) fn on_stream(&mut self, to: SocketAddr, bytes: &[u8]) -> bool {
        for at in [0, 1] {
            let Some(&(base, from)) = self.sides[at].carried.get(&to) else { continue };
            if bytes.is_empty() {
                self.sides[at].carried.remove(&to);
                let kind = Some(ErrorKind::UnexpectedEof);
                let input = Input::Disconnected { base, from, kind };
                self.sides[at].core.handle_input(self.now, input);
                self.drain(at);
            } else {
                self.receive(at, base, from, bytes);
            }
            return true;
        }
        bytes.is_empty()
    }
}

fn over_tcp(role: Role, tcp_active: bool, tcp_passive: bool) -> Config {
    let mut config = relay_only(role, TurnTransport::Tcp);
    config.transports = Transports { tcp_active, tcp_passive, ..Transports::NONE };
    config
}

fn world(configs: [Config; 2]) -> World {
    let mut world = World::new(configs);
    world.make = || {
        let mut server = crate::server::Server::new();
        server.relays = 6;
        server
    };
    world
}

fn ms(millis: u64) -> Time {
    Time::from_millis(millis)
}

/// One that connects, and one that takes it in.
fn active_and_passive() -> World {
    let config = |role, at| over_tcp(role, at == 0, at == 1);
    world([config(Role::Controlling, 0), config(Role::Controlled, 1)])
}

/// The address of the connection over which a side asks its server.
fn control(world: &World, at: usize) -> SocketAddr {
    let ip = world.sides[at].ip;
    *world.servers.keys().find(|client| client.ip() == ip).expect("it has asked")
}

/// RFC 6544 §5.5, RFC 6062: two agents without UDP, to whom nobody can connect.
#[test]
fn two_relays_connect_over_tcp_and_carry_data() {
    for ((active, passive), kinds) in [
        ((0, 1), [TcpType::Active, TcpType::Passive]),
        ((1, 0), [TcpType::Passive, TcpType::Active]),
    ] {
        let config = |role, at| over_tcp(role, at == active, at == passive);
        let mut world = world([config(Role::Controlling, 0), config(Role::Controlled, 1)]);
        world.start();
        world.run_until(ms(2_000));
        for at in [0, 1] {
            let side = &world.sides[at];
            let [candidate] = &side.candidates[..] else { panic!("{:?}", side.errors) };
            assert_eq!((candidate.kind, candidate.tcp_type), (Kind::Relayed, Some(kinds[at])));
            assert_eq!(candidate.port == 9, at == active);
            assert_eq!(side.state(), State::Completed, "{:?}", side.states);
            let (_, ours, theirs) = side.selected.last().unwrap();
            assert_eq!(theirs.kind, Kind::Relayed, "{theirs}");
            assert_eq!(ours.kind, Kind::Relayed, "{ours}");
            assert_eq!(ours.address().unwrap().ip(), candidate.address().unwrap().ip());
        }
        for number in 0..10u8 {
            world.send(0, &[b'a', number]);
            world.send(1, &[b'b', number]);
            world.run_for(Duration::from_millis(10));
        }
        world.run_for(Duration::from_millis(200));
        for (at, name) in [(0, b'b'), (1, b'a')] {
            let data: Vec<Vec<u8>> = world.sides[at].data.iter().map(|d| d.1.clone()).collect();
            assert_eq!(data, (0..10u8).map(|n| vec![name, n]).collect::<Vec<_>>());
        }
        world.replay();
    }
}

/// RFC 6062 §5.3: whom the peer does not let in yet, its server takes in and
/// turns away. That is no reason to give up.
#[test]
fn who_is_turned_away_at_first_comes_again() {
    let mut world = active_and_passive();
    world.signals = false;
    world.start();
    world.run_until(ms(300));
    let [ours, theirs] = [0, 1].map(|at| world.sides[at].candidates[0].clone());
    world.sides[0].core.add_remote_candidate(STREAM, &theirs, world.now).unwrap();
    world.drain(0);
    world.run_until(ms(3_500));
    assert_eq!(world.sides[0].state(), State::Checking, "{:?}", world.sides[0].states);
    let turned_away = world.servers[&control(&world, 0)].count(Method::CONNECT);
    assert!((2..=4).contains(&turned_away), "about once a second: {turned_away}");
    world.sides[1].core.add_remote_candidate(STREAM, &ours, world.now).unwrap();
    world.drain(1);
    world.run_until(ms(6_000));
    for side in &world.sides {
        assert_eq!(side.state(), State::Completed, "{:?}", side.states);
    }
    world.replay();
}

/// A peer that the server cannot reach is tried again after ten seconds, and no
/// sooner (RFC 6062 §4.3).
#[test]
fn who_is_not_reached_is_tried_again_after_ten_seconds() {
    let mut world = active_and_passive();
    world.start();
    world.run_until(ms(50));
    let client = control(&world, 0);
    world.servers.get_mut(&client).unwrap().next(Method::CONNECT, [Reply::Error(447)]);
    world.run_until(ms(9_000));
    assert_eq!(world.sides[0].state(), State::Checking, "{:?}", world.sides[0].states);
    assert_eq!(world.servers[&client].count(Method::CONNECT), 1);
    world.run_until(ms(12_000));
    assert_eq!(world.sides[0].state(), State::Completed, "{:?}", world.sides[0].states);
    world.replay();
}

/// A server that does not know RFC 6062 is as good for UDP as before.
#[test]
fn a_server_that_relays_udp_alone_relays_udp() {
    let both = |role| {
        let mut config = relay_only(role, TurnTransport::Tcp);
        config.transports = Transports::ALL;
        config
    };
    let mut world = World::new([both(Role::Controlling), both(Role::Controlled)]);
    world.start();
    world.run_until(ms(2_000));
    for side in &world.sides {
        assert_eq!(side.state(), State::Completed, "{:?}", side.states);
        assert_eq!(side.candidates.len(), 1);
        assert!(side.errors.is_empty(), "{:?}", side.errors);
        let text = format!("{:?}", side.records);
        assert!(text.contains("ServerFailed") && text.contains("442"), "the log has it");
    }
    world.replay();
}

/// Where it is all that is wanted, its refusal is an error.
#[test]
fn a_server_that_does_not_relay_tcp_is_told_of() {
    let configs = [Role::Controlling, Role::Controlled].map(|role| over_tcp(role, true, true));
    let mut world = World::new(configs);
    world.start();
    world.run_until(ms(2_000));
    let [(442, text)] = &world.sides[0].errors[..] else { panic!("{:?}", world.sides[0].errors) };
    assert!(text.contains("442"), "{text}");
    assert!(world.sides[0].ended.is_some() && world.sides[0].candidates.is_empty());
    world.replay();
}

/// Whatever a permitted peer does at the relayed address: so many streams are
/// opened for it and no more, whether the server binds them or not.
#[test]
fn a_flood_of_connections_costs_so_many_streams() {
    for binds in [false, true] {
        let mut world = active_and_passive();
        world.start();
        world.run_until(ms(150));
        let client = control(&world, 1);
        for number in 0..500u32 {
            let mut out = Vec::new();
            let peer = SocketAddr::from(([192, 0, 2, 9], 1_000 + number as u16));
            let id = TransactionId([4; 12]);
            Builder::new(Class::Indication, Method::CONNECTION_ATTEMPT, id, &mut out)
                .xored(T::XOR_PEER_ADDRESS, peer)
                .number(T::CONNECTION_ID, number)
                .finish();
            world.post(server(), client, out);
            // Nobody is at the other end.
            world.streams.ends.insert(number, Some(number));
        }
        let flooded = world.servers.get_mut(&client).unwrap();
        (flooded.connections, flooded.first) = (vec![server(); 500], 0);
        if !binds {
            flooded.always.insert(Method::CONNECTION_BIND, Reply::Silence);
        }
        // Beside the control connection.
        let streams = |world: &World| world.sides[1].legs.len() - 1 + world.sides[1].carried.len();
        world.run_until(ms(300));
        // Connections of one address have a bound of their own.
        assert!((16..=32).contains(&streams(&world)), "{binds}: {}", streams(&world));
        // Those that nothing comes of are closed.
        world.run_until(ms(60_000));
        assert!(streams(&world) <= 1, "{binds}: {}", streams(&world));
        world.close(0);
        world.close(1);
        assert!(world.sides.iter().all(|side| side.legs.is_empty() && side.carried.is_empty()));
    }
}

/// Without the control connection there is no allocation, and there are no
/// connections: all are made anew.
#[test]
fn a_control_connection_that_is_cut_is_made_again() {
    let mut world = active_and_passive();
    world.start();
    world.run_until(ms(2_000));
    for at in [0, 1] {
        assert_eq!(world.sides[at].state(), State::Completed);
        let local = control(&world, at);
        let leg = *world.sides[at].legs.iter().find(|(_, own)| **own == local).unwrap().0;
        let cut = Input::Disconnected { base: leg, from: server(), kind: None };
        world.sides[at].core.handle_input(world.now, cut);
        world.drain(at);
        world.run_for(Duration::from_secs(30));
        for side in &world.sides {
            assert_eq!(side.state(), State::Completed, "{:?}", side.states);
            assert!(!side.states.iter().any(|(_, state)| *state == State::Failed));
        }
        world.sides[1].data.clear();
        world.send(0, b"after");
        world.run_for(Duration::from_millis(300));
        assert_eq!(world.sides[1].data.len(), 1);
    }
    world.replay();
}
