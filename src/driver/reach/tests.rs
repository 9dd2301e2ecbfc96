use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Ipv6Addr};

use super::*;
use crate::check::Role;
use crate::driver::transport::scripted::{HANG, Server};
use crate::turn::Secrets;

fn turn_server(host: &str, port: u16, transport: TurnTransport) -> TurnServer {
    let address = host.parse().ok().map(|ip| SocketAddr::new(ip, port));
    let secrets = Secrets { username: "user".into(), password: "secret".into() };
    TurnServer { uri: "turns:x".into(), host: host.into(), port, address, transport, secrets }
}

fn reach(edit: impl FnOnce(&mut AgentConfig)) -> Reach {
    let mut config = AgentConfig::new(Role::Controlling);
    config.ice.gather_timeout = HANG;
    config.ice.turn_servers = vec![turn_server("a.example", 1, TurnTransport::Tls)];
    edit(&mut config);
    Reach::new(&config)
}

fn by_proxy(proxy: &str, address: SocketAddr) -> Reach {
    reach(|config| {
        config.proxy = Some(proxy.replace("ADDRESS", &address.to_string()).parse().unwrap());
    })
}

/// A proxy over HTTP that answers each request so.
fn http_proxy<const N: usize>(answers: [(&'static str, &'static str); N]) -> Server {
    let mut answers = answers.into_iter();
    Server::of(N, move |mut stream| {
        let (target, answer) = answers.next().unwrap();
        let mut heard = vec![0; format!("CONNECT {target} ").len()];
        stream.read_exact(&mut heard).unwrap();
        assert_eq!(String::from_utf8(heard).unwrap(), format!("CONNECT {target} "));
        while !heard_end(&mut stream) {}
        stream.write_all(answer.as_bytes()).unwrap();
        let _ = stream.read_to_end(&mut Vec::new());
    })
}

fn heard_end(stream: &mut std::net::TcpStream) -> bool {
    let mut end = [0; 4];
    let mut byte = [0];
    while end != *b"\r\n\r\n" {
        stream.read_exact(&mut byte).unwrap();
        end.rotate_left(1);
        end[3] = byte[0];
    }
    true
}

async fn refused(reach: &Reach, server: &TurnServer, to: &[SocketAddr]) -> (Cause, String) {
    let opened = timeout(HANG * 2, reach.open(server, to)).await.unwrap();
    match opened.unwrap_err() {
        Refusal::Told { cause, text } => (cause, text.into()),
        Refusal::System(kind) => panic!("{kind}"),
    }
}

/// An address where nobody listens.
fn nowhere() -> SocketAddr {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.local_addr().unwrap()
}

const YES: &str = "HTTP/1.1 200 OK\r\n\r\n";
const NO: &str = "HTTP/1.1 503 No\r\n\r\n";

#[tokio::test]
async fn a_proxy_is_asked_for_one_address_after_the_other() {
    let proxy = http_proxy([("[2001:db8::1]:3478", NO), ("192.0.2.1:3478", YES)]);
    let server = turn_server("a.example", 3478, TurnTransport::Tcp);
    let to = ["[2001:db8::1]:3478", "192.0.2.1:3478"].map(|to| to.parse().unwrap());
    let reached = by_proxy("http://ADDRESS", proxy.address).open(&server, &to).await.unwrap();
    assert_eq!(reached.to, to[1]);
    reached.stream.close();
    proxy.ended().await;
}

/// The core has a stand-in for the address that it does not know.
#[tokio::test]
async fn a_proxy_is_asked_for_the_name_where_there_is_no_address() {
    for ip in [Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()] {
        let proxy = http_proxy([("a.example:3478", YES)]);
        let server = turn_server("a.example", 3478, TurnTransport::Tcp);
        let to = SocketAddr::new(ip, 3478);
        let reach = by_proxy("http://ADDRESS", proxy.address);
        let reached = reach.open(&server, &[to]).await.unwrap();
        assert_eq!(reached.to, to);
        reached.stream.close();
        proxy.ended().await;
    }
}

