//! Waiting for the peer of a rendezvous.

use std::net::IpAddr;

use floe::Agent;
use floe::check::Role;
use floe::driver::{AgentError, meet};
use tokio::sync::mpsc;
use tokio::time::{self, Instant};

use super::End;
use super::lines::{Line, Writer};
use crate::args::Shared;
use crate::exit::{Exit, Failure};
use crate::jsonl::{BadLine, Input, Output};
use crate::rendezvous::Appointment;
use crate::setup::agent_config;
use crate::signals::Signals;

/// Seconds until connected, by default: a meeting may begin a bucket of time
/// later than both sides do.
pub(super) const TIMEOUT: u32 = 150;

/// Refuses what a rendezvous has no use for.
pub(super) fn supported(shared: &Shared) -> Result<(), Failure> {
    let transports = shared.transports();
    let sentence = if shared.components != 1 {
        "a rendezvous has one component"
    } else if !transports.udp && !transports.tcp_so {
        "a rendezvous needs udp or tcp-so in --transport"
    } else if !shared.wants_host() {
        "a rendezvous needs host in --candidates"
    } else {
        return Ok(());
    };
    Err(Failure::new(Exit::Usage, sentence))
}

/// Waits until the peer is met; else says why it ended. Lines that come
/// meanwhile are told that there is nobody yet.
pub(super) async fn wait(
    appointment: &Appointment,
    shared: &Shared,
    (lines, writer): (&mut mpsc::Receiver<Line>, &Writer),
    signals: &mut Signals,
    deadline: Instant,
) -> Result<Result<Agent, End>, Failure> {
    let log = shared.log.is_some();
    let settings = || agent_config(shared, Role::Controlling, Default::default(), log);
    let Appointment { rendezvous, peer } = appointment;
    let met = meet(rendezvous, *peer, settings);
    tokio::pin!(met);
    loop {
        let line = tokio::select! {
            met = &mut met => return met.map(Ok).or_else(|error| ended(error, *peer)),
            line = lines.recv() => line,
            () = writer.reader_gone() => None,
            () = signals.wait() => return Ok(Err(End::Interrupted)),
            () = time::sleep_until(deadline) => return Ok(Err(End::Timeout)),
        };
        let input = match line {
            None => return Ok(Err(End::Closed)),
            Some(Line::TooLong) => Err(BadLine::too_long()),
            Some(Line::Whole(bytes)) => Input::parse(&bytes),
        };
        let answer = match input {
            Ok(Input::Close) => return Ok(Err(End::Closed)),
            Ok(Input::Ignored) => continue,
            Ok(_) => Output::error("not-connected", "the peer has not come yet"),
            Err(bad) => bad.answer(),
        };
        writer.line(answer.to_line()).await;
    }
}

fn ended(error: AgentError, peer: IpAddr) -> Result<Result<Agent, End>, Failure> {
    match error {
        AgentError::Interfaces(_) | AgentError::NoPort => {
            Ok(Err(End::NoNetwork(error.to_string())))
        }
        AgentError::Command(error) => {
            Err(Failure::new(Exit::Usage, format!("--peer {peer}: {error}")))
        }
        error => Err(Failure::new(Exit::Internal, format!("cannot make an agent: {error}"))),
    }
}
