use std::future::{Future, poll_fn};
use std::net::Ipv4Addr;
use std::pin::pin;
use std::sync::atomic::AtomicUsize;
use std::task::{Wake, Waker};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::*;
use crate::driver::receive::ReceiveQueue;
use crate::driver::transport::{BindOptions, listen_tcp};
use crate::stun::{self, IntegrityKey, TransactionId};
use crate::tcp::Deframer;

const LIMIT: Duration = Duration::from_secs(30);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Told {
    Message(Vec<u8>),
    NotStun,
    Ended(Option<io::ErrorKind>),
}

/// An agent that notes what it is told.
#[derive(Default)]
struct Notes {
    told: Mutex<Vec<Told>>,
    changed: Notify,
}

impl Notes {
    fn note(&self, told: Told) {
        self.told.lock().push(told);
        self.changed.notify_one();
    }

    async fn until(&self, told: &[Told]) {
        let wait = async {
            while self.told.lock().len() < told.len() {
                self.changed.notified().await;
            }
        };
        assert!(timeout(LIMIT, wait).await.is_ok(), "only {:?}", self.told.lock());
        assert_eq!(*self.told.lock(), told);
    }
}

impl Owner for Notes {
    fn message(&self, _: LinkId, bytes: &[u8]) {
        self.note(Told::Message(bytes.to_vec()));
    }
    fn relayed(&self, _: BaseId, _: SocketAddr, _: &[u8]) {
        unreachable!("no TURN server is at the other end");
    }

    fn not_stun(&self, _: LinkId) {
        self.note(Told::NotStun);
    }
    fn ended(&self, _: LinkId, kind: Option<io::ErrorKind>) {
        self.note(Told::Ended(kind));
    }
}

struct Fixture {
    link: Arc<Link>,
    notes: Arc<Notes>,
    peer: tokio::net::TcpStream,
    task: JoinHandle<()>,
}

impl Fixture {
    async fn with(framing: Framing) -> Self {
        let listener = listen_tcp(Ipv4Addr::LOCALHOST.into(), 0, &BindOptions::default()).unwrap();
        let peer = tokio::net::TcpStream::connect(listener.local()).await.unwrap();
        peer.set_nodelay(true).unwrap();
        let stream = poll_fn(|cx| listener.poll_accept(cx)).await.unwrap().unwrap();
        let id = LinkId { base: BaseId(1), remote: stream.remote(), serial: 1 };
        let link = Arc::new(Link::new(id, stream, framing, Arc::default()));
        let notes = Arc::new(Notes::default());
        let task = tokio::spawn(run(link.clone(), notes.clone()));
        Fixture { link, notes, peer, task }
    }

    async fn new() -> Self {
        Self::with(Framing::Rfc4571).await
    }

    fn open(&self, limit: usize) -> Arc<ReceiveQueue> {
        let queue = Arc::new(ReceiveQueue::new(limit));
        self.link.open_path(Way { queue: queue.clone(), traffic: Arc::default() });
        queue
    }

    fn unrouted(&self) -> u64 {
        self.link.unrouted.load(Ordering::Relaxed)
    }

    /// Sends until nothing more is taken; returns how often.
    fn fill(&self, datagram: &[u8]) -> usize {
        (0..).find(|_| self.link.try_send(datagram).is_err()).unwrap()
    }

    async fn writes(&mut self, bytes: &[u8]) {
        self.peer.write_all(bytes).await.unwrap();
    }

    async fn read_frames(&mut self, count: usize) -> Vec<Vec<u8>> {
        let mut deframer = Deframer::new(Framing::Rfc4571);
        deframer.prove();
        let mut frames = Vec::new();
        while frames.len() < count {
            let read = timeout(LIMIT, self.peer.read(deframer.space())).await.unwrap().unwrap();
            assert_ne!(read, 0, "{} of {count}", frames.len());
            deframer.filled(read);
            while let Some(frame) = deframer.next_frame().unwrap() {
                frames.push(frame.to_vec());
            }
        }
        assert_eq!((frames.len(), deframer.pending()), (count, 0));
        frames
    }