#[tokio::test]
async fn what_a_proxy_refuses_names_it_without_its_password() {
    let server = turn_server("a.example", 3478, TurnTransport::Tcp);
    let to: SocketAddr = "192.0.2.1:3478".parse().unwrap();
    for (answer, cause, words) in [
        (NO, Cause::NotReached, "does not connect to 192.0.2.1:3478: 503 No"),
        ("HTTP/1.1 407 x\r\n\r\n", Cause::Credentials, "refuses the user and the password (407)"),
        ("220 smtp\r\n", Cause::NotReached, "does not answer in HTTP"),
    ] {
        let proxy = http_proxy([("192.0.2.1:3478", answer)]);
        let at = proxy.address;
        let reach = by_proxy("http://someone:hidden@ADDRESS", at);
        let told = refused(&reach, &server, &[to]).await;
        assert_eq!(told, (cause, format!("the proxy http://{at} {words}")));
        assert!(!format!("{reach:?}").contains("hidden"));
        proxy.ended().await;
    }
    let at = nowhere();
    let told = refused(&by_proxy("socks5://ADDRESS", at), &server, &[to]).await;
    let words = "is not reached: connection-refused";
    assert_eq!(told, (Cause::NotReached, format!("the proxy socks5://{at} {words}")));
}

/// Waits for the end of who says nothing.
fn silent() -> Server {
    Server::new(|mut stream| {
        let _ = stream.read_to_end(&mut Vec::new());
    })
}

#[tokio::test]
async fn a_silent_proxy_is_not_waited_for_without_end() {
    let server = turn_server("a.example", 3478, TurnTransport::Tcp);
    let to: SocketAddr = "192.0.2.1:3478".parse().unwrap();
    let proxy = silent();
    let mut reach = by_proxy("http://ADDRESS", proxy.address);
    reach.limit = Duration::from_millis(300);
    let at = proxy.address;
    let words = format!("the proxy http://{at} does not connect to 192.0.2.1:3478 in time");
    assert_eq!(refused(&reach, &server, &[to]).await, (Cause::NotReached, words));
    proxy.ended().await;
}

#[tokio::test]
async fn without_a_proxy_the_system_says_why() {
    let server = turn_server("a.example", 3478, TurnTransport::Tcp);
    match reach(|_| ()).open(&server, &[nowhere(), nowhere()]).await.unwrap_err() {
        Refusal::System(kind) => assert_eq!(kind, io::ErrorKind::ConnectionRefused),
        told => panic!("{told:?}"),
    }
    let one = silent();
    let reached = reach(|_| ()).open(&server, &[nowhere(), one.address]).await.unwrap();
    assert_eq!(reached.to, one.address);
    reached.stream.close();
    one.ended().await;
}

#[cfg(feature = "tls")]
mod tls {
    use std::sync::Arc;

    use parking_lot::Mutex;
    use tokio::sync::Notify;

    use super::*;
    use crate::agent::BaseId;
    use crate::driver::link::{Link, LinkId, Owner, run};
    use crate::driver::transport::tls_fixture::{self, Authority};
    use crate::tcp::Framing;

    fn trusting(authority: &Authority) -> Reach {
        reach(|config| config.roots = authority.roots())
    }

    #[tokio::test]
    async fn what_is_wrong_with_tls_is_told() {
        let authority = Authority::new();
        let server = tls_fixture::refused(authority.server(&["b.example"], |_| {}));
        let turn = turn_server("a.example", server.address.port(), TurnTransport::Tls);
        let told = refused(&trusting(&authority), &turn, &[server.address]).await;
        let (at, words) =
            (server.address, "its certificate is not for a.example but for b.example");
        assert_eq!(told, (Cause::Tls, format!("no TLS with a.example at {at}: {words}")));
        server.ended().await;

        let server = tls_fixture::refused(authority.server(&["127.0.0.1"], |_| {}));
        let turn = turn_server("127.0.0.1", server.address.port(), TurnTransport::Tls);
        let (cause, text) = refused(&reach(|_| ()), &turn, &[server.address]).await;
        let words = "its certificate comes from an issuer that is not trusted here";
        assert_eq!((cause, text), (Cause::Tls, format!("no TLS with {}: {words}", server.address)));
        server.ended().await;

        let server = silent();
        let turn = turn_server("a.example", server.address.port(), TurnTransport::Tls);
        let mut hasty = trusting(&authority);
        hasty.limit = Duration::from_millis(300);
        let (at, words) = (server.address, "it does not answer in time");
        let told = refused(&hasty, &turn, &[server.address]).await;
        assert_eq!(told, (Cause::NotReached, format!("no TLS with a.example at {at}: {words}")));
        server.ended().await;
    }

