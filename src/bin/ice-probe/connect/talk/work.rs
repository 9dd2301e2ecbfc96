//! What a side does of its own accord: send a file, test the speed, or pass on
//! what comes on stdin.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use sha2::{Digest as _, Sha256};
use tokio::fs::File;
use tokio::io::AsyncReadExt as _;
use tokio::sync::mpsc;

use super::super::frame::{Frame, MAX_BODY};
use super::super::stdin::Stdin;
use super::super::view::{View, rate};
use super::gone;
use crate::exit::{Exit, Failure};

/// How long a test of the speed takes each way.
pub(super) const TEST: Duration = Duration::from_secs(5);

/// Bytes of a frame of a file or a test.
const CHUNK: usize = MAX_BODY;

/// What is to be done.
pub(crate) enum Work {
    /// Send a file, which is open already.
    Send { file: File, path: PathBuf, size: u64 },
    /// Wait for a file.
    Receive,
    /// Test the speed both ways.
    Throughput,
    /// Pass on stdin.
    Pipe(Stdin),
}

/// What the other side answered, or the reader found.
#[derive(Debug)]
pub(super) enum Answer {
    Accepted,
    Refused,
    Failed,
    Taken([u8; 32]),
    /// Of our test: what arrived there.
    Tested {
        bytes: u64,
        micros: u64,
    },
    /// Of the other side's test: what arrived here.
    Measured {
        bytes: u64,
        micros: u64,
    },
    /// A file is here.
    Received,
}

/// Where frames go, and answers come from.
pub(super) struct Ends<'a> {
    /// In order, and held up where the path is slower.
    pub(super) frames: mpsc::Sender<Frame>,
    pub(super) answers: mpsc::Receiver<Answer>,
    pub(super) view: &'a View,
    /// How the path is, in words.
    pub(super) status: &'a dyn Fn() -> String,
}

impl Ends<'_> {
    async fn say(&self, frame: Frame) -> Result<(), Failure> {
        self.frames.send(frame).await.map_err(|_| gone())
    }

    async fn answer(&mut self) -> Result<Answer, Failure> {
        self.answers.recv().await.ok_or_else(gone)
    }
}

/// Does it, and says that there is no more.
pub(super) async fn work(work: Work, mut ends: Ends<'_>) -> Result<(), Failure> {
    match work {
        Work::Send { file, path, size } => send(file, &path, size, &mut ends).await?,
        Work::Receive => while !matches!(ends.answer().await?, Answer::Received) {},
        Work::Throughput => throughput(&mut ends).await?,
        Work::Pipe(mut stdin) => {
            while let Some(chunk) = stdin.chunk().await {
                for part in chunk.chunks(MAX_BODY) {
                    ends.say(Frame::Data(part.to_vec())).await?;
                }
            }
        }
    }
    ends.say(Frame::End).await
}

async fn send(mut file: File, path: &Path, size: u64, ends: &mut Ends<'_>) -> Result<(), Failure> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    ends.say(Frame::Offer { size, name: name.clone() }).await?;
    let failure = |exit, sentence: &str| Err(Failure::new(exit, sentence));
    match ends.answer().await? {
        Answer::Accepted => {}
        Answer::Refused => {
            let sentence = "the other side takes no file: there it needs --receive DIR";
            return failure(Exit::Usage, sentence);
        }
        _ => return failure(Exit::Lost, "the other side cannot keep the file"),
    }
    let (start, bar) = (Instant::now(), ends.view.bar(&name, size));
    let (mut hash, mut sent, mut rest) = (Sha256::new(), 0, size);
    while rest > 0 {
        let mut part = vec![0; CHUNK.min(usize::try_from(rest).unwrap_or(CHUNK))];
        let count = file.read(&mut part).await.map_err(|error| unread(path, &error))?;
        if count == 0 {
            return Err(unread(path, &"it became shorter"));
        }
        part.truncate(count);
        hash.update(&part);
        let count = u64::try_from(count).unwrap_or_default();
        (sent, rest) = (sent + count, rest - count);
        ends.say(Frame::Part(part)).await?;
        bar.set_position(sent);
    }
    let hash: [u8; 32] = hash.finalize().into();
    ends.say(Frame::Whole(hash)).await?;
    let taken = ends.answer().await?;
    bar.finish_and_clear();
    match taken {
        Answer::Taken(theirs) if theirs == hash => {
            let (time, rate) = (start.elapsed().as_secs_f64(), rate(size, start.elapsed()));
            let hash = hex(&hash);
            ends.view.line(&format!("sent {name}: {size} bytes in {time:.2} s, {rate}"));
            ends.view.line(&format!("SHA-256 {hash}, at both ends"));
            Ok(())
        }
        Answer::Taken(_) => failure(Exit::Lost, "the file arrived as another: its SHA-256 differs"),
        _ => failure(Exit::Lost, "the other side cannot keep the file"),
    }
}

fn unread(path: &Path, why: &dyn std::fmt::Display) -> Failure {
    Failure::new(Exit::Internal, format!("cannot read {}: {why}", path.display()))
}

async fn throughput(ends: &mut Ends<'_>) -> Result<(), Failure> {
    test(&ends.frames).await?;
    loop {
        if let Answer::Tested { bytes, micros } = ends.answer().await? {
            let rate = rate(bytes, Duration::from_micros(micros));
            ends.view.line(&format!("to the other side: {rate} ({})", (ends.status)()));
            break;
        }
    }
    ends.say(Frame::TestMe).await?;
    loop {
        if let Answer::Measured { bytes, micros } = ends.answer().await? {
            let rate = rate(bytes, Duration::from_micros(micros));
            ends.view.line(&format!("from the other side: {rate} ({})", (ends.status)()));
            return Ok(());
        }
    }
}

/// Sends as fast as it goes.
pub(super) async fn test(frames: &mpsc::Sender<Frame>) -> Result<(), Failure> {
    let end = Instant::now() + TEST;
    while Instant::now() < end {
        frames.send(Frame::Test(vec![0; CHUNK])).await.map_err(|_| gone())?;
    }
    frames.send(Frame::TestEnd).await.map_err(|_| gone())
}

/// The digits of a hash.
pub(super) fn hex(hash: &[u8]) -> String {
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}
