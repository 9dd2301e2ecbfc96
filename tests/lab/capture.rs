//! A capture file of what passes, as tcpdump and Wireshark read it.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// The files of one process, so that every wire has its own.
static FILES: AtomicUsize = AtomicUsize::new(0);

/// An open capture file.
pub(crate) struct Capture(BufWriter<File>);

impl Capture {
    /// A new file in the directory that `FLOE_LAB_CAPTURE` names, if it does.
    pub(crate) fn from_environment(name: &str) -> Option<Self> {
        const MAGIC: u32 = 0xa1b2_c3d4;
        const ETHERNET: u32 = 1;
        let directory = std::env::var_os("FLOE_LAB_CAPTURE")?;
        let number = FILES.fetch_add(1, Ordering::Relaxed);
        let path = std::path::Path::new(&directory)
            .join(format!("{name}-{}-{number}.pcap", std::process::id()));
        let file = File::create(&path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
        let mut capture = Self(BufWriter::new(file));
        capture.words(&[MAGIC, 4 << 16 | 2, 0, 0, 65_535, ETHERNET]);
        Some(capture)
    }

    /// Adds a frame, as of now.
    pub(crate) fn write(&mut self, frame: &[u8]) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let length = u32::try_from(frame.len()).unwrap_or(u32::MAX);
        let seconds = u32::try_from(now.as_secs()).unwrap_or(u32::MAX);
        self.words(&[seconds, now.subsec_micros(), length, length]);
        self.0.write_all(frame).expect("the capture can be written");
    }

    fn words(&mut self, words: &[u32]) {
        for word in words {
            self.0.write_all(&word.to_le_bytes()).expect("the capture can be written");
        }
    }
}
