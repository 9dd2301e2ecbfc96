//! `ice-probe`: why two machines connect, or do not.

mod args;
mod check;
mod connect;
mod demo;
mod eventlog;
mod exit;
mod explain;
mod jsonl;
mod manual;
mod outcome;
mod print;
mod reach;
mod record;
mod rendezvous;
mod schema;
mod serve;
mod setup;
mod signals;
mod stdio;
mod turn;
mod words;

use std::panic::PanicHookInfo;
use std::process::ExitCode;

use clap::Parser as _;
use tokio::runtime;
use tracing_subscriber::EnvFilter;

use args::{Args, Command};
use exit::{Exit, Failure};

/// Threads for sockets and timers.
const WORKERS: usize = 2;

fn main() -> ExitCode {
    std::panic::set_hook(Box::new(internal_error));
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => {
            // A reader that has gone is no error of ours.
            let _ = error.print();
            return if error.use_stderr() { Exit::Usage } else { Exit::Direct }.into();
        }
    };
    diagnostics(&args);
    match run(&args) {
        Ok(exit) => exit,
        Err(failure) => {
            if !failure.message.is_empty() {
                anstream::eprintln!("ice-probe: {}", failure.message);
            }
            failure.exit
        }
    }
    .into()
}

fn run(args: &Args) -> Result<Exit, Failure> {
    let runtime =
        runtime::Builder::new_multi_thread().worker_threads(WORKERS).enable_all().build().map_err(
            |error| Failure::new(Exit::Internal, format!("cannot start threads: {error}")),
        )?;
    let result = runtime.block_on(async {
        match &args.command {
            Command::Check(check) => check::run(check).await,
            Command::Demo(demo) => demo::run(demo).await,
            Command::Stdio(stdio) => stdio::run(stdio).await,
            Command::Serve(serve) => serve::run(serve).await,
            Command::Connect(connect) => connect::run(connect, args.quiet, args.verbose > 0).await,
            Command::Explain(explain) => explain::run(explain),
            Command::Completions(completions) => manual::completions(completions),
            Command::Man(man) => manual::man(man),
            Command::Schema(schema) => schema::run(schema),
        }
    });
    // A name that is still being resolved holds nobody up.
    runtime.shutdown_background();
    result
}

/// Traces go to stderr; `turn` would put payload into its own.
fn diagnostics(args: &Args) {
    let filter = match (args.quiet, args.verbose) {
        (true, _) => "off",
        // What the library warns of, the program says in its own words.
        (false, 0) => "error,turn=off,quinn=off,ice_probe=warn",
        (false, 1) => "floe=debug,info,turn=info",
        (false, _) => "floe=trace,info,turn=info",
    };
    let traces = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(filter))
        .with_writer(anstream::stderr);
    match args.verbose {
        0 => traces.without_time().with_target(false).init(),
        _ => traces.init(),
    }
}

/// Instead of a backtrace.
fn internal_error(info: &PanicHookInfo<'_>) {
    let place = info.location().map(|at| format!(" ({at})")).unwrap_or_default();
    let what = info.payload_as_str().unwrap_or("unknown");
    anstream::eprintln!("ice-probe: internal error: {}{place}", what.escape_debug());
    std::process::exit(Exit::Internal.code().into());
}
