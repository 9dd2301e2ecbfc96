//! What the two sides do once the stream between them is encrypted.

mod heard;
mod work;

use std::path::PathBuf;
use std::time::Duration;

use indicatif::ProgressBar;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::frame::{self, Frame, NoFrame};
use super::secure::Link;
use super::view::View;
use crate::exit::{Exit, Failure};
use crate::signals::Signals;
use heard::{Heard, Next};
use work::Ends;
pub(crate) use work::Work;

/// Frames that wait to be written.
const QUEUE: usize = 4;

/// Answers that wait: each is to something that the other side said once.
const ANSWERS: usize = 16;

/// How long the other side may take for its last word.
const FAREWELL: Duration = Duration::from_secs(3);

/// How often it is said how the path is.
const REFRESH: Duration = Duration::from_millis(500);

/// What the system is given to send our last word.
const LINGER: Duration = Duration::from_millis(100);

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Both sides were done.
    Done,
    /// The user had enough.
    Interrupted,
}

/// The tasks that read and write the stream.
struct Stream {
    heard: mpsc::Receiver<Result<Frame, NoFrame>>,
    frames: mpsc::Sender<Frame>,
    /// Overtakes the frames.
    answers: mpsc::Sender<Frame>,
    writer: JoinHandle<()>,
}

/// Talks until both sides are done; `status` says how the path is.
pub(crate) async fn talk(
    link: Link,
    work: Work,
    receive: Option<PathBuf>,
    view: &View,
    status: &dyn Fn() -> String,
    signals: &mut Signals,
) -> Result<End, Failure> {
    // Where a person types, the other side's end is the end.
    let is_chat = matches!(&work, Work::Pipe(stdin) if stdin.is_typed);
    let (mut stream, (answers, answered)) = (open(link), mpsc::channel(ANSWERS));
    let ends = Ends { frames: stream.frames.clone(), answers: answered, view, status };
    let mut working = Box::pin(work::work(work, ends));
    let mut heard = Heard::new(receive, view, &stream, answers);
    // Where a person types, nothing moves under the hands.
    let live = (!is_chat).then(|| view.live());
    let mut tick = tokio::time::interval(REFRESH);
    let (mut is_done, mut are_they) = (false, false);
    let end = loop {
        if is_done && are_they {
            break Ok(End::Done);
        }
        tokio::select! {
            result = &mut working, if !is_done => match result {
                Ok(()) => is_done = true,
                Err(failure) => break Err(failure),
            },
            frame = stream.heard.recv() => match heard.frame(frame).await {
                Ok(Next::More) => {}
                Ok(Next::End) => {
                    are_they = true;
                    if is_chat && !is_done {
                        is_done = stream.frames.send(Frame::End).await.is_ok();
                    }
                }
                Ok(Next::Bye) if are_they || is_chat => break Ok(End::Done),
                Ok(Next::Bye) => {
                    let sentence = "the other side ended it before all was done";
                    break Err(Failure::new(Exit::Lost, sentence));
                }
                Err(failure) => break Err(failure),
            },
            _ = tick.tick() => live.iter().for_each(|live| live.set_message(status())),
            () = signals.wait() => break Ok(End::Interrupted),
        }
    };
    live.iter().for_each(ProgressBar::finish_and_clear);
    drop((heard, working));
    match &end {
        // Behind all that is still on its way.
        Ok(End::Done) => {
            let _ = timeout(FAREWELL, stream.frames.send(Frame::Bye)).await;
        }
        _ => drop(stream.answers.try_send(Frame::Bye)),
    }
    // One that is gone, or talks nonsense, has no last word to wait for.
    let is_lost = matches!(&end, Err(failure) if failure.exit == Exit::Lost);
    farewell(stream, if is_lost { Duration::ZERO } else { FAREWELL }).await;
    end
}

/// Waits for the other side's last word, after ours: then all that both have
/// said has arrived.
async fn farewell(mut stream: Stream, patience: Duration) {
    let last = async {
        while let Some(Ok(frame)) = stream.heard.recv().await {
            if frame == Frame::Bye {
                break;
            }
        }
    };
    let _ = timeout(patience, last).await;
    drop((stream.frames, stream.answers));
    let _ = timeout(FAREWELL, stream.writer).await;
    tokio::time::sleep(LINGER).await;
}

fn open(link: Link) -> Stream {
    let Link { read, write, .. } = link;
    let (frames, bulk) = mpsc::channel(QUEUE);
    let (answers, first) = mpsc::channel(ANSWERS);
    let (sender, heard) = mpsc::channel(QUEUE);
    tokio::spawn(read_all(read, sender));
    let writer = tokio::spawn(async move {
        // An error shows at the reader's end as well.
        let _ = write_all(write, first, bulk).await;
    });
    Stream { heard, frames, answers, writer }
}

async fn read_all(mut read: impl AsyncRead + Unpin, heard: mpsc::Sender<Result<Frame, NoFrame>>) {
    let mut next = frame::read_hello(&mut read).await.map(|()| None);
    loop {
        let frame = match next {
            Ok(None) => frame::read(&mut read).await,
            Ok(Some(frame)) => Ok(frame),
            Err(error) => Err(error),
        };
        let is_last = frame.is_err();
        if heard.send(frame).await.is_err() || is_last {
            return;
        }
        next = Ok(None);
    }
}

async fn write_all(
    mut write: impl AsyncWrite + Unpin,
    mut first: mpsc::Receiver<Frame>,
    mut bulk: mpsc::Receiver<Frame>,
) -> std::io::Result<()> {
    frame::write_hello(&mut write).await?;
    loop {
        let frame = tokio::select! {
            biased;
            Some(frame) = first.recv() => frame,
            Some(frame) = bulk.recv() => frame,
            else => break,
        };
        frame::write(&mut write, &frame).await?;
        if first.is_empty() && bulk.is_empty() {
            write.flush().await?;
        }
    }
    write.shutdown().await
}

/// The stream is over.
fn gone() -> Failure {
    Failure::new(Exit::Lost, "the connection to the other side is lost")
}

#[cfg(test)]
mod tests;