    async fn over(self) {
        timeout(LIMIT, self.task).await.unwrap().unwrap();
    }
}

fn framed(messages: &[&[u8]]) -> Vec<u8> {
    let parts = messages.iter().map(|m| [&head(m.len()).unwrap()[..], m].concat());
    parts.collect::<Vec<_>>().concat()
}

fn stun_message() -> Vec<u8> {
    let mut out = Vec::new();
    let to = SocketAddr::from(([192, 0, 2, 1], 9));
    let key = IntegrityKey::short_term("password");
    stun::write_success(TransactionId([7; 12]), to, &key, &mut out);
    out
}

async fn pop(queue: &ReceiveQueue) -> Vec<u8> {
    let mut buffer = vec![0; MAX_FRAME];
    let len = timeout(LIMIT, poll_fn(|cx| queue.poll_pop(cx, &mut buffer))).await.unwrap().unwrap();
    buffer.truncate(len);
    buffer
}

#[tokio::test]
async fn frames_arrive_however_they_are_split_and_empty_ones_too() {
    let mut fixture = Fixture::new().await;
    let queue = fixture.open(1 << 20);
    let message = stun_message();
    let large = vec![5; MAX_FRAME];
    let stream = framed(&[b"one", &message, b"", &large, b"end"]);
    let (start, rest) = stream.split_at(60);
    for byte in start {
        fixture.writes(&[*byte]).await;
    }
    fixture.writes(rest).await;
    for expected in [&b"one"[..], b"", &large, b"end"] {
        assert_eq!(pop(&queue).await, expected);
    }
    fixture.notes.until(&[Told::Message(message)]).await;
    assert_eq!(fixture.unrouted(), 0);
}

#[tokio::test]
async fn before_a_check_something_else_than_stun_is_told_once() {
    let mut fixture = Fixture::new().await;
    let message = stun_message();
    fixture.writes(&framed(&[b"", b"HTTP", b"data", &message])).await;
    fixture.notes.until(&[Told::NotStun, Told::Message(message.clone())]).await;
    assert_eq!(fixture.unrouted(), 3);
    // Once it has passed one, data that belongs to nobody is only counted.
    let queue = fixture.open(1 << 10);
    fixture.writes(&framed(&[b"data"])).await;
    assert_eq!(pop(&queue).await, b"data");
    fixture.link.close_path();
    fixture.writes(&framed(&[b"more", &message])).await;
    let again = Told::Message(message);
    fixture.notes.until(&[Told::NotStun, again.clone(), again]).await;
    assert_eq!(fixture.unrouted(), 4);
}

#[tokio::test]
async fn a_frame_too_long_for_a_check_is_no_check() {
    let mut fixture = Fixture::new().await;
    fixture.writes(&framed(&[&[0; 2_049]])).await;
    fixture.notes.until(&[Told::NotStun]).await;
    // Nothing that follows can be read, but what is long is no error later.
    fixture.writes(&framed(&[&stun_message()])).await;
    drop(fixture.peer);
    let mut fixture = Fixture::new().await;
    let queue = fixture.open(1 << 20);
    fixture.writes(&framed(&[&[0; 2_049]])).await;
    assert_eq!(pop(&queue).await, [0; 2_049]);
}

#[tokio::test]
async fn the_end_is_told_as_it_came() {
    let mut fixture = Fixture::new().await;
    fixture.writes(&framed(&[b""])).await;
    drop(fixture.peer);
    fixture.notes.until(&[Told::Ended(None)]).await;
    timeout(LIMIT, fixture.task).await.unwrap().unwrap();
    let error = fixture.link.try_send(b"x").unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::NotConnected);

    let mut fixture = Fixture::new().await;
    fixture.writes(&[0, 4, 1]).await;
    drop(fixture.peer);
    fixture.notes.until(&[Told::Ended(Some(io::ErrorKind::UnexpectedEof))]).await;

    let fixture = Fixture::new().await;
    socket2::SockRef::from(&fixture.peer).set_linger(Some(Duration::ZERO)).unwrap();
    drop(fixture.peer);
    fixture.notes.until(&[Told::Ended(Some(io::ErrorKind::ConnectionReset))]).await;
}

