//! What is no request of a client.

use floe::stun::{Method, TransactionId, write_binding_request};

use crate::{Bench, LEGS, Leg};

/// Whether the server still answers.
async fn answers(bench: &Bench) -> bool {
    let mut client = bench.client(Leg::Udp).await;
    client.ask(Method::BINDING, &[]).await.message().xor_mapped_address() == Some(client.local)
}

#[tokio::test]
async fn binding_is_answered_without_credentials_on_every_leg() {
    let bench = Bench::new().await;
    for leg in LEGS {
        let mut client = bench.client(leg).await;
        let answer = client.ask(Method::BINDING, &[]).await;
        assert_eq!(answer.message().xor_mapped_address(), Some(client.local), "{leg:?}");
    }
}

#[tokio::test]
async fn garbage_ends_a_connection_and_nothing_else() {
    let bench = Bench::new().await;
    for leg in [Leg::Tcp, Leg::Tls] {
        for garbage in [&b"POST / HTTP/1.1\r\n\r\n"[..], &[0x80; 50], &[0, 1, 0, 3], &[0xff]] {
            let mut client = bench.client(leg).await;
            client.send(garbage).await;
            assert!(client.receive().await.is_none(), "{leg:?} {garbage:x?}");
        }
    }
    // TLS where none is spoken, and none where it is.
    let hello = [0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3];
    let mut client = bench.client(Leg::Tcp).await;
    client.send(&hello).await;
    assert!(client.receive().await.is_none());
    assert!(answers(&bench).await);
}

/// What is too long is skipped, and what stands behind it is read.
#[tokio::test]
async fn a_message_that_is_too_long_costs_itself() {
    let bench = Bench::new().await;
    for leg in [Leg::Tcp, Leg::Tls] {
        let mut client = bench.client(leg).await;
        let mut stream = vec![0x40, 0, 0xff, 0xff];
        stream.resize(4 + 0x1_0000, 0x80);
        stream.extend([0, 3, 0xff, 0xfc]);
        stream.resize(stream.len() + 16 + 0xfffc, 0x80);
        client.send(&stream).await;
        let answer = client.ask(Method::BINDING, &[]).await;
        assert_eq!(answer.message().xor_mapped_address(), Some(client.local), "{leg:?}");
    }
}

#[tokio::test]
async fn a_stream_may_come_byte_by_byte_and_in_one_piece() {
    let bench = Bench::new().await;
    let mut requests = Vec::new();
    for n in 0..3 {
        let mut request = Vec::new();
        write_binding_request(TransactionId([n; 12]), &mut request);
        requests.extend(request);
    }
    for leg in [Leg::Tcp, Leg::Tls] {
        for size in [1, requests.len()] {
            let mut client = bench.client(leg).await;
            for piece in requests.chunks(size) {
                client.send(piece).await;
            }
            for n in 0..3 {
                assert_eq!(client.answer(TransactionId([n; 12])).await.code, 0);
            }
        }
    }
}

/// Random bytes, and requests with one byte changed, before and after an
/// allocation.
#[tokio::test]
async fn datagrams_of_any_kind_change_nothing() {
    use proptest::strategy::{Strategy, ValueTree};
    use proptest::test_runner::TestRunner;
    let bench = Bench::new().await;
    let mut client = bench.client(Leg::Udp).await;
    client.allocate().await;
    let mut runner = TestRunner::deterministic();
    let any = proptest::collection::vec(proptest::num::u8::ANY, 0..200);
    let change = (0..10_000_usize, 1..=255_u8);
    for _ in 0..500 {
        let bytes = any.new_tree(&mut runner).unwrap().current();
        client.send(&bytes).await;
        let (_, mut request) = client.request(Method::REFRESH, &[]);
        let (at, bits) = change.new_tree(&mut runner).unwrap().current();
        let at = at % request.len();
        request[at] ^= bits;
        client.send(&request).await;
    }
    assert_eq!(client.ask(Method::REFRESH, &[]).await.code, 0);
    assert_eq!(bench.server.allocations(), 1);
    assert!(answers(&bench).await);
}