    /// Notes what a link tells.
    #[derive(Default)]
    struct Notes {
        messages: Mutex<Vec<Vec<u8>>>,
        changed: Notify,
    }

    impl Owner for Notes {
        fn message(&self, _: LinkId, bytes: &[u8]) {
            self.messages.lock().push(bytes.to_vec());
            self.changed.notify_one();
        }
        fn relayed(&self, _: BaseId, _: SocketAddr, _: &[u8]) {
            panic!("nobody relays");
        }
        fn not_stun(&self, _: LinkId) {
            panic!("it is STUN");
        }
        fn ended(&self, _: LinkId, kind: Option<io::ErrorKind>) {
            self.messages.lock().push(format!("{kind:?}").into_bytes());
            self.changed.notify_one();
        }
    }

    impl Notes {
        async fn until(&self, count: usize) -> Vec<Vec<u8>> {
            let wait = async {
                while self.messages.lock().len() < count {
                    self.changed.notified().await;
                }
            };
            timeout(HANG, wait).await.unwrap();
            self.messages.lock().clone()
        }
    }

    /// ChannelData with a number in it.
    fn message(number: u32) -> Vec<u8> {
        let payload: Vec<u8> = number.to_be_bytes().repeat(300);
        [&b"\x40\x01\x04\xb0"[..], &payload].concat()
    }

    /// A link carries over TLS, through a proxy that resolves the name, what it
    /// carries over TCP: in order, whole, and held up by a server that is slow.
    #[tokio::test]
    async fn a_link_runs_over_tls_through_a_proxy() {
        let authority = Authority::new();
        let (go_on, wait) = std::sync::mpsc::channel::<usize>();
        let config = authority.server(&["a.example"], |_| {});
        let proxy = Server::new(move |mut stream| {
            assert!(heard_end(&mut stream));
            stream.write_all(YES.as_bytes()).unwrap();
            let connection = rustls::ServerConnection::new(Arc::new(config)).unwrap();
            let mut session = rustls::StreamOwned::new(connection, stream);
            session.flush().unwrap();
            let mut all = vec![0; wait.recv_timeout(HANG).unwrap() * 1_204];
            session.read_exact(&mut all).unwrap();
            session.write_all(&all).unwrap();
            session.conn.send_close_notify();
            session.flush().unwrap();
            let _ = session.read_to_end(&mut Vec::new());
        });
        let mut reach = by_proxy("http://ADDRESS", proxy.address);
        reach.tls = trusting(&authority).tls;
        let turn = turn_server("a.example", 5349, TurnTransport::Tls);
        let to = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 5349);
        let reached = timeout(HANG, reach.open(&turn, &[to])).await.unwrap().unwrap();
        let id = LinkId { base: BaseId(1), remote: to, serial: 1 };
        let link = Arc::new(Link::new(id, reached.stream, Framing::Turn, Arc::default()));
        let notes = Arc::new(Notes::default());
        let task = tokio::spawn(run(link.clone(), notes.clone()));
        let mut sent = 0;
        while link.try_send(&message(sent)).is_ok() {
            sent += 1;
        }
        assert_eq!(link.try_send(&message(sent)).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        // The rest goes as soon as the server reads.
        let more = sent + 500;
        go_on.send(usize::try_from(more).unwrap()).unwrap();
        while sent < more {
            timeout(HANG, link.writable()).await.unwrap().unwrap();
            if link.try_send(&message(sent)).is_ok() {
                sent += 1;
            }
        }
        let count = usize::try_from(sent).unwrap();
        let notes = notes.until(count + 1).await;
        for (number, heard) in (0..sent).zip(&notes) {
            assert_eq!(*heard, message(number));
        }
        assert_eq!(notes.last().unwrap(), b"None");
        timeout(HANG, task).await.unwrap().unwrap();
        proxy.ended().await;
    }
}
