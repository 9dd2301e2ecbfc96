//! What comes on stdin, on a thread of its own: a read cannot be cancelled.

use std::io::{IsTerminal as _, Read as _};
use std::thread;

use tokio::sync::mpsc;

/// Bytes that are read at once.
const CHUNK: usize = 32 * 1024;

/// Chunks that wait.
const QUEUE: usize = 4;

/// The longest line that is looked for.
const MAX_LINE: usize = 64 * 1024;

/// Stdin, as chunks and as lines.
pub(crate) struct Stdin {
    chunks: mpsc::Receiver<Vec<u8>>,
    /// What was read behind a line.
    rest: Vec<u8>,
    /// A person types it.
    pub(crate) is_typed: bool,
}

impl Stdin {
    /// Reads from now on.
    pub(crate) fn new() -> Self {
        let (sender, chunks) = mpsc::channel(QUEUE);
        thread::spawn(move || {
            let mut input = std::io::stdin();
            let mut buffer = vec![0; CHUNK];
            // An error is an end.
            while let Ok(count @ 1..) = input.read(&mut buffer) {
                if sender.blocking_send(buffer[..count].to_vec()).is_err() {
                    return;
                }
            }
        });
        Stdin { chunks, rest: Vec::new(), is_typed: std::io::stdin().is_terminal() }
    }

    /// One that gives these chunks, and ends.
    #[cfg(test)]
    pub(crate) fn of(given: Vec<Vec<u8>>) -> Self {
        let (sender, chunks) = mpsc::channel(given.len().max(1));
        given.into_iter().for_each(|chunk| sender.try_send(chunk).unwrap());
        Stdin { chunks, rest: Vec::new(), is_typed: false }
    }

    /// The next bytes, at least one; `None` at the end.
    pub(crate) async fn chunk(&mut self) -> Option<Vec<u8>> {
        if self.rest.is_empty() {
            return self.chunks.recv().await;
        }
        Some(std::mem::take(&mut self.rest))
    }

    /// The next line, without its end; `None` at the end, and where it is too
    /// long or no text.
    pub(crate) async fn line(&mut self) -> Option<String> {
        loop {
            if let Some(at) = self.rest.iter().position(|byte| *byte == b'\n') {
                let rest = self.rest.split_off(at + 1);
                let line = std::mem::replace(&mut self.rest, rest);
                return String::from_utf8(line).ok().map(|line| line.trim().to_owned());
            }
            if self.rest.len() > MAX_LINE {
                return None;
            }
            match self.chunks.recv().await {
                Some(chunk) => self.rest.extend(chunk),
                None if self.rest.is_empty() => return None,
                None => self.rest.push(b'\n'),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_stands_behind_a_line_is_not_lost() {
        let mut stdin = Stdin::of(vec![b"to".to_vec(), b"ken \r\nda".to_vec(), b"ta".to_vec()]);
        assert_eq!(stdin.line().await.as_deref(), Some("token"));
        assert_eq!(stdin.chunk().await.as_deref(), Some(&b"da"[..]));
        assert_eq!(stdin.chunk().await.as_deref(), Some(&b"ta"[..]));
        assert_eq!(stdin.chunk().await, None);
        assert_eq!(Stdin::of(vec![b"all".to_vec()]).line().await.as_deref(), Some("all"));
        assert_eq!(Stdin::of(vec![]).line().await, None);
        let long = vec![vec![b'x'; 2 * MAX_LINE]];
        assert_eq!(Stdin::of(long).line().await, None);
    }
}
