//! Negotiations through the kernel's own NAT: namespaces for hosts, routers
//! and a wire with delay.

#![cfg(all(feature = "cli", target_os = "linux"))]

mod agents;
mod capture;
mod check;
mod checksum;
mod claims;
mod connect;
mod contestant;
mod gate;
#[path = "../harness/mod.rs"]
#[allow(dead_code, reason = "the interop tests use the rest")]
mod harness;
mod moving;
mod nat;
mod packet_log;
mod poisoned;
mod possible;
#[cfg(feature = "quinn")]
mod quic;
mod reasons;
mod reference;
mod reference_udp;
mod relay;
mod relayed;
mod rules;
mod simultaneous;
mod stun_message;
mod stun_server;
mod table;
mod tables;
mod topology;
mod wire;
mod wire_claims;

use std::io::{BufRead, BufReader, ErrorKind};
use std::net::{SocketAddr, SocketAddrV4, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use harness::namespace::enter;
use harness::peers::{Implementation, Options};
use harness::requirement::lacking;
use harness::session::{Session, Side};
use nat::Nat;
use topology::{Cell, Lab, STUN};

const RTT: Duration = Duration::from_millis(40);

const PORT_RESTRICTED: Cell =
    Cell { rtt: RTT, ..Cell::new([Nat::PORT_RESTRICTED, Nat::PORT_RESTRICTED]) };

/// Runs per implementation, odd so that the median is one of them.
const RUNS: usize = 11;

/// From both sides having all candidates: data may flow after one round trip
/// and the time in which the pairs before the one that works had their turn.
const USABLE: Duration = RTT.saturating_add(Duration::from_millis(15));
const SELECTED: Duration = RTT.saturating_mul(2).saturating_add(Duration::from_millis(25));

#[test]
fn a_port_restricted_nat_on_each_side() {
    if ready("a_port_restricted_nat_on_each_side") {
        compare(&PORT_RESTRICTED, &[Implementation::Floe]);
    }
}

/// Every tenth frame is lost, wherever it comes from.
#[test]
fn loss_between_the_nats() {
    if !ready("loss_between_the_nats") {
        return;
    }
    let lab = Lab::new(&Cell { loss: 0.1, ..PORT_RESTRICTED });
    let mut session = start(&lab, Implementation::Floe, STUN);
    session.until_gathered();
    session.forward();
    session.until_connected();
    session.until_completed();
    session.close();
}

/// More than the links' 1,500 bytes: it goes in fragments, which the NATs put
/// together again.
#[test]
fn a_datagram_larger_than_the_link() {
    if !ready("a_datagram_larger_than_the_link") {
        return;
    }
    let lab = Lab::new(&PORT_RESTRICTED);
    let mut session = start(&lab, Implementation::Floe, STUN);
    session.until_gathered();
    session.forward();
    session.until_completed();
    session.exchange(1, &[vec![b'x'; 2_000], vec![b'y'; 32_768]]);
    session.close();
}

/// The kernel takes one side's address away and gives it another. It restarts
/// by itself, and the application above sees no more than `disconnected`.
#[test]
fn a_machine_that_moves_stays_connected() {
    if !ready("a_machine_that_moves_stays_connected") {
        return;
    }
    let lab = Lab::new(&PORT_RESTRICTED);
    for moving in [0, 1] {
        let mut session = start(&lab, Implementation::Floe, STUN);
        session.until_gathered();
        session.forward();
        session.until_completed();
        session.exchange(1, &[b"before".to_vec()]);
        let seen = session.sides.each_ref().map(|side| side.states.len());
        lab.move_host(moving, 7);
        session.until("completed again", |sides| {
            sides.iter().all(|side| side.times("completed") == 2 && side.ufrags.len() == 2)
        });
        session.exchange(1, &[b"after".to_vec()]);
        for (side, seen) in session.sides.iter().zip(seen) {
            let states: Vec<&str> = side.states[seen..].iter().map(|(_, s)| s.as_str()).collect();
            let calm = |state: &&str| ["disconnected", "connected", "completed"].contains(state);
            assert!(states.iter().all(calm), "{states:?}");
        }
        let address = format!(" 10.{}.0.7 ", moving + 1);
        let moved = session.sides[moving].candidates.iter().any(|line| line.contains(&address));
        assert!(moved, "{:?}", session.sides[moving].candidates);
        session.close();
        lab.move_host(moving, 2);
    }
}

/// The adapter of the feature `quinn`; 40 ms apart.
#[cfg(feature = "quinn")]
#[test]
fn a_file_passes_over_quic_through_two_nats() {
    if ready("a_file_passes_over_quic_through_two_nats") {
        quic::pass_a_file(&Lab::new(&PORT_RESTRICTED));
    }
}

#[test]
#[ignore = "measures other agents beside this one, by hand"]
fn beside_libnice_and_aioice() {
    let all = [Implementation::Floe, Implementation::Libnice, Implementation::Aioice];
    let available: Vec<_> = all.into_iter().filter(|one| one.available()).collect();
    if ready("beside_libnice_and_aioice") {
        compare(&PORT_RESTRICTED, &available);
    }
}

/// Every agent learns its address from `ice-probe serve`; libnice asks in the
/// manner of RFC 3489.
#[test]
fn every_agent_gathers_from_ice_probe_serve() {
    let all = [Implementation::Floe, Implementation::Libnice, Implementation::Aioice];
    let available: Vec<_> = all.into_iter().filter(|one| one.available()).collect();
    if !ready("every_agent_gathers_from_ice_probe_serve") {
        return;
    }
    let lab = Lab::new(&PORT_RESTRICTED);
    let address = SocketAddrV4::new(*STUN.ip(), STUN.port() + 1);
    let _server = Server::start(&lab, address);
    for implementation in available {
        let mut session = start(&lab, implementation, address);
        session.until_gathered();
        for side in &session.sides {
            let learnt = side.candidates.iter().any(|line| kind(line) == "srflx");
            assert!(learnt, "{}: {:?}", implementation.name(), side.candidates);
        }
    }
}

/// The lab itself: the mapping keeps its port towards every destination, and
/// only what was sent to may answer.
#[test]
fn the_nat_maps_alike_and_filters_by_port() {
    if !ready("the_nat_maps_alike_and_filters_by_port") {
        return;
    }
    let lab = Lab::new(&PORT_RESTRICTED);
    let second = SocketAddr::new((*STUN.ip()).into(), STUN.port() + 1);
    let third = SocketAddr::new((*STUN.ip()).into(), STUN.port() + 2);
    let [second, third] = [second, third]
        .map(|address| lab.server.run(|| UdpSocket::bind(address)).expect("a port is free"));
    let inside = lab.hosts[0].run(|| UdpSocket::bind("10.1.0.2:0")).expect("a port is free");
    for socket in [&inside, &second, &third] {
        socket.set_read_timeout(Some(Duration::from_secs(5))).expect("a timeout can be set");
    }
    let mut buffer = [0; 64];

    inside.send_to(&stun_message::request(), STUN).expect("the NAT is reachable");
    let length = inside.recv(&mut buffer).expect("the STUN server answers");
    let mapped = stun_message::mapped(&buffer[..length]).expect("it tells the address");
    let port = inside.local_addr().expect("it is bound").port();
    assert_eq!(mapped.to_string(), format!("203.0.113.1:{port}"));

    inside.send_to(b"out", second.local_addr().expect("it is bound")).expect("it can be sent");
    let (_, from) = second.recv_from(&mut buffer).expect("what goes out arrives");
    assert_eq!(from, mapped, "one mapping for every destination");

    // Both take the same way, so that the first would have come first.
    third.send_to(b"unasked", mapped).expect("it can be sent");
    second.send_to(b"asked", mapped).expect("it can be sent");
    let length = inside.recv(&mut buffer).expect("an answer passes");
    assert_eq!(&buffer[..length], b"asked");
    inside.set_nonblocking(true).expect("it can be set");
    assert_eq!(inside.recv(&mut buffer).expect_err("no more came").kind(), ErrorKind::WouldBlock);
}

/// True in the run inside the test's own namespaces.
fn ready(name: &str) -> bool {
    if Command::new("nft").arg("--version").output().is_err() {
        lacking("nft", "there is no nft to make a NAT with");
        return false;
    }
    enter(name)
}

/// Negotiates `RUNS` times for each, in turns, and prints the medians.
fn compare(cell: &Cell, implementations: &[Implementation]) {
    let lab = Lab::new(cell);
    let mut figures = vec![Vec::new(); implementations.len()];
    for _ in 0..RUNS {
        for (implementation, figures) in implementations.iter().zip(&mut figures) {
            figures.push(negotiate(&lab, *implementation));
        }
    }
    println!(
        "RTT {} ms, a port-restricted NAT on each side, no loss; medians of {RUNS} runs, from both\n\
         sides having all candidates until data may flow, and until the pair is selected:",
        cell.rtt.as_millis()
    );
    println!("{:<10} {:>11} {:>11} {:>11}", "", "first side", "both sides", "selected");
    for (implementation, figures) in implementations.iter().zip(&figures) {
        let of = |part: fn(&Figures) -> Duration| median(figures.iter().map(part).collect());
        let [first, usable, selected] = [of(|f| f.first), of(|f| f.usable), of(|f| f.selected)];
        println!(
            "{:<10} {:>8.1} ms {:>8.1} ms {:>8.1} ms{}",
            implementation.name(),
            millis(first),
            millis(usable),
            millis(selected),
            if *implementation == Implementation::Floe {
                verdict(usable, selected)
            } else {
                String::new()
            }
        );
    }
}

fn verdict(usable: Duration, selected: Duration) -> String {
    let word = |figure: Duration, target: Duration| {
        let word = if figure <= target { "pass" } else { "miss" };
        format!("{word} (≤ {} ms)", target.as_millis())
    };
    format!("   usable: {}, selected: {}", word(usable, USABLE), word(selected, SELECTED))
}

/// Times from both sides having all candidates.
#[derive(Clone, Copy, Debug)]
struct Figures {
    /// One side may send.
    first: Duration,
    /// Both may.
    usable: Duration,
    /// Both have their selected pair.
    selected: Duration,
}

/// A running `ice-probe serve`; it is ended when dropped.
struct Server(Child);

impl Server {
    /// Starts it on the lab's server and waits until it listens.
    fn start(lab: &Lab, address: SocketAddrV4) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ice-probe"));
        command.args(["serve", "--json", "--listen", &address.to_string()]);
        let (server, line) = Self::spawn(lab, command);
        assert!(line.contains(&format!("stun:{address}")), "{line}");
        server
    }

    /// Runs the command on the lab's server; gives what it says when it listens.
    fn spawn(lab: &Lab, mut command: Command) -> (Self, String) {
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let child = lab.server.run(|| command.spawn()).expect("ice-probe starts");
        let mut server = Self(child);
        let output = server.0.stdout.take().expect("stdout was asked for");
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line).expect("it prints where it listens");
        (server, line)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail only where it has ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts both agents; the one on the first host controls.
fn start(lab: &Lab, implementation: Implementation, stun: SocketAddrV4) -> Session {
    let agent = |controlling: bool| {
        let stun = Some(stun.to_string());
        let command = implementation.command(&Options { controlling, stun, ..Options::default() });
        (implementation.name(), command, Some(&lab.hosts[usize::from(!controlling)]))
    };
    Session::start([agent(true), agent(false)])
}

/// One negotiation with data both ways, over a pair that goes through the NATs.
fn negotiate(lab: &Lab, implementation: Implementation) -> Figures {
    let mut session = start(lab, implementation, STUN);
    session.until_gathered();
    for side in &session.sides {
        assert!(side.candidates.iter().any(|line| kind(line) == "srflx"), "{:?}", side.candidates);
    }
    let start = session.forward();
    session.until_connected();
    session.until_completed();
    session.exchange(1, &[b"through both".to_vec()]);
    for side in &session.sides {
        let (_, remote) = side.selected.get(&1).expect("a completed agent has a selected pair");
        assert!(["srflx", "prflx"].contains(&kind(remote)), "selected towards {remote}");
        assert!(side.errors.is_empty(), "{:?}", side.errors);
    }
    let at = |time: fn(&Side) -> Option<Instant>| {
        session.sides.each_ref().map(|side| {
            time(side).expect("both have come this far").saturating_duration_since(start)
        })
    };
    let [usable, selected] = [at(Side::connected_at), at(|side| side.since("completed"))];
    session.close();
    Figures {
        first: usable[0].min(usable[1]),
        usable: usable[0].max(usable[1]),
        selected: selected[0].max(selected[1]),
    }
}

/// The word after `typ`.
fn kind(candidate: &str) -> &str {
    candidate.split_whitespace().skip_while(|word| *word != "typ").nth(1).unwrap_or_default()
}

fn median(mut figures: Vec<Duration>) -> Duration {
    figures.sort_unstable();
    figures[figures.len() / 2]
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}
