use std::future::poll_fn;
use std::io::{self, IoSlice, Read as _, Write as _};
use std::sync::mpsc;
use std::task::{Context, Waker};

use rcgen::{CertificateParams, date_time_ymd};
use rustls::ServerConfig;
use tokio::time::timeout;

use super::fixture::{Authority, Session, refused, serve};
use super::stream::AHEAD;
use super::*;
use crate::driver::transport::scripted::{HANG, Server};
use crate::driver::transport::{BindOptions, TcpStream, connect_tcp};

async fn tcp(server: &Server) -> TcpStream {
    let from = (std::net::Ipv4Addr::LOCALHOST.into(), 0, None);
    let connecting = connect_tcp(from, server.address, &BindOptions::default()).unwrap();
    poll_fn(|cx| connecting.poll(cx)).await.unwrap().unwrap()
}

async fn open(
    server: &Server,
    roots: &RootCertificates,
    host: &str,
) -> Result<TlsStream, TlsRefusal> {
    let settings = TlsSettings::new(roots).unwrap();
    timeout(HANG, TlsStream::open(tcp(server).await, &settings, host)).await.unwrap()
}

/// A connection to a server that acts so.
async fn session(act: impl FnOnce(Session) + Send + 'static) -> (TlsStream, Server) {
    let authority = Authority::new();
    let server = serve(authority.server(&["turn.example.org"], |_| {}), act);
    let stream = open(&server, &authority.roots(), "turn.example.org").await.unwrap();
    (stream, server)
}

async fn read(stream: &TlsStream, into: &mut [u8]) -> io::Result<usize> {
    let read = async {
        loop {
            poll_fn(|cx| stream.poll_readable(cx)).await?;
            match stream.try_read(into) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return result,
            }
        }
    };
    timeout(HANG, read).await.unwrap()
}

async fn read_all(stream: &TlsStream, len: usize) -> Vec<u8> {
    let mut all = vec![0; len];
    let mut filled = 0;
    while filled < len {
        let count = read(stream, &mut all[filled..]).await.unwrap();
        assert_ne!(count, 0, "{filled} of {len}");
        filled += count;
    }
    all
}

async fn write_all(stream: &TlsStream, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        timeout(HANG, poll_fn(|cx| stream.poll_writable(cx))).await.unwrap().unwrap();
        match stream.try_write(&[IoSlice::new(&[]), IoSlice::new(bytes)]) {
            Ok(count) => bytes = &bytes[count..],
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
        }
    }
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|at| u8::try_from(at * 31 % 251).unwrap()).collect()
}

fn is_readable(stream: &TlsStream) -> bool {
    stream.poll_readable(&mut Context::from_waker(Waker::noop())).is_ready()
}

/// What a server sends back, and what it was told at the beginning.
async fn is_echoed(config: ServerConfig, roots: &RootCertificates, host: &str) -> Option<String> {
    let (tell, told) = mpsc::channel();
    let server = serve(config, move |mut session| {
        let mut bytes = [0; 5];
        session.read_exact(&mut bytes).unwrap();
        assert_eq!(session.conn.alpn_protocol(), Some(ALPN));
        tell.send(session.conn.server_name().map(str::to_owned)).unwrap();
        session.write_all(&bytes).unwrap();
    });
    let stream = open(&server, roots, host).await.unwrap();
    let parts = [IoSlice::new(b"he"), IoSlice::new(b"llo")];
    assert_eq!(stream.try_write(&parts).unwrap(), 5);
    assert_eq!(read_all(&stream, 5).await, b"hello");
    server.ended().await;
    told.recv().unwrap()
}

