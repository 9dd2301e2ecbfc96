//! Tests of the project itself: that the notes on the RFCs lead to code and
//! tests that exist, that the layers hold, that the core is pure, and that the
//! README's commands can work.

mod conformance;
mod layers;
mod links;
mod notes;
mod purity;
mod readme;
mod source;

use std::path::{Path, PathBuf};

/// The package's directory.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The text of a file of the package.
fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The files under `dir` whose name ends in `extension`, as paths from the
/// package's directory, sorted.
fn files(dir: &str, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut dirs = vec![root().join(dir)];
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(&dir).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                dirs.push(path);
            } else if path.extension().is_some_and(|e| e == extension) {
                found.push(path.strip_prefix(root()).expect("it is under the root").to_owned());
            }
        }
    }
    found.sort();
    found
}

/// Whether the environment asks to write what is generated (`FLOE_WRITE=1`).
fn may_write() -> bool {
    std::env::var_os("FLOE_WRITE").is_some_and(|value| value == "1")
}

/// Fails with all of `problems`, one a line.
fn expect_none(problems: &[String]) {
    assert!(problems.is_empty(), "{} problems:\n{}", problems.len(), problems.join("\n"));
}
