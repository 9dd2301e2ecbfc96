//! What the two sides say to each other on their stream: a kind, a length and
//! a body.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// The largest body.
pub(crate) const MAX_BODY: usize = 64 * 1024;

/// The first bytes of each side.
const HELLO: &[u8; 8] = b"floe-1\r\n";

/// How large a file's name is, in bytes.
const MAX_NAME: usize = 1_024;

/// What is said.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Frame {
    /// Bytes of the pipe.
    Data(Vec<u8>),
    /// There is nothing more to come of our own.
    End,
    /// A file of this size and name is to be had.
    Offer { size: u64, name: String },
    /// The file that was offered is wanted.
    Accept,
    /// It is not.
    Refuse,
    /// Bytes of the file.
    Part(Vec<u8>),
    /// The file was whole: its SHA-256.
    Whole([u8; 32]),
    /// The file is there: the SHA-256 of what came.
    Taken([u8; 32]),
    /// The file cannot be kept.
    Failed,
    /// Bytes that are counted and thrown away.
    Test(Vec<u8>),
    /// No more of them.
    TestEnd,
    /// So many came, in so many microseconds.
    Tested { bytes: u64, micros: u64 },
    /// Test the way back.
    TestMe,
    /// The session is over.
    Bye,
}

const DATA: u8 = 1;
const END: u8 = 2;
const OFFER: u8 = 3;
const ACCEPT: u8 = 4;
const REFUSE: u8 = 5;
const PART: u8 = 6;
const WHOLE: u8 = 7;
const TAKEN: u8 = 8;
const FAILED: u8 = 9;
const TEST: u8 = 10;
const TEST_END: u8 = 11;
const TESTED: u8 = 12;
const TEST_ME: u8 = 13;
const BYE: u8 = 14;

/// Why a frame did not come.
#[derive(Debug)]
pub(crate) enum NoFrame {
    /// The stream is over, or broken.
    Gone(io::Error),
    /// What came is none.
    Rubbish,
}

impl From<io::Error> for NoFrame {
    fn from(error: io::Error) -> Self {
        NoFrame::Gone(error)
    }
}

/// Says what is spoken.
pub(crate) async fn write_hello(write: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
    write.write_all(HELLO).await?;
    write.flush().await
}

/// Hears what is spoken.
pub(crate) async fn read_hello(read: &mut (impl AsyncRead + Unpin)) -> Result<(), NoFrame> {
    let mut hello = [0; HELLO.len()];
    read.read_exact(&mut hello).await?;
    if &hello == HELLO { Ok(()) } else { Err(NoFrame::Rubbish) }
}

/// Writes a frame.
pub(crate) async fn write(write: &mut (impl AsyncWrite + Unpin), frame: &Frame) -> io::Result<()> {
    let (kind, body) = frame.encode();
    let length = u32::try_from(body.len()).map_err(io::Error::other)?;
    let mut head = [0; 5];
    head[0] = kind;
    head[1..].copy_from_slice(&length.to_be_bytes());
    write.write_all(&head).await?;
    write.write_all(&body).await
}

/// Reads a frame.
pub(crate) async fn read(read: &mut (impl AsyncRead + Unpin)) -> Result<Frame, NoFrame> {
    let mut head = [0; 5];
    read.read_exact(&mut head).await?;
    let [kind, length @ ..] = head;
    let length = u32::from_be_bytes(length);
    let length = usize::try_from(length).map_err(|_| NoFrame::Rubbish)?;
    if length > MAX_BODY {
        return Err(NoFrame::Rubbish);
    }
    let mut body = vec![0; length];
    read.read_exact(&mut body).await?;
    Frame::decode(kind, body).ok_or(NoFrame::Rubbish)
}

