//! Runs every file of every corpus, and each of its beginnings, through its
//! fuzz target.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The body of a target.
type Body = fn(&[u8]);

/// The targets by name, which is that of the corpus too.
const TARGETS: &[(&str, Body)] = &[("candidate_sdp", floe_fuzz::candidate_sdp::run)];

#[test]
fn every_corpus_passes_its_target() {
    for (name, run) in TARGETS {
        let files = files(&Path::new("corpus").join(name));
        assert!(!files.is_empty(), "the corpus of {name} is empty");
        for file in files {
            eprintln!("{}", file.display());
            let bytes = fs::read(&file).expect("a corpus file can be read");
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

/// The files of a folder of this package, in the order of their names.
fn files(folder: &Path) -> BTreeSet<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let Ok(entries) = fs::read_dir(&folder) else { panic!("{} is missing", folder.display()) };
    entries.map(|entry| entry.expect("a folder can be listed").path()).collect()
}