#[tokio::test]
async fn of_a_server_everything_is_stun_or_the_end() {
    let mut fixture = Fixture::with(Framing::Stun).await;
    let message = stun_message();
    fixture.writes(&[&message[..], &message].concat()).await;
    let told = Told::Message(message.clone());
    fixture.notes.until(&[told.clone(), told.clone()]).await;
    fixture.link.send_control(&message).unwrap();
    let mut echo = vec![0; message.len()];
    fixture.peer.read_exact(&mut echo).await.unwrap();
    assert_eq!(echo, message);
    fixture.writes(b"HTTP/1.1").await;
    let end = Told::Ended(Some(io::ErrorKind::InvalidData));
    fixture.notes.until(&[told.clone(), told, end]).await;
    fixture.over().await;
}

/// What the two ends can hold between them is far less than this.
const MANY: u32 = 1_500;

#[tokio::test]
async fn a_slow_receiver_holds_its_peer_up_and_loses_nothing() {
    let fixture = Fixture::new().await;
    let queue = fixture.open(200_000);
    let (_, mut writing) = fixture.peer.into_split();
    let writer = tokio::spawn(async move {
        for n in 0..MANY {
            let mut payload = vec![0; 60_000];
            payload[..4].copy_from_slice(&n.to_be_bytes());
            writing.write_all(&framed(&[&payload])).await.unwrap();
        }
        writing
    });
    // Another connection goes its way.
    let mut other = Fixture::new().await;
    let others = other.open(1 << 10);
    for n in 0..MANY {
        if n % 100 == 0 {
            other.writes(&framed(&[&n.to_be_bytes()])).await;
            assert_eq!(pop(&others).await, n.to_be_bytes());
        }
        let datagram = pop(&queue).await;
        assert_eq!((datagram.len(), &datagram[..4]), (60_000, &n.to_be_bytes()[..]));
        if n == 10 {
            assert!(!writer.is_finished(), "it was not held up");
        }
    }
    assert_eq!(queue.dropped(), 0);
    // Both halves of the peer's end are gone with this one.
    drop(timeout(LIMIT, writer).await.unwrap().unwrap());
    fixture.notes.until(&[Told::Ended(None)]).await;
    timeout(LIMIT, fixture.task).await.unwrap().unwrap();
}

#[tokio::test]
async fn what_will_never_fit_is_dropped_and_counted() {
    let mut fixture = Fixture::new().await;
    let queue = fixture.open(1_000);
    fixture.writes(&framed(&[&[1; 969], &[2; 968]])).await;
    assert_eq!(pop(&queue).await, [2; 968]);
    assert_eq!(queue.dropped(), 1);
}

#[tokio::test]
async fn who_is_held_up_goes_on_when_the_path_closes() {
    let mut fixture = Fixture::new().await;
    let queue = fixture.open(100);
    let message = stun_message();
    fixture.writes(&framed(&[&[1; 60], &[2; 60], &message])).await;
    // Whether there is no room for the second tells that the first is there.
    let held_up = async {
        let mut cx = Context::from_waker(Waker::noop());
        while queue.poll_room(&mut cx, 60).is_ready() {
            tokio::task::yield_now().await;
        }
    };
    timeout(LIMIT, held_up).await.unwrap();
    assert!(fixture.notes.told.lock().is_empty());
    fixture.link.close_path();
    fixture.notes.until(&[Told::Message(message)]).await;
    assert_eq!(fixture.unrouted(), 1);
}

