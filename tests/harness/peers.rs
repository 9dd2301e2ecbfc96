//! The agents under test and the foreign ones, as commands to run.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use super::requirement::lacking;

/// The release that the tests were written against.
const AIOICE: &str = "aioice==0.13.0";
/// What libnice and its program here need, as pkg-config knows them.
const LIBNICE: [&str; 2] = ["nice", "json-glib-1.0"];

/// An ICE implementation that speaks the JSON Lines of `ice-probe stdio`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Implementation {
    /// This package.
    Floe,
    /// Debian's libnice.
    Libnice,
    /// aioice, from PyPI.
    Aioice,
}

/// How an agent is to run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Options {
    /// It takes the controlling role.
    pub(crate) controlling: bool,
    /// A STUN server, `ADDRESS:PORT`.
    pub(crate) stun: Option<String>,
    /// How many components, if not one.
    pub(crate) components: Option<u16>,
    /// Gather on 127.0.0.1 alone.
    pub(crate) loopback: bool,
    /// libnice offers TCP candidates too.
    pub(crate) tcp: bool,
    /// libnice exchanges complete candidate lists.
    pub(crate) no_trickle: bool,
    /// libnice waits for better pairs before it nominates.
    pub(crate) regular_nomination: bool,
    /// No IPv6 candidates.
    pub ipv4_only: bool,
}

impl Implementation {
    /// The name to print.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Floe => "floe",
            Self::Libnice => "libnice",
            Self::Aioice => "aioice",
        }
    }

    /// Whether it can run here; what has to be built or installed for it is,
    /// at the first call, so call it outside the namespaces first.
    pub(crate) fn available(self) -> bool {
        match self {
            Self::Floe => true,
            Self::Libnice => found(self.name(), libnice()),
            Self::Aioice => found(self.name(), aioice()),
        }
    }

    /// The command that runs it as a filter.
    ///
    /// # Panics
    ///
    /// If it is not available, or cannot do what `options` ask.
    pub(crate) fn command(self, options: &Options) -> Command {
        let mut command = match self {
            Self::Floe => floe(options),
            Self::Libnice => {
                let mut command = Command::new(libnice().as_ref().expect("libnice was built"));
                if options.loopback {
                    command.args(["--bind", "127.0.0.1"]);
                }
                command.args(options.tcp.then_some("--tcp"));
                command.args(options.no_trickle.then_some("--no-trickle"));
                command.args(options.regular_nomination.then_some("--regular-nomination"));
                command
            }
            Self::Aioice => {
                assert!(!options.loopback, "aioice takes no loopback address");
                let mut command = Command::new(aioice().as_ref().expect("aioice was installed"));
                command.arg(source("aioice_peer.py"));
                command.args(options.ipv4_only.then_some("--no-ipv6"));
                command
            }
        };
        command.arg(if options.controlling { "--controlling" } else { "--controlled" });
        if let Some(components) = options.components {
            command.args(["--components", &components.to_string()]);
        }
        if let Some(server) = &options.stun {
            let scheme = if self == Self::Floe { "stun:" } else { "" };
            command.args(["--stun", &format!("{scheme}{server}")]);
        }
        command
    }
}

fn floe(options: &Options) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ice-probe"));
    command.arg("stdio");
    if options.loopback {
        command.args(["--include-loopback", "--bind", "127.0.0.1"]);
    }
    command.args(options.ipv4_only.then_some("--ipv4-only"));
    command
}

fn found(tool: &str, outcome: &Result<PathBuf, String>) -> bool {
    if let Err(why) = outcome {
        lacking(tool, why);
    }
    outcome.is_ok()
}

fn source(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop/peers").join(file)
}

/// The built C program, or why there is none.
fn libnice() -> &'static Result<PathBuf, String> {
    static BUILT: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    BUILT.get_or_init(|| {
        let source = source("libnice.c");
        let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join("libnice-peer");
        if newer(&program, &source) {
            return Ok(program);
        }
        let flags = output(Command::new("pkg-config").args(["--cflags", "--libs"]).args(LIBNICE))?;
        // Another test program may be at it too: each builds its own, and
        // the rename makes one of them the result.
        let fresh = program.with_extension(std::process::id().to_string());
        output(
            Command::new("cc")
                .args(["-std=c11", "-O1", "-Wall", "-Wextra", "-o"])
                .args([&fresh, &source])
                .args(flags.split_whitespace()),
        )?;
        std::fs::rename(&fresh, &program).map_err(|error| error.to_string())?;
        Ok(program)
    })
}

/// An interpreter that has aioice, or why there is none.
fn aioice() -> &'static Result<PathBuf, String> {
    static INSTALLED: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    INSTALLED.get_or_init(|| {
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("aioice");
        let own = directory.join("bin/python");
        let there = [PathBuf::from("python3"), own.clone()];
        let has_it =
            |python: &PathBuf| output(Command::new(python).args(["-c", "import aioice"])).is_ok();
        if let Some(python) = there.into_iter().find(has_it) {
            return Ok(python);
        }
        output(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&directory))?;
        output(Command::new(&own).args(["-m", "pip", "install", "--quiet", AIOICE]))?;
        Ok(own)
    })
}

fn newer(program: &Path, source: &Path) -> bool {
    let modified = |path: &Path| path.metadata().and_then(|metadata| metadata.modified());
    matches!((modified(program), modified(source)), (Ok(built), Ok(written)) if built > written)
}

/// Runs a command to its end; what it printed, or why it did not succeed.
fn output(command: &mut Command) -> Result<String, String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("{name} does not run: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let complaint = String::from_utf8_lossy(&output.stderr);
    Err(format!("{name} failed: {}", complaint.trim().lines().last().unwrap_or_default()))
}
