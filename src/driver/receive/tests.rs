use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::Wake;

use proptest::prelude::*;

use super::*;

fn glued(bytes: &[u8], size: usize) -> Glued<'_> {
    Glued { from: SocketAddr::from(([192, 0, 2, 1], 1)), bytes, size }
}

fn push(queue: &ReceiveQueue, datagrams: &[&[u8]]) {
    let mut push = queue.lock();
    datagrams.iter().for_each(|bytes| push.push(&glued(bytes, bytes.len())));
    push.wake();
}

fn pop(queue: &ReceiveQueue) -> Option<Vec<u8>> {
    let mut buffer = [0; 64];
    queue.try_pop(&mut buffer).ok().map(|len| buffer[..len].to_vec())
}

#[test]
fn datagrams_come_out_as_they_went_in() {
    let queue = ReceiveQueue::new(1_000);
    push(&queue, &[b"one", b"", b"three"]);
    assert_eq!(pop(&queue).as_deref(), Some(&b"one"[..]));
    assert_eq!(pop(&queue).as_deref(), Some(&b""[..]));
    push(&queue, &[b"four"]);
    assert_eq!(pop(&queue).as_deref(), Some(&b"three"[..]));
    assert_eq!(pop(&queue).as_deref(), Some(&b"four"[..]));
    let error = queue.try_pop(&mut []).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
}

#[test]
fn a_short_buffer_cuts_one_datagram_and_not_the_next() {
    let queue = ReceiveQueue::new(1_000);
    push(&queue, &[b"abcdef", b"gh", b"ij"]);
    let mut buffer = [0; 3];
    assert_eq!(queue.try_pop(&mut buffer).unwrap(), 3);
    assert_eq!(&buffer, b"abc");
    assert_eq!(queue.try_pop(&mut []).unwrap(), 0);
    assert_eq!(pop(&queue).as_deref(), Some(&b"ij"[..]));
}

#[test]
fn the_newest_is_dropped_and_counted_when_full() {
    let queue = ReceiveQueue::new(2 * (OVERHEAD + 4));
    push(&queue, &[b"aaaa", b"bbbb", b"", b"cccc"]);
    assert_eq!(queue.dropped(), 2);
    assert_eq!(pop(&queue).as_deref(), Some(&b"aaaa"[..]));
    push(&queue, &[b"dddd"]);
    assert_eq!(pop(&queue).as_deref(), Some(&b"bbbb"[..]));
    assert_eq!(pop(&queue).as_deref(), Some(&b"dddd"[..]));
}

#[test]
fn of_glued_datagrams_those_that_fit_are_taken() {
    let queue = ReceiveQueue::new(3 * (OVERHEAD + 2));
    let mut push = queue.lock();
    push.push(&glued(b"aabbc", 2));
    push.push(&glued(b"dddd", 4));
    push.push(&glued(b"", 0));
    push.wake();
    assert_eq!(queue.dropped(), 2);
    let popped: Vec<_> = std::iter::from_fn(|| pop(&queue)).collect();
    assert_eq!(popped, [&b"aa"[..], b"bb", b"c"]);
    let mut push = queue.lock();
    push.push(&glued(b"aabbccddee", 2));
    push.wake();
    assert_eq!(queue.dropped(), 4);
    let popped: Vec<_> = std::iter::from_fn(|| pop(&queue)).collect();
    assert_eq!(popped, [&b"aa"[..], b"bb", b"cc"]);
}

#[test]
fn empty_datagrams_are_bounded_too() {
    let queue = ReceiveQueue::new(10 * OVERHEAD);
    for _ in 0..100 {
        push(&queue, &[b""]);
    }
    assert_eq!(queue.dropped(), 90);
}

#[test]
fn a_batch_takes_everything_and_memory_changes_places() {
    let queue = ReceiveQueue::new(1_000);
    let mut batch = ReceiveBatch::new();
    push(&queue, &[b"one", b"two", b""]);
    assert_eq!(pop(&queue).as_deref(), Some(&b"one"[..]));
    assert_eq!(queue.try_swap(&mut batch).unwrap(), 2);
    assert!(batch.iter().eq([&b"two"[..], b""]));
    push(&queue, &[b"three"]);
    assert_eq!(queue.try_swap(&mut batch).unwrap(), 1);
    assert!(batch.iter().eq([b"three"]));
    assert!(queue.try_swap(&mut batch).is_err());
    assert!(batch.is_empty());
}

#[derive(Default)]
struct Count(AtomicU64);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn a_batch_wakes_every_waiter_once() {
    let queue = ReceiveQueue::new(1_000);
    let counts = [(); 3].map(|()| Arc::new(Count::default()));
    for count in &counts {
        let waker = Waker::from(count.clone());
        for _ in 0..2 {
            assert!(queue.poll_pop(&mut Context::from_waker(&waker), &mut []).is_pending());
        }
    }
    push(&queue, &[b"one", b"two"]);
    push(&queue, &[b"three"]);
    for count in counts {
        assert_eq!(count.0.load(Ordering::Relaxed), 1);
    }
}

#[tokio::test]
async fn closing_lets_the_rest_out_and_then_fails() {
    let queue = Arc::new(ReceiveQueue::new(1_000));
    push(&queue, &[b"last"]);
    let waiting = tokio::spawn({
        let queue = queue.clone();
        async move {
            let mut buffer = [0; 8];
            let first = poll_fn(|cx| queue.poll_pop(cx, &mut buffer)).await;
            let second = poll_fn(|cx| queue.poll_pop(cx, &mut buffer)).await;
            (first.unwrap(), second.unwrap_err().kind())
        }
    });
    tokio::task::yield_now().await;
    queue.close();
    assert_eq!(waiting.await.unwrap(), (4, io::ErrorKind::ConnectionAborted));
    push(&queue, &[b"late"]);
    assert_eq!(queue.dropped(), 1);
}

proptest! {
    /// Against a queue of vectors, with memory that stays bounded.
    #[test]
    fn it_is_a_queue(operations in prop::collection::vec(prop::option::of(0..40_usize), 0..400)) {
        const LIMIT: usize = 400;
        let queue = ReceiveQueue::new(LIMIT);
        let mut model = std::collections::VecDeque::new();
        let (mut cost, mut dropped, mut next) = (0, 0, 0_u8);
        for operation in operations {
            match operation {
                Some(len) => {
                    next = next.wrapping_add(1);
                    let datagram = vec![next; len];
                    push(&queue, &[&datagram]);
                    if cost + len + OVERHEAD > LIMIT {
                        dropped += 1;
                    } else {
                        cost += len + OVERHEAD;
                        model.push_back(datagram);
                    }
                }
                None => {
                    let expected = model.pop_front();
                    cost -= expected.as_ref().map_or(0, |datagram| datagram.len() + OVERHEAD);
                    prop_assert_eq!(pop(&queue), expected);
                }
            }
            prop_assert_eq!(queue.dropped(), dropped);
            prop_assert!(queue.inner.lock().datagrams.bytes.capacity() <= 4 * LIMIT);
        }
    }
}
