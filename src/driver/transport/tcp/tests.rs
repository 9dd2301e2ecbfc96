use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::time::timeout;

use super::*;
use crate::tcp::Handshake;

const LIMIT: Duration = Duration::from_secs(20);
const V4: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const LOOPBACKS: [IpAddr; 2] = [V4, IpAddr::V6(Ipv6Addr::LOCALHOST)];

fn listen(ip: IpAddr) -> TcpListener {
    listen_tcp(ip, 0, &BindOptions::default()).unwrap()
}

/// An attempt from the port of `from`.
fn connect(from: &TcpListener, to: SocketAddr) -> io::Result<Connecting> {
    let local = from.local();
    connect_tcp((local.ip(), 0, Some(local.port())), to, &BindOptions::default())
}

fn connect_apart(to: SocketAddr) -> io::Result<Connecting> {
    connect_tcp((to.ip(), 0, None), to, &BindOptions::default())
}

async fn accepted(listener: &TcpListener) -> TcpStream {
    let result = timeout(LIMIT, poll_fn(|cx| listener.poll_accept(cx))).await;
    result.expect("in time").expect("it is open").unwrap()
}

async fn done(connecting: &Connecting) -> io::Result<TcpStream> {
    let result = timeout(LIMIT, poll_fn(|cx| connecting.poll(cx))).await;
    result.expect("in time").expect("it is not given up")
}

/// What reading gives next.
async fn read(stream: &TcpStream) -> io::Result<Vec<u8>> {
    let mut bytes = [0; 64];
    loop {
        timeout(LIMIT, poll_fn(|cx| stream.poll_readable(cx))).await.expect("in time")?;
        match stream.try_read(&mut bytes) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            result => return result.map(|len| bytes[..len].to_vec()),
        }
    }
}

async fn pair() -> (TcpStream, TcpStream) {
    let (a, b) = (listen(V4), listen(V4));
    let connecting = connect(&a, b.local()).unwrap();
    (done(&connecting).await.unwrap(), accepted(&b).await)
}

#[tokio::test]
async fn connections_leave_from_the_port_of_the_listener_or_from_one_of_their_own() {
    for ip in LOOPBACKS {
        let (a, b) = (listen(ip), listen(ip));
        let connecting = connect(&a, b.local()).unwrap();
        let (ours, theirs) = (done(&connecting).await.unwrap(), accepted(&b).await);
        assert_eq!((theirs.remote(), ours.local()), (a.local(), a.local()));
        assert_eq!((ours.remote(), theirs.local()), (b.local(), b.local()));
        let parts = [IoSlice::new(b"he"), IoSlice::new(b"llo")];
        poll_fn(|cx| ours.poll_writable(cx)).await.unwrap();
        assert_eq!(ours.try_write(&parts).unwrap(), 5);
        assert_eq!(read(&theirs).await.unwrap(), b"hello");
        // The listener of the port still listens.
        let other = connect_apart(a.local()).unwrap();
        let other_end = accepted(&a).await;
        assert_eq!(other_end.remote(), done(&other).await.unwrap().local());
        assert_ne!(other.local().port(), a.local().port());
    }
}

/// What a peer opened while we did not look waits in the queue of the
/// listener: it is to be adopted.
#[tokio::test]
async fn a_connection_that_exists_is_told_as_such() {
    let (a, b) = (listen(V4), listen(V4));
    let theirs = connect(&b, a.local()).unwrap();
    done(&theirs).await.unwrap();
    let error = connect(&a, b.local()).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::AddrNotAvailable);
    assert_eq!(accepted(&a).await.remote(), b.local());
}

#[tokio::test]
async fn nothing_connects_to_itself() {
    let a = listen(V4);
    assert_eq!(connect(&a, a.local()).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    // Without a listener the system would let it.
    let port = a.local().port();
    a.close();
    let options = BindOptions { ports: Some(port..=port), ..BindOptions::default() };
    let error = connect_tcp((V4, 0, None), a.local(), &options).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
}

#[tokio::test]
async fn a_refusal_is_told_each_time() {
    let (a, b) = (listen(V4), listen(V4));
    b.close();
    for _ in 0..3 {
        let error = match connect(&a, b.local()) {
            Ok(connecting) => done(&connecting).await.unwrap_err(),
            Err(error) => error,
        };
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    }
}

/// An address that is gone must not look like a connection that exists.
#[tokio::test]
async fn a_foreign_address_is_no_connection_that_exists() {
    let foreign = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 1));
    let to = listen(V4).local();
    let error = connect_tcp((foreign, 0, Some(9_999)), to, &BindOptions::default()).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::NetworkUnreachable);
    let error = listen_tcp(foreign, 0, &BindOptions::default()).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::AddrNotAvailable);
}

