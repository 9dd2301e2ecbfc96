//! The run over UDP: a STUN server and two agents on loopback.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use floe::agent::{State, StunServer};
use floe::candidate::ComponentId;
use floe::check::Role;
use floe::driver::local_addresses;
use floe::net::Protocol;
use floe::timer::Time;
use floe::{Agent, AgentConfig, server};
use tokio::time::{Instant, sleep_until};

use super::data::{self, End};
use super::report::{Details, Moment, Outcome, Run, Transfer};
use super::side::{self, Side};
use crate::args::Shared;
use crate::eventlog::EventLog;
use crate::exit::{Exit, Failure};
use crate::setup::agent_config;
use crate::{record, words};

/// How long the run waits for a server that has not answered, once both
/// agents have completed.
const GATHERING: Duration = Duration::from_secs(1);

/// Makes the run.
pub(crate) async fn run(
    shared: &Shared,
    mut servers: Vec<StunServer>,
    log: Option<&mut EventLog>,
) -> Result<Run, Failure> {
    let loopback = loopback(shared)?;
    if loopback.is_empty() {
        return Ok(Run::skipped("udp", "this machine has no loopback address"));
    }
    let any_port: Vec<SocketAddr> = loopback.iter().map(|ip| SocketAddr::new(*ip, 0)).collect();
    let embedded = server::StunServer::bind(&any_port).map_err(|error| {
        Failure::new(Exit::NoNetwork, format!("cannot start a STUN server: {error}"))
    })?;
    servers.extend(embedded.addresses().iter().copied().map(stun_server));
    let role = shared.role().unwrap_or(Role::Controlling);
    let config = |role| {
        let mut config = agent_config(shared, role, servers.clone(), true);
        stay_on_loopback(&mut config, shared, &loopback);
        config
    };
    let mut sides = [side("A", config(role))?, side("B", config(role.other()))?];
    start(&sides)?;
    let deadline = Instant::now() + shared.timeout();
    let completed = connect(&mut sides, deadline).await;
    let data = if completed { transfers(&sides, shared.components).await } else { Vec::new() };
    Ok(finish(sides, completed, data, log))
}

fn loopback(shared: &Shared) -> Result<Vec<IpAddr>, Failure> {
    let addresses = local_addresses().map_err(|error| {
        Failure::new(Exit::NoNetwork, format!("cannot list this machine's addresses: {error}"))
    })?;
    let wanted = |ip: &IpAddr| {
        ip.is_loopback() && if ip.is_ipv4() { !shared.ipv6_only } else { !shared.ipv4_only }
    };
    Ok(addresses.into_iter().map(|address| address.ip).filter(wanted).collect())
}

/// Unless the user chose addresses, the agents use those of the server, so
/// that nothing leaves the machine.
fn stay_on_loopback(config: &mut AgentConfig, shared: &Shared, loopback: &[IpAddr]) {
    if shared.bind.is_empty() && shared.interface.is_empty() && !shared.include_loopback {
        config.bind = loopback.to_vec();
        config.ice.include_loopback = true;
    }
}

fn stun_server(address: SocketAddr) -> StunServer {
    let uri = format!("stun:{address}");
    StunServer {
        uri: uri.into(),
        host: address.ip().to_string().into(),
        port: address.port(),
        address: Some(address),
        protocol: Protocol::Udp,
    }
}

fn side(name: &'static str, config: AgentConfig) -> Result<Side, Failure> {
    let agent = Agent::new(config)
        .map_err(|error| Failure::new(Exit::Internal, format!("cannot make an agent: {error}")))?;
    Ok(Side::new(name, agent))
}

fn start([a, b]: &[Side; 2]) -> Result<(), Failure> {
    a.accept_credentials_of(b);
    b.accept_credentials_of(a);
    for side in [a, b] {
        side.agent.gather().map_err(|error| Failure::new(Exit::NoNetwork, error.to_string()))?;
    }
    Ok(())
}

/// Carries candidates between the two until both have completed and
/// gathered. `false` when one failed or the time is over.
async fn connect([a, b]: &mut [Side; 2], deadline: Instant) -> bool {
    let mut deadline = deadline;
    let mut completed = false;
    loop {
        tokio::select! {
            event = a.agent.next_event() => match event {
                Some(event) => a.event(event, b),
                None => return completed,
            },
            event = b.agent.next_event() => match event {
                Some(event) => b.event(event, a),
                None => return completed,
            },
            () = sleep_until(deadline) => return completed,
        }
        if a.has_failed() || b.has_failed() {
            return false;
        }
        if !completed && a.has_completed() && b.has_completed() {
            completed = true;
            deadline = deadline.min(Instant::now() + GATHERING);
        }
        if completed && a.has_gathered() && b.has_gathered() {
            return true;
        }
    }
}

async fn transfers([a, b]: &[Side; 2], components: u16) -> Vec<Transfer> {
    let mut transfers = Vec::new();
    for component in (1..=components).filter_map(ComponentId::new) {
        let (Some(of_a), Some(of_b)) =
            (a.agent.connection(component), b.agent.connection(component))
        else {
            continue;
        };
        let a = End { name: a.name, connection: &of_a };
        let b = End { name: b.name, connection: &of_b };
        transfers.push(data::transfer(a, b, component.number()).await);
        transfers.push(data::transfer(b, a, component.number()).await);
    }
    transfers
}

fn finish(
    sides: [Side; 2],
    completed: bool,
    data: Vec<Transfer>,
    log: Option<&mut EventLog>,
) -> Run {
    let lost = data.iter().any(|transfer| transfer.received < transfer.sent);
    let reports = sides.each_ref().map(Side::report);
    let failure = sides.iter().find_map(|side| side.failure());
    let mut records: Vec<_> = sides.into_iter().flat_map(Side::into_records).collect();
    records.sort_by_key(|(_, record)| record.at);
    if let Some(log) = log {
        records.iter().for_each(|(name, record)| log.record(Some(name), record));
    }
    let start = records.first().map(|(_, record)| record.at).unwrap_or_default();
    let since = |at: Time| words::millis(at - start);
    let moment = |(agent, record): &side::Named| {
        Some(Moment { t: since(record.at), agent, event: record::to_words(record)? })
    };
    let details = Box::new(Details {
        connected_ms: side::both_reached(&records, State::Connected).map(since),
        completed_ms: side::both_reached(&records, State::Completed).map(since),
        timeline: records.iter().filter_map(moment).collect(),
        agents: reports.into(),
        data,
    });
    let result = match (completed, lost) {
        (true, false) => Outcome::Connected(details),
        (true, true) => {
            Outcome::Failed { reason: "datagrams were lost on loopback".into(), details }
        }
        (false, _) => {
            let reason = failure.unwrap_or_else(|| "not completed in time".into());
            Outcome::Failed { reason, details }
        }
    };
    Run { name: "udp", result }
}