#[tokio::test]
async fn both_versions_of_tls_are_spoken_and_names_and_addresses_are_known() {
    let authority = Authority::new();
    let config = || authority.server(&["turn.example.org", "127.0.0.1", "::1"], |_| {});
    for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
        let mut old = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[version])
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(config().cert_resolver);
        old.alpn_protocols = vec![ALPN.to_vec()];
        let name = is_echoed(old, &authority.roots(), "turn.example.org").await;
        assert_eq!(name.as_deref(), Some("turn.example.org"));
    }
    for ip in ["127.0.0.1", "::1"] {
        assert_eq!(is_echoed(config(), &authority.roots(), ip).await, None);
    }
}

/// A server that has never heard of RFC 7443 names no protocol.
#[tokio::test]
async fn a_server_need_not_know_the_name_of_the_protocol() {
    let authority = Authority::new();
    let mut config = authority.server(&["a.example"], |_| {});
    config.alpn_protocols = Vec::new();
    let server = serve(config, |mut session| session.write_all(b"hello").unwrap());
    let stream = open(&server, &authority.roots(), "a.example").await.unwrap();
    assert_eq!(read_all(&stream, 5).await, b"hello");
    server.ended().await;
}

#[tokio::test]
async fn records_may_come_byte_by_byte() {
    let (stream, server) = session(|mut session| {
        session.flush().unwrap();
        session.conn.writer().write_all(b"first").unwrap();
        session.conn.writer().write_all(b"second").unwrap();
        let mut records = Vec::new();
        while session.conn.wants_write() {
            session.conn.write_tls(&mut records).unwrap();
        }
        for byte in records {
            session.sock.write_all(&[byte]).unwrap();
        }
    })
    .await;
    assert_eq!(read_all(&stream, 11).await, b"firstsecond");
    server.ended().await;
}

