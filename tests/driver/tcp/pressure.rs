//! A peer that is slower than we are.

use std::io;
use std::time::{Duration, Instant};

use floe::agent::Transports;
use floe::check::Role;
use floe::{Agent, Connection};

use super::{ACTIVE, PASSIVE, SO, tcp_config, tcp_pair};
use crate::{V4, connection, in_time, pair, passes, signal};

const SIZE: usize = 32_768;

/// More than the kernel and the two queues ever hold of one connection.
const BOUND: usize = 64 << 20;

/// Sends numbered datagrams until none is taken any more; their number.
async fn fill(from: &Connection) -> u32 {
    let mut count = 0_u32;
    let mut refused = None;
    loop {
        match from.try_send(&numbered(count)) {
            Ok(()) => (count, refused) = (count + 1, None),
            Err(error) => {
                assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
                // What is under way may still make room.
                let since = *refused.get_or_insert_with(Instant::now);
                if since.elapsed() > Duration::from_millis(300) {
                    return count;
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        }
        assert!(count as usize * SIZE < BOUND, "nothing holds the sender up");
    }
}

fn numbered(number: u32) -> Vec<u8> {
    let mut datagram = vec![number as u8; SIZE];
    datagram[..4].copy_from_slice(&number.to_be_bytes());
    datagram
}

async fn receive(to: &Connection, numbers: impl Iterator<Item = u32>) {
    let mut buffer = vec![0; SIZE + 1];
    for number in numbers {
        let length = in_time(to.recv(&mut buffer)).await.unwrap();
        assert!(buffer[..length] == numbered(number), "datagram {number}");
    }
}

#[tokio::test]
async fn a_peer_that_does_not_read_holds_the_sender_up_and_nobody_else() {
    for transports in [[ACTIVE, PASSIVE], [SO, SO]] {
        let (a, b) = tcp_pair(V4, transports).await;
        let (ca, cb) = (connection(&a, 1), connection(&b, 1));
        let (udp_a, udp_b) = pair(V4, 1).await;
        let (tcp_a, tcp_b) = tcp_pair(V4, transports).await;
        let count = fill(&ca).await;
        assert!(count > 8, "the queues hold something");
        let waits = tokio::time::timeout(Duration::from_millis(50), ca.writable()).await;
        assert!(waits.is_err(), "there is no room");
        // Others go on, and so does the other direction.
        for (one, other) in [(&udp_a, &udp_b), (&tcp_a, &tcp_b)] {
            for _ in 0..50 {
                passes(&connection(one, 1), &connection(other, 1), b"not held up").await;
                passes(&connection(other, 1), &connection(one, 1), b"nor is this").await;
            }
        }
        passes(&cb, &ca, b"back").await;
        // Who waits goes on once there is room, and nothing was lost.
        let sender = ca.clone();
        let waiting = tokio::spawn(async move {
            for number in count..count + 20 {
                sender.send(&numbered(number)).await.unwrap();
            }
        });
        receive(&cb, 0..count + 20).await;
        in_time(waiting).await.unwrap();
        assert_eq!(ca.overflowed() + cb.overflowed(), 0);
        passes(&ca, &cb, b"as before").await;
    }
}

/// The receive queue is the user's bound, and the sender's is its own.
#[tokio::test]
async fn a_small_queue_holds_the_sender_up_and_loses_nothing() {
    let [a, b] = [(Role::Controlling, ACTIVE), (Role::Controlled, PASSIVE)].map(
        |(role, transports): (Role, Transports)| {
            let mut config = tcp_config(role, V4, transports);
            config.receive_queue = 3 * SIZE;
            Agent::new(config).unwrap()
        },
    );
    signal(&a, &b).await;
    in_time(a.completed()).await.unwrap();
    in_time(b.completed()).await.unwrap();
    let (ca, cb) = (connection(&a, 1), connection(&b, 1));
    let sender = ca.clone();
    let sent = tokio::spawn(async move {
        for number in 0..1_000 {
            sender.send(&numbered(number)).await.unwrap();
        }
    });
    receive(&cb, 0..1_000).await;
    in_time(sent).await.unwrap();
    assert_eq!(cb.overflowed(), 0);
}

/// A sender that is held up is told when the connection ends.
#[tokio::test]
async fn who_waits_for_room_learns_of_the_end() {
    let (a, b) = tcp_pair(V4, [ACTIVE, PASSIVE]).await;
    let ca = connection(&a, 1);
    fill(&ca).await;
    let waiting = tokio::spawn(async move { ca.send(&numbered(0)).await });
    tokio::task::yield_now().await;
    b.close().await;
    let error = in_time(waiting).await.unwrap().unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::NotConnected);
}
