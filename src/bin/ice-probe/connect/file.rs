//! A file that the other side sends: under a name that is safe, and never over
//! another file.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::view::is_shown;

/// How long a name may be, in bytes: most systems take 255, and a number and
/// `.part` are put to it.
const MAX_NAME: usize = 200;

/// How many files of one name there may be.
const SAME_NAME: u32 = 1_000;

/// Names that Windows has for devices.
const DEVICES: [&str; 6] = ["con", "prn", "aux", "nul", "com", "lpt"];

/// The last part of a name, with all characters replaced that mean something
/// to a file system or a terminal, and not hidden.
pub(crate) fn safe_name(name: &str) -> String {
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let is_safe = |c: char| is_shown(c) && !"<>:\"|?*\u{fffd}".contains(c);
    let safe: String = last.chars().map(|c| if is_safe(c) { c } else { '_' }).collect();
    let safe = safe.trim().trim_start_matches('.').trim_end_matches(['.', ' ']);
    let mut end = safe.len().min(MAX_NAME);
    while !safe.is_char_boundary(end) {
        end -= 1;
    }
    let safe = &safe[..end];
    let stem = safe.split('.').next().unwrap_or_default().to_ascii_lowercase();
    let is_device = DEVICES.iter().any(|device| {
        let rest = stem.strip_prefix(device);
        rest.is_some_and(|rest| rest.chars().all(|c| c.is_ascii_digit()) && rest.len() < 2)
    });
    match (safe.is_empty(), is_device) {
        (true, _) => "file".to_owned(),
        (false, true) => format!("_{safe}"),
        (false, false) => safe.to_owned(),
    }
}

/// A file that is coming in.
pub(crate) struct Incoming {
    /// `None` once it is whole.
    file: Option<File>,
    part: PathBuf,
    directory: PathBuf,
    name: String,
    hash: Sha256,
    got: u64,
    size: u64,
}

/// Why a file does not come in.
#[derive(Debug)]
pub(crate) enum Unwritten {
    /// The system says so.
    System(io::Error),
    /// There is more or less of it than there was to be.
    Size,
    /// Its SHA-256 is another than was said.
    Hash,
}

