//! `ice-probe serve`.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use floe::stun::{
    Algorithm, AttributeType, Builder, Class, IntegrityKey, Message, Method, PasswordAlgorithm,
    TransactionId, write_binding_request,
};
use serde_json::Value;

use crate::probe::{Probe, ice_probe};

/// What the server says of the address that asks.
fn mapped_address(server: SocketAddr) -> (SocketAddr, SocketAddr) {
    let socket = UdpSocket::bind((server.ip(), 0)).expect("loopback can be bound");
    socket.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout can be set");
    let id = TransactionId([7; 12]);
    let mut request = Vec::new();
    write_binding_request(id, &mut request);
    socket.send_to(&request, server).expect("loopback takes datagrams");
    let mut buffer = [0; 1_500];
    let (length, from) = socket.recv_from(&mut buffer).expect("the server answers");
    assert_eq!(from, server);
    let message = Message::parse(&buffer[..length]).expect("the answer is STUN");
    assert_eq!((message.class(), message.transaction_id()), (Class::Success, id));
    let mapped = message.xor_mapped_address().expect("it has a mapped address");
    (mapped, socket.local_addr().expect("it is bound"))
}

fn address(uri: &str) -> SocketAddr {
    let (_, address) = uri.split_once(':').unwrap_or_else(|| panic!("{uri} is no URI"));
    // The same port serves all.
    let address = address.split_once('?').map_or(address, |(address, _)| address);
    address.parse().unwrap_or_else(|error| panic!("{uri}: {error}"))
}

#[cfg(unix)]
#[test]
fn answers_binding_requests_until_it_is_interrupted() {
    for signal in ["INT", "TERM"] {
        let server = Probe::start(&["serve", "--listen", "127.0.0.1:0"]);
        let uri = server.line().expect("it prints its URI");
        let (mapped, asked_from) = mapped_address(address(&uri));
        assert_eq!(mapped, asked_from);
        server.signal(signal);
        assert_eq!(server.exit_code(), Some(0), "after {signal}");
    }
}

#[test]
fn the_unspecified_address_stands_for_all_of_its_family() {
    let server = Probe::start(&["serve", "--json", "--listen", "0.0.0.0:0"]);
    let object = server.object().expect("it prints its URIs");
    let uris = object["uris"].as_array().expect("uris is an array");
    let addresses: Vec<_> = uris.iter().filter_map(Value::as_str).map(address).collect();
    assert!(addresses.iter().all(|at| at.is_ipv4() && !at.ip().is_unspecified()));
    let loopback = addresses.iter().find(|at| at.ip().is_loopback()).expect("loopback");
    mapped_address(*loopback);
}

#[test]
fn an_address_that_cannot_be_bound_is_reported_and_skipped() {
    let taken = UdpSocket::bind("127.0.0.1:0").expect("loopback can be bound");
    let taken = taken.local_addr().map(|at| (taken, at)).expect("it is bound");
    let listen = taken.1.to_string();
    let server = Probe::start(&["serve", "--json", "--listen", &listen, "--listen", "127.0.0.1:0"]);
    let object: Value = server.object().expect("it prints its URIs");
    assert_eq!(object["version"], 1);
    // The other address, over UDP and TCP, for STUN and TURN.
    let uris = object["uris"].as_array().expect("uris is an array");
    assert_eq!(uris.len(), 4);
    assert!(uris.iter().all(|uri| !uri.as_str().is_some_and(|uri| uri.contains(&listen))));

    let output = ice_probe().args(["serve", "--listen", &listen]).output().expect("it starts");
    assert_eq!(output.status.code(), Some(14), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains(&listen), "{output:?}");
}

/// An Allocate request's answer: its code, 0 for a success, and its nonce.
fn allocate(
    server: SocketAddr,
    from: &UdpSocket,
    user: Option<(&str, &str, &[u8])>,
) -> (u16, Vec<u8>) {
    let mut request = Vec::new();
    let id = TransactionId([if user.is_some() { 8 } else { 7 }; 12]);
    let mut message = Builder::new(Class::Request, Method::ALLOCATE, id, &mut request)
        .attribute(AttributeType::REQUESTED_TRANSPORT, &[17, 0, 0, 0]);
    let mut key = None;
    if let Some((name, password, nonce)) = user {
        message = message
            .attribute(AttributeType::USERNAME, name.as_bytes())
            .attribute(AttributeType::REALM, b"floe")
            .attribute(AttributeType::NONCE, nonce);
        key = Some(IntegrityKey::long_term(name, "floe", password, PasswordAlgorithm::Md5));
    }
    message.seal(key.as_ref().map(|key| (key, Algorithm::Sha1)));
    from.send_to(&request, server).expect("loopback takes datagrams");
    let mut buffer = [0; 1_500];
    let (length, _) = from.recv_from(&mut buffer).expect("the server answers");
    let answer = Message::parse(&buffer[..length]).expect("the answer is STUN");
    assert_eq!(answer.transaction_id(), id);
    let nonce = answer.nonce().unwrap_or_default().to_vec();
    (answer.error().map_or(0, |error| error.code), nonce)
}

fn asker() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("loopback can be bound");
    socket.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout can be set");
    socket
}

