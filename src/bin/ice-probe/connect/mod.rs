//! `ice-probe connect`: two machines that share a code, or exchange a line,
//! and what goes between them.

mod file;
mod frame;
mod negotiate;
mod options;
mod room;
mod secure;
mod stdin;
mod talk;
mod token;
mod view;

use std::path::Path;
use std::time::Duration;

use floe::Agent;
use floe::candidate::ComponentId;
use floe::check::Role;
use floe::rendezvous::{Code, Side};
use serde_json::json;
use tokio::fs::File;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout, timeout_at};

pub(crate) use options::{EXAMPLES, Options};

use crate::eventlog::EventLog;
use crate::exit::{Exit, Failure};
use crate::outcome::Outcome;
use crate::setup::agent_config;
use crate::signals::Signals;
use negotiate::Negotiation;
use room::{Room, Url};
use secure::{Carrier, Identity, Link, Pair};
use stdin::Stdin;
use talk::{End, Work};
use view::View;

/// How long a handshake may take once there is a path.
const HANDSHAKE: Duration = Duration::from_secs(15);

/// How long the end may take.
const CLOSE: Duration = Duration::from_secs(2);

/// Lines of a token.
const TOKEN_LINES: usize = 512;

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
    let mut stdin = rendezvous.is_none().then(Stdin::new);
    let work = work(options).await?;
    let identity = Identity::new()?;
    // Wrong servers are told of before anything else.
    (options.shared.stun_servers()?, options.shared.turn_servers()?);
    let meeting = async {
        match rendezvous {
            Some((url, code)) => at_rendezvous(options, &identity, &url, code, &view).await,
            None => by_hand(options, &identity, stdin.as_mut(), &view).await,
        }
    };
    let mut negotiation = match or_signal(meeting, &mut signals).await {
        Waited::Done(negotiation) => negotiation?,
        Waited::Interrupted => return Ok(Exit::Interrupted),
    };
    let deadline = Instant::now() + options.shared.timeout();
    let securing = secured(&mut negotiation, &identity, deadline);
    let link = match or_signal(securing, &mut signals).await {
        Waited::Done(link) => link?,
        Waited::Interrupted => {
            negotiation.write_log();
            return Ok(Exit::Interrupted);
        }
    };
    let carrier = link.carrier.clone();
    view.line(&format!("connected: {}", words(&carrier, negotiation.agent())));
    let work = work.unwrap_or_else(|| Work::Pipe(stdin.unwrap_or_else(Stdin::new)));
    let agent = negotiation.agent().clone();
    let status = || words(&carrier, &agent);
    let talking = talk::talk(link, work, options.receive.clone(), &view, &status, &mut signals);
    let end = negotiation.beside(talking).await;
    let lost = || {
        let why = negotiation.failed().unwrap_or("it broke").to_owned();
        Failure::new(Exit::Lost, format!("the connection is lost: {why}"))
    };
    let end = end.unwrap_or_else(|| Err(lost()));
    view.detail(&status());
    close(&negotiation, &carrier).await;
    negotiation.write_log();
    match end? {
        End::Done | End::Interrupted => Ok(negotiation.outcome().exit()),
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
    view: &'a View,
) -> Result<Negotiation<'a>, Failure> {
    let shared = &options.shared;
    let servers = (shared.stun_servers()?, shared.turn_servers()?);
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

/// Meets the other side; what it has to know goes out as it is found.
async fn at_rendezvous<'a>(
    options: &Options,
    identity: &Identity,
    url: &Url,
    code: Option<Code>,
    view: &'a View,
) -> Result<Negotiation<'a>, Failure> {
    let is_made = code.is_none();
    let room = Room::enter(url, code, &options.shared.reach).await?;
    if is_made {
        let code = room.code().text();
        anstream::eprintln!("on the other machine: ice-probe connect {code} --via {url}");
    }
    view.line("waiting for the other side");
    let (side, lines) = room.meet(view).await?;
    view.line("the other side is there, and has the code");
    let role = match side {
        Side::Low => Role::Controlling,
        Side::High => Role::Controlled,
    };
    let mut negotiation = negotiation(options, options.shared.role().unwrap_or(role), view)?;
    negotiation.carry(lines.to_peer, lines.from_peer);
    for line in negotiation.first_lines(identity.fingerprint()) {
        negotiation.say(line);
    }
    gather(&negotiation)?;
    Ok(negotiation)
}

fn gather(negotiation: &Negotiation<'_>) -> Result<(), Failure> {
    let gathering = negotiation.agent().gather();
    gathering.map_err(|error| Failure::new(Exit::NoNetwork, error.to_string()))
}

/// A person carries what there is to know, one line each way.
async fn by_hand<'a>(
    options: &Options,
    identity: &Identity,
    stdin: Option<&mut Stdin>,
    view: &'a View,
) -> Result<Negotiation<'a>, Failure> {
    // Where both sides say the same, the tie-breakers settle it.
    let role = options.shared.role().unwrap_or(Role::Controlling);
    let mut negotiation = negotiation(options, role, view)?;
    gather(&negotiation)?;
    let mut lines = negotiation.first_lines(identity.fingerprint()).to_vec();
    lines.extend(negotiation.gathered().await);
    anstream::eprintln!("paste this line into the other side, and its line here:\n");
    anstream::eprintln!("{}\n", token::write(&lines));
    let usage = |why: &str| Failure::new(Exit::Usage, why);
    let no_line = || usage("the other side's line did not come on stdin");
    let line = stdin.ok_or_else(no_line)?.line().await.ok_or_else(no_line)?;
    let lines = token::read(&line).map_err(|why| usage(&format!("what was pasted: {why}")))?;
    let (sender, receiver) = mpsc::channel(TOKEN_LINES);
    for line in lines.into_iter().take(TOKEN_LINES - 1) {
        let _ = sender.try_send(line);
    }
    let _ = sender.try_send(json!({"type": "end-of-candidates"}).to_string());
    negotiation.carry(mpsc::channel(1).0, receiver);
    Ok(negotiation)
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

/// Ends it: QUIC takes leave, and TURN allocations are released.
async fn close(negotiation: &Negotiation<'_>, carrier: &Carrier) {
    let closing = async {
        if let Carrier::Quic(endpoint, quic) = carrier {
            quic.close(0_u32.into(), b"done");
            endpoint.wait_idle().await;
        }
        negotiation.agent().close().await;
    };
    let _ = timeout(CLOSE, closing).await;
}