impl Frame {
    fn encode(&self) -> (u8, std::borrow::Cow<'_, [u8]>) {
        let none = || (&[]).into();
        match self {
            Frame::Data(bytes) => (DATA, bytes.into()),
            Frame::End => (END, none()),
            Frame::Offer { size, name } => {
                (OFFER, [&size.to_be_bytes()[..], name.as_bytes()].concat().into())
            }
            Frame::Accept => (ACCEPT, none()),
            Frame::Refuse => (REFUSE, none()),
            Frame::Part(bytes) => (PART, bytes.into()),
            Frame::Whole(hash) => (WHOLE, hash.into()),
            Frame::Taken(hash) => (TAKEN, hash.into()),
            Frame::Failed => (FAILED, none()),
            Frame::Test(bytes) => (TEST, bytes.into()),
            Frame::TestEnd => (TEST_END, none()),
            Frame::Tested { bytes, micros } => {
                (TESTED, [bytes.to_be_bytes(), micros.to_be_bytes()].concat().into())
            }
            Frame::TestMe => (TEST_ME, none()),
            Frame::Bye => (BYE, none()),
        }
    }

    fn decode(kind: u8, body: Vec<u8>) -> Option<Self> {
        let empty = |frame| body.is_empty().then_some(frame);
        Some(match kind {
            END => empty(Frame::End)?,
            ACCEPT => empty(Frame::Accept)?,
            REFUSE => empty(Frame::Refuse)?,
            FAILED => empty(Frame::Failed)?,
            TEST_END => empty(Frame::TestEnd)?,
            TEST_ME => empty(Frame::TestMe)?,
            BYE => empty(Frame::Bye)?,
            DATA => Frame::Data(body),
            PART => Frame::Part(body),
            TEST => Frame::Test(body),
            WHOLE => Frame::Whole(body.try_into().ok()?),
            TAKEN => Frame::Taken(body.try_into().ok()?),
            OFFER => {
                let (size, name) = body.split_first_chunk()?;
                let name = str::from_utf8(name).ok().filter(|name| name.len() <= MAX_NAME)?;
                Frame::Offer { size: u64::from_be_bytes(*size), name: name.to_owned() }
            }
            TESTED => {
                let (bytes, micros) = body.split_first_chunk()?;
                let micros = u64::from_be_bytes(micros.try_into().ok()?);
                Frame::Tested { bytes: u64::from_be_bytes(*bytes), micros }
            }
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_frame_is_read_as_it_was_written() {
        let frames = [
            Frame::Data(vec![7; MAX_BODY]),
            Frame::End,
            Frame::Offer { size: 1 << 40, name: "é.txt".to_owned() },
            Frame::Accept,
            Frame::Refuse,
            Frame::Part(vec![]),
            Frame::Whole([1; 32]),
            Frame::Taken([2; 32]),
            Frame::Failed,
            Frame::Test(vec![0]),
            Frame::TestEnd,
            Frame::Tested { bytes: 7, micros: 8 },
            Frame::TestMe,
            Frame::Bye,
        ];
        let mut bytes = Vec::new();
        write_hello(&mut bytes).await.unwrap();
        for frame in &frames {
            write(&mut bytes, frame).await.unwrap();
        }
        let mut rest = &bytes[..];
        read_hello(&mut rest).await.unwrap();
        for frame in frames {
            assert_eq!(read(&mut rest).await.unwrap(), frame);
        }
        assert!(matches!(read(&mut rest).await, Err(NoFrame::Gone(_))));
    }

    #[tokio::test]
    async fn rubbish_is_told_from_an_end() {
        let long = u32::try_from(MAX_BODY + 1).unwrap().to_be_bytes();
        let name = [&[OFFER, 0, 0, 0, 9][..], &[0; 8], &[0xff]].concat();
        let cases: [&[u8]; 7] = [
            &[0, 0, 0, 0, 0],
            &[99, 0, 0, 0, 0],
            &[&[DATA][..], &long].concat(),
            &[END, 0, 0, 0, 1, 0],
            &[WHOLE, 0, 0, 0, 1, 0],
            &[OFFER, 0, 0, 0, 1, 0],
            &name,
        ];
        for mut bytes in cases {
            assert!(matches!(read(&mut bytes).await, Err(NoFrame::Rubbish)), "{bytes:?}");
        }
        assert!(matches!(read_hello(&mut &b"GET / HT"[..]).await, Err(NoFrame::Rubbish)));
        assert!(matches!(read_hello(&mut &b"floe"[..]).await, Err(NoFrame::Gone(_))));
    }
}
