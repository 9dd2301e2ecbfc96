//! Names of candidates over real multicast, between two processes: an agent
//! of this one publishes, `ice-probe` resolves.

#![cfg(all(feature = "cli", target_os = "linux"))]
#![allow(clippy::unwrap_used)]

#[path = "harness/mod.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod harness;

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use floe::agent::{Event, RemoteParameters};
use floe::candidate::{Candidate, Host};
use floe::check::Role;
use floe::{Agent, AgentConfig};
use harness::namespace::{Namespace, enter};
use serde_json::{Value, json};
use tokio::sync::mpsc;

/// Longer than anything here takes: only a hang reaches it.
const HANG: Duration = Duration::from_secs(25);

async fn in_time<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(HANG, future).await.expect("the test hangs")
}

/// An `ice-probe stdio` that is killed at the end.
struct Probe {
    child: Child,
    input: ChildStdin,
    lines: mpsc::UnboundedReceiver<Value>,
}

impl Probe {
    fn start(namespace: &Namespace, options: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ice-probe"));
        command.args(["stdio", "--controlled"]).args(options);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = namespace.run(|| command.spawn()).unwrap();
        let (input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let (sender, lines) = mpsc::unbounded_channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                let _ = sender.send(serde_json::from_str(&line).unwrap());
            }
        });
        Probe { child, input, lines }
    }

    fn tell(&mut self, line: &Value) {
        writeln!(self.input, "{line}").unwrap();
    }

    /// The next line of the type.
    async fn line(&mut self, kind: &str) -> Value {
        loop {
            let line = in_time(self.lines.recv()).await.expect("a line before the end");
            assert_ne!(line["type"], "error", "{line}");
            if line["type"] == kind {
                return line;
            }
        }
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The agent publishes its addresses in `ours`; the probe is in `theirs` and
/// has nothing but names to go by. `count` names there are.
async fn meet(theirs: &Namespace, options: &[&str], config: AgentConfig, count: usize) {
    let mut probe = Probe::start(theirs, options);
    let agent = Agent::new(config).unwrap();
    let ours = agent.credentials();
    probe.tell(&json!({"type":"credentials","ufrag":ours.ufrag,"pwd":ours.pwd,"pacing":5}));
    agent.gather().unwrap();
    let mut names = 0;
    loop {
        match in_time(agent.next_event()).await.unwrap() {
            Event::Candidate { candidate, .. } => {
                assert!(matches!(candidate.host, Host::Name(_)), "{candidate}");
                probe.tell(&json!({"type":"candidate","candidate":candidate.to_string()}));
                names += 1;
            }
            Event::EndOfCandidates { .. } => break,
            _ => {}
        }
    }
    assert_eq!(names, count);
    probe.tell(&json!({"type":"end-of-candidates"}));
    let theirs = probe.line("credentials").await;
    let text = |key: &str| theirs[key].as_str().unwrap().to_owned();
    agent.set_remote(RemoteParameters::new(&text("ufrag"), &text("pwd"))).unwrap();
    // Of the probe's candidates the agent hears nothing.
    in_time(agent.connected()).await.unwrap();
    let selected = probe.line("selected").await;
    let remote: Candidate = selected["remote"].as_str().unwrap().parse().unwrap();
    assert!(matches!(remote.host, Host::Name(_)), "{remote}");
    in_time(agent.close()).await;
    drop(probe);
    // In the end nothing is left of it: no thread, no socket.
    for _ in 0..500 {
        if sockets() == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the sockets outlive the last agent");
}

/// UDP sockets of this thread's network on the port of multicast DNS.
fn sockets() -> usize {
    const PORT: &str = ":14E9 ";
    let files = ["/proc/thread-self/net/udp", "/proc/thread-self/net/udp6"];
    let lines = files.map(|file| std::fs::read_to_string(file).unwrap());
    lines.iter().flat_map(|text| text.lines()).filter(|line| line.contains(PORT)).count()
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

fn publishing() -> AgentConfig {
    let mut config = AgentConfig::new(Role::Controlling);
    config.ice.publish_mdns = true;
    config
}

#[test]
fn names_are_resolved_over_a_link() {
    if !enter("names_are_resolved_over_a_link") {
        return;
    }
    let [a, b] = [Namespace::new("a"), Namespace::new("b")];
    a.connect("a0", &b, "b0");
    for (namespace, interface, n) in [(&a, "a0", 1), (&b, "b0", 2)] {
        namespace.ip(&format!("addr add 10.9.0.{n}/24 dev {interface}"));
        namespace.ip(&format!("addr add fd00:9::{n}/64 dev {interface} nodad"));
    }
    for ip in [&["10.9.0.1"][..], &["fd00:9::1"], &["10.9.0.1", "fd00:9::1"]] {
        let mut config = publishing();
        config.bind = ip.iter().map(|ip| ip.parse().unwrap()).collect();
        a.run(|| runtime().block_on(meet(&b, &[], config, ip.len())));
    }
}

/// Both processes share the port, and one machine's multicast.
#[test]
fn names_are_resolved_on_one_machine() {
    if !enter("names_are_resolved_on_one_machine") {
        return;
    }
    let one = Namespace::new("one");
    let mut config = publishing();
    config.ice.include_loopback = true;
    config.bind.push("127.0.0.1".parse().unwrap());
    let options = ["--include-loopback", "--bind", "127.0.0.1"];
    one.run(|| {
        runtime().block_on(meet(&one, &options, config, 1));
    });
}
