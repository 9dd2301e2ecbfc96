//! `ice-probe demo`: two agents on this machine.

#[cfg(target_os = "linux")]
mod crossing;
mod data;
mod log;
mod loopback;
mod pair;
mod report;
mod side;
mod text;

use floe::agent::Transports;

use crate::args::{Demo, Shared};
use crate::exit::{Exit, Failure};
use crate::print;
use crate::signals::Signals;
use log::Log;
use loopback::Plan;
use report::{Outcome, Report, Run};

/// Why a run is not made that the user left out.
const LEFT_OUT: &str = "the options leave it out";

/// Why a run is not made on a machine without loopback.
const NO_LOOPBACK: &str = "this machine has no loopback address";

/// No transport at all, to add to.
const NONE: Transports = Transports { udp: false, ..Transports::UDP };

/// Runs the command.
pub(crate) async fn run(args: &Demo) -> Result<Exit, Failure> {
    let shared = &args.shared;
    shared.supported()?;
    #[cfg(target_os = "linux")]
    if args.inside {
        return crossing::inside(shared).await;
    }
    let mut signals = Signals::new().map_err(|error| {
        Failure::new(Exit::Internal, format!("cannot listen for signals: {error}"))
    })?;
    let mut log = Log::create(shared)?;
    let runs = tokio::select! {
        runs = runs(shared, &mut log) => runs?,
        () = signals.wait() => return Err(Failure::new(Exit::Interrupted, "interrupted")),
    };
    let report = Report::new(runs);
    let text = if args.json { report.to_json() } else { text::write(&report) };
    print::text(&text)?;
    Ok(report.exit())
}

/// Makes the runs, one after the other.
async fn runs(shared: &Shared, log: &mut Log) -> Result<Vec<Run>, Failure> {
    let servers = shared.stun_servers()?;
    let wanted = shared.transports();
    let udp = Plan { transports: Transports::UDP, servers, relay: false };
    let relay = Plan { transports: Transports::UDP, servers: Vec::new(), relay: true };
    let (tcp_active, tcp_passive) = (wanted.tcp_active, wanted.tcp_passive);
    let tcp = Transports { tcp_active, tcp_passive, ..NONE };
    let tcp = Plan { transports: tcp, servers: Vec::new(), relay: false };
    Ok(vec![
        on_loopback("udp", wanted.udp, shared, udp, log).await?,
        on_loopback("tcp", tcp_active && tcp_passive, shared, tcp, log).await?,
        simultaneous_open(wanted.tcp_so, shared, log).await?,
        on_loopback("relay", wanted.udp && shared.wants_relayed(), shared, relay, log).await?,
    ])
}

async fn on_loopback(
    name: &'static str,
    wanted: bool,
    shared: &Shared,
    plan: Plan,
    log: &mut Log,
) -> Result<Run, Failure> {
    if !wanted {
        return Ok(Run::skipped(name, LEFT_OUT));
    }
    let Some(made) = loopback::run(shared, plan).await? else {
        return Ok(Run::skipped(name, NO_LOOPBACK));
    };
    log.add(name, &made.records);
    Ok(Run { name, result: made.outcome })
}

/// The run that opens connections from both ends at once: where SYNs can
/// cross, else on loopback.
async fn simultaneous_open(wanted: bool, shared: &Shared, log: &mut Log) -> Result<Run, Failure> {
    let name = "tcp-so";
    if !wanted {
        return Ok(Run::skipped(name, LEFT_OUT));
    }
    let why = match crossing(shared, log).await {
        Ok(result) => return Ok(Run { name, result }),
        Err(why) => why,
    };
    let transports = Transports { tcp_so: true, ..NONE };
    let plan = Plan { transports, servers: Vec::new(), relay: false };
    let mut run = on_loopback(name, true, shared, plan, log).await?;
    if let Outcome::Connected(details) | Outcome::Failed { details, .. } = &mut run.result {
        let taken =
            "On loopback SYNs do not cross: one side connects, the other's listener accepts.";
        details.note = Some(format!("{taken} It was not made in namespaces with a delay: {why}."));
    }
    Ok(run)
}

/// The run between two hosts in namespaces, or why it cannot be made.
#[cfg(target_os = "linux")]
async fn crossing(shared: &Shared, log: &mut Log) -> Result<Outcome, String> {
    if shared.chooses_addresses() || shared.ipv6_only {
        return Err("the addresses there are not those that were asked for".into());
    }
    let told = crossing::run(shared).await?;
    log.add_told("tcp-so", told.started, told.records);
    Ok(told.outcome)
}

#[cfg(not(target_os = "linux"))]
async fn crossing(_: &Shared, _: &mut Log) -> Result<Outcome, String> {
    Err("this system has none".into())
}