impl Incoming {
    /// A file of `size` bytes that is to be called `name` in `directory`.
    pub(crate) fn create(directory: &Path, name: &str, size: u64) -> io::Result<Self> {
        let name = safe_name(name);
        for number in 0..SAME_NAME {
            let part = directory.join(format!("{}.part", numbered(&name, number)));
            match OpenOptions::new().write(true).create_new(true).open(&part) {
                Ok(file) => {
                    let (directory, hash) = (directory.to_owned(), Sha256::new());
                    let file = Some(file);
                    return Ok(Incoming { file, part, directory, name, hash, got: 0, size });
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }

    /// What it is called, as it may be shown.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// How many bytes it is to have.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// More of it.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), Unwritten> {
        let file = self.file.as_mut().ok_or(Unwritten::Size)?;
        self.got = u64::try_from(bytes.len())
            .ok()
            .and_then(|more| self.got.checked_add(more))
            .filter(|got| *got <= self.size)
            .ok_or(Unwritten::Size)?;
        self.hash.update(bytes);
        file.write_all(bytes).map_err(Unwritten::System)
    }

    /// It is whole, with this SHA-256: it gets its name, or the first like it
    /// that is free. Where it is.
    pub(crate) fn finish(mut self, hash: &[u8; 32]) -> Result<PathBuf, Unwritten> {
        let file = self.file.as_mut().ok_or(Unwritten::Size)?;
        if self.got != self.size {
            return Err(Unwritten::Size);
        }
        if std::mem::take(&mut self.hash).finalize().as_slice() != hash {
            return Err(Unwritten::Hash);
        }
        file.flush().map_err(Unwritten::System)?;
        for number in 0..SAME_NAME {
            let path = self.directory.join(numbered(&self.name, number));
            match name_it(&self.part, &path) {
                Ok(()) => {
                    self.file = None;
                    return Ok(path);
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(Unwritten::System(error)),
            }
        }
        Err(Unwritten::System(io::ErrorKind::AlreadyExists.into()))
    }
}

/// What is not whole is not kept.
impl Drop for Incoming {
    fn drop(&mut self) {
        if self.file.take().is_some() {
            let _ = fs::remove_file(&self.part);
        }
    }
}

/// Gives a file its name, if no other has it.
fn name_it(part: &Path, path: &Path) -> io::Result<()> {
    match fs::hard_link(part, path) {
        Ok(()) => fs::remove_file(part),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(error),
        // Without links the name is taken first, and then the file put there.
        Err(_) => {
            OpenOptions::new().write(true).create_new(true).open(path)?;
            fs::rename(part, path)
        }
    }
}

/// `name`, or with a number `name (2)` before its extension.
fn numbered(name: &str, number: u32) -> String {
    if number == 0 {
        return name.to_owned();
    }
    match name.rsplit_once('.') {
        Some((stem, extension)) if !stem.is_empty() => {
            format!("{stem} ({}).{extension}", number + 1)
        }
        _ => format!("{name} ({})", number + 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory that goes with the value.
    struct Directory(PathBuf);

    impl Directory {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("floe-{}-{name}", std::process::id()));
            fs::create_dir_all(&path).unwrap();
            Directory(path)
        }

        fn names(&self) -> Vec<String> {
            let entries = fs::read_dir(&self.0).unwrap();
            let mut names: Vec<_> =
                entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
            names.sort();
            names
        }
    }

    impl Drop for Directory {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn names_of_the_other_side_do_no_harm() {
        for (name, safe) in [
            ("photo.jpg", "photo.jpg"),
            ("../../etc/passwd", "passwd"),
            ("C:\\windows\\system.ini", "system.ini"),
            ("/", "file"),
            ("", "file"),
            ("..", "file"),
            (".bashrc", "bashrc"),
            ("a\u{1b}[2J\u{202e}gpj.exe", "a_[2J_gpj.exe"),
            ("a\0b\nc:d", "a_b_c_d"),
            ("CON", "_CON"),
            ("lpt1.txt", "_lpt1.txt"),
            ("contract", "contract"),
            ("x. .", "x"),
            ("ünï 猫", "ünï 猫"),
        ] {
            assert_eq!(safe_name(name), safe, "{name:?}");
        }
        let long = safe_name(&"猫".repeat(100));
        assert!(long.len() <= MAX_NAME && long.chars().all(|c| c == '猫'));
    }

    #[test]
    fn nothing_is_overwritten() {
        let directory = Directory::new("kept");
        fs::write(directory.0.join("a.txt"), "mine").unwrap();
        for _ in 0..2 {
            let mut incoming = Incoming::create(&directory.0, "x/a.txt", 5).unwrap();
            incoming.write(b"the").unwrap();
            incoming.write(b"ir").unwrap();
            let path = incoming.finish(&Sha256::digest(b"their").into()).unwrap();
            assert_eq!(fs::read(path).unwrap(), b"their");
        }
        assert_eq!(directory.names(), ["a (2).txt", "a (3).txt", "a.txt"]);
        assert_eq!(fs::read(directory.0.join("a.txt")).unwrap(), b"mine");
    }

    #[test]
    fn what_is_not_whole_is_not_kept() {
        let directory = Directory::new("part");
        let mut short = Incoming::create(&directory.0, "short", 5).unwrap();
        short.write(b"four").unwrap();
        assert!(matches!(short.finish(&[0; 32]), Err(Unwritten::Size)));
        let mut other = Incoming::create(&directory.0, "other", 5).unwrap();
        other.write(b"whole").unwrap();
        assert!(matches!(other.finish(&[0; 32]), Err(Unwritten::Hash)));
        let mut long = Incoming::create(&directory.0, "long", 3).unwrap();
        assert!(matches!(long.write(b"four"), Err(Unwritten::Size)));
        assert_eq!(directory.names(), ["long.part"]);
        drop(long);
        assert!(directory.names().is_empty());
    }
}
