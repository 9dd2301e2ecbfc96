//! Rendezvous that lie.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use floe::rendezvous::{Code, Exchange, Step};
use floe::rng::{Rng, Seed};
use tokio_tungstenite::tungstenite::{Message, WebSocket, accept};

use super::{CODE, Side, WRONG};

/// How long a visitor is listened to before the other one is.
const TURN: Duration = Duration::from_millis(5);

fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback can be bound");
    let at: SocketAddr = listener.local_addr().expect("it is bound");
    (listener, format!("ws://{at}"))
}

fn welcome(listener: &TcpListener) -> WebSocket<TcpStream> {
    let (stream, _) = listener.accept().expect("a visitor comes");
    let mut socket = accept(stream).expect("it speaks WebSocket");
    let asked = socket.read().expect("it asks for a room");
    assert_eq!(asked.to_text().expect("in words"), "floe1 enter 7");
    socket.send(Message::text("floe1 entered 7")).expect("it listens");
    socket.get_ref().set_read_timeout(Some(TURN)).expect("a timeout can be set");
    socket
}

/// What came of a visitor within its turn; `None` once it has gone.
fn heard(socket: &mut WebSocket<TcpStream>) -> Option<Vec<Vec<u8>>> {
    use tokio_tungstenite::tungstenite::Error;
    let mut messages = Vec::new();
    loop {
        match socket.read() {
            Ok(Message::Binary(body)) => messages.push(body.to_vec()),
            Ok(Message::Close(_)) => return None,
            Ok(_) => {}
            Err(Error::Io(error)) if error.kind() == std::io::ErrorKind::WouldBlock => {
                return Some(messages);
            }
            Err(_) => return None,
        }
    }
}

/// Replays every message of the session, gives each side its own ones back,
/// sends cut and changed ones beside, and says things that are not so.
#[test]
fn what_is_replayed_reflected_cut_or_changed_does_no_harm() {
    let (listener, url) = listen();
    let lies = Arc::new(AtomicUsize::new(0));
    let counted = lies.clone();
    let server = thread::spawn(move || {
        let mut sides = [welcome(&listener), welcome(&listener)];
        for (side, place) in sides.iter_mut().zip(["first", "second"]) {
            side.send(Message::text(format!("floe1 met {place}"))).expect("it listens");
        }
        let mut is_open = true;
        while is_open {
            for from in 0..2 {
                let Some(messages) = heard(&mut sides[from]) else {
                    is_open = false;
                    break;
                };
                for message in messages {
                    let mut send = |to: usize, body: &[u8]| {
                        let _ = sides[to].send(Message::binary(body.to_vec()));
                    };
                    send(1 - from, &message);
                    // What is sealed begins with 3; a lie in the handshake is
                    // a wrong guess, and another test's.
                    if message.first() != Some(&3) {
                        continue;
                    }
                    counted.fetch_add(1, Ordering::Relaxed);
                    let mut changed = message.clone();
                    changed[12] ^= 1;
                    for lie in [&message[..], &message[..20], &changed, b"", b"\x01", b"\xffx"] {
                        send(1 - from, lie);
                        send(from, lie);
                    }
                    let _ = sides[from].send(Message::text("floe1 met second"));
                    let _ = sides[from].send(Message::text("floe1 left"));
                    let _ = sides[from].send(Message::text("\u{1b}[2J"));
                }
            }
        }
    });
    let [mut a, b] = [Side::with(CODE, &url, &[]), Side::with(CODE, &url, &[])];
    a.until("connected");
    b.until("connected");
    a.write(b"whole\n");
    let a = thread::spawn(|| a.end());
    let (code, said, output) = b.end();
    assert_eq!((code, output.as_slice()), (Some(0), &b"whole\n"[..]), "{said:?}");
    assert_eq!(a.join().expect("it ends").0, Some(0));
    server.join().expect("the server saw no more than it should");
    assert!(lies.load(Ordering::Relaxed) > 4);
}

/// Plays each side's part towards the other, with a secret that it guesses.
#[test]
fn one_in_the_middle_that_guesses_is_a_wrong_secret() {
    let (listener, url) = listen();
    let server = thread::spawn(move || {
        let mut sides = [welcome(&listener), welcome(&listener)];
        let guess: Code = WRONG.parse().expect("it is a code");
        for (seed, side) in (1..).zip(&mut sides) {
            side.send(Message::text("floe1 met second")).expect("it listens");
            let mut exchange = Exchange::new(&guess, Rng::new(&Seed::from_number(seed)));
            exchange.met();
            while let Some(messages) = heard(side) {
                messages.iter().for_each(|message| exchange.received(message));
                while let Some(step) = exchange.poll() {
                    assert!(!matches!(step, Step::Trusted(_) | Step::Opened(_)), "{step:?}");
                    if let Step::Send(message) = step {
                        let _ = side.send(Message::binary(message));
                    }
                }
            }
        }
    });
    let sides = [Side::with(CODE, &url, &[]), Side::with(CODE, &url, &[])];
    for (code, said, _) in sides.map(Side::end) {
        assert_eq!(code, Some(12), "{said:?}");
        assert!(!said.iter().any(|line| line.contains("connected")), "{said:?}");
    }
    server.join().expect("it was trusted by nobody");
}

#[test]
fn one_that_talks_nonsense_is_told_from_a_rendezvous() {
    for answer in ["\u{1b}[31mhello", "floe2 entered 7", "floe1 met first"] {
        let (listener, url) = listen();
        let server = thread::spawn(move || {
            let (stream, _) = listener.accept().expect("a visitor comes");
            let mut socket = accept(stream).expect("it speaks WebSocket");
            let _ = socket.read();
            let _ = socket.send(Message::text(answer));
            while heard(&mut socket).is_some() {}
        });
        let (code, said, _) = Side::with(CODE, &url, &[]).end();
        assert_eq!(code, Some(18), "{said:?}");
        assert!(!said.iter().any(|line| line.contains('\u{1b}')), "{said:?}");
        server.join().expect("it ends");
    }
}
