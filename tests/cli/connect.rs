//! `ice-probe connect`: two sides on loopback, with a rendezvous that is
//! honest and with some that lie, and with a person who pastes.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use crate::probe::{Probe, ice_probe};

mod lying;

/// Longer than anything here takes: only a hang reaches it.
const HANG: Duration = Duration::from_secs(60);

const CODE: &str = "7-crossover-clockwork";
const WRONG: &str = "7-crossover-clockwise";

/// Loopback is what every machine has.
const LOOPBACK: [&str; 2] = ["--bind", "127.0.0.1"];

/// A rendezvous, and its URL.
struct Rendezvous {
    server: Probe,
    url: String,
}

impl Rendezvous {
    fn start() -> Self {
        let server = Probe::start(&["serve", "--json", "--listen", "127.0.0.1:0"]);
        let object = server.object().expect("it prints its URIs");
        let url = object["rendezvous"][0].as_str().expect("it has a rendezvous").to_owned();
        Rendezvous { server, url }
    }
}

/// One side.
struct Side {
    child: Child,
    input: Option<ChildStdin>,
    said: Receiver<String>,
    output: JoinHandle<Vec<u8>>,
}

impl Side {
    fn start(arguments: &[&str]) -> Self {
        let mut child = ice_probe()
            .arg("connect")
            .args(arguments)
            .args(LOOPBACK)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("ice-probe starts");
        let stderr = child.stderr.take().expect("it is piped");
        let mut stdout = child.stdout.take().expect("it is piped");
        let (sender, said) = channel();
        thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        let output = thread::spawn(move || {
            let mut bytes = Vec::new();
            stdout.read_to_end(&mut bytes).expect("it can be read");
            bytes
        });
        let input = child.stdin.take();
        Side { child, input, said, output }
    }

    fn with(code: &str, url: &str, more: &[&str]) -> Self {
        Side::start(&[&[code, "--via", url], more].concat())
    }

    /// Reads what it says up to a line with `text`; that line.
    fn until(&self, text: &str) -> String {
        loop {
            let line = self.said.recv_timeout(HANG);
            let line = line.unwrap_or_else(|error| panic!("it did not say {text:?}: {error}"));
            if line.contains(text) {
                return line;
            }
        }
    }

    fn write(&mut self, bytes: &[u8]) {
        let input = self.input.as_mut().expect("its input is open");
        input.write_all(bytes).and_then(|()| input.flush()).expect("it reads its input");
    }

    fn interrupt(&self) {
        let id = self.child.id().to_string();
        let status = std::process::Command::new("kill").args(["-INT", &id]).status();
        assert!(status.expect("kill starts").success());
    }

    /// Ends its input and waits until it ends: its exit code, what it said
    /// since, and what it printed.
    fn end(mut self) -> (Option<i32>, Vec<String>, Vec<u8>) {
        self.input = None;
        let mut said = Vec::new();
        loop {
            match self.said.recv_timeout(HANG) {
                Ok(line) => said.push(line),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("it does not end; it said {said:?}"),
            }
        }
        let status = self.child.wait().expect("a child of ours can be waited for");
        let output = std::mem::replace(&mut self.output, thread::spawn(Vec::new));
        (status.code(), said, output.join().expect("it was read"))
    }
}

