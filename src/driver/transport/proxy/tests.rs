use std::future::poll_fn;
use std::io::{Read as _, Write as _};
use std::net::Ipv4Addr;

use tokio::time::timeout;

use super::*;
use crate::driver::transport::scripted::{HANG, Server};
use crate::driver::transport::{BindOptions, connect_tcp};

const NAME: Target<'_> = Target::Name("turn.example.org", 5349);

fn address(text: &str) -> Target<'static> {
    Target::Address(text.parse().unwrap())
}

/// What comes at once with the answer before it.
const MORE: &[u8] = b"more";

/// What the proxy hears each time, to the byte, and what it says to that.
type Script = Vec<(Vec<u8>, Vec<u8>)>;

fn script<const N: usize>(script: [(&[u8], &[u8]); N]) -> Script {
    script.map(|(heard, said)| (heard.to_vec(), said.to_vec())).to_vec()
}

/// What comes of a proxy that keeps to the script. If it is a way, what is
/// sent over it comes back.
async fn outcome(proxy: &str, target: Target<'_>, script: Script) -> Result<(), TunnelError> {
    let server = Server::new(move |mut stream| {
        for (heard, said) in script {
            let mut bytes = vec![0; heard.len()];
            stream.read_exact(&mut bytes).unwrap();
            assert_eq!(bytes.escape_ascii().to_string(), heard.escape_ascii().to_string());
            // Nothing depends on how it is cut.
            let at_once = if said.ends_with(MORE) { said.len() } else { 1 };
            for bytes in said.chunks(at_once) {
                if stream.write_all(bytes).is_err() {
                    return;
                }
            }
        }
        stream.shutdown(std::net::Shutdown::Write).ok();
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest);
        assert!(rest.is_empty() || rest == b"hello");
    });
    let proxy = proxy.replace("PORT", &server.address.port().to_string()).parse().unwrap();
    let from = (Ipv4Addr::LOCALHOST.into(), 0, None);
    let connecting = connect_tcp(from, server.address, &BindOptions::default()).unwrap();
    let stream = poll_fn(|cx| connecting.poll(cx)).await.unwrap().unwrap();
    let result = timeout(HANG, tunnel(&stream, &proxy, target)).await.unwrap();
    if result.is_ok() {
        // What follows the answer belongs to us.
        stream.write_all(b"hello").await.unwrap();
        assert_eq!(timeout(HANG, stream.read(&mut [0; 9])).await.unwrap().unwrap(), 0);
    }
    stream.close();
    server.ended().await;
    result
}

const HTTP: &str = "http://127.0.0.1:PORT";
const HTTP_LOGIN: &str = "http://Aladdin:open%20sesame@127.0.0.1:PORT";
const ASKED: &[u8] =
    b"CONNECT turn.example.org:5349 HTTP/1.1\r\nHost: turn.example.org:5349\r\n\r\n";

#[tokio::test]
async fn http_connects_names_and_addresses() {
    let yes = b"HTTP/1.1 200 Connection established\r\nVia: x\r\n\r\n";
    outcome(HTTP, NAME, script([(ASKED, yes)])).await.unwrap();
    let asked = b"CONNECT [2001:db8::1]:443 HTTP/1.1\r\nHost: [2001:db8::1]:443\r\n\r\n";
    let yes = b"HTTP/1.0 200\r\n\r\n";
    outcome(HTTP, address("[2001:db8::1]:443"), script([(asked, yes)])).await.unwrap();
    // The example of RFC 7617 §2.
    let asked = b"CONNECT 192.0.2.1:80 HTTP/1.1\r\nHost: 192.0.2.1:80\r\n\
        Proxy-Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n\r\n";
    let later = b"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n";
    outcome(HTTP_LOGIN, address("192.0.2.1:80"), script([(asked, later)])).await.unwrap();
}

#[tokio::test]
async fn http_refusals_are_told_apart() {
    let long = [b"HTTP/1.1 403 ", &b"x"[..].repeat(100)[..], b"\r\n\r\n"].concat();
    let endless = [b"HTTP/1.1 200 OK\r\n", &b"x: y\r\n"[..].repeat(10_000)[..]].concat();
    for (said, is_target, words) in [
        (
            &b"HTTP/1.1 403 Not\x1b[1m here\r\n\r\n"[..],
            true,
            "does not connect to turn.example.org:5349: 403 Not\\u{1b}[1m here",
        ),
        (b"HTTP/1.1 502\r\n\r\n", true, "does not connect to turn.example.org:5349: 502"),
        (
            &long,
            true,
            &format!("does not connect to turn.example.org:5349: 403 {}", "x".repeat(64)),
        ),
        (b"HTTP/1.1 200 OK\r\n\r\nmore", false, "sends more than its answer"),
        (b"SSH-2.0-OpenSSH\r\n", false, "does not answer in HTTP"),
        (b"HTTP/2 200\r\n\r\n", false, "does not answer in HTTP"),
        (b"HTTP/1.1 2000 OK\r\n\r\n", false, "does not answer in HTTP"),
        (b"HTTP/1.1 \xff\xff\r\n\r\n", false, "does not answer in HTTP"),
        (b"\x05\x00", false, "does not answer in HTTP"),
        (b"HTTP/1.1 200 OK\r\n", false, "closed the connection instead of an answer"),
        (b"", false, "closed the connection instead of an answer"),
        (&endless, false, "does not come to the end of its answer"),
    ] {
        let error = outcome(HTTP, NAME, script([(ASKED, said)])).await.unwrap_err();
        assert_eq!(error.words(), words);
        assert_eq!(matches!(error, TunnelError::Target(_)), is_target, "{words}");
    }
    let no = b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n";
    let error = outcome(HTTP, NAME, script([(ASKED, no)])).await.unwrap_err();
    assert!(matches!(error, TunnelError::Login("wants a user and a password (407)")));
    let asked = b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\
        Proxy-Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n\r\n";
    let error = outcome(HTTP_LOGIN, Target::Name("a", 1), script([(asked, no)])).await;
    let error = error.unwrap_err();
    assert!(matches!(error, TunnelError::Login("refuses the user and the password (407)")));
}

