//! Network namespaces without root: a test runs itself again inside
//! namespaces of its own and lays out hosts and links there.
//!
//! Nothing in them leads outside, so no packet leaves the machine.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::thread;

use nix::sched::{CloneFlags, setns, unshare};

use super::requirement::lacking;

/// Set, to the test's name, in the run inside the namespaces.
const INSIDE: &str = "FLOE_NAMESPACE";

/// Runs the test called `name` again with a network of its own and gives true
/// in that inner run; in the outer one gives false when the inner one passed
/// or when this machine has no namespaces.
///
/// # Panics
///
/// If the inner run fails.
pub(crate) fn enter(name: &str) -> bool {
    if std::env::var(INSIDE).is_ok_and(|inside| inside == name) {
        return true;
    }
    let Some(options) = unshare_options() else {
        lacking("nft", "this machine lets nobody make network namespaces");
        return false;
    };
    let program = std::env::current_exe().expect("the test program has a path");
    let output = Command::new("unshare")
        .args(options)
        .arg(program)
        .args(["--exact", name, "--include-ignored", "--nocapture"])
        .env(INSIDE, name)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .expect("unshare runs, as it did before");
    print_without_framing(&String::from_utf8_lossy(&output.stdout));
    assert!(output.status.success(), "{name} failed inside its namespaces");
    false
}

/// Prints what the inner run had to say, without the lines in which its test
/// harness counts the test that the outer one counts.
fn print_without_framing(output: &str) {
    const FRAMING: [&str; 3] = ["running ", "test ", "failures:"];
    let framing = |line: &&str| FRAMING.iter().any(|start| line.starts_with(start));
    for line in output.lines().filter(|line| !line.is_empty() && !framing(line)) {
        println!("{line}");
    }
}

/// A user namespace where this is allowed, else root's own right.
fn unshare_options() -> Option<&'static [&'static str]> {
    const CHOICES: [&[&str]; 2] = [&["--user", "--map-root-user", "--net"], &["--net"]];
    // Reading nothing but the new namespace's own switch also shows whether
    // it can forward, which a NAT needs.
    let probe = "echo 1 > /proc/sys/net/ipv4/ip_forward && ip link set lo up";
    CHOICES.into_iter().find(|options| {
        Command::new("unshare")
            .args(*options)
            .args(["sh", "-c", probe])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    })
}

/// A network namespace: a host, a router or a wire.
#[derive(Clone, Debug)]
pub(crate) struct Namespace {
    name: &'static str,
    file: Arc<File>,
}

impl Namespace {
    /// Makes an empty one, in which only loopback is up.
    pub(crate) fn new(name: &'static str) -> Self {
        let namespace = Self::bare(name);
        namespace.ip("link set lo up");
        namespace
    }

    /// Makes an empty one, in which not even loopback is up.
    pub(crate) fn bare(name: &'static str) -> Self {
        let file = thread::spawn(|| -> io::Result<File> {
            unshare(CloneFlags::CLONE_NEWNET)?;
            File::open("/proc/thread-self/ns/net")
        })
        .join()
        .expect("the thread only makes system calls")
        .unwrap_or_else(|error| panic!("namespace {name}: {error}"));
        Self { name, file: Arc::new(file) }
    }

    /// What the test calls it.
    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    /// Runs `work` on a thread inside; sockets and processes that it makes
    /// stay there.
    pub(crate) fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        thread::scope(|scope| {
            scope
                .spawn(|| {
                    self.join_thread();
                    work()
                })
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Moves the calling thread inside, for good.
    pub(crate) fn join_thread(&self) {
        setns(&*self.file, CloneFlags::CLONE_NEWNET)
            .unwrap_or_else(|error| panic!("entering {}: {error}", self.name));
    }

    /// Runs `ip` with these words as its arguments.
    pub(crate) fn ip(&self, arguments: &str) {
        let mut command = Command::new("ip");
        command.args(arguments.split_whitespace());
        self.must(command, arguments);
    }

    /// Runs `ip` once for all of these lines.
    pub(crate) fn ip_all(&self, lines: &[String]) {
        let lines = lines.join("\n");
        let mut command = Command::new("ip");
        command.args(["-batch", "-"]).stdin(Stdio::piped());
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        let output = self.run(|| {
            let mut child = command.spawn()?;
            // One that has ended takes no more, and says why.
            let _ = child.stdin.take().map(|mut input| input.write_all(lines.as_bytes()));
            child.wait_with_output()
        });
        self.check(output, &lines);
    }

    /// Tells nftables something; gives what it says.
    pub(crate) fn nft(&self, rules: &str) -> String {
        let mut command = Command::new("nft");
        command.arg(rules);
        self.must(command, rules)
    }

    /// Sets `net.NAME` of this namespace.
    pub(crate) fn sysctl(&self, name: &str, value: &str) {
        self.sysctls(&[(name, value)]);
    }

    /// Sets each `net.NAME` of this namespace.
    pub(crate) fn sysctls(&self, settings: &[(&str, &str)]) {
        self.run(|| {
            for (name, value) in settings {
                let path = format!("/proc/sys/net/{}", name.replace('.', "/"));
                std::fs::write(&path, value)
                    .unwrap_or_else(|error| panic!("{}: {path}: {error}", self.name));
            }
        });
    }

    /// Joins two namespaces by a pair of interfaces, both up.
    pub(crate) fn connect(&self, interface: &str, other: &Self, other_interface: &str) {
        self.ip(&Self::pair(interface, other, other_interface));
        for (namespace, interface) in [(self, interface), (other, other_interface)] {
            // One segment at most: a frame on the wire is what a capture on a
            // real one would show.
            namespace.ip(&format!("link set {interface} gso_max_segs 1 up"));
        }
    }

    /// What `ip` is told here to join this namespace to another by a pair of
    /// interfaces, both down as yet.
    pub(crate) fn pair(interface: &str, other: &Self, other_interface: &str) -> String {
        format!(
            "link add {interface} type veth peer name {other_interface} netns /proc/{}/fd/{}",
            std::process::id(),
            other.file.as_raw_fd(),
        )
    }

    fn must(&self, mut command: Command, what: &str) -> String {
        let output = self.run(|| command.stdin(Stdio::null()).output());
        self.check(output, what)
    }

    fn check(&self, output: io::Result<Output>, what: &str) -> String {
        let output = output.unwrap_or_else(|error| panic!("{}: {what}: {error}", self.name));
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {what}: {complaint}", self.name);
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}
