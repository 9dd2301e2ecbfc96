//! Runs every file of every corpus, and each of its beginnings, through its
//! fuzz target; so, too, the inputs in `crashes/` that once broke one.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The body of a target.
type Body = fn(&[u8]);

/// The targets by name, which is that of the corpus too.
const TARGETS: &[(&str, Body)] = &[
    ("agent_life", floe_fuzz::agent_life::run),
    ("agent_pair", floe_fuzz::agent_pair::run),
    ("candidate_sdp", floe_fuzz::candidate_sdp::run),
    ("sdp_attributes", floe_fuzz::sdp_attributes::run),
    ("stun_message", floe_fuzz::stun_message::run),
    ("tcp_connections", floe_fuzz::tcp_connections::run),
    ("tcp_frames", floe_fuzz::tcp_frames::run),
    ("turn_client", floe_fuzz::turn_client::run),
];

#[test]
fn every_corpus_passes_its_target() {
    for (name, run) in TARGETS {
        let files = files(&Path::new("corpus").join(name));
        assert!(!files.is_empty(), "the corpus of {name} is empty");
        let crashes = Path::new("crashes").join(name);
        let broke = if folder(&crashes).is_dir() { self::files(&crashes) } else { BTreeSet::new() };
        for file in files.union(&broke) {
            eprintln!("{}", file.display());
            let bytes = fs::read(file).expect("a corpus file can be read");
            (0..=bytes.len()).for_each(|len| run(&bytes[..len]));
        }
    }
}

/// A target that is not listed above would never be replayed.
#[test]
fn every_target_is_replayed() {
    let listed: BTreeSet<_> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    let stem = |path: PathBuf| path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
    let found: BTreeSet<_> =
        files(Path::new("fuzz_targets")).into_iter().filter_map(stem).collect();
    assert_eq!(listed, found);
}

fn folder(name: &Path) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// The files of a folder of this package, in the order of their names.
fn files(name: &Path) -> BTreeSet<PathBuf> {
    let folder = folder(name);
    let Ok(entries) = fs::read_dir(&folder) else { panic!("{} is missing", folder.display()) };
    entries.map(|entry| entry.expect("a folder can be listed").path()).collect()
}
