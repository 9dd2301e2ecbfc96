//! `ice-probe serve`.

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use floe::stun::{Class, Message, TransactionId, write_binding_request};
use serde_json::{Value, json};

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
    let address = uri.strip_prefix("stun:").unwrap_or_else(|| panic!("{uri} is no STUN URI"));
    // The same port serves both.
    let address = address.strip_suffix("?transport=tcp").unwrap_or(address);
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
    // The other address, over UDP and TCP.
    let uris = object["uris"].as_array().expect("uris is an array");
    assert_eq!(uris.len(), 2);
    assert!(uris.iter().all(|uri| !uri.as_str().is_some_and(|uri| uri.contains(&listen))));

    let output = ice_probe().args(["serve", "--listen", &listen]).output().expect("it starts");
    assert_eq!(output.status.code(), Some(14), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains(&listen), "{output:?}");
}
