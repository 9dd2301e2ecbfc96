//! What the READMEs tell people to type can work: the features, programs,
//! tests, benches, examples and packages of the `cargo` commands exist.

use std::collections::BTreeMap;
use std::path::Path;

use crate::{read, root};

/// The files whose commands are checked, and those that may not exist yet.
const READMES: &[&str] = &["README.md", "benches/README.md", "CHANGELOG.md"];

/// What a `Cargo.toml` says, as far as commands depend on it.
#[derive(Default)]
struct Manifest {
    /// `[features]`: name to what it switches on.
    features: BTreeMap<String, Vec<String>>,
    /// `[[bin]]`, `[[bench]]`, …: kind and name to `required-features`.
    targets: BTreeMap<(String, String), Vec<String>>,
    default_run: Option<String>,
}

fn manifest(dir: &str) -> Manifest {
    let mut manifest = Manifest::default();
    let mut section = String::new();
    let mut target = None;
    for line in read(Path::new(dir).join("Cargo.toml")).lines() {
        if let Some(header) = line.strip_prefix('[') {
            section = header.trim_matches(['[', ']']).to_owned();
            target = None;
        } else if let Some((key, value)) = line.split_once('=') {
            let (key, value) = (key.trim(), value.trim());
            match (section.as_str(), key) {
                ("features", _) => {
                    manifest.features.insert(key.to_owned(), strings(value));
                }
                ("package", "default-run") => manifest.default_run = strings(value).pop(),
                (kind, "name") if kind != "package" => {
                    let name = strings(value).pop().unwrap_or_default();
                    let key = (kind.to_owned(), name);
                    manifest.targets.insert(key.clone(), Vec::new());
                    target = Some(key);
                }
                (_, "required-features") => {
                    if let Some(required) =
                        target.as_ref().and_then(|t| manifest.targets.get_mut(t))
                    {
                        *required = strings(value);
                    }
                }
                _ => {}
            }
        }
    }
    manifest
}

/// The strings in quotes of a TOML value.
fn strings(value: &str) -> Vec<String> {
    value.split('"').skip(1).step_by(2).map(str::to_owned).collect()
}

impl Manifest {
    /// `names` and all that they switch on.
    fn closure(&self, names: Vec<String>) -> Vec<String> {
        let mut all = Vec::new();
        let mut open = names;
        while let Some(name) = open.pop() {
            open.extend(self.features.get(&name).into_iter().flatten().cloned());
            all.push(name);
        }
        all
    }

    /// What is missing for the target, given the features that are on.
    fn lacks(&self, dir: &str, kind: &str, name: &str, features: &[String]) -> Option<String> {
        if let Some(required) = self.targets.get(&(kind.to_owned(), name.to_owned())) {
            let off = required.iter().find(|feature| !features.contains(feature))?;
            return Some(format!("{kind} {name} needs the feature {off}"));
        }
        let folder = match kind {
            "bin" => "src/bin",
            "bench" => "benches",
            "example" => "examples",
            "test" => "tests",
            _ => "fuzz_targets",
        };
        let at = root().join(dir).join(folder);
        let exists =
            at.join(format!("{name}.rs")).is_file() || at.join(name).join("main.rs").is_file();
        (!exists).then(|| format!("there is no {kind} {name}"))
    }
}

/// The commands in the code blocks of a file.
fn commands(text: &str) -> Vec<String> {
    let mut commands = Vec::new();
    let mut inside = false;
    let joined = text.replace("\\\n", " ");
    for line in joined.lines() {
        if line.trim_start().starts_with("```") {
            inside = !inside;
        } else if inside {
            commands.push(line.trim().trim_start_matches("$ ").to_owned());
        }
    }
    commands.extend(joined.split('`').filter(|code| code.starts_with("cargo ")).map(str::to_owned));
    commands
}