const SOCKS: &str = "socks5://127.0.0.1:PORT";
const SOCKS_LOGIN: &str = "socks5://user:pass@127.0.0.1:PORT";
const HELLO: &[u8] = &[5, 1, 0];
const SOCKS_NAME: &[u8] = b"\x05\x01\x00\x03\x10turn.example.org\x14\xe5";

#[tokio::test]
async fn socks_connects_names_and_addresses() {
    let bound: [&[u8]; 3] = [
        b"\x05\x00\x00\x01\x7f\x00\x00\x01\x00\x01",
        b"\x05\x00\x00\x03\x03abc\x00\x01",
        b"\x05\x00\x00\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\x00\x01",
    ];
    let targets: [(Target<'_>, &[u8]); 3] = [
        (NAME, SOCKS_NAME),
        (address("192.0.2.1:80"), b"\x05\x01\x00\x01\xc0\x00\x02\x01\x00\x50"),
        (
            address("[2001:db8::1]:80"),
            b"\x05\x01\x00\x04\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01\x00\x50",
        ),
    ];
    for (target, asked) in targets {
        for bound in bound {
            let told = script([(HELLO, b"\x05\x00"), (asked, bound)]);
            outcome(SOCKS, target, told).await.unwrap();
        }
    }
    let hello = &[5, 2, 0, 2];
    let login = b"\x01\x04user\x04pass";
    let told = [(&hello[..], &b"\x05\x02"[..]), (login, b"\x01\x00"), (SOCKS_NAME, bound[0])];
    outcome(SOCKS_LOGIN, NAME, script(told)).await.unwrap();
    // A proxy that wants none is told none.
    let told = script([(hello, b"\x05\x00"), (SOCKS_NAME, bound[0])]);
    outcome(SOCKS_LOGIN, NAME, told).await.unwrap();
}

#[tokio::test]
async fn socks_refusals_are_told_apart() {
    for (reply, words) in [
        (1, "it failed"),
        (2, "its rules forbid it"),
        (4, "the host is unreachable, or has no address"),
        (5, "the connection was refused"),
        (200, "code 200"),
    ] {
        let no = [5, reply, 0, 1, 0, 0, 0, 0, 0, 0];
        let told = script([(HELLO, b"\x05\x00"), (SOCKS_NAME, &no)]);
        let error = outcome(SOCKS, NAME, told).await.unwrap_err();
        assert_eq!(error.words(), format!("does not connect to turn.example.org:5349: {words}"));
        assert!(matches!(error, TunnelError::Target(_)));
    }
    let cut = "closed the connection instead of an answer";
    let garbage = "does not answer in SOCKS 5";
    for (first, second, words) in [
        (&b"\x05\xff"[..], None, "wants a user and a password"),
        (b"\x05\x02", None, garbage),
        (b"\x04\x00", None, garbage),
        (b"HT", None, garbage),
        (b"\x05", None, cut),
        (b"", None, cut),
        (b"\x05\x00", Some(&b"\x04\x00\x00\x01"[..]), garbage),
        (b"\x05\x00", Some(b"\x05\x00\x00\x02"), garbage),
        (b"\x05\x00", Some(b"\x05\x00\x00\x01\x7f\x00\x00\x01\x00"), cut),
        (b"\x05\x00", Some(b"\x05\x00\x00\x03\xffabc"), cut),
    ] {
        let mut told = script([(HELLO, first)]);
        told.extend(second.map(|second| (SOCKS_NAME.to_vec(), second.to_vec())));
        let error = outcome(SOCKS, NAME, told).await.unwrap_err();
        assert_eq!(error.words(), words);
        assert!(!matches!(error, TunnelError::Target(_)));
    }
    let hello = &[5, 2, 0, 2];
    let login = b"\x01\x04user\x04pass";
    for (answer, words) in
        [(&b"\x01\x01"[..], "refuses the user and the password"), (b"\x05\x00", garbage)]
    {
        let told = script([(hello, b"\x05\x02"), (login, answer)]);
        let error = outcome(SOCKS_LOGIN, NAME, told).await.unwrap_err();
        assert_eq!(error.words(), words);
    }
    let error = outcome(SOCKS_LOGIN, NAME, script([(hello, b"\x05\xff")])).await.unwrap_err();
    assert!(matches!(error, TunnelError::Login("takes no user and password")));
}

#[tokio::test]
async fn a_name_is_not_more_than_a_name() {
    for name in ["", "a\r\nb", "a b", &"a".repeat(256)] {
        for proxy in [HTTP, SOCKS] {
            let error = outcome(proxy, Target::Name(name, 1), Vec::new()).await.unwrap_err();
            assert_eq!(error.words(), "can not be asked for this name");
        }
    }
}