impl Drop for Side {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A directory that goes with the value.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("floe-connect-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).expect("there is room for temporary files");
        Directory(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().expect("a path in UTF-8")
    }

    fn file(&self, name: &str, bytes: &[u8]) -> String {
        let path = self.0.join(name);
        std::fs::write(&path, bytes).expect("there is room for temporary files");
        path.to_str().expect("a path in UTF-8").to_owned()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Bytes that look like noise.
fn noise(size: usize) -> Vec<u8> {
    let mut state = 7_u32;
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    std::iter::repeat_with(next).take(size).collect()
}

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn lines_go_both_ways_with_a_code_that_is_made() {
    let rendezvous = Rendezvous::start();
    let mut a = Side::start(&["--via", &rendezvous.url]);
    let told = a.until("on the other machine");
    let code = told.split(' ').skip_while(|word| *word != "connect").nth(1);
    let code = code.unwrap_or_else(|| panic!("no code in {told:?}"));
    let mut b = Side::with(code, &rendezvous.url, &[]);
    for side in [&mut a, &mut b] {
        side.until("connected: QUIC");
    }
    a.write("héllo\n".as_bytes());
    b.write(b"and back\n");
    let (a, b) = (thread::spawn(|| a.end()), b.end());
    let a = a.join().expect("it ends");
    assert_eq!((a.0, String::from_utf8_lossy(&a.2).as_ref()), (Some(0), "and back\n"), "{:?}", a.1);
    assert_eq!((b.0, String::from_utf8_lossy(&b.2).as_ref()), (Some(0), "héllo\n"), "{:?}", b.1);
    #[cfg(unix)]
    {
        rendezvous.server.signal("INT");
        assert_eq!(rendezvous.server.exit_code(), Some(0));
    }
}

/// A pipe of some megabytes over TLS on TCP, to the last byte.
#[test]
fn a_pipe_goes_over_tls_where_there_is_tcp_alone() {
    let rendezvous = Rendezvous::start();
    let mut a = Side::with(CODE, &rendezvous.url, &["--transport", "tcp"]);
    let b = Side::with(CODE, &rendezvous.url, &["--transport", "tcp"]);
    a.until("connected: TLS");
    b.until("connected: TLS");
    let bytes = noise(3 << 20);
    a.write(&bytes);
    let a = thread::spawn(|| a.end());
    let (code, said, output) = b.end();
    assert_eq!(code, Some(0), "{said:?}");
    assert!(output == bytes, "{} bytes of {}", output.len(), bytes.len());
    assert_eq!(a.join().expect("it ends").0, Some(0));
}

#[test]
fn a_file_arrives_whole_beside_one_of_its_name() {
    let rendezvous = Rendezvous::start();
    let (from, to) = (Directory::new("from"), Directory::new("to"));
    let bytes = noise(2 << 20);
    let file = from.file("photo.jpg", &bytes);
    to.file("photo.jpg", b"mine");
    let a = Side::with(CODE, &rendezvous.url, &["--send", &file]);
    let b = Side::with(CODE, &rendezvous.url, &["--receive", to.path()]);
    let a = thread::spawn(|| a.end());
    for (code, said, output) in [b.end(), a.join().expect("it ends")] {
        assert_eq!((code, output.len()), (Some(0), 0), "{said:?}");
        let hash = format!("SHA-256 {}, at both ends", hex(&bytes));
        assert!(said.contains(&hash), "{said:?}");
    }
    let read = |name: &str| std::fs::read(Path::new(to.path()).join(name)).expect("it is there");
    assert!(read("photo (2).jpg") == bytes);
    assert_eq!(read("photo.jpg"), b"mine");
}

#[test]
fn a_file_that_nobody_takes_is_said_so_at_both_ends() {
    let rendezvous = Rendezvous::start();
    let from = Directory::new("refused");
    let file = from.file("photo.jpg", b"x");
    let a = Side::with(CODE, &rendezvous.url, &["--send", &file]);
    let b = Side::with(CODE, &rendezvous.url, &[]);
    b.until("--receive DIR takes it");
    let (code, said, _) = a.end();
    assert_eq!(code, Some(2));
    assert!(said.iter().any(|line| line.contains("--receive DIR")), "{said:?}");
    assert_eq!(b.end().0, Some(16));
}

#[test]
fn a_wrong_secret_is_exit_code_12_and_the_right_one_still_comes_in() {
    let rendezvous = Rendezvous::start();
    let a = Side::with(CODE, &rendezvous.url, &[]);
    a.until("waiting");
    for left in ["2 more", "1 more"] {
        let (code, said, _) = Side::with(WRONG, &rendezvous.url, &[]).end();
        assert_eq!(code, Some(12), "{said:?}");
        assert!(said.iter().any(|line| line.contains("the code is wrong")), "{said:?}");
        assert!(!said.iter().any(|line| line.contains("clockwi")), "{said:?}");
        a.until(left);
    }
    let b = Side::with(CODE, &rendezvous.url, &[]);
    let a = thread::spawn(|| a.end());
    assert_eq!((b.end().0, a.join().expect("it ends").0), (Some(0), Some(0)));
}

#[test]
fn three_wrong_guesses_close_the_room() {
    let rendezvous = Rendezvous::start();
    let a = Side::with(CODE, &rendezvous.url, &[]);
    a.until("waiting");
    for _ in 0..3 {
        assert_eq!(Side::with(WRONG, &rendezvous.url, &[]).end().0, Some(12));
    }
    let (code, said, _) = a.end();
    assert_eq!(code, Some(12), "{said:?}");
    let (code, said, _) = Side::with(CODE, &rendezvous.url, &[]).end();
    assert_eq!(code, Some(12));
    assert!(said.iter().any(|line| line.contains("three wrong guesses")), "{said:?}");
}

#[test]
fn a_third_visitor_is_refused() {
    let rendezvous = Rendezvous::start();
    let a = Side::with(CODE, &rendezvous.url, &[]);
    let b = Side::with(CODE, &rendezvous.url, &[]);
    a.until("connected");
    b.until("connected");
    let (code, said, _) = Side::with(CODE, &rendezvous.url, &[]).end();
    assert_eq!(code, Some(12));
    assert!(said.iter().any(|line| line.contains("two in the room")), "{said:?}");
    let a = thread::spawn(|| a.end());
    assert_eq!((b.end().0, a.join().expect("it ends").0), (Some(0), Some(0)));
}

#[test]
fn two_people_paste_each_others_line() {
    let mut sides = [Side::start(&[]), Side::start(&["--transport", "udp"])];
    let tokens = sides.each_ref().map(|side| side.until("floe1."));
    for (side, token) in sides.iter_mut().zip(tokens.iter().rev()) {
        side.write(format!("{token}\nand this is said\n").as_bytes());
    }
    let [a, b] = sides;
    let a = thread::spawn(|| a.end());
    for (code, said, output) in [b.end(), a.join().expect("it ends")] {
        assert_eq!((code, output.as_slice()), (Some(0), &b"and this is said\n"[..]), "{said:?}");
    }
}

#[test]
fn what_is_pasted_wrongly_is_told_so() {
    for (line, words) in [("hello\n", "not the other side's line"), ("floe1.AAAA\n", "not all of")]
    {
        let mut side = Side::start(&[]);
        side.until("floe1.");
        side.write(line.as_bytes());
        let (code, said, _) = side.end();
        assert_eq!(code, Some(2), "{said:?}");
        assert!(said.iter().any(|line| line.contains(words)), "{said:?}");
    }
    let (code, said, _) = Side::start(&[]).end();
    assert_eq!(code, Some(2), "{said:?}");
}

#[cfg(unix)]
#[test]
fn ctrl_c_ends_it_cleanly_before_and_after() {
    let rendezvous = Rendezvous::start();
    let a = Side::with(CODE, &rendezvous.url, &[]);
    a.until("waiting");
    a.interrupt();
    assert_eq!(a.end().0, Some(130));
    let a = Side::with(CODE, &rendezvous.url, &[]);
    let b = Side::with(CODE, &rendezvous.url, &[]);
    a.until("connected");
    b.until("connected");
    a.interrupt();
    b.until("the other side ended it");
    assert_eq!((a.end().0, b.end().0), (Some(0), Some(16)));
}

#[test]
fn a_rendezvous_that_is_not_there_has_its_exit_code() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback can be bound");
    let at = free.local_addr().expect("it is bound");
    drop(free);
    for (url, expected) in [
        (format!("ws://{at}"), 18),
        ("ws://no-such-name.invalid".to_owned(), 13),
        ("http://127.0.0.1".to_owned(), 2),
    ] {
        let (code, said, _) = Side::with(CODE, &url, &[]).end();
        assert_eq!(code, Some(expected), "{said:?}");
        assert!(said.iter().any(|line| line.starts_with("ice-probe: ")), "{said:?}");
    }
    for code in ["crossover", "7-short", "-x", "sieben!-crossover"] {
        let (exit, said, _) = Side::with(code, "ws://127.0.0.1:1", &[]).end();
        assert_eq!(exit, Some(2), "{said:?}");
        assert!(!said.iter().any(|line| line.contains("crossover")), "{said:?}");
    }
}

#[test]
fn what_goes_by_a_relay_alone_is_exit_code_10() {
    let listen = ["--listen", "127.0.0.1:0", "--allow-loopback"];
    let server = Probe::start(&[&["serve", "--json"][..], &listen].concat());
    let object = server.object().expect("it prints its URIs");
    let text = |value: &serde_json::Value| value.as_str().expect("it is text").to_owned();
    let (turn, password) = (text(&object["uris"][2]), text(&object["password"]));
    assert!(turn.starts_with("turn:"), "{turn}");
    let relay = ["--turn", &turn, "--user", "floe", "--pass", &password, "--candidates", "relay"];
    let url = text(&object["rendezvous"][0]);
    let mut a = Side::with(CODE, &url, &[&relay[..], &["--transport", "udp"]].concat());
    let b = Side::with(CODE, &url, &[&relay[..], &["--transport", "udp"]].concat());
    a.until("connected: QUIC");
    a.write(b"by a relay\n");
    let a = thread::spawn(|| a.end());
    let (code, said, output) = b.end();
    assert_eq!((code, output.as_slice()), (Some(10), &b"by a relay\n"[..]), "{said:?}");
    assert_eq!(a.join().expect("it ends").0, Some(10));
}

#[test]
fn a_rendezvous_with_tls_is_trusted_by_its_certificate() {
    let directory = Directory::new("tls");
    let cert = directory.file("cert.pem", b"");
    let server = Probe::start(&[
        "serve",
        "--json",
        "--listen",
        "127.0.0.1:0",
        "--tls-listen",
        "127.0.0.1:0",
        "--self-signed",
        "--cert-out",
        &cert,
    ]);
    let object = server.object().expect("it prints its URIs");
    let url = object["rendezvous"][0].as_str().expect("it has a rendezvous");
    assert!(url.starts_with("wss://"), "{url}");
    let (code, said, _) = Side::with(CODE, url, &[]).end();
    assert_eq!(code, Some(17), "{said:?}");
    let a = Side::with(CODE, url, &["--ca", &cert]);
    let b = Side::with(CODE, url, &["--ca", &cert]);
    let a = thread::spawn(|| a.end());
    assert_eq!((b.end().0, a.join().expect("it ends").0), (Some(0), Some(0)));
}
