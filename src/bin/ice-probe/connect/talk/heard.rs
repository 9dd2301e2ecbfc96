//! What the other side says, and what is done about it.

use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::time::Instant;

use indicatif::ProgressBar;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::super::file::{Incoming, Unwritten, safe_name};
use super::super::frame::{Frame, NoFrame};
use super::super::view::{View, is_shown, rate};
use super::work::{self, Answer, hex};
use super::{Stream, gone};
use crate::exit::{Exit, Failure};

/// What follows from a frame.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// More frames.
    More,
    /// The other side has no more of its own.
    End,
    /// The other side is gone, and said so.
    Bye,
}

/// The state of what the other side says.
pub(super) struct Heard<'a> {
    directory: Option<PathBuf>,
    view: &'a View,
    /// To the other side: small, and each once.
    answers: mpsc::Sender<Frame>,
    frames: mpsc::Sender<Frame>,
    /// To our own work.
    work: mpsc::Sender<Answer>,
    incoming: Option<Arriving>,
    /// A file was taken.
    has_received: bool,
    tested: Option<Tested>,
    tester: Option<JoinHandle<()>>,
    is_terminal: bool,
    has_ended: bool,
}

struct Arriving {
    file: Incoming,
    bar: ProgressBar,
    start: Instant,
}

struct Tested {
    start: Instant,
    bytes: u64,
}

impl<'a> Heard<'a> {
    pub(super) fn new(
        directory: Option<PathBuf>,
        view: &'a View,
        stream: &Stream,
        work: mpsc::Sender<Answer>,
    ) -> Self {
        Heard {
            directory,
            view,
            answers: stream.answers.clone(),
            frames: stream.frames.clone(),
            work,
            incoming: None,
            has_received: false,
            tested: None,
            tester: None,
            is_terminal: std::io::stdout().is_terminal(),
            has_ended: false,
        }
    }

    /// Takes the next frame, or its absence.
    pub(super) async fn frame(
        &mut self,
        frame: Option<Result<Frame, NoFrame>>,
    ) -> Result<Next, Failure> {
        match frame {
            Some(Ok(frame)) => self.take(frame).await,
            Some(Err(NoFrame::Rubbish)) => Err(rubbish()),
            Some(Err(NoFrame::Gone(error))) => {
                let sentence = format!("the connection to the other side is lost: {error}");
                Err(Failure::new(Exit::Lost, sentence))
            }
            None => Err(gone()),
        }
    }

    async fn take(&mut self, frame: Frame) -> Result<Next, Failure> {
        if self.has_ended && is_own(&frame) {
            return Err(rubbish());
        }
        match frame {
            Frame::Data(bytes) => self.print(&bytes)?,
            Frame::End => return self.end(),
            Frame::Offer { size, name } => self.offer(size, &name)?,
            Frame::Part(bytes) => self.part(&bytes)?,
            Frame::Whole(hash) => self.whole(hash)?,
            Frame::Accept => self.tell(Answer::Accepted)?,
            Frame::Refuse => self.tell(Answer::Refused)?,
            Frame::Failed => self.tell(Answer::Failed)?,
            Frame::Taken(hash) => self.tell(Answer::Taken(hash))?,
            Frame::Tested { bytes, micros } => self.tell(Answer::Tested { bytes, micros })?,
            Frame::Test(bytes) => {
                let tested = self.tested.get_or_insert(Tested { start: Instant::now(), bytes: 0 });
                let count = u64::try_from(bytes.len()).unwrap_or_default();
                tested.bytes = tested.bytes.saturating_add(count);
            }
            Frame::TestEnd => self.tested()?,
            Frame::TestMe => self.test()?,
            Frame::Bye => return Ok(Next::Bye),
        }
        Ok(Next::More)
    }

    /// Bytes of the pipe. On a terminal what controls it is taken out.
    fn print(&self, bytes: &[u8]) -> Result<(), Failure> {
        let mut stdout = std::io::stdout().lock();
        if self.is_terminal {
            let is_fine = |c: char| is_shown(c) || c == '\n' || c == '\t';
            let text = String::from_utf8_lossy(bytes);
            let text: String =
                text.chars().map(|c| if is_fine(c) { c } else { '\u{fffd}' }).collect();
            stdout.write_all(text.as_bytes())?;
        } else {
            stdout.write_all(bytes)?;
        }
        Ok(stdout.flush()?)
    }

