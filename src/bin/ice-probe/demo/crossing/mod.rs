//! Simultaneous open where SYNs can cross: between two hosts in network
//! namespaces, each behind a NAT, with a delay between them.
//!
//! The program runs itself again inside a user and a network namespace of its
//! own (`unshare`), lays out the hosts there (`ip`) and is itself the wire
//! with the NATs. Root is not needed, and no packet leaves the machine. All of
//! it ends with the program: the inner one when its input ends, the namespaces
//! with the last process inside.

mod layout;
mod namespace;
mod packet;
mod wire;

use std::io::{self, Read};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, SystemTime};

use floe::Agent;
use floe::agent::{LogLine, Rewrite, RewriteMode, Transports};
use floe::check::Role;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::pair::{self, Made};
use super::report::{Details, Moment, Outcome};
use super::side::{Home, Named, Side};
use crate::args::Shared;
use crate::exit::{Exit, Failure};
use crate::print;
use crate::setup::agent_config;
use layout::Host;
pub(crate) use namespace::Namespace;
use wire::Wire;

/// How long the inner program may take beyond the time to connect.
const OVERHEAD: Duration = Duration::from_secs(5);

/// The longest time to connect there, whatever the user gives.
const CONNECTING: Duration = Duration::from_secs(8);

/// More than the inner program prints, in bytes.
const MAX_TOLD: u64 = 32 << 20;

/// Where the run was made.
const NOTE: &str = "In network namespaces: two hosts, each behind a NAT that keeps ports and drops \
                    what its host has not asked for.";

/// What the inner program tells the outer one.
#[derive(Serialize, Deserialize)]
pub(crate) struct Told {
    /// How the run ended.
    pub(crate) outcome: Outcome,
    /// When its first record is of.
    pub(crate) started: SystemTime,
    /// All that happened to the agents.
    pub(crate) records: Vec<LogLine>,
}

/// Makes the run. An error is why this machine does not allow it.
pub(crate) async fn run(shared: &Shared) -> Result<Told, String> {
    // A user namespace where this is allowed, else root's own right.
    let first = match attempt(&["--user", "--map-root-user", "--net"], shared).await {
        Ok(told) => return Ok(told),
        Err(why) => why,
    };
    attempt(&["--net"], shared).await.map_err(|_| first)
}

/// The inner program; killed when nobody waits for it any more.
struct Inner(Child);

impl Drop for Inner {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn attempt(options: &[&str], shared: &Shared) -> Result<Told, String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let mut child = Command::new("unshare")
        .args(options)
        .arg("--")
        .arg(program)
        .args(["demo", "--inside"])
        .args(shared.for_inside(CONNECTING))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("unshare does not run: {error}"))?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let inner = Inner(child);
    let (sender, told) = oneshot::channel();
    thread::spawn(move || {
        let said = stdout.map(all_of).unwrap_or_default();
        let _ = sender.send((said, stderr.map(all_of).unwrap_or_default()));
    });
    let limit = shared.timeout().min(CONNECTING) + OVERHEAD;
    let told = timeout(limit, told).await;
    drop(inner);
    let Ok(Ok((said, complaint))) = told else { return Err("they took too long".into()) };
    serde_json::from_str::<Result<Told, String>>(&said).unwrap_or_else(|_| {
        let complaint = complaint.lines().last().unwrap_or("unshare failed");
        Err(complaint.escape_debug().to_string())
    })
}

fn all_of(from: impl Read) -> String {
    let mut bytes = Vec::new();
    let _ = from.take(MAX_TOLD).read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The inner program: makes the run and prints what it has to tell.
pub(crate) async fn inside(shared: &Shared) -> Result<Exit, Failure> {
    thread::spawn(|| {
        // Whoever has started it is gone, or has heard enough.
        let _ = io::copy(&mut io::stdin(), &mut io::sink());
        std::process::exit(Exit::Interrupted.code().into());
    });
    let told = made(shared).await;
    let text = serde_json::to_string(&told)
        .map_err(|error| Failure::new(Exit::Internal, error.to_string()))?;
    print::text(&text)?;
    Ok(Exit::Direct)
}

async fn made(shared: &Shared) -> Result<Told, String> {
    if !layout::knows_simultaneous_open() {
        return Err("this system refuses to open a connection from both ends at once".into());
    }
    let hosts = layout::lay_out()?;
    let wire = Wire::start().map_err(|error| format!("no raw sockets: {error}"))?;
    let role = shared.role().unwrap_or(Role::Controlling);
    let [a, b] = &hosts;
    let sides = [side("A", a, shared, role)?, side("B", b, shared, role.other())?];
    let started = SystemTime::now();
    let made = pair::run(sides, shared).await.map_err(|failure| failure.message)?;
    let line =
        |(name, record): &Named| LogLine { agent: Some((*name).into()), record: record.clone() };
    let records = made.records.iter().map(line).collect();
    Ok(Told { outcome: with_wire(made, &wire), started, records })
}

/// An agent of a host: behind its NAT it has the NAT's address too, as a STUN
/// server would tell it.
fn side(name: &'static str, host: &Host, shared: &Shared, role: Role) -> Result<Side, String> {
    let mut config = agent_config(shared, role, Default::default(), true);
    config.bind = vec![host.inside.into()];
    config.ice.include_loopback = false;
    config.ice.transports = Transports { tcp_so: true, ..super::NONE };
    (config.ice.ipv4, config.ice.ipv6) = (true, false);
    config.ice.rewrites = vec![Rewrite {
        local: host.inside.into(),
        public: host.outside.into(),
        mode: RewriteMode::Add,
    }];
    // That watch would be of this thread's network.
    config.watch_network = false;
    let home = Home::Namespace(host.namespace.clone());
    let agent = home.call(|| {
        let _runtime = host.enter();
        Agent::new(config)
    });
    let agent = agent.map_err(|error| format!("no agent: {error}"))?;
    Ok(Side::new(name, agent, home))
}

/// The outcome with what the wire has seen.
fn with_wire(made: Made, wire: &Wire) -> Outcome {
    let Made { mut outcome, clock, .. } = made;
    if let Outcome::Connected(details) | Outcome::Failed { details, .. } = &mut outcome {
        let Details { timeline, wire: seen, note, .. } = &mut **details;
        *seen = Some(wire.seen());
        *note = Some(NOTE.into());
        if let Some((instant, t)) = clock {
            timeline.extend(wire.moments(instant, t));
            timeline.sort_by(|one: &Moment, other| one.t.total_cmp(&other.t));
        }
    }
    outcome
}