#[tokio::test]
async fn datagrams_wait_whole_and_bounded_for_a_slow_peer() {
    let mut fixture = Fixture::new().await;
    let datagram = [3; 10_000];
    let sent = fixture.fill(&datagram);
    assert_eq!(fixture.link.try_send(&datagram).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    let waits = fixture.link.queue.lock().len();
    assert!(waits <= DATA && waits + 10_002 > DATA, "{waits}");
    // What is shorter may still fit; a control message does in any case.
    let message = stun_message();
    fixture.link.send_control(&message).unwrap();
    let refused = (0..1_000).find(|_| fixture.link.send_control(&message).is_err());
    assert!(refused.is_some());
    assert!(fixture.link.queue.lock().len() <= DATA + CONTROL);
    let messages = refused.unwrap() + 1;
    {
        let link = fixture.link.clone();
        let mut writable = pin!(link.writable());
        let mut cx = Context::from_waker(Waker::noop());
        assert!(writable.as_mut().poll(&mut cx).is_pending());
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(woken.clone());
        assert!(fixture.link.poll_writable(&mut Context::from_waker(&waker)).is_pending());
        let link = fixture.link.clone();
        let room = tokio::spawn(async move { link.writable().await });
        let frames = fixture.read_frames(sent + messages).await;
        assert!(frames[..sent].iter().all(|frame| frame[..] == datagram));
        assert!(frames[sent..].iter().all(|frame| *frame == message));
        timeout(LIMIT, room).await.unwrap().unwrap().unwrap();
        assert!(woken.0.load(Ordering::Relaxed) > 0);
    }
    fixture.link.try_send(b"").unwrap();
    assert_eq!(fixture.read_frames(1).await, [b""]);
}

#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[tokio::test]
async fn a_datagram_has_at_most_what_a_frame_holds() {
    let mut fixture = Fixture::new().await;
    let error = fixture.link.try_send(&[0; MAX_FRAME + 1]).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    let size = NonZeroUsize::new(MAX_FRAME + 1).unwrap();
    let error = fixture.link.try_send_batch(&[0; MAX_FRAME + 1], size).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    fixture.link.try_send(&[4; MAX_FRAME]).unwrap();
    assert_eq!(fixture.read_frames(1).await, [[4; MAX_FRAME]]);
}

#[tokio::test]
async fn a_batch_is_cut_into_frames() {
    let mut fixture = Fixture::new().await;
    let size = NonZeroUsize::new(1_000).unwrap();
    let datagrams = vec![9; 10_500];
    assert_eq!(fixture.link.try_send_batch(&datagrams, size).unwrap(), 10_500);
    let frames = fixture.read_frames(11).await;
    assert!(frames.iter().map(Vec::as_slice).eq(datagrams.chunks(1_000)));
    // Only whole ones are taken.
    let many = vec![8; 16 << 20];
    let mut sent = 0;
    let error = loop {
        match fixture.link.try_send_batch(&many[..many.len() - sent], size) {
            Ok(more) => sent += more,
            Err(error) => break error,
        }
    };
    assert_eq!((error.kind(), sent % 1_000), (io::ErrorKind::WouldBlock, 0));
    assert!(fixture.link.queue.lock().len() <= DATA);
    fixture.read_frames(sent / 1_000).await;
}

#[tokio::test]
async fn the_end_wakes_who_waits_for_room() {
    let fixture = Fixture::new().await;
    fixture.fill(&[0; 60_000]);
    let link = fixture.link.clone();
    let mut writable = Box::pin(async move { link.writable().await });
    assert!(writable.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    fixture.link.close();
    let error = timeout(LIMIT, writable).await.unwrap().unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::NotConnected);
    assert_eq!(fixture.link.try_send(b"").unwrap_err().kind(), io::ErrorKind::NotConnected);
    fixture.over().await;
}

/// A system resets a connection that is closed while something is unread.
#[tokio::test]
async fn what_waits_is_written_before_an_orderly_end() {
    let mut fixture = Fixture::new().await;
    fixture.open(100);
    fixture.writes(&framed(&[&[1; 60], &[2; 60], b"unread"])).await;
    let datagram = [6; 10_000];
    let sent = fixture.fill(&datagram);
    assert!(fixture.link.takes_time());
    fixture.link.finish();
    assert_eq!(fixture.link.try_send(b"").unwrap_err().kind(), io::ErrorKind::NotConnected);
    let frames = fixture.read_frames(sent).await;
    assert!(frames.iter().all(|frame| frame[..] == datagram));
    assert_eq!(timeout(LIMIT, fixture.peer.read(&mut [0])).await.unwrap().unwrap(), 0);
    drop(fixture.peer);
    timeout(LIMIT, fixture.task).await.unwrap().unwrap();
    assert_eq!(*fixture.notes.told.lock(), [], "nothing is told of what was given up");
}

#[tokio::test]
async fn a_peer_that_does_not_read_does_not_keep_a_connection() {
    let fixture = Fixture::new().await;
    fixture.open(100);
    fixture.fill(&[6; 10_000]);
    fixture.link.finish();
    timeout(LIMIT, fixture.task).await.unwrap().unwrap();
    assert_eq!(*fixture.notes.told.lock(), []);
}

/// An owner that has a connection to a server carried on once it has heard of
/// it (RFC 6062 §4.3).
#[derive(Default)]
struct Carrying {
    link: Mutex<Option<Arc<Link>>>,
    heard: Mutex<Vec<(u64, Vec<u8>)>>,
    changed: Notify,
}

impl Owner for Carrying {
    fn message(&self, link: LinkId, bytes: &[u8]) {
        self.heard.lock().push((link.serial, bytes.to_vec()));
        if let Some(carried) = self.link.lock().take() {
            carried.carry(LinkId { serial: 2, ..link });
        }
        self.changed.notify_one();
    }
    fn relayed(&self, _: BaseId, _: SocketAddr, _: &[u8]) {
        unreachable!("nothing is relayed in datagrams");
    }
    fn not_stun(&self, link: LinkId) {
        panic!("{link:?} has heard something else");
    }
    fn ended(&self, link: LinkId, kind: Option<io::ErrorKind>) {
        assert_eq!((link.serial, kind), (2, None), "it ends as what it became");
        self.changed.notify_one();
    }
}

/// What stands behind the server's answer is the peer's, also where both were
/// read at once.
#[tokio::test]
async fn what_follows_a_servers_answer_is_of_what_the_connection_became() {
    let listener = listen_tcp(Ipv4Addr::LOCALHOST.into(), 0, &BindOptions::default()).unwrap();
    let mut peer = tokio::net::TcpStream::connect(listener.local()).await.unwrap();
    let stream = poll_fn(|cx| listener.poll_accept(cx)).await.unwrap().unwrap();
    let (answer, check) = (stun_message(), stun_message());
    let frames = framed(&[&check, &check]);
    let (first, rest) = frames.split_at(check.len() + 5);
    // All of it is there before anything is read.
    peer.write_all(&[&answer[..], first].concat()).await.unwrap();
    let id = LinkId { base: BaseId(1), remote: stream.remote(), serial: 1 };
    let link = Arc::new(Link::new(id, stream, Framing::Turn, Arc::default()));
    let owner = Arc::new(Carrying::default());
    *owner.link.lock() = Some(link.clone());
    let task = tokio::spawn(run(link, owner.clone()));
    peer.write_all(rest).await.unwrap();
    let wait = async {
        while owner.heard.lock().len() < 3 {
            owner.changed.notified().await;
        }
    };
    assert!(timeout(LIMIT, wait).await.is_ok(), "only {}", owner.heard.lock().len());
    assert_eq!(*owner.heard.lock(), [(1, answer), (2, check.clone()), (2, check)]);
    drop(peer);
    timeout(LIMIT, task).await.unwrap().unwrap();
}
