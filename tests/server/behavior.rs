//! NAT Behavior Discovery (RFC 5780 §6), by both servers, over UDP and TCP.

#![cfg(target_os = "linux")]

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use floe::discovery::{Change, DialBack, write_request};
use floe::server::{StunServer, TurnServer};
use floe::stun::{Class, Message, TransactionId};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, UdpSocket};

const ID: TransactionId = TransactionId([5; 12]);
const CHANGES: [Change; 4] = [Change::NONE, Change::IP, Change::PORT, Change::BOTH];
const PORTS: [u16; 2] = [3478, 3479];

/// Two addresses of loopback that no other test uses, with two ports each.
fn four(net: u8) -> Vec<SocketAddr> {
    let ips = [1, 2].map(|last| IpAddr::from(Ipv4Addr::new(127, 57, net, last)));
    ips.into_iter().flat_map(|ip| PORTS.map(|port| SocketAddr::new(ip, port))).collect()
}

/// The address with the other last number, the other port, or both.
fn beside(at: SocketAddr, change: Change) -> SocketAddr {
    let IpAddr::V4(ip) = at.ip() else { unreachable!("loopback of IPv4") };
    let [a, b, c, last] = ip.octets();
    let ip = if change.ip { Ipv4Addr::new(a, b, c, 3 - last) } else { ip };
    let port = if change.port { PORTS[0] + PORTS[1] - at.port() } else { at.port() };
    SocketAddr::new(ip.into(), port)
}

enum Either {
    Stun(StunServer),
    Turn(TurnServer),
}

impl Either {
    fn addresses(&self) -> &[SocketAddr] {
        match self {
            Either::Stun(server) => server.addresses(),
            Either::Turn(server) => server.addresses(),
        }
    }
}

async fn both(first: u8, listen: impl Fn(u8) -> Vec<SocketAddr>) -> [Either; 2] {
    let mut config = crate::config();
    config.listen = listen(first + 1);
    let turn = TurnServer::bind(config).await.expect("nobody else uses these addresses");
    let stun = StunServer::bind(&listen(first)).expect("nobody else uses these addresses");
    [Either::Stun(stun), Either::Turn(turn)]
}

fn request(change: Change) -> Vec<u8> {
    let mut out = Vec::new();
    write_request(ID, change, &mut out);
    out
}

#[tokio::test]
async fn answers_come_from_where_they_are_wanted() {
    for server in both(10, four).await {
        let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let mut buffer = [0; 512];
        for &asked in server.addresses() {
            for change in CHANGES {
                client.send_to(&request(change), asked).await.unwrap();
                let (len, from) = client.recv_from(&mut buffer).await.unwrap();
                assert_eq!(from, beside(asked, change), "{asked} {change:?}");
                let answer = Message::parse(&buffer[..len]).unwrap();
                assert_eq!(answer.response_origin(), Some(from));
                assert_eq!(answer.other_address(), Some(beside(asked, Change::BOTH)));
                assert_eq!(answer.xor_mapped_address(), client.local_addr().ok());
                assert_eq!(answer.mapped_address(), client.local_addr().ok());
            }
        }
    }
}

#[tokio::test]
async fn one_address_knows_no_change_request() {
    for server in both(20, |net| four(net)[..2].to_vec()).await {
        let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let mut buffer = [0; 512];
        for change in CHANGES {
            client.send_to(&request(change), server.addresses()[0]).await.unwrap();
            let (len, from) = client.recv_from(&mut buffer).await.unwrap();
            assert_eq!(from, server.addresses()[0]);
            let answer = Message::parse(&buffer[..len]).unwrap();
            let code = answer.error().map(|error| error.code);
            assert_eq!(code, (change != Change::NONE).then_some(420));
            assert_eq!(answer.other_address(), None);
        }
    }
}

/// To a source that floods, answers get short, and none of them is missing.
#[tokio::test]
async fn a_flood_gets_short_answers() {
    for server in both(30, four).await {
        let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let (mut buffer, mut long, mut busy) = ([0; 512], 0, 0);
        let asking = request(Change::BOTH);
        for _ in 0..200 {
            client.send_to(&asking, server.addresses()[0]).await.unwrap();
            let (len, _) = client.recv_from(&mut buffer).await.unwrap();
            let answer = Message::parse(&buffer[..len]).unwrap();
            match (answer.class(), answer.error().map(|error| error.code)) {
                (Class::Success, _) => long += 1,
                (_, Some(500)) => {
                    busy += 1;
                    assert!(len <= asking.len() + 32);
                }
                other => panic!("{other:?}"),
            }
        }
        // More than one second may pass.
        assert!(long >= 50 && busy > 0, "{long} {busy}");
    }
}

/// A connection from a port that is listened on or not; what the server says
/// of its call back, and who called.
async fn called_back(
    server: SocketAddr,
    change: Change,
    listens: bool,
) -> (Option<DialBack>, Option<SocketAddr>) {
    let socket = || {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_reuseaddr(true).unwrap();
        socket.set_reuseport(true).unwrap();
        socket
    };
    let first = socket();
    first.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let local = first.local_addr().unwrap();
    let listener = listens.then(|| {
        let listener = socket();
        listener.bind(local).unwrap();
        listener.listen(8).unwrap()
    });
    let mut stream = first.connect(server).await.unwrap();
    stream.write_all(&request(change)).await.unwrap();
    let mut answer = vec![0; 20];
    let read = async {
        stream.read_exact(&mut answer).await.unwrap();
        let len = usize::from(u16::from_be_bytes([answer[2], answer[3]]));
        answer.resize(20 + len, 0);
        stream.read_exact(&mut answer[20..]).await.unwrap();
    };
    tokio::time::timeout(Duration::from_secs(20), read).await.expect("there is an answer");
    let message = Message::parse(&answer).unwrap();
    assert_eq!(message.xor_mapped_address(), Some(local));
    assert_eq!(message.other_address(), Some(beside(server, Change::BOTH)));
    let outcome = DialBack::of(&message);
    let caller = match (listener, outcome) {
        (Some(listener), Some(_)) => listener.accept().await.ok().map(|(_, from)| from),
        _ => None,
    };
    (outcome, caller)
}

#[tokio::test]
async fn over_tcp_the_asker_is_called_back() {
    for server in both(40, four).await {
        let at = server.addresses()[0];
        assert_eq!(called_back(at, Change::NONE, true).await, (None, None));
        for change in [Change::PORT, Change::IP, Change::BOTH] {
            let (outcome, caller) = called_back(at, change, true).await;
            assert_eq!(outcome, Some(DialBack::Connected));
            let caller = caller.expect("it was accepted");
            let expected = Change { port: false, ..change };
            assert_eq!(caller.ip(), beside(at, expected).ip(), "{change:?}");
            assert!(!PORTS.contains(&caller.port()), "a port of its own");
            assert_eq!(called_back(at, change, false).await, (Some(DialBack::Refused), None));
        }
    }
}
