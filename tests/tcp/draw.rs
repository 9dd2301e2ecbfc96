//! Worlds drawn at random from a seed.

use std::net::SocketAddr;
use std::time::Duration;

use floe::agent::Transports;

use crate::model::dice::Dice;
use crate::model::{Air, Answer, Dependence, Ports, Rules};
use crate::rules::{ACTIVE, PASSIVE, SO};
use crate::world::{Path, Plan};

const STRANGER: ([u8; 4], u16) = ([203, 0, 113, 77], 5_000);

/// What happens in a world, beside what its plan says.
pub struct Story {
    /// A side whose listeners take nothing in until then.
    pub paused: Option<(usize, Duration)>,
    /// What a host says to whoever connects, at an address that was signalled
    /// to this side.
    pub stranger: Option<(usize, Vec<u8>)>,
    /// Later, one after the other.
    pub blows: Vec<Blow>,
}

#[derive(Clone, Copy, Debug)]
pub enum Blow {
    /// Something resets all connections of a side.
    Reset(usize),
    Restart(usize),
    /// Nothing but time.
    Quiet(Duration),
}

pub fn stranger() -> SocketAddr {
    STRANGER.into()
}

fn nat(dice: &mut Dice) -> Rules {
    let mapping = if dice.chance(0.6) { Dependence::Endpoint } else { dice.pick(&Dependence::ALL) };
    let ports = match mapping {
        Dependence::Endpoint => dice.pick(&[Ports::Preserved, Ports::Other]),
        _ => Ports::Other,
    };
    let filtering = dice.pick(&Dependence::ALL);
    let unsolicited = dice.pick(&[Answer::Drop, Answer::Drop, Answer::Reset, Answer::Unreachable]);
    let hostile = dice.chance(0.08).then(|| dice.pick(&[Answer::Drop, Answer::Reset]));
    Rules { mapping, ports, filtering, unsolicited, bare_syn: hostile, ..Rules::PORT_RESTRICTED }
}

fn path(dice: &mut Dice) -> Path {
    let count = dice.pick(&[0, 1, 1, 1, 1, 1, 1, 2]);
    (0..count).map(|_| nat(dice)).collect()
}

pub fn draw(seed: u64, lossy: bool) -> (Plan, Story) {
    let mut dice = Dice::new(seed);
    let mut plan = Plan::new([path(&mut dice), path(&mut dice)], SO);
    plan.seed = seed;
    plan.rtt = dice.millis(5..=400);
    plan.skew = dice.millis(0..=3_000).mul_f64(dice.pick(&[0.0, 0.01, 0.1, 1.0]));
    plan.transports = dice.pick(&[
        [SO, SO],
        [SO, SO],
        [Transports::TCP, Transports::TCP],
        [Transports::ALL, Transports::ALL],
        [Transports::ALL, Transports::TCP],
        [ACTIVE, PASSIVE],
        [PASSIVE, ACTIVE],
        [Transports::TCP, PASSIVE],
        [ACTIVE, Transports::ALL],
    ]);
    let loss = if lossy { dice.range(0..=30) as f64 / 1_000.0 } else { 0.0 };
    plan.air = Air { loss, jitter: dice.millis(0..=20), blocks_udp: dice.chance(0.3) };
    plan.servers = dice.pick(&[1, 1, 2]);
    plan.configure = match dice.range(0..=3) {
        0 => |_, config| config.renomination = false,
        _ => |_, _| {},
    };
    let paused = dice.chance(0.2).then(|| (dice.below(2), dice.millis(0..=6_000)));
    let answers: [&[u8]; 4] = [b"", b"\0\x05hello", b"SSH-2.0-x\r\n", b"\0\0\0\0\xff\xff"];
    let stranger = dice.chance(0.25).then(|| (dice.below(2), dice.pick(&answers).to_vec()));
    if let Some((to, _)) = &stranger {
        let (ip, port) = (super::draw::stranger().ip(), STRANGER.1);
        for (n, tcp_type) in ["passive", "so"].iter().enumerate() {
            let line =
                format!("candidate:9{n} 1 TCP 1510000000 {ip} {port} typ host tcptype {tcp_type}");
            plan.extra[*to].push(line);
        }
    }
    let blows = (0..dice.range(0..=3)).map(|_| match dice.range(0..=3) {
        0 | 1 => Blow::Reset(dice.below(2)),
        2 => Blow::Restart(dice.below(2)),
        _ => Blow::Quiet(dice.millis(0..=60_000)),
    });
    let blows = blows.collect();
    (plan, Story { paused, stranger, blows })
}
