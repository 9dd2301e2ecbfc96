//! `ice-probe connect`: two machines that share a code, or exchange a line,
//! and what goes between them.

mod file;
mod frame;
mod meeting;
mod negotiate;
mod options;
mod room;
mod secure;
mod stdin;
mod talk;
mod token;
mod view;

use std::path::{Path, PathBuf};
use std::time::Duration;

use floe::Agent;
use floe::agent::{StunServer, TurnServer};
use floe::candidate::ComponentId;
use floe::check::Role;
use floe::rendezvous::Side;
use serde_json::json;
use tokio::fs::File;
use tokio::time::{Instant, timeout, timeout_at};

pub(crate) use options::{EXAMPLES, Options};

use crate::eventlog::EventLog;
use crate::exit::{Exit, Failure};
use crate::outcome::Outcome;
use crate::setup::agent_config;
use crate::signals::Signals;
use negotiate::Negotiation;
use room::Lines;
use secure::{Carrier, Identity, Link, Pair};
use stdin::Stdin;
use talk::{End, Work};
use view::View;

/// How long a handshake may take once there is a path.
const HANDSHAKE: Duration = Duration::from_secs(15);

/// How long the end may take.
const CLOSE: Duration = Duration::from_secs(2);

/// What came of waiting for something, the user or the clock.
enum Waited<T> {
    Done(T),
    Interrupted,
}

/// Runs the command.
pub(crate) async fn run(options: &Options, quiet: bool, verbose: bool) -> Result<Exit, Failure> {
    options.supported()?;
    let rendezvous = options.rendezvous()?;
    let view = View::new(quiet, verbose);
    let mut signals = Signals::new().map_err(|error| {
        Failure::new(Exit::Internal, format!("cannot listen for signals: {error}"))
    })?;
    let work = work(options).await?;
    let identity = Identity::new()?;
    // Wrong servers are told of before anything else.
    let servers = (options.shared.stun_servers()?, options.shared.turn_servers()?);
    let mut met = None;
    if let Some((url, code)) = rendezvous {
        let meeting = meeting::at_rendezvous(&options.shared.reach, &url, code, &view);
        match or_signal(meeting, &mut signals).await {
            Waited::Done(both) => met = Some(both?),
            Waited::Interrupted => return Ok(Exit::Interrupted),
        }
    }
    // Where both sides say the same, the tie-breakers settle it.
    let role = match &met {
        Some((Side::Low, _)) | None => Role::Controlling,
        Some((Side::High, _)) => Role::Controlled,
    };
    let role = options.shared.role().unwrap_or(role);
    let mut negotiation = negotiation(options, role, servers, &view)?;
    let lines = met.map(|(_, lines)| lines);
    let receive = options.receive.clone();
    let deadline = options.shared.timeout();
    let mut session = Session { identity, deadline, receive, view: &view, signals };
    let exit = session.run(&mut negotiation, lines, work).await;
    // TURN allocations are released.
    let _ = timeout(CLOSE, negotiation.agent().close()).await;
    negotiation.write_log();
    exit
}

/// What a session has besides its agent.
struct Session<'a> {
    identity: Identity,
    /// How long it may take until connected.
    deadline: Duration,
    receive: Option<PathBuf>,
    view: &'a View,
    signals: Signals,
}

impl Session<'_> {
    /// From the agent's first word to its last.
    async fn run(
        &mut self,
        negotiation: &mut Negotiation<'_>,
        lines: Option<Lines>,
        work: Option<Work>,
    ) -> Result<Exit, Failure> {
        let mut stdin = lines.is_none().then(Stdin::new);
        let beginning = async {
            match lines {
                Some(lines) => meeting::begin(negotiation, &self.identity, lines),
                None => meeting::by_hand(negotiation, &self.identity, stdin.as_mut()).await,
            }
        };
        match or_signal(beginning, &mut self.signals).await {
            Waited::Done(begun) => begun?,
            Waited::Interrupted => return Ok(Exit::Interrupted),
        }
        let deadline = Instant::now() + self.deadline;
        let securing = secured(negotiation, &self.identity, deadline);
        let link = match or_signal(securing, &mut self.signals).await {
            Waited::Done(link) => link?,
            Waited::Interrupted => return Ok(Exit::Interrupted),
        };
        let work = work.unwrap_or_else(|| Work::Pipe(stdin.unwrap_or_else(Stdin::new)));
        self.talk(negotiation, link, work).await
    }

    async fn talk(
        &mut self,
        negotiation: &mut Negotiation<'_>,
        link: Link,
        work: Work,
    ) -> Result<Exit, Failure> {
        let (carrier, agent) = (link.carrier.clone(), negotiation.agent().clone());
        let path = negotiation.path();
        self.view.line(&format!("connected: {}", words(&carrier, &agent)));
        let status = || {
            let path = path.borrow().as_ref().map(|path| path.words.clone()).unwrap_or_default();
            format!("{path}, {}", words(&carrier, &agent))
        };
        let receive = self.receive.clone();
        let talking = talk::talk(link, work, receive, self.view, &status, &mut self.signals);
        let end = negotiation.beside(talking).await;
        self.view.detail(&status());
        if let Carrier::Quic(endpoint, quic) = &carrier {
            quic.close(0_u32.into(), b"done");
            let _ = timeout(CLOSE, endpoint.wait_idle()).await;
        }
        let (End::Done | End::Interrupted) = end.unwrap_or_else(|| {
            let why = negotiation.failed().unwrap_or("it broke");
            Err(Failure::new(Exit::Lost, format!("the connection is lost: {why}")))
        })?;
        Ok(negotiation.outcome().exit())
    }
}