#[test]
fn it_relays_for_the_user_that_it_prints() {
    let server = Probe::start(&["serve", "--listen", "127.0.0.1:0"]);
    let lines: Vec<String> = (0..6).map(|_| server.line().expect("it prints")).collect();
    let at = address(&lines[0]);
    let expected = [
        format!("stun:{at}"),
        format!("stun:{at}?transport=tcp"),
        format!("turn:{at}?transport=udp"),
        format!("turn:{at}?transport=tcp"),
        "user: floe".to_owned(),
    ];
    assert_eq!(lines[..5], expected);
    let password = lines[5].strip_prefix("password: ").expect("a password is made");
    let socket = asker();
    let (code, nonce) = allocate(at, &socket, None);
    assert_eq!(code, 401);
    assert_eq!(allocate(at, &socket, Some(("floe", "guess", &nonce))).0, 401);
    assert_eq!(allocate(at, &socket, Some(("floe", password, &nonce))).0, 0);
}

#[test]
fn a_password_that_is_given_is_used_and_not_printed() {
    let directory = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"));
    let file = directory.join(format!("pass-{}.txt", std::process::id()));
    std::fs::write(&file, "s3cret\nno part of it\n").expect("it can be written");
    let file_text = file.display().to_string();
    let server = Probe::start(&[
        "serve",
        "--json",
        "--listen",
        "127.0.0.1:0",
        "--user",
        "ann",
        "--pass-file",
        &file_text,
    ]);
    let object = server.object().expect("it prints its URIs");
    assert_eq!(object["user"], "ann");
    assert!(object.get("password").is_none() && !object.to_string().contains("s3cret"));
    let at = address(object["uris"][0].as_str().expect("uris are text"));
    let socket = asker();
    let (_, nonce) = allocate(at, &socket, None);
    assert_eq!(allocate(at, &socket, Some(("ann", "s3cret", &nonce))).0, 0);
    std::fs::remove_file(file).expect("it is there");
}

#[test]
fn a_certificate_is_made_shown_and_written_on_request() {
    let directory = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"));
    let file = directory.join(format!("cert-{}.pem", std::process::id()));
    let file_text = file.display().to_string();
    let server = Probe::start(&[
        "serve",
        "--json",
        "--listen",
        "127.0.0.1:0",
        "--tls-listen",
        "127.0.0.1:0",
        "--self-signed",
        "--cert-out",
        &file_text,
    ]);
    let object = server.object().expect("it prints its URIs");
    let uris: Vec<&str> =
        object["uris"].as_array().expect("uris").iter().filter_map(Value::as_str).collect();
    let tls = address(uris.last().expect("there are some"));
    assert_eq!(uris[4..], [format!("stuns:{tls}"), format!("turns:{tls}?transport=tcp")]);
    assert_eq!(object["certificate"].as_str().map(str::len), Some(95));
    let pem = std::fs::read_to_string(&file).expect("it is written");
    assert!(pem.starts_with("-----BEGIN CERTIFICATE-----") && !pem.contains("PRIVATE"));
    std::fs::remove_file(file).expect("it is there");
}

#[test]
fn without_turn_it_answers_binding_alone() {
    let server = Probe::start(&["serve", "--json", "--no-turn", "--listen", "127.0.0.1:0"]);
    let object = server.object().expect("it prints its URIs");
    assert_eq!(object["uris"].as_array().map(Vec::len), Some(2));
    assert!(object.get("user").is_none());
}

#[test]
fn options_that_do_not_fit_are_wrong_usage() {
    let cases: [&[&str]; 7] = [
        &["--tls-listen", "127.0.0.1:0"],
        &["--self-signed"],
        &["--no-turn", "--allow-private"],
        &["--no-turn", "--tls-listen", "127.0.0.1:0"],
        &["--relay-ports", "9-1"],
        &["--allow-peer", "10.0.0.0/33"],
        &["--pass-file", "/nonexistent"],
    ];
    for options in cases {
        let output = ice_probe().arg("serve").args(options).output().expect("it starts");
        assert_eq!(output.status.code(), Some(2), "{options:?}: {output:?}");
    }
}

/// What a server answers a request over HTTP.
fn http(address: &str, request: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.write_all(request.as_bytes()).expect("it reads");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("it closes");
    text
}

#[test]
fn figures_are_given_out_over_http() {
    let options = ["serve", "--json", "--listen", "127.0.0.1:0", "--no-rendezvous"];
    let server = Probe::start(&[&options[..], &["--metrics", "127.0.0.1:0"]].concat());
    let object = server.object().expect("it prints its URIs");
    let url = object["metrics"].as_str().expect("a URL");
    let address = url.strip_prefix("http://").unwrap().strip_suffix("/metrics").unwrap();
    let get = |path: &str| http(address, &format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n"));
    let before = get("/metrics");
    assert!(before.starts_with("HTTP/1.1 200 OK\r\n"), "{before}");
    assert!(before.contains("content-type: text/plain; version=0.0.4"), "{before}");
    assert!(before.contains("\nfloe_answered_total 0\n"), "{before}");
    assert!(before.contains("\n# TYPE floe_allocations gauge\nfloe_allocations 0\n"), "{before}");

    let stun = object["uris"][0].as_str().expect("a URI").strip_prefix("stun:").unwrap();
    mapped_address(stun.parse().unwrap());
    let after = get("/metrics");
    assert!(after.contains("\nfloe_answered_total 1\n"), "{after}");

    assert!(get("/").starts_with("HTTP/1.1 404 "));
    let post = http(address, "POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n");
    assert!(post.starts_with("HTTP/1.1 405 ") && post.contains("allow: GET, HEAD"), "{post}");
    assert!(http(address, "nonsense\r\n\r\n").starts_with("HTTP/1.1 400 "));
}
