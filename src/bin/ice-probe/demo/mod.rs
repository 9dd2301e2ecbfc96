//! `ice-probe demo`: two agents on this machine.

mod data;
mod report;
mod side;
mod text;
mod udp;

use serde_json::json;

use crate::args::Demo;
use crate::eventlog::EventLog;
use crate::exit::{Exit, Failure};
use crate::print;
use crate::signals::Signals;
use report::{Report, Run};

/// The runs that are still to be built.
const NOT_BUILT: [&str; 3] = ["tcp", "tcp-so", "relay"];

/// Runs the command.
pub(crate) async fn run(args: &Demo) -> Result<Exit, Failure> {
    let shared = &args.shared;
    shared.supported()?;
    let servers = shared.stun_servers()?;
    let mut signals = Signals::new().map_err(|error| {
        Failure::new(Exit::Internal, format!("cannot listen for signals: {error}"))
    })?;
    let mut log = match &shared.log {
        Some(path) => {
            let header = json!({"role": null, "options": shared.for_log()});
            Some(EventLog::create(path, "demo", &header)?)
        }
        None => None,
    };
    let udp = tokio::select! {
        udp = udp::run(shared, servers, log.as_mut()) => udp?,
        () = signals.wait() => return Err(Failure::new(Exit::Interrupted, "interrupted")),
    };
    let skipped = NOT_BUILT.map(|name| Run::skipped(name, "not built yet"));
    let report = Report::new([udp].into_iter().chain(skipped).collect());
    let text = if args.json { report.to_json() } else { text::write(&report) };
    print::text(&text)?;
    Ok(report.exit())
}