#[tokio::test]
async fn each_port_of_a_range_has_one_listener() {
    let free = listen(V4).local().port();
    let options = BindOptions { ports: Some(free..=free), ..BindOptions::default() };
    for _ in 0..3 {
        let first = listen_tcp(V4, 0, &options).unwrap();
        assert_eq!(first.local().port(), free);
        let error = listen_tcp(V4, 0, &options).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        assert!(error.to_string().contains(&format!("{free}-{free}")), "{error}");
        // What connections leave behind does not keep the port.
        let theirs = connect_apart(first.local()).unwrap();
        let ours = accepted(&first).await;
        done(&theirs).await.unwrap();
        ours.close();
        first.close();
    }
}

#[tokio::test]
async fn only_an_abort_resets() {
    let (a, b) = pair().await;
    a.close();
    assert_eq!(read(&b).await.unwrap(), b"");
    assert_eq!(a.try_read(&mut [0]).unwrap_err().kind(), io::ErrorKind::NotConnected);
    let (a, b) = pair().await;
    a.abort();
    assert_eq!(read(&b).await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn a_closed_listener_accepts_nothing() {
    let a = listen(V4);
    a.close();
    assert!(poll_fn(|cx| a.poll_accept(cx)).await.is_none());
}

#[cfg(target_os = "linux")]
#[test]
fn every_connection_has_its_options() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let class = crate::driver::TrafficClass::new(46).unwrap();
        let options = BindOptions { class, ..BindOptions::default() };
        let a = listen_tcp(V4, 0, &options).unwrap();
        let connecting = connect_tcp((V4, 0, None), a.local(), &options).unwrap();
        for stream in [accepted(&a).await, done(&connecting).await.unwrap()] {
            stream.check(|socket| {
                assert!(socket.tcp_nodelay().unwrap());
                assert_eq!(socket.tcp_user_timeout().unwrap(), Some(USER_TIMEOUT));
                assert_eq!(socket.tos_v4().unwrap(), 0xb8);
                assert_eq!(socket.linger().unwrap(), None);
            });
        }
    });
}

/// Where a queue is full Linux answers no SYN: the attempt stays where it is.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_silent_attempt_is_seen_and_its_addresses_are_free_once_it_is_given_up() {
    let full = new_socket(SocketAddr::new(V4, 0)).unwrap();
    full.bind(&SocketAddr::new(V4, 0).into()).unwrap();
    full.listen(0).unwrap();
    let to = full.local_addr().unwrap().as_socket().unwrap();
    let first = connect_apart(to).unwrap();
    let _first = done(&first).await.unwrap();
    let a = listen(V4);
    for _ in 0..3 {
        let attempt = connect(&a, to).unwrap();
        if attempt.handshake() == Handshake::Unknown {
            println!("skipped, because the system does not tell");
        } else {
            assert_eq!(attempt.handshake(), Handshake::SynSent);
        }
        attempt.give_up();
        assert!(poll_fn(|cx| attempt.poll(cx)).await.is_none());
        assert_eq!(attempt.handshake(), Handshake::Unknown);
    }
}

/// A SYN that meets a full queue is dropped: the attempt is still silent when
/// the other one comes the opposite way.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn two_attempts_that_cross_make_one_connection() {
    // Of hardened kernels only.
    let switch = std::fs::read_to_string("/proc/sys/net/ipv4/tcp_simult_connect");
    if switch.is_ok_and(|switch| switch.trim() == "0") {
        println!("skipped, because this kernel refuses simultaneous opens");
        return;
    }
    let a = listen(V4);
    let full = new_socket(SocketAddr::new(V4, 0)).unwrap();
    share_port(&full).unwrap();
    full.bind(&SocketAddr::new(V4, 0).into()).unwrap();
    full.listen(0).unwrap();
    let b = full.local_addr().unwrap().as_socket().unwrap();
    let first = connect_apart(b).unwrap();
    let _first = done(&first).await.unwrap();
    let from_a = connect(&a, b).unwrap();
    let from_b = connect_tcp((V4, 0, Some(b.port())), a.local(), &BindOptions::default()).unwrap();
    let (from_a, from_b) = (done(&from_a).await.unwrap(), done(&from_b).await.unwrap());
    assert_eq!((from_a.local(), from_a.remote()), (from_b.remote(), from_b.local()));
    poll_fn(|cx| from_a.poll_writable(cx)).await.unwrap();
    from_a.try_write(&[IoSlice::new(b"crossed")]).unwrap();
    assert_eq!(read(&from_b).await.unwrap(), b"crossed");
    let nobody = poll_fn(|cx| std::task::Poll::Ready(a.poll_accept(cx))).await;
    assert!(nobody.is_pending());
}
