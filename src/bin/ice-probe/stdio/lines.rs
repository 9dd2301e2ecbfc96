//! Lines in and lines out, each on a thread of its own: the terminal's side
//! may stall without stopping the agent.

use std::io::{self, BufRead, Read, Write};
use std::thread;

use tokio::sync::{mpsc, oneshot};

use crate::jsonl::MAX_LINE;

/// How many lines wait in either direction before the other side must wait.
const QUEUE: usize = 256;

/// A line, without its end.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// Within the limit.
    Whole(Vec<u8>),
    /// Longer than [`MAX_LINE`]; its bytes are gone.
    TooLong,
}

/// Reads `input` to its end on a thread. The channel closes at the end.
pub(crate) fn reader(input: impl Read + Send + 'static) -> mpsc::Receiver<Line> {
    let (sender, receiver) = mpsc::channel(QUEUE);
    thread::spawn(move || {
        let mut input = io::BufReader::new(input);
        while let Ok(Some(line)) = read_line(&mut input) {
            if sender.blocking_send(line).is_err() {
                break;
            }
        }
    });
    receiver
}

/// One line; `None` at the end of input. Holds at most one line's limit in
/// memory, however long the line is.
fn read_line(input: &mut impl BufRead) -> io::Result<Option<Line>> {
    let mut line = Vec::new();
    let limit = u64::try_from(MAX_LINE + 1).unwrap_or(u64::MAX);
    if input.by_ref().take(limit).read_until(b'\n', &mut line)? == 0 {
        return Ok(None);
    }
    if line.last() == Some(&b'\n') {
        line.pop();
    } else if line.len() > MAX_LINE {
        input.skip_until(b'\n')?;
        return Ok(Some(Line::TooLong));
    }
    Ok(Some(Line::Whole(line)))
}

/// The way out: lines queued here are written by a thread.
pub(crate) struct Writer {
    lines: mpsc::Sender<String>,
    written: oneshot::Receiver<()>,
}

impl Writer {
    /// Writes to `output` from now on, flushing whenever the queue is empty.
    pub(crate) fn new(output: impl Write + Send + 'static) -> Self {
        let (lines, mut queue) = mpsc::channel::<String>(QUEUE);
        let (done, written) = oneshot::channel();
        thread::spawn(move || {
            let mut output = io::BufWriter::new(output);
            while let Some(mut line) = queue.blocking_recv() {
                line.push('\n');
                let result = output.write_all(line.as_bytes());
                if result.is_err() || (queue.is_empty() && output.flush().is_err()) {
                    return;
                }
            }
            let _ = output.flush();
            let _ = done.send(());
        });
        Writer { lines, written }
    }

    /// Queues a line; waits while the queue is full. A line that can no
    /// longer be written is dropped.
    pub(crate) async fn line(&self, line: String) {
        let _ = self.lines.send(line).await;
    }

    /// Waits until the reader of the output has gone.
    pub(crate) async fn reader_gone(&self) {
        self.lines.closed().await;
    }

    /// Waits until everything is written, or can no longer be.
    pub(crate) async fn finish(self) {
        drop(self.lines);
        let _ = self.written.await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(input: &[u8]) -> Vec<Line> {
        let mut input = input;
        std::iter::from_fn(|| read_line(&mut input).unwrap()).collect()
    }

    fn whole(text: &[u8]) -> Line {
        Line::Whole(text.to_vec())
    }

    #[test]
    fn lines_end_with_a_newline_or_the_input() {
        assert_eq!(lines(b""), []);
        assert_eq!(lines(b"a\n\nb"), [whole(b"a"), whole(b""), whole(b"b")]);
    }

    #[test]
    fn a_line_over_the_limit_is_skipped_and_the_next_one_read() {
        for (length, fits) in [(MAX_LINE, true), (MAX_LINE + 1, false), (5 * MAX_LINE, false)] {
            let long = vec![b'x'; length];
            let first = if fits { whole(&long) } else { Line::TooLong };
            assert_eq!(lines(&[&long[..], b"\nb\n"].concat()), [first, whole(b"b")]);
            let first = if fits { whole(&long) } else { Line::TooLong };
            assert_eq!(lines(&long), [first]);
        }
    }

    #[tokio::test]
    async fn a_writer_whose_reader_has_gone_says_so() {
        struct Gone;
        impl Write for Gone {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let writer = Writer::new(Gone);
        writer.line("{}".into()).await;
        writer.reader_gone().await;
        writer.line("{}".into()).await;
        writer.finish().await;
    }
}
