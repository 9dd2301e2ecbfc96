//! `ice-probe stdio`: an agent as a filter.

mod lines;
mod rendezvous;
mod session;
pub(crate) mod signalling;
pub(crate) mod stats;

use std::time::Duration;

use floe::agent::{Event, State};
use floe::candidate::ComponentId;
use floe::check::Role;
use floe::driver::AgentError;
use floe::{Agent, Connection};
use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::{self, Instant};

use crate::args::Stdio;
use crate::eventlog::EventLog;
use crate::exit::{Exit, Failure};
use crate::jsonl::Output;
use crate::setup::agent_config;
use crate::signals::Signals;
use lines::{Line, Writer};
use session::Session;

/// Received datagrams that wait to be printed; beyond them the connection's
/// own queue fills, and drops.
const RECEIVED_QUEUE: usize = 64;

/// The largest UDP payload.
const MAX_DATAGRAM: usize = 65_535;

/// How long the end may wait for a reader of the output that has stalled.
const FINISH: Duration = Duration::from_secs(2);

/// How often the records of the agent are written to the log.
const LOG_INTERVAL: Duration = Duration::from_millis(50);

/// Why a session ended.
enum End {
    /// `close`, the end of input, or nobody reads the output.
    Closed,
    /// There is no address to use, for this reason.
    NoNetwork(String),
    /// It was not connected in time.
    Timeout,
    /// Ctrl-C.
    Interrupted,
}

impl End {
    /// What is to be said about it.
    fn last_line(&self) -> Option<Output> {
        match self {
            End::Timeout => Some(Output::error("timeout", "not connected in time")),
            End::NoNetwork(why) => Some(Output::error("no-network", why.clone())),
            End::Closed | End::Interrupted => None,
        }
    }
}

/// Runs the command.
pub(crate) async fn run(args: &Stdio) -> Result<Exit, Failure> {
    let shared = &args.shared;
    shared.supported()?;
    let appointment = args.rendezvous.read()?;
    if appointment.is_some() {
        rendezvous::supported(shared)?;
    }
    // Of a rendezvous the tie-breakers settle the roles.
    let role = shared.role().or(appointment.as_ref().map(|_| Role::Controlling));
    let Some(role) = role else {
        let sentence = "stdio needs --controlling or --controlled, or --secret-file";
        return Err(Failure::new(Exit::Usage, sentence));
    };
    let servers = (shared.stun_servers()?, shared.turn_servers()?);
    let mut signals = Signals::new().map_err(|error| {
        Failure::new(Exit::Internal, format!("cannot listen for signals: {error}"))
    })?;
    let timeout = match &appointment {
        Some(_) => shared.timeout_or(rendezvous::TIMEOUT),
        None => shared.timeout(),
    };
    let log = event_log(args, role, timeout)?;
    let deadline = Instant::now() + timeout;
    let mut lines = lines::reader(std::io::stdin());
    let writer = Writer::new(std::io::stdout());
    let agent = match &appointment {
        None => Agent::new(agent_config(shared, role, servers, log.is_some())).map_err(no_agent)?,
        Some(appointment) => {
            let met = rendezvous::wait(
                appointment,
                shared,
                (&mut lines, &writer),
                &mut signals,
                deadline,
            );
            match met.await? {
                Ok(agent) => agent,
                Err(end) => return Ok(alone(end, writer).await),
            }
        }
    };
    let mut received = receive(&agent, shared.components);
    let mut session = Session::new(agent, args, log, writer);
    let end = tokio::select! {
        end = exchange(&mut session, &mut lines, &mut received, deadline) => end,
        () = signals.wait() => End::Interrupted,
    };
    let exit = match end {
        End::Closed | End::Timeout => session.outcome().exit(),
        End::NoNetwork(_) => Exit::NoNetwork,
        End::Interrupted => session.outcome().interrupted(),
    };
    // A second Ctrl-C, or a stalled reader, cuts this short.
    tokio::select! {
        () = finish(session, end) => {}
        () = time::sleep(FINISH) => {}
        () = signals.wait() => {}
    }
    Ok(exit)
}

async fn exchange(
    session: &mut Session,
    lines: &mut mpsc::Receiver<Line>,
    received: &mut mpsc::Receiver<Output>,
    deadline: Instant,
) -> End {
    if let Err(error) = session.start().await {
        return End::NoNetwork(error.to_string());
    }
    let mut tick = time::interval(LOG_INTERVAL);
    let timeout = time::sleep_until(deadline);
    tokio::pin!(timeout);
    loop {
        let connected = session.outcome().has_connected();
        tokio::select! {
            line = lines.recv() => match line {
                Some(line) => {
                    if session.line(line).await.is_break() {
                        return End::Closed;
                    }
                }
                None => return End::Closed,
            },
            event = session.next_event() => match event {
                Some(event) => session.event(event).await,
                None => return End::Closed,
            },
            Some(output) = received.recv() => session.print(&output).await,
            () = session.reader_gone() => return End::Closed,
            () = &mut timeout, if !connected => return End::Timeout,
            _ = tick.tick() => session.write_log(),
        }
    }
}

/// One task a component hands on what arrives.
fn receive(agent: &Agent, components: u16) -> mpsc::Receiver<Output> {
    let (sender, receiver) = mpsc::channel(RECEIVED_QUEUE);
    for component in (1..=components).filter_map(ComponentId::new) {
        if let Some(connection) = agent.connection(component) {
            tokio::spawn(forward(connection, component.number(), sender.clone()));
        }
    }
    receiver
}

async fn forward(connection: Connection, component: u16, sender: mpsc::Sender<Output>) {
    let mut buffer = vec![0; MAX_DATAGRAM];
    while let Ok(length) = connection.recv(&mut buffer).await {
        let datagram = buffer.get(..length).unwrap_or_default();
        if sender.send(Output::received(component, datagram)).await.is_err() {
            break;
        }
    }
}

fn event_log(args: &Stdio, role: Role, timeout: Duration) -> Result<Option<EventLog>, Failure> {
    let Some(path) = &args.shared.log else { return Ok(None) };
    let mut header = json!({"role": role.to_string(), "options": args.shared.for_log()});
    if let Some(peer) = args.rendezvous.peer {
        header["options"]["peer"] = json!(peer);
        header["options"]["timeout"] = json!(timeout.as_secs());
    }
    EventLog::create(path, "stdio", &header).map(Some)
}

fn no_agent(error: AgentError) -> Failure {
    Failure::new(Exit::Internal, format!("cannot make an agent: {error}"))
}

/// The end of a rendezvous to which nobody came.
async fn alone(end: End, writer: Writer) -> Exit {
    if let Some(last) = end.last_line() {
        writer.line(last.to_line()).await;
    }
    // A reader that has stalled is not waited for.
    let _ = time::timeout(FINISH, writer.finish()).await;
    match end {
        End::Closed | End::Timeout => Exit::NoPair,
        End::NoNetwork(_) => Exit::NoNetwork,
        End::Interrupted => Exit::Interrupted,
    }
}

async fn finish(mut session: Session, end: End) {
    if let Some(last) = end.last_line() {
        session.print(&last).await;
    }
    session.close().await;
    while let Some(event) = session.next_event().await {
        let closed = matches!(event, Event::State { state: State::Closed, .. });
        session.event(event).await;
        if closed {
            break;
        }
    }
    session.finish().await;
}
