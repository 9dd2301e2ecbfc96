//! `ice-probe` under test: as a command, and as a process to talk with.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use serde_json::Value;

/// No test waits longer for anything; then it fails.
const LIMIT: Duration = Duration::from_secs(30);

/// The program, with an environment that does not depend on who runs it.
pub(crate) fn ice_probe() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ice-probe"));
    command.env_remove("COLUMNS").env_remove("NO_COLOR").env_remove("CLICOLOR_FORCE");
    command.env_remove("ICE_PROBE_PASS");
    command.env("RUST_BACKTRACE", "1").stdin(Stdio::null());
    command
}

/// A running `ice-probe`; it is killed when the test ends before it does.
pub(crate) struct Probe {
    child: Child,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
}

impl Probe {
    /// Starts it.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let mut child = ice_probe()
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("ice-probe starts");
        let output = child.stdout.take().expect("its output is piped");
        let (sender, lines) = channel();
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        let input = child.stdin.take();
        Probe { child, input, lines }
    }

    /// Writes a line.
    pub(crate) fn write(&mut self, line: &str) {
        let input = self.input.as_mut().expect("its input is open");
        writeln!(input, "{line}").and_then(|()| input.flush()).expect("it reads its input");
    }

    /// Writes bytes as they are.
    pub(crate) fn write_bytes(&mut self, bytes: &[u8]) {
        let input = self.input.as_mut().expect("its input is open");
        input.write_all(bytes).and_then(|()| input.flush()).expect("it reads its input");
    }

    /// Ends its input.
    pub(crate) fn end_input(&mut self) {
        self.input = None;
    }

    /// Its next line, or `None` at the end.
    pub(crate) fn line(&self) -> Option<String> {
        match self.lines.recv_timeout(LIMIT) {
            Ok(line) => Some(line),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => panic!("nothing was printed for {LIMIT:?}"),
        }
    }

    /// Its next line as an object, or `None` at the end.
    pub(crate) fn object(&self) -> Option<Value> {
        self.line().map(|line| {
            serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line}: {error}"))
        })
    }

    /// Reads on until a line of the type.
    pub(crate) fn next(&self, kind: &str) -> Value {
        loop {
            let object = self.object().unwrap_or_else(|| panic!("it ended before {kind}"));
            if object["type"] == kind {
                return object;
            }
        }
    }

    /// Reads on until it is in the state; the lines up to there.
    pub(crate) fn until_state(&self, state: &str) -> Vec<Value> {
        let mut lines = Vec::new();
        loop {
            let object = self.object().unwrap_or_else(|| panic!("it ended before {state}"));
            let reached = object["type"] == "state" && object["state"] == state;
            lines.push(object);
            if reached {
                return lines;
            }
        }
    }

    /// What it answers to a line that changes nothing: the next `error`.
    pub(crate) fn error(&mut self, line: &str) -> Value {
        self.write(line);
        self.next("error")
    }

    /// Sends it a signal, as `kill` knows it.
    #[cfg(unix)]
    pub(crate) fn signal(&self, signal: &str) {
        let id = self.child.id().to_string();
        let status = Command::new("kill").args([&format!("-{signal}"), &id]).status();
        assert!(status.expect("kill starts").success());
    }

    /// Waits until it ends by itself; its exit code.
    pub(crate) fn exit_code(mut self) -> Option<i32> {
        while self.lines.recv_timeout(LIMIT).is_ok() {}
        self.child.wait().expect("a child of ours can be waited for").code()
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
