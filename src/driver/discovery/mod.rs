//! NAT Behavior Discovery and trials of TURN servers on real sockets, for who
//! wants to know what a network lets happen.

mod crossing;
mod tcp;
mod turn;
mod udp;

use std::io;

use rand::TryRngCore as _;
use rand::rngs::OsRng;

use crate::rng::{Rng, Seed};

pub use crossing::{Crossing, crosses};
pub use tcp::{TcpAnswer, TcpReport, TcpServer, discover_tcp};
pub use turn::{StageFailure, StageReport, TurnReport, TurnStage, try_turn};
pub use udp::{ask_udp, discover_udp, source_towards};

fn rng() -> io::Result<Rng> {
    let mut seed = [0; 32];
    OsRng.try_fill_bytes(&mut seed).map_err(io::Error::other)?;
    Ok(Rng::new(&Seed(seed)))
}