    fn end(&mut self) -> Result<Next, Failure> {
        if self.directory.is_some() && !self.has_received {
            let sentence = "the other side sends no file: there it needs --send FILE";
            return Err(Failure::new(Exit::Usage, sentence));
        }
        self.has_ended = true;
        Ok(Next::End)
    }

    fn offer(&mut self, size: u64, name: &str) -> Result<(), Failure> {
        if self.incoming.is_some() || self.has_received {
            return Err(rubbish());
        }
        let shown = safe_name(name);
        let Some(directory) = &self.directory else {
            self.view.line(&format!(
                "the other side wants to send {shown}, {size} bytes: --receive DIR takes it"
            ));
            return self.answer(Frame::Refuse);
        };
        match Incoming::create(directory, name, size) {
            Ok(file) => {
                let (bar, start) = (self.view.bar(&shown, size), Instant::now());
                self.incoming = Some(Arriving { file, bar, start });
                self.answer(Frame::Accept)
            }
            Err(error) => self.unwritten(&Unwritten::System(error)),
        }
    }

    fn part(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let arriving = self.incoming.as_mut().ok_or_else(rubbish)?;
        let at = arriving.bar.position() + u64::try_from(bytes.len()).unwrap_or_default();
        match arriving.file.write(bytes) {
            Ok(()) => {
                arriving.bar.set_position(at);
                Ok(())
            }
            Err(why) => self.unwritten(&why),
        }
    }

    fn whole(&mut self, hash: [u8; 32]) -> Result<(), Failure> {
        let Arriving { file, bar, start } = self.incoming.take().ok_or_else(rubbish)?;
        let (name, size, time) = (file.name().to_owned(), file.size(), start.elapsed());
        bar.finish_and_clear();
        match file.finish(&hash) {
            Ok(path) => {
                self.answer(Frame::Taken(hash))?;
                let rate = rate(size, time);
                let time = time.as_secs_f64();
                self.view.line(&format!("received {name}: {size} bytes in {time:.2} s, {rate}"));
                self.view.line(&format!("SHA-256 {}, at both ends", hex(&hash)));
                self.view.line(&format!("it is {}", path.display()));
                self.has_received = true;
                self.tell(Answer::Received)
            }
            Err(why) => self.unwritten(&why),
        }
    }

    /// The file cannot be kept: both sides are told so.
    fn unwritten(&mut self, why: &Unwritten) -> Result<(), Failure> {
        self.incoming = None;
        self.answer(Frame::Failed)?;
        Err(match why {
            Unwritten::System(error) => {
                Failure::new(Exit::Internal, format!("the file cannot be written: {error}"))
            }
            Unwritten::Hash => {
                Failure::new(Exit::Lost, "the file arrived as another: its SHA-256 differs")
            }
            Unwritten::Size => {
                Failure::new(Exit::Lost, "the file is not of the size that was said")
            }
        })
    }

    fn tested(&mut self) -> Result<(), Failure> {
        let Tested { start, bytes } = self.tested.take().ok_or_else(rubbish)?;
        let micros = u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.answer(Frame::Tested { bytes, micros })?;
        self.tell(Answer::Measured { bytes, micros })
    }

    /// The other side wants to know how fast we send. Once is enough.
    fn test(&mut self) -> Result<(), Failure> {
        if self.tester.is_some() {
            return Err(rubbish());
        }
        let frames = self.frames.clone();
        self.tester = Some(tokio::spawn(async move {
            let _ = work::test(&frames).await;
        }));
        Ok(())
    }

    fn answer(&self, frame: Frame) -> Result<(), Failure> {
        self.answers.try_send(frame).map_err(|_| rubbish())
    }

    /// Work that is done waits for no answer.
    fn tell(&self, answer: Answer) -> Result<(), Failure> {
        match self.work.try_send(answer) {
            Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => Ok(()),
            Err(mpsc::error::TrySendError::Full(_)) => Err(rubbish()),
        }
    }
}

impl Drop for Heard<'_> {
    fn drop(&mut self) {
        if let Some(tester) = &self.tester {
            tester.abort();
        }
    }
}

/// Whether a frame is of the other side's own accord, and comes no more after
/// its end.
fn is_own(frame: &Frame) -> bool {
    use Frame::{Data, End, Offer, Part, TestMe, Whole};
    matches!(frame, Data(_) | End | Offer { .. } | Part(_) | Whole(_) | TestMe)
}

fn rubbish() -> Failure {
    let sentence = "the other side sent what nobody can make sense of: is it another version?";
    Failure::new(Exit::Lost, sentence)
}