/// What is wrong with a command, if anything is.
fn problem(command: &str) -> Option<String> {
    let mut words = command.split_whitespace().skip_while(|word| word.contains('='));
    let program = words.next()?;
    if program.starts_with("./") || program.starts_with(".ci/") {
        return (!root().join(program).is_file()).then(|| format!("there is no {program}"));
    }
    if program != "cargo" {
        return None;
    }
    let subcommand = words.find(|word| !word.starts_with('+'))?.to_owned();
    let mut options = Vec::new();
    let rest: Vec<&str> = words.take_while(|word| !["--", "#", "|", "&&"].contains(word)).collect();
    let mut i = 0;
    while i < rest.len() {
        let (name, value) = match rest[i].split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (rest[i], rest.get(i + 1).copied()),
        };
        options.push((name, value.unwrap_or_default()));
        i += 1;
    }
    check(&subcommand, &options)
}

fn check(subcommand: &str, options: &[(&str, &str)]) -> Option<String> {
    let option = |names: &[&str]| options.iter().find(|(name, _)| names.contains(name));
    let mut dir = ".";
    if let Some((_, package)) = option(&["-p", "--package"]) {
        dir = match *package {
            "floe" => ".",
            "floe-fuzz" => "fuzz",
            other => return Some(format!("there is no package {other}")),
        };
    }
    if let Some((_, path)) = option(&["--manifest-path"]) {
        dir = path.strip_suffix("Cargo.toml")?.trim_end_matches('/');
    }
    if !root().join(dir).join("Cargo.toml").is_file() {
        return Some(format!("there is no package in {dir}"));
    }
    let manifest = manifest(if dir.is_empty() { "." } else { dir });
    let mut features = Vec::new();
    if option(&["--no-default-features"]).is_none() {
        features.push("default".to_owned());
    }
    if option(&["--all-features"]).is_some() {
        features.extend(manifest.features.keys().cloned());
    }
    for (_, list) in options.iter().filter(|(name, _)| ["-F", "--features"].contains(name)) {
        for feature in list.split(',') {
            if !manifest.features.contains_key(feature) {
                return Some(format!("there is no feature {feature}"));
            }
            features.push(feature.to_owned());
        }
    }
    let features = manifest.closure(features);
    let lacks = |kind: &str, name: &str| manifest.lacks(dir, kind, name, &features);
    if subcommand == "run" && option(&["--bin", "--example"]).is_none() {
        let name = manifest.default_run.as_deref()?;
        return lacks("bin", name);
    }
    options
        .iter()
        .filter_map(|(name, value)| Some((name.strip_prefix("--")?, value)))
        .filter(|(kind, _)| ["bin", "bench", "example", "test"].contains(kind))
        .find_map(|(kind, value)| lacks(kind, value))
}

#[test]
fn commands_of_the_readmes_can_work() {
    let mut problems = Vec::new();
    for path in READMES.iter().filter(|path| root().join(path).is_file()) {
        for command in commands(&read(path)) {
            if let Some(problem) = problem(&command) {
                problems.push(format!("{path}: `{command}`: {problem}"));
            }
        }
    }
    crate::expect_none(&problems);
}

#[test]
fn commands_that_cannot_work_are_found() {
    assert_eq!(problem("cargo run --release --features cli -- demo"), None);
    assert_eq!(problem("cargo test --test meta"), None);
    assert_eq!(problem("FLOE_WRITE=1 cargo test --test=meta -- --nocapture"), None);
    assert!(problem("cargo run -- demo").is_some(), "ice-probe needs the feature cli");
    assert!(problem("cargo test --features nonsense").is_some());
    assert!(problem("cargo test --test nonsense").is_some());
    assert!(problem("cargo run --example nonsense").is_some());
    assert!(problem("cargo test -p nonsense").is_some());
    assert!(problem("./nonsense").is_some());
    assert_eq!(
        commands("a\n```sh\n$ cargo a \\\n b\n```\nc `cargo d`"),
        ["cargo a   b", "cargo d"]
    );
}