/// The socket has nothing to say of what was decrypted already.
#[tokio::test]
async fn what_is_decrypted_and_not_read_makes_it_readable() {
    let (go_on, wait) = mpsc::channel::<()>();
    let (stream, server) = session(move |mut session| {
        session.write_all(&pattern(10_000)).unwrap();
        wait.recv_timeout(HANG).unwrap();
    })
    .await;
    let mut all = Vec::new();
    let mut part = [0; 99];
    while all.len() < 10_000 {
        // Of one record everything is there as soon as a part of it is.
        assert!(all.is_empty() || is_readable(&stream), "{}", all.len());
        let count = read(&stream, &mut part).await.unwrap();
        all.extend_from_slice(&part[..count]);
    }
    assert_eq!(all, pattern(10_000));
    assert_eq!(stream.try_read(&mut part).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    assert!(!is_readable(&stream));
    go_on.send(()).unwrap();
    server.ended().await;
}

#[tokio::test]
async fn a_slow_server_holds_up_who_writes_and_nothing_is_lost() {
    const LEN: usize = 24 << 20;
    let (go_on, wait) = mpsc::channel::<()>();
    let (stream, server) = session(move |mut session| {
        session.flush().unwrap();
        wait.recv_timeout(HANG).unwrap();
        let mut all = vec![0; LEN];
        session.read_exact(&mut all).unwrap();
        assert!(all == pattern(LEN));
        session.write_all(b"thanks").unwrap();
    })
    .await;
    let bytes = pattern(LEN);
    let mut written = 0;
    loop {
        match stream.try_write(&[IoSlice::new(&bytes[written..])]) {
            Ok(count) => written += count,
            Err(error) => break assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
        }
    }
    assert!(written < LEN, "the system took everything");
    // What is encrypted is bounded, however often it is tried.
    for _ in 0..100 {
        let error = stream.try_write(&[IoSlice::new(&bytes[written..])]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        assert!(stream.waits() <= (1, AHEAD), "{:?}", stream.waits());
    }
    let waits = timeout(std::time::Duration::ZERO, poll_fn(|cx| stream.poll_writable(cx))).await;
    assert!(waits.is_err());
    go_on.send(()).unwrap();
    write_all(&stream, &bytes[written..]).await;
    assert_eq!(read_all(&stream, 6).await, b"thanks");
    assert_eq!(stream.waits(), (0, 0));
    server.ended().await;
}

#[tokio::test]
async fn only_a_server_that_says_goodbye_ends_in_order() {
    let (stream, server) = session(|mut session| {
        session.write_all(b"bye").unwrap();
        session.conn.send_close_notify();
        session.flush().unwrap();
        // We may still talk.
        let mut rest = Vec::new();
        session.read_to_end(&mut rest).unwrap();
        assert_eq!(rest, b"you too");
    })
    .await;
    assert_eq!(read_all(&stream, 3).await, b"bye");
    for _ in 0..2 {
        assert_eq!(read(&stream, &mut [0; 9]).await.unwrap(), 0);
    }
    write_all(&stream, b"you too").await;
    stream.end_writing().unwrap();
    server.ended().await;

    let (stream, server) = session(|mut session| session.write_all(b"by").unwrap()).await;
    assert_eq!(read_all(&stream, 2).await, b"by");
    for _ in 0..2 {
        let error = read(&stream, &mut [0; 9]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }
    server.ended().await;
}

#[tokio::test]
async fn what_we_close_ends_in_order_and_gives_nothing_any_more() {
    let (stream, server) = session(|mut session| {
        session.write_all(b"late").unwrap();
        let mut rest = Vec::new();
        session.read_to_end(&mut rest).unwrap();
    })
    .await;
    // There is more to read, and it is not read.
    assert_eq!(read(&stream, &mut [0]).await.unwrap(), 1);
    stream.close();
    stream.close();
    let not_connected = |result: io::Result<()>| {
        assert_eq!(result.unwrap_err().kind(), io::ErrorKind::NotConnected);
    };
    not_connected(stream.try_read(&mut [0]).map(|_| ()));
    not_connected(stream.try_write(&[IoSlice::new(b"x")]).map(|_| ()));
    not_connected(poll_fn(|cx| stream.poll_readable(cx)).await);
    not_connected(poll_fn(|cx| stream.poll_writable(cx)).await);
    not_connected(stream.end_writing());
    server.ended().await;
}

#[tokio::test]
async fn what_breaks_the_rules_later_is_an_error() {
    let (stream, server) = session(|mut session| {
        session.flush().unwrap();
        session.sock.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
        // Our alert.
        let error = io::copy(&mut session, &mut io::sink()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    })
    .await;
    let error = read(&stream, &mut [0; 9]).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    assert!(read(&stream, &mut [0; 9]).await.is_err());
    stream.close();
    server.ended().await;
}

/// Each record without data costs the server more than us, but a turn must end.
#[tokio::test]
async fn records_without_data_do_not_hold_up_others() {
    let (stream, server) = session(|mut session| {
        session.flush().unwrap();
        let mut records = Vec::new();
        for _ in 0..30 {
            session.conn.refresh_traffic_keys().unwrap();
            session.conn.writer().write_all(b"x").unwrap();
            while session.conn.wants_write() {
                session.conn.write_tls(&mut records).unwrap();
            }
        }
        session.sock.write_all(&records).unwrap();
    })
    .await;
    assert_eq!(read_all(&stream, 30).await, [b'x'; 30]);
    server.ended().await;
}

async fn refusal(config: ServerConfig, roots: &RootCertificates, host: &str) -> String {
    let server = refused(config);
    let text = open(&server, roots, host).await.unwrap_err().to_string();
    server.ended().await;
    text
}

#[tokio::test]
async fn the_rule_that_a_certificate_breaks_is_told() {
    let authority = Authority::new();
    let roots = authority.roots();
    let expired = |params: &mut CertificateParams| params.not_after = date_time_ymd(2001, 2, 3);
    let early = |params: &mut CertificateParams| params.not_before = date_time_ymd(2399, 2, 3);
    let server = |names: &[&str]| authority.server(names, |_| {});
    for (config, words) in [
        (authority.server(&["a.example"], expired), "its certificate has expired"),
        (
            authority.server(&["a.example"], early),
            "its certificate is not valid yet, or the clock of this machine is wrong",
        ),
        (
            Authority::new().server(&["a.example"], |_| {}),
            "its certificate comes from an issuer that is not trusted here",
        ),
        (server(&["b.example"]), "its certificate is not for a.example but for b.example"),
        (server(&[]), "its certificate is not for a.example"),
        (
            server(&["b", "c\"\u{1b}[1m", "d", "e"]),
            "its certificate is not for a.example but for b, c, d and more",
        ),
        (authority.as_server(), "its certificate is one of an authority (CA), and no server's"),
    ] {
        assert_eq!(refusal(config, &roots, "a.example").await, words);
    }
    // By default nobody trusts it.
    let words = refusal(server(&["a.example"]), &RootCertificates::default(), "a.example").await;
    assert_eq!(words, "its certificate comes from an issuer that is not trusted here");
    assert_eq!(
        refusal(server(&["a.example"]), &roots, "192.0.2.1").await,
        "its certificate is not for 192.0.2.1 but for a.example"
    );
}

#[tokio::test]
async fn a_server_of_something_else_is_told_as_such() {
    let authority = Authority::new();
    let mut config = authority.server(&["a.example"], |_| {});
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let words = refusal(config, &authority.roots(), "a.example").await;
    assert_eq!(words, "it speaks other protocols over TLS than `stun.turn` (RFC 7443)");

    for (answer, words) in [
        (&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], "what it answers is not TLS"),
        (b"\x15\x03\x03\x00\x02\x02\x28", "it refuses TLS with the alert 40 (HandshakeFailure)"),
        (b"", "it closed the connection before TLS was agreed on"),
    ] {
        let server = Server::new(move |mut stream| {
            let mut hello = [0; 5];
            stream.read_exact(&mut hello).unwrap();
            let mut rest = vec![0; usize::from(u16::from_be_bytes([hello[3], hello[4]]))];
            stream.read_exact(&mut rest).unwrap();
            stream.write_all(answer).unwrap();
            stream.shutdown(std::net::Shutdown::Write).unwrap();
            let _ = stream.read_to_end(&mut rest);
        });
        let refusal = open(&server, &authority.roots(), "a.example").await.unwrap_err();
        assert_eq!(refusal.to_string(), words);
        server.ended().await;
    }
    let server = Server::new(drop);
    let refusal = open(&server, &authority.roots(), "no name").await.unwrap_err();
    assert_eq!(refusal.to_string(), "its name can not stand in a certificate");
    server.ended().await;
}

#[test]
fn roots_are_read() {
    let pem = |bytes: &[u8]| {
        use base64::Engine as _;
        let text = base64::engine::general_purpose::STANDARD.encode(bytes);
        format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n")
    };
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = CertificateParams::new([]).unwrap().self_signed(&key).unwrap();
    let der = certificate.der();
    let mut roots = RootCertificates::none();
    assert_eq!(roots.store().len(), 0);
    roots.add(der).unwrap();
    roots.add(format!("both:\n{}{}", pem(der), pem(der)).as_bytes()).unwrap();
    assert_eq!(roots.store().len(), 3);
    for (file, error) in [
        (b"".to_vec(), RootError::Pem),
        (b"certificate".to_vec(), RootError::Pem),
        (pem(der)[..100].into(), RootError::Pem),
        (der[..100].to_vec(), RootError::Certificate),
        ((pem(der) + &pem(b"nothing")).into_bytes(), RootError::Certificate),
        (pem(der).repeat(4_097).into_bytes(), RootError::TooMany),
    ] {
        assert_eq!(roots.add(&file), Err(error));
    }
    assert_eq!(roots.store().len(), 3);
    let public = RootCertificates::default().store().len();
    assert!(public > 50, "{public}");
}
