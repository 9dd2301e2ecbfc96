//! The layers: which module of the library may import which.

use crate::source::{Source, sources, words};

/// Each module and what it may import; its own layer is understood.
const LAYERS: &[(&str, &[&str])] = &[
    ("net", &["timer", "rng"]),
    ("timer", &["net", "rng"]),
    ("rng", &["net", "timer"]),
    ("stun", BASE),
    ("candidate", &["net", "timer", "rng", "stun"]),
    ("turn", &["net", "timer", "rng", "stun"]),
    ("tcp", &["net", "timer", "rng", "stun"]),
    // Pairs are made of candidates: `check` uses the types of `candidate`.
    ("check", &["net", "timer", "rng", "stun", "candidate"]),
    ("gather", &["net", "timer", "rng", "stun", "turn", "candidate"]),
    // Times and ports only: it knows no message but its own.
    ("punch", BASE),
    // Messages between two sides that share a code: of ICE it knows nothing.
    ("rendezvous", BASE),
    ("discovery", &["net", "timer", "rng", "stun"]),
    ("agent", CORE),
    // What signalling carries, in the words of SDP: nothing in the crate needs it.
    ("sdp", &["net", "candidate", "agent"]),
    ("driver", DRIVER),
    ("adapter", ABOVE),
    ("server", ABOVE),
];

const BASE: &[&str] = &["net", "timer", "rng"];
const CORE: &[&str] =
    &["net", "timer", "rng", "stun", "candidate", "turn", "tcp", "punch", "check", "gather"];
const DRIVER: &[&str] = &[
    "net",
    "timer",
    "rng",
    "stun",
    "candidate",
    "turn",
    "tcp",
    "punch",
    "check",
    "gather",
    "discovery",
    "agent",
];
const ABOVE: &[&str] = &[
    "net",
    "timer",
    "rng",
    "stun",
    "candidate",
    "turn",
    "tcp",
    "punch",
    "check",
    "gather",
    "discovery",
    "agent",
    "driver",
    "rendezvous",
];

/// Imports that break the table on purpose: the file, the module, and why.
const EXCEPTIONS: &[(&str, &str, &str)] = &[];

#[test]
fn nothing_points_upwards() {
    let mut problems = Vec::new();
    let mut used = Vec::new();
    for source in sources() {
        let module = source.module();
        let Some(layer) = module.first().filter(|first| *first != "bin") else { continue };
        let Some((_, allowed)) = LAYERS.iter().find(|(name, _)| name == layer) else {
            problems.push(format!("{}: `{layer}` is in no layer", source.path.display()));
            continue;
        };
        for (line, import) in imports(&source) {
            if import == *layer || allowed.contains(&import.as_str()) {
                continue;
            }
            let path = source.path.to_string_lossy();
            match EXCEPTIONS.iter().find(|(file, name, _)| *file == path && *name == import) {
                Some(exception) => used.push(exception),
                None => problems.push(format!("{path}:{line}: {layer} may not import {import}")),
            }
        }
    }
    for exception in EXCEPTIONS.iter().filter(|e| !used.contains(e)) {
        problems
            .push(format!("the exception for {} and {} is not needed", exception.0, exception.1));
    }
    crate::expect_none(&problems);
}

/// The top-level modules that a file names, with the line: `crate::x`,
/// `crate::{x, y::z}`, and `super::` as often as it takes to get to the top.
fn imports(source: &Source) -> Vec<(usize, String)> {
    let supers = "super::".repeat(source.module().len());
    let mut found = Vec::new();
    for prefix in ["crate::", supers.as_str()] {
        for at in words(&source.code, prefix).filter(|_| !prefix.is_empty()) {
            let line = source.code[..at].lines().count().max(1);
            let rest = &source.code[at + prefix.len()..];
            found.extend(first_names(rest).into_iter().map(|name| (line, name)));
        }
    }
    found.retain(|(_, name)| name.starts_with(char::is_lowercase));
    found
}

/// The first name of each path in `rest`: `a::b`, or `{a, b::{c, d}}`.
fn first_names(rest: &str) -> Vec<String> {
    let name = |text: &str| -> String {
        text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
    };
    let Some(group) = rest.trim_start().strip_prefix('{') else { return vec![name(rest)] };
    let mut names = vec![name(group)];
    let mut depth = 0i32;
    for (i, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => names.push(name(&group[i + 1..])),
            _ => {}
        }
    }
    names.retain(|name| !name.is_empty());
    names
}

#[test]
fn paths_are_found() {
    let code = "use crate::{net::{Family, Protocol}, agent, timer::Time};\nfn f() { crate::driver::go(); super::super::server::x(); super::y() }";
    let source = Source { path: "src/check/form.rs".into(), code: code.to_owned() };
    let names: Vec<_> = imports(&source).into_iter().map(|(_, name)| name).collect();
    assert_eq!(names, ["net", "agent", "timer", "driver", "server"]);
}
