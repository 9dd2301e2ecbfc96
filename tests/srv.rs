//! STUN and TURN servers by SRV records, with a name server of the test's own.

#![cfg(feature = "srv")]
#![allow(clippy::unwrap_used)]

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use floe::agent::{Event, TurnServer};
use floe::check::Role;
use floe::driver::NameServers;
use floe::gather::Cause;
use floe::{Agent, AgentConfig};
use simple_dns::rdata::{A, RData, SRV};
use simple_dns::{CLASS, Name, Packet, PacketFlag, QTYPE, RCODE, ResourceRecord, TYPE};
use tokio::net::{TcpListener, UdpSocket};

/// Longer than anything here takes: only a hang reaches it.
const HANG: Duration = Duration::from_secs(30);

async fn in_time<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(HANG, future).await.expect("the test hangs")
}

/// A name server that knows one service and one host, and nothing else.
async fn name_server(service: &'static str, port: u16) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut buffer = [0; 1_500];
        loop {
            let (length, from) = socket.recv_from(&mut buffer).await.unwrap();
            let answer = answer(&buffer[..length], service, port);
            socket.send_to(&answer, from).await.unwrap();
        }
    });
    address
}

fn answer(query: &[u8], service: &str, port: u16) -> Vec<u8> {
    let query = Packet::parse(query).unwrap();
    let mut reply = Packet::new_reply(query.id());
    reply.set_flags(PacketFlag::RECURSION_DESIRED | PacketFlag::RECURSION_AVAILABLE);
    for question in &query.questions {
        let name = question.qname.to_string();
        let data = match question.qtype {
            QTYPE::TYPE(TYPE::SRV) if name == service => {
                let target = Name::new_unchecked("host.example.org");
                Some(RData::SRV(SRV { priority: 1, weight: 1, port, target }))
            }
            QTYPE::TYPE(TYPE::A) if name == "host.example.org" => {
                Some(RData::A(A::from(Ipv4Addr::LOCALHOST)))
            }
            _ => None,
        };
        let owner = question.qname.clone();
        reply.answers.extend(data.map(|data| ResourceRecord::new(owner, CLASS::IN, 60, data)));
        reply.questions.push(question.clone());
    }
    if reply.answers.is_empty() {
        *reply.rcode_mut() = RCODE::NameError;
    }
    reply.build_bytes_vec().unwrap()
}

fn agent(name_server: SocketAddr, edit: impl FnOnce(&mut AgentConfig)) -> Agent {
    let mut config = AgentConfig::new(Role::Controlling);
    config.bind = vec![IpAddr::V4(Ipv4Addr::LOCALHOST)];
    config.ice.include_loopback = true;
    config.watch_network = false;
    config.name_servers = NameServers::new(&[name_server]);
    edit(&mut config);
    Agent::new(config).unwrap()
}

#[tokio::test]
async fn a_stun_server_is_where_its_record_says() {
    let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let port = server.local_addr().unwrap().port();
    let agent = agent(name_server("_stun._udp.example.org", port).await, |config| {
        config.ice.stun_servers.push("stun:example.org".parse().unwrap());
    });
    agent.gather().unwrap();
    let mut buffer = [0; 1_500];
    let (length, _) = in_time(server.recv_from(&mut buffer)).await.unwrap();
    assert!(floe::stun::looks_like_stun(&buffer[..length]));
}

#[tokio::test]
async fn a_turn_server_over_tcp_is_where_its_record_says() {
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = server.local_addr().unwrap().port();
    let agent = agent(name_server("_turn._tcp.example.org", port).await, |config| {
        let turn = TurnServer::new("turn:example.org?transport=tcp", "user", "secret").unwrap();
        config.ice.turn_servers.push(turn);
    });
    agent.gather().unwrap();
    in_time(server.accept()).await.unwrap();
}

/// A port in the URI is where the server is, whatever the records say (RFC 5928
/// §3), and a name without records and addresses is none.
#[tokio::test]
async fn without_records_the_name_counts() {
    let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let port = server.local_addr().unwrap().port();
    let names = name_server("_stun._udp.localhost", 9).await;
    let uri = format!("stun:localhost:{port}");
    let with_port = agent(names, |config| {
        config.ice.stun_servers.push(uri.parse().unwrap());
    });
    with_port.gather().unwrap();
    let mut buffer = [0; 1_500];
    let (length, _) = in_time(server.recv_from(&mut buffer)).await.unwrap();
    assert!(floe::stun::looks_like_stun(&buffer[..length]));

    let nowhere = agent(names, |config| {
        config.ice.stun_servers.push("stun:nowhere.invalid".parse().unwrap());
    });
    nowhere.gather().unwrap();
    loop {
        let event = in_time(nowhere.next_event()).await.expect("the agent is open");
        if let Event::CandidateError { cause, uri, .. } = event {
            assert_eq!((cause, &*uri), (Cause::Unresolved, "stun:nowhere.invalid"));
            break;
        }
    }
}
