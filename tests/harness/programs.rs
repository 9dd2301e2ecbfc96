//! The foreign agents' programs: found, built or installed at first use, all
//! of it under `target/tmp`.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// The release that the tests were written against.
const AIOICE: &str = "aioice==0.13.0";
/// What libnice and its program here need, as pkg-config knows them.
const LIBNICE: [&str; 2] = ["nice", "json-glib-1.0"];
/// Where Debian's packages put Go's sources; nothing is downloaded.
const GOPATH: &str = "/usr/share/gocode";
const PION: &str = "github.com/pion/ice/v2";
/// What Chromium and its like are called.
const BROWSERS: [&str; 4] = ["chromium", "chromium-browser", "google-chrome-stable", "chrome"];

/// A program, or why there is none.
pub(crate) type Program = Result<PathBuf, String>;

/// A file of `tests/interop/peers`.
pub(crate) fn source(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop/peers").join(file)
}

/// Where programs are built.
pub(crate) fn built() -> &'static Path {
    Path::new(env!("CARGO_TARGET_TMPDIR"))
}

/// The built C program.
pub(crate) fn libnice() -> &'static Program {
    static BUILT: OnceLock<Program> = OnceLock::new();
    BUILT.get_or_init(|| {
        compiled("libnice-peer", &source("libnice.c"), |program, source| {
            let mut pkg_config = Command::new("pkg-config");
            let flags = output(pkg_config.args(["--cflags", "--libs"]).args(LIBNICE))?;
            output(
                Command::new("cc")
                    .args(["-std=c11", "-O1", "-Wall", "-Wextra", "-o"])
                    .args([program, source])
                    .args(flags.split_whitespace()),
            )
        })
    })
}

/// An interpreter that has aioice.
pub(crate) fn aioice() -> &'static Program {
    static INSTALLED: OnceLock<Program> = OnceLock::new();
    INSTALLED.get_or_init(|| {
        let directory = built().join("aioice");
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

/// The built Go program.
pub(crate) fn pion() -> &'static Program {
    static BUILT: OnceLock<Program> = OnceLock::new();
    BUILT.get_or_init(|| {
        let package = Path::new(GOPATH).join("src").join(PION);
        if !package.is_dir() {
            return Err(format!("{} is not there", package.display()));
        }
        compiled("pion-peer", &source("pion.go"), |program, source| {
            output(
                Command::new("go")
                    .args(["build", "-o"])
                    .args([program, source])
                    .env("GO111MODULE", "off")
                    .env("GOFLAGS", "")
                    .env("GOPATH", GOPATH)
                    .env("GOCACHE", built().join("go-cache")),
            )
        })
    })
}

/// A built program of the package in `peers/rust`.
pub(crate) fn rust(program: &str) -> Program {
    static BUILT: OnceLock<Program> = OnceLock::new();
    let directory = BUILT.get_or_init(|| {
        let target = built().join("interop-peers");
        output(
            Command::new(env!("CARGO"))
                .args(["build", "--locked", "--quiet", "--manifest-path"])
                .arg(source("rust/Cargo.toml"))
                .arg("--target-dir")
                .arg(&target),
        )?;
        Ok(target.join("debug"))
    });
    directory.clone().map(|directory| directory.join(program))
}

/// A browser, where there are also an interpreter for the script that drives
/// it and a DTLS server for it to connect to.
pub(crate) fn chromium() -> &'static Program {
    static FOUND: OnceLock<Program> = OnceLock::new();
    FOUND.get_or_init(|| {
        output(Command::new("python3").arg("--version"))?;
        output(Command::new("openssl").arg("version"))?;
        let runs = |browser: &&str| output(Command::new(browser).arg("--version")).is_ok();
        let found = BROWSERS.into_iter().find(runs);
        found.map(PathBuf::from).ok_or_else(|| "there is no chromium".to_owned())
    })
}

/// The version of libnice.
pub(crate) fn libnice_version() -> Result<String, String> {
    output(Command::new("pkg-config").args(["--modversion", LIBNICE[0]]))
}

/// The version of aioice.
pub(crate) fn aioice_version() -> Result<String, String> {
    let python = aioice().as_ref()?;
    output(Command::new(python).args(["-c", "import aioice; print(aioice.__version__)"]))
}

/// The version of Debian's pion/ice.
pub(crate) fn pion_version() -> Result<String, String> {
    let mut query = Command::new("dpkg-query");
    output(query.args(["-W", "-f", "${Version}", "golang-github-pion-ice.v2-dev"]))
}

/// The version of a crate in the lock file of `peers/rust`.
pub(crate) fn locked_version(package: &str) -> Result<String, String> {
    let lock = std::fs::read_to_string(source("rust/Cargo.lock")).map_err(|e| e.to_string())?;
    let name = format!("name = \"{package}\"");
    let after = lock.lines().skip_while(|line| *line != name).nth(1);
    let version = after.and_then(|line| line.strip_prefix("version = "));
    version.map(|version| version.trim_matches('"').to_owned()).ok_or(format!("no {package}"))
}

/// The version of the browser.
pub(crate) fn chromium_version() -> Result<String, String> {
    let line = output(Command::new(chromium().as_ref()?).arg("--version"))?;
    let version = line.split_whitespace().find(|word| word.starts_with(|c: char| c.is_numeric()));
    Ok(version.unwrap_or_default().to_owned())
}

/// Runs a command to its end; what it printed, or why it did not succeed.
pub(crate) fn output(command: &mut Command) -> Result<String, String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("{name} does not run: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    }
    let complaint = String::from_utf8_lossy(&output.stderr);
    Err(format!("{name} failed: {}", complaint.trim().lines().last().unwrap_or_default()))
}

/// The program made from `source`, by `compile` where it is older.
fn compiled(
    name: &str,
    source: &Path,
    compile: impl FnOnce(&Path, &Path) -> Result<String, String>,
) -> Program {
    let program = built().join(name);
    if newer(&program, source) {
        return Ok(program);
    }
    // Another test program may be at it too: each builds its own, and the
    // rename makes one of them the result.
    let fresh = program.with_extension(std::process::id().to_string());
    compile(&fresh, source)?;
    std::fs::rename(&fresh, &program).map_err(|error| error.to_string())?;
    Ok(program)
}

fn newer(program: &Path, source: &Path) -> bool {
    let modified = |path: &Path| path.metadata().and_then(|metadata| metadata.modified());
    matches!((modified(program), modified(source)), (Ok(built), Ok(written)) if built > written)
}