/// What this side does of its own accord; `None` for the pipe.
async fn work(options: &Options) -> Result<Option<Work>, Failure> {
    if let Some(path) = &options.send {
        let (file, size) = open(path).await.map_err(|error| {
            Failure::new(Exit::Usage, format!("--send {}: {error}", path.display()))
        })?;
        return Ok(Some(Work::Send { file, path: path.clone(), size }));
    }
    Ok(match (&options.receive, options.throughput) {
        (Some(_), _) => Some(Work::Receive),
        (_, true) => Some(Work::Throughput),
        _ => None,
    })
}

async fn open(path: &Path) -> std::io::Result<(File, u64)> {
    let file = File::open(path).await?;
    let data = file.metadata().await?;
    if !data.is_file() {
        return Err(std::io::Error::other("it is no file"));
    }
    Ok((file, data.len()))
}

fn negotiation<'a>(
    options: &Options,
    role: Role,
    servers: (Vec<StunServer>, Vec<TurnServer>),
    view: &'a View,
) -> Result<Negotiation<'a>, Failure> {
    let shared = &options.shared;
    let log = match &shared.log {
        Some(path) => {
            let header = json!({"role": role.to_string(), "options": shared.for_log()});
            Some(EventLog::create(path, "connect", &header)?)
        }
        None => None,
    };
    let agent = Agent::new(agent_config(shared, role, servers, log.is_some()));
    let agent = agent
        .map_err(|error| Failure::new(Exit::Internal, format!("cannot make an agent: {error}")))?;
    let outcome = Outcome::new(shared.servers(), shared.wants_host());
    Ok(Negotiation::new(agent, outcome, log, view))
}

/// Does it, unless the user has enough before.
async fn or_signal<T>(work: impl Future<Output = T>, signals: &mut Signals) -> Waited<T> {
    tokio::select! {
        done = work => Waited::Done(done),
        () = signals.wait() => Waited::Interrupted,
    }
}

/// Waits until there is a pair, and encrypts what goes over it.
async fn secured(
    negotiation: &mut Negotiation<'_>,
    identity: &Identity,
    deadline: Instant,
) -> Result<Link, Failure> {
    let (mut peer, mut path) = (negotiation.peer(), negotiation.path());
    let agent = negotiation.agent().clone();
    let connecting = async {
        let closed = |_| Failure::new(Exit::Lost, "the agent was closed");
        let peer = *peer.wait_for(Option::is_some).await.map_err(closed)?;
        let _ = agent.completed().await;
        let path = path.wait_for(Option::is_some).await.map_err(closed)?.clone();
        let (Some(peer), Some(path)) = (peer, path) else {
            return Err(Failure::new(Exit::Lost, "the agent was closed"));
        };
        let connection = agent.connection(ComponentId::ONE);
        let connection =
            connection.ok_or_else(|| Failure::new(Exit::Internal, "there is no component 1"))?;
        let pair = Pair { ours: identity, peer };
        let securing = timeout(HANDSHAKE, pair.secure(connection, path.protocol));
        let silent = |_| Failure::new(Exit::Lost, "the other side does not answer any more");
        securing.await.map_err(silent)?
    };
    match timeout_at(deadline, negotiation.beside(connecting)).await {
        Ok(Some(link)) => link,
        Ok(None) => Err(not_connected(negotiation)),
        Err(_) => Err(not_connected(negotiation)),
    }
}

fn not_connected(negotiation: &mut Negotiation<'_>) -> Failure {
    negotiation.write_log();
    let exit = negotiation.outcome().exit();
    let why = negotiation.failed().map(|why| format!(" ({why})")).unwrap_or_default();
    let sentence = match exit {
        Exit::NoNetwork => "this machine has no address to use".to_owned(),
        Exit::NoPair => format!("no pair of addresses worked{why}: a TURN server would help"),
        Exit::Direct | Exit::Relayed => {
            let sentence = "there was a path, and the other side did not use it";
            return Failure::new(Exit::Lost, sentence);
        }
        Exit::Lost => format!("the connection is lost{why}"),
        _ => format!("not connected{why}: {}", exit.meaning()),
    };
    Failure::new(exit, sentence)
}

/// How the path is: what encrypts it, its round-trip time and loss.
fn words(carrier: &Carrier, agent: &Agent) -> String {
    let millis = |time: Duration| format!("RTT {:.1} ms", time.as_secs_f64() * 1e3);
    match carrier {
        Carrier::Quic(_, quic) => {
            let path = quic.stats().path;
            let (sent, lost) = (path.sent_packets, path.lost_packets);
            let per_mille = (lost * 1_000).checked_div(sent).unwrap_or_default();
            format!("QUIC, {}, loss {}.{} %", millis(quic.rtt()), per_mille / 10, per_mille % 10)
        }
        Carrier::Tls => match Negotiation::round_trip(agent) {
            Some(time) => format!("TLS over TCP, {}", millis(time)),
            None => "TLS over TCP".to_owned(),
        },
    }
}
