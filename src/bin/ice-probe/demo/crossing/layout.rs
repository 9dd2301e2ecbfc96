//! Two hosts and the wire between them:
//!
//! ```text
//!   A 10.1.0.2 ── NAT 203.0.113.1 ── wire ── NAT 203.0.113.2 ── B 10.2.0.2
//! ```
//!
//! The outer addresses are local ones of the wire's namespace, so that what
//! is sent to them arrives at its raw sockets; that it has no way back to the
//! hosts keeps its system from answering.

use std::fs;
use std::io::Write;
use std::net::Ipv4Addr;
use std::process::{Command, Stdio};

use tokio::runtime::{self, EnterGuard, Runtime};

use super::namespace::Namespace;

/// The interfaces of the wire, one to each host.
pub(super) const TO_HOSTS: [&str; 2] = ["to-a", "to-b"];

/// The hosts' addresses.
pub(super) const INSIDE: [Ipv4Addr; 2] = [Ipv4Addr::new(10, 1, 0, 2), Ipv4Addr::new(10, 2, 0, 2)];

/// Those of their NATs, from the block for documentation (RFC 5737).
pub(super) const OUTSIDE: [Ipv4Addr; 2] =
    [Ipv4Addr::new(203, 0, 113, 1), Ipv4Addr::new(203, 0, 113, 2)];

/// A host.
pub(super) struct Host {
    /// Its network.
    pub(super) namespace: Namespace,
    /// The address that it has.
    pub(super) inside: Ipv4Addr,
    /// The address that others see.
    pub(super) outside: Ipv4Addr,
    threads: Threads,
}

impl Host {
    /// What is made meanwhile runs on the threads of the host.
    pub(super) fn enter(&self) -> Option<EnterGuard<'_>> {
        self.threads.0.as_ref().map(Runtime::enter)
    }
}

/// What the agent of a host runs on, inside its namespace.
struct Threads(Option<Runtime>);

impl Drop for Threads {
    fn drop(&mut self) {
        // Waiting for them is not allowed where others run.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// Whether the system opens a connection from both ends at once: hardened
/// ones have a switch for it.
pub(super) fn knows_simultaneous_open() -> bool {
    let switch = fs::read_to_string("/proc/sys/net/ipv4/tcp_simult_connect");
    switch.map_or(true, |value| value.trim() != "0")
}

/// Makes the hosts and joins them to the network of the calling thread.
pub(super) fn lay_out() -> Result<[Host; 2], String> {
    // A source without a way back is what it is meant to be; where the setting
    // can not be changed, it may be right already.
    for scope in ["all", "default"] {
        let _ = fs::write(format!("/proc/sys/net/ipv4/conf/{scope}/rp_filter"), "0");
    }
    let mut lines = vec!["link set lo up".to_owned()];
    lines.extend(OUTSIDE.map(|address| format!("address add {address}/32 dev lo")));
    let hosts = [0, 1].map(|side| host(side, &mut lines));
    let [a, b] = hosts;
    let hosts = [a?, b?];
    ip(lines)?;
    for (side, host) in hosts.iter().enumerate() {
        host.namespace.call(|| ip(inside_lines(side)))?;
    }
    Ok(hosts)
}

fn host(side: usize, lines: &mut Vec<String>) -> Result<Host, String> {
    let namespace = Namespace::new().map_err(|error| format!("no network namespace: {error}"))?;
    let (interface, path) = (TO_HOSTS[side], namespace.path());
    lines.extend([
        format!("link add {interface} type veth peer name eth0 netns {path}"),
        format!("link set {interface} address {}", hardware(1, side)),
        // A segment a packet, as on a real wire.
        format!("link set {interface} gso_max_segs 1 up"),
        format!("neighbour add {} lladdr {} dev {interface}", INSIDE[side], hardware(2, side)),
    ]);
    let entered = namespace.clone();
    let runtime = runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .on_thread_start(move || entered.enter())
        .enable_all()
        .build()
        .map_err(|error| format!("no threads: {error}"))?;
    let threads = Threads(Some(runtime));
    Ok(Host { namespace, inside: INSIDE[side], outside: OUTSIDE[side], threads })
}

/// What `ip` is told inside a host.
fn inside_lines(side: usize) -> Vec<String> {
    let mut router = INSIDE[side].octets();
    router[3] = 1;
    let router = Ipv4Addr::from(router);
    vec![
        "link set lo up".into(),
        format!("link set eth0 address {}", hardware(2, side)),
        "link set eth0 gso_max_segs 1 up".into(),
        format!("address add {}/24 dev eth0", INSIDE[side]),
        // Nobody has to be asked for it, which would take a round trip.
        format!("neighbour add {router} lladdr {} dev eth0", hardware(1, side)),
        format!("route add default via {router}"),
    ]
}

/// The hardware address of an end of the link to a host.
fn hardware(end: u8, side: usize) -> String {
    format!("02:00:00:00:0{end}:0{}", side + 1)
}

/// Runs `ip` once for all lines.
fn ip(lines: Vec<String>) -> Result<(), String> {
    let told = |error| format!("ip does not run: {error}");
    let mut child = Command::new("ip")
        .args(["-batch", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(told)?;
    // One that has ended takes no more, and says why.
    let _ = child.stdin.take().map(|mut input| input.write_all(lines.join("\n").as_bytes()));
    let output = child.wait_with_output().map_err(told)?;
    if output.status.success() {
        return Ok(());
    }
    let complaint = String::from_utf8_lossy(&output.stderr);
    Err(format!("ip: {}", complaint.lines().next().unwrap_or("failed").escape_debug()))
}
