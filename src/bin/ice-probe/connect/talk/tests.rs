//! Another side that does not keep to the rules. It has proved that it knows
//! the code, so it is no stranger, but nothing says that it means well.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::time::timeout;

use super::super::frame::{self, Frame, MAX_BODY};
use super::super::secure::Carrier;
use super::super::stdin::Stdin;
use super::*;

/// Longer than anything here takes: only a hang reaches it.
const HANG: Duration = Duration::from_secs(20);

/// A directory that goes with the value.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("floe-talk-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Directory(path)
    }

    fn is_empty(&self) -> bool {
        std::fs::read_dir(&self.0).unwrap().next().is_none()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// What becomes of a side that waits for a file where the other one says this.
async fn told(said: &[u8], directory: Option<PathBuf>) -> Result<End, Failure> {
    let (ours, theirs) = tokio::io::duplex(1 << 20);
    let (mut read, mut write): (_, tokio::io::WriteHalf<DuplexStream>) = tokio::io::split(theirs);
    let said = said.to_vec();
    let other = tokio::spawn(async move {
        let _ = write.write_all(&said).await;
        let _ = write.shutdown().await;
        let _ = read.read_to_end(&mut Vec::new()).await;
    });
    let (read, write) = tokio::io::split(ours);
    let link = Link { read: Box::new(read), write: Box::new(write), carrier: Carrier::Tls };
    let (view, mut signals) = (View::new(true, false), Signals::new().unwrap());
    let status = String::new;
    let end = talk(link, Work::Receive, directory, &view, &status, &mut signals);
    let end = timeout(HANG, end).await.expect("it ends");
    other.await.unwrap();
    end
}

/// The other side is done at once and reads slowly: our last word does not
/// overtake what was said before it.
#[tokio::test]
async fn all_that_was_piped_arrives_before_the_last_word() {
    let (ours, mut theirs) = tokio::io::duplex(1 << 10);
    theirs.write_all(&bytes(&[Frame::End]).await).await.unwrap();
    let (read, write) = tokio::io::split(ours);
    let link = Link { read: Box::new(read), write: Box::new(write), carrier: Carrier::Tls };
    let chunks: Vec<Vec<u8>> = (0..20).map(|n| vec![n; MAX_BODY]).collect();
    let work = Work::Pipe(Stdin::of(chunks.clone()));
    let (view, mut signals) = (View::new(true, false), Signals::new().unwrap());
    let other = async {
        frame::read_hello(&mut theirs).await.unwrap();
        let mut heard = Vec::new();
        while heard.last() != Some(&Frame::Bye) {
            heard.push(frame::read(&mut theirs).await.unwrap());
        }
        theirs.write_all(&[&[14][..], &[0; 4]].concat()).await.unwrap();
        heard
    };
    let status = String::new;
    let both = async { tokio::join!(talk(link, work, None, &view, &status, &mut signals), other) };
    let (end, heard) = timeout(HANG, both).await.expect("it ends");
    assert_eq!(end.unwrap(), End::Done);
    let expected = chunks.into_iter().map(Frame::Data).chain([Frame::End, Frame::Bye]);
    assert!(heard.into_iter().eq(expected));
}

/// One that goes before it has said that it is done may have missed something.
#[tokio::test]
async fn a_last_word_before_the_end_is_a_loss() {
    let said = bytes(&[Frame::Bye]).await;
    assert_eq!(told(&said, None).await.unwrap_err().exit, Exit::Lost);
}

async fn bytes(frames: &[Frame]) -> Vec<u8> {
    let mut bytes = Vec::new();
    frame::write_hello(&mut bytes).await.unwrap();
    for one in frames {
        frame::write(&mut bytes, one).await.unwrap();
    }
    bytes
}

fn offer(size: u64) -> Frame {
    Frame::Offer { size, name: "../x".to_owned() }
}

#[tokio::test]
async fn what_nobody_can_make_sense_of_is_a_lost_connection() {
    let directory = Directory::new("rubbish");
    let hello = bytes(&[]).await;
    let raw: [&[u8]; 4] = [
        b"",
        b"GET / HTTP/1.1\r\n\r\n",
        &[&hello[..], &[0xff; 64]].concat(),
        &[&hello[..], &[1, 0xff, 0xff, 0xff, 0xff]].concat(),
    ];
    for said in raw {
        let failure = told(said, Some(directory.0.clone())).await.unwrap_err();
        assert_eq!(failure.exit, Exit::Lost, "{failure:?}");
    }
    let out_of_turn = [
        vec![Frame::Part(vec![1])],
        vec![Frame::Whole([0; 32])],
        vec![Frame::TestEnd],
        vec![Frame::TestMe, Frame::TestMe],
        vec![offer(1), offer(1)],
        vec![offer(1), Frame::Part(vec![1, 2])],
        vec![offer(2), Frame::Part(vec![1]), Frame::Whole([0; 32])],
        vec![offer(1), Frame::Part(vec![1]), Frame::Whole([0; 32])],
        vec![offer(1), Frame::Bye],
        (0..100).map(|_| Frame::Accept).collect(),
        (0..100).map(|_| offer(0)).collect(),
    ];
    for frames in out_of_turn {
        let end = told(&bytes(&frames).await, Some(directory.0.clone())).await;
        assert_eq!(end.unwrap_err().exit, Exit::Lost, "{frames:?}");
    }
}

#[tokio::test]
async fn what_is_not_whole_leaves_nothing_behind() {
    let directory = Directory::new("nothing");
    for frames in [
        vec![offer(u64::MAX), Frame::Part(vec![0; MAX_BODY])],
        vec![offer(1), Frame::Part(vec![1, 2])],
        vec![offer(1), Frame::Part(vec![1]), Frame::Whole([0; 32])],
        vec![offer(1), Frame::Bye],
    ] {
        assert!(told(&bytes(&frames).await, Some(directory.0.clone())).await.is_err());
        assert!(directory.is_empty(), "{frames:?}");
    }
}

#[tokio::test]
async fn one_that_sends_no_file_is_told_what_it_lacks() {
    let directory = Directory::new("no-file");
    let said = bytes(&[Frame::End]).await;
    let failure = told(&said, Some(directory.0.clone())).await.unwrap_err();
    assert_eq!(failure.exit, Exit::Usage);
    assert!(failure.message.contains("--send"), "{}", failure.message);
}
