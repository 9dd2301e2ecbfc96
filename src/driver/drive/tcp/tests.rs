use std::net::Ipv4Addr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;

use super::*;
use crate::agent::{Event, Happened, RecordedInput, SocketOp, StreamId};
use crate::candidate::ComponentId;
use crate::check::Role;
use crate::driver::agent::Handle;
use crate::driver::config::AgentConfig;
use crate::driver::connection::Connection;
use crate::driver::transport::BindOptions;
use crate::tcp::head;

const LIMIT: Duration = Duration::from_secs(30);
const V4: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// Far from those that the core gives out.
const BASE: BaseId = BaseId(900);
const OWNER: (StreamId, ComponentId) = (StreamId(0), ComponentId::ONE);

/// An agent, asked in the core's place for what the core asks.
struct Side {
    shared: Arc<Shared>,
    told: Vec<RecordedInput>,
}

impl Side {
    fn new() -> Self {
        let mut config = AgentConfig::new(Role::Controlling);
        config.watch_network = false;
        config.ice.log = true;
        let shared = Shared::start(config).unwrap();
        shared.add_stream(1).unwrap();
        Side { shared, told: Vec::new() }
    }

    fn listening() -> (Self, SocketAddr) {
        let mut side = Self::new();
        let local = side.bind(BASE, TcpType::SimultaneousOpen).unwrap();
        (side, local)
    }

    fn perform(&self, op: SocketOp) {
        self.shared.command(|machine| self.shared.perform(machine, op));
    }

    fn dispatch(&self, event: Event) {
        self.shared.command(|machine| machine.dispatch(event));
    }

    fn bind(&mut self, base: BaseId, tcp_type: TcpType) -> Option<SocketAddr> {
        let (stream, component) = OWNER;
        self.perform(SocketOp::BindTcp { base, ip: V4, scope: 0, stream, component, tcp_type });
        self.look();
        self.told.iter().rev().find_map(|input| match input {
            RecordedInput::Bound { base: at, local } if *at == base => Some(*local),
            _ => None,
        })
    }

    fn connect(&self, to: SocketAddr) {
        self.perform(SocketOp::Connect { base: BASE, to, framing: Framing::Rfc4571 });
    }

    fn disconnect(&self, to: SocketAddr, abort: bool) {
        self.perform(SocketOp::Disconnect { base: BASE, to, abort });
    }

    fn open(&self, from: SocketAddr) -> Connection {
        let (stream, component) = OWNER;
        self.dispatch(Event::PathOpened { stream, component, base: BASE, from });
        self.dispatch(Event::SendPath { stream, component, path: Some((BASE, from)) });
        let component = self.shared.component(stream, component).unwrap();
        Connection::new(Arc::new(Handle { shared: self.shared.clone() }), component)
    }

    /// Takes in what the core was told of TCP since the last look.
    fn look(&mut self) {
        let told = &mut self.told;
        self.shared.with_core(|core| {
            while let Some(record) = core.poll_log() {
                if let Happened::Input(given) = record.what {
                    told.push(given.what);
                }
            }
        });
        told.retain(|input| {
            !matches!(
                input,
                RecordedInput::Create(_) | RecordedInput::AddStream { .. } | RecordedInput::Timeout
            )
        });
    }

    async fn until(&mut self, what: impl Fn(&RecordedInput) -> bool) {
        let wait = async {
            loop {
                self.look();
                if self.told.iter().any(&what) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        assert!(timeout(LIMIT, wait).await.is_ok(), "only {:?}", self.told);
    }

    async fn until_count(&mut self, count: usize, what: impl Fn(&RecordedInput) -> bool) {
        let wait = async {
            loop {
                self.look();
                if self.told.iter().filter(|input| what(input)).count() >= count {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        assert!(timeout(LIMIT, wait).await.is_ok(), "only {:?}", self.told);
    }

    fn links(&self) -> usize {
        self.shared.machine.lock().tcp.get_mut(BASE).map_or(0, |at| at.links.len())
    }

    fn stats(&self) -> crate::driver::Stats {
        self.shared.stats()
    }

    fn id_of(&self, remote: SocketAddr) -> LinkId {
        self.shared.machine.lock().tcp.link(BASE, remote).unwrap().id()
    }
}

fn accepted(from: SocketAddr) -> RecordedInput {
    RecordedInput::Accepted { base: BASE, from }
}

fn failed(to: SocketAddr, error: io::ErrorKind) -> RecordedInput {
    RecordedInput::ConnectFailed { base: BASE, to, error }
}

/// Two agents with a connection between them, and both addresses.
async fn connected() -> (Side, SocketAddr, Side, SocketAddr) {
    let ((mut a, at_a), (mut b, at_b)) = (Side::listening(), Side::listening());
    a.connect(at_b);
    a.until(|input| *input == RecordedInput::Connected { base: BASE, to: at_b, local: at_a }).await;
    b.until(|input| *input == accepted(at_a)).await;
    (a, at_a, b, at_b)
}

async fn client(to: SocketAddr) -> (tokio::net::TcpStream, SocketAddr) {
    let stream = tokio::net::TcpStream::connect(to).await.unwrap();
    let local = stream.local_addr().unwrap();
    (stream, local)
}

async fn at_end(stream: &mut tokio::net::TcpStream) -> io::Result<usize> {
    timeout(LIMIT, stream.read(&mut [0; 64])).await.unwrap()
}

#[tokio::test]
async fn an_active_base_has_port_9_and_each_connection_its_own() {
    let mut a = Side::new();
    assert_eq!(a.bind(BASE, TcpType::Active), Some(SocketAddr::new(V4, 9)));
    let (mut b, at_b) = Side::listening();
    a.connect(at_b);
    a.until(|input| {
        matches!(input, RecordedInput::Connected { to, local, .. }
        if *to == at_b && local.ip() == V4 && ![9, at_b.port()].contains(&local.port()))
    })
    .await;
    b.until(|input| matches!(input, RecordedInput::Accepted { .. })).await;
}

#[tokio::test]
async fn data_and_checks_pass_over_a_connection() {
    let (mut a, at_a, b, at_b) = connected().await;
    let (ca, cb) = (a.open(at_b), b.open(at_a));
    assert_eq!((ca.local_address(), ca.remote_address()), (Some(at_a), Some(at_b)));
    assert_eq!(ca.max_datagram_size(), Some(65_535));
    let mut buffer = vec![0; 65_535];
    for datagram in [&b"one"[..], b"", &[7; 65_535]] {
        ca.send(datagram).await.unwrap();
        let len = timeout(LIMIT, cb.recv(&mut buffer)).await.unwrap().unwrap();
        assert_eq!(&buffer[..len], datagram);
    }
    cb.send_batch(&[5; 2_500], 1_000).await.unwrap();
    for expected in [1_000, 1_000, 500] {
        assert_eq!(timeout(LIMIT, ca.recv(&mut buffer)).await.unwrap().unwrap(), expected);
    }
    let error = ca.send(&[0; 65_536]).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    // What was sent and received is counted by path.
    let traffic = a.shared.machine.lock().ledger.of((BASE, at_b));
    assert_eq!((traffic.packets_sent, traffic.bytes_sent), (3, 3 + 65_535));
    assert_eq!((traffic.packets_received, traffic.bytes_received), (3, 2_500));
    // When it breaks, there is nothing to send on.
    b.disconnect(at_a, true);
    let reset = io::ErrorKind::ConnectionReset;
    a.until(|told| *told == RecordedInput::Broken { base: BASE, from: at_b, error: reset }).await;
    let error = ca.try_send(b"x").unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::NotConnected);
}

/// Far more than the two ends can hold between them.
#[tokio::test]
async fn a_sender_waits_for_a_slow_receiver_and_nothing_is_lost() {
    let (a, at_a, b, at_b) = connected().await;
    let (ca, cb) = (a.open(at_b), b.open(at_a));
    let sender = tokio::spawn(async move {
        for n in 0..2_000_u32 {
            let mut datagram = vec![0; 30_000];
            datagram[..4].copy_from_slice(&n.to_be_bytes());
            // Each way of sending in its turn.
            match n % 3 {
                0 => ca.send(&datagram).await.unwrap(),
                1 => poll_fn(|cx| ca.poll_send(cx, &datagram)).await.unwrap(),
                _ => ca.send_batch(&datagram, 30_000).await.unwrap(),
            }
        }
        // With the last handle the agent would end, and what it has not yet
        // written be lost.
        ca
    });
    let mut buffer = vec![0; 65_535];
    for n in 0..2_000_u32 {
        let len = timeout(LIMIT, cb.recv(&mut buffer)).await.unwrap().unwrap();
        assert_eq!((len, &buffer[..4]), (30_000, &n.to_be_bytes()[..]));
        if n == 10 {
            assert!(!sender.is_finished(), "it was not held up");
        }
    }
    let _ca = timeout(LIMIT, sender).await.unwrap().unwrap();
    assert_eq!(b.stats().overflowed, 0);
}

#[tokio::test]
async fn an_orderly_end_is_told_as_such() {
    let (mut a, at_a, mut b, at_b) = connected().await;
    b.disconnect(at_a, false);
    a.until(|told| *told == RecordedInput::Disconnected { base: BASE, from: at_b }).await;
    b.look();
    assert!(!b.told.iter().any(|t| matches!(t, RecordedInput::Disconnected { .. })));
    assert_eq!((a.links(), b.links()), (0, 0));
}

#[tokio::test]
async fn a_connection_that_exists_is_adopted() {
    let (mut a, _, _b, at_b) = connected().await;
    a.connect(at_b);
    let exists = failed(at_b, io::ErrorKind::AddrNotAvailable);
    a.until(|input| *input == exists).await;
    // Also where it still waits in the queue of the listener, which is not
    // looked at before the machine is free.
    let (mut c, at_c) = Side::listening();
    {
        let machine = &mut *c.shared.machine.lock();
        // It is established on our side, whoever accepts it when.
        let stream = std::net::TcpStream::connect(at_c).unwrap();
        let from = stream.local_addr().unwrap();
        c.shared.open_connection(machine, BASE, from, Framing::Rfc4571);
    }
    c.until(|input| {
        matches!(input, RecordedInput::ConnectFailed { error, .. }
        if *error == io::ErrorKind::AddrNotAvailable)
    })
    .await;
    c.until(|input| matches!(input, RecordedInput::Accepted { .. })).await;
}

#[tokio::test]
async fn refusals_and_oneself_are_told() {
    let (mut a, at_a) = Side::listening();
    a.connect(at_a);
    a.until(|input| *input == failed(at_a, io::ErrorKind::InvalidInput)).await;
    let (b, at_b) = Side::listening();
    b.perform(SocketOp::Close { base: BASE });
    a.connect(at_b);
    a.until(|input| *input == failed(at_b, io::ErrorKind::ConnectionRefused)).await;
}

#[tokio::test]
async fn an_accepted_connection_ends_the_attempt_to_the_same_address() {
    let ((mut a, at_a), (b, at_b)) = (Side::listening(), Side::listening());
    let (full, _first) = full_listener();
    let to = full.local_addr().unwrap();
    let connecting = Arc::new(connect_tcp((V4, 0, None), to, &BindOptions::default()).unwrap());
    a.shared.command(|machine| {
        let at = machine.tcp.get_mut(BASE).unwrap();
        let (framing, task) = (Framing::Rfc4571, tokio::spawn(async {}).abort_handle());
        let attempt = Attempt { serial: 0, connecting: connecting.clone(), framing, task };
        at.attempts.insert(at_b, attempt);
    });
    b.connect(at_a);
    a.until(|input| *input == accepted(at_b)).await;
    assert!(poll_fn(|cx| connecting.poll(cx)).await.is_none(), "its socket is closed");
    assert!(!a.told.iter().any(|input| matches!(input, RecordedInput::ConnectFailed { .. })));
}

/// A listener that takes nothing in any more, with what fills it. Where the
/// system takes more, attempts to it come to something else than silence.
fn full_listener() -> (std::net::TcpListener, Vec<std::net::TcpStream>) {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::new(V4, 0).into()).unwrap();
    socket.listen(0).unwrap();
    let listener = std::net::TcpListener::from(socket);
    let first = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (listener, vec![first])
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn an_attempt_is_looked_at_given_up_and_made_again() {
    let (mut a, _) = Side::listening();
    let (full, _first) = full_listener();
    let to = full.local_addr().unwrap();
    for round in 1..4 {
        a.connect(to);
        a.perform(SocketOp::Inspect { base: BASE, to });
        a.look();
        let Some(RecordedInput::Inspected { handshake, .. }) = a.told.last() else {
            panic!("{:?}", a.told);
        };
        assert!([Handshake::SynSent, Handshake::Unknown].contains(handshake), "{round}");
        a.disconnect(to, false);
        a.perform(SocketOp::Inspect { base: BASE, to });
        a.look();
        let handshake = Handshake::Unknown;
        assert_eq!(a.told.last(), Some(&RecordedInput::Inspected { base: BASE, to, handshake }));
    }
    assert!(!a.told.iter().any(|told| matches!(told, RecordedInput::ConnectFailed { .. })));
}

#[tokio::test]
async fn what_was_given_up_stays_silent() {
    let (mut a, at_a, _b, at_b) = connected().await;
    let old = a.id_of(at_b);
    a.disconnect(at_b, true);
    a.look();
    let before = a.told.len();
    let tell = |a: &Side, id: LinkId| {
        a.shared.message(id, &[0; 20]);
        a.shared.not_stun(id);
        a.shared.ended(id, None);
        a.shared.attempted(id, Err(io::ErrorKind::TimedOut.into()));
    };
    tell(&a, old);
    a.look();
    assert_eq!(a.told.len(), before);
    // Nor is it taken for the one that came after it.
    let (c, at_c) = Side::listening();
    c.connect(at_a);
    a.until(|input| *input == accepted(at_c)).await;
    let before = a.told.len();
    tell(&a, LinkId { serial: old.serial, ..a.id_of(at_c) });
    a.look();
    assert_eq!((a.told.len(), a.links()), (before, 1));
    a.shared.ended(a.id_of(at_c), None);
    a.look();
    assert_eq!((a.told.len(), a.links()), (before + 1, 0));
}

#[tokio::test]
async fn the_older_of_two_connections_from_one_address_ends_first() {
    let (mut a, at_a) = Side::listening();
    let (_full, mut streams) = full_listener();
    let (b, at_b) = Side::listening();
    b.connect(at_a);
    a.until(|input| *input == accepted(at_b)).await;
    a.look();
    let before = a.told.len();
    // The system can not be made to give one address twice.
    let listener = listen_tcp(V4, 0, &BindOptions::default()).unwrap();
    streams.push(std::net::TcpStream::connect(listener.local()).unwrap());
    let other = poll_fn(|cx| listener.poll_accept(cx)).await.unwrap().unwrap();
    let from = other.remote();
    a.shared.command(|machine| {
        let links = &mut machine.tcp.get_mut(BASE).unwrap().links;
        let entry = links.remove(&at_b).unwrap();
        links.insert(from, entry);
    });
    a.shared.accepted(BASE, other);
    a.look();
    let error = io::ErrorKind::ConnectionAborted;
    let broken = RecordedInput::Broken { base: BASE, from, error };
    assert_eq!(a.told[before..], [broken, accepted(from)]);
    assert_eq!(a.links(), 1);
}

#[tokio::test]
async fn something_else_than_stun_is_told_once() {
    let (mut a, at_a) = Side::listening();
    let (mut peer, from) = client(at_a).await;
    let not_stun = RecordedInput::NotStun { base: BASE, from };
    for _ in 0..3 {
        peer.write_all(&[&head(4).unwrap()[..], b"HTTP"].concat()).await.unwrap();
    }
    a.until(|input| *input == not_stun).await;
    drop(peer);
    a.until(|input| *input == RecordedInput::Disconnected { base: BASE, from }).await;
    assert_eq!(a.told.iter().filter(|input| **input == not_stun).count(), 1);
    assert_eq!(a.stats().unrouted, 3);
}

#[tokio::test]
async fn connections_that_pass_no_check_are_bounded() {
    let (mut a, at_a) = Side::listening();
    let mut clients = Vec::new();
    for _ in 0..MAX_UNPROVEN + 10 {
        clients.push(client(at_a).await);
    }
    let is_accepted = |input: &RecordedInput| matches!(input, RecordedInput::Accepted { .. });
    a.until_count(MAX_UNPROVEN, is_accepted).await;
    for (stream, _) in &mut clients[MAX_UNPROVEN..] {
        // They are closed, and nothing is told of them.
        assert!(at_end(stream).await.is_ok_and(|len| len == 0));
    }
    a.look();
    assert_eq!(a.told.iter().filter(|input| is_accepted(input)).count(), MAX_UNPROVEN);
    assert_eq!((a.links(), a.stats().refused_connections), (MAX_UNPROVEN, 10));
    // One that passes a check makes room for one.
    let _connection = a.open(clients[0].1);
    let (_stream, from) = client(at_a).await;
    a.until(|input| *input == accepted(from)).await;
    // And one to whose address there is an attempt of ours has its place.
    let (b, _) = Side::listening();
    b.connect(at_a);
    let refused = async {
        while a.stats().refused_connections < 11 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(LIMIT, refused).await.unwrap();
    let (_c, at_c) = Side::listening();
    a.connect(at_c);
    a.until(|input| matches!(input, RecordedInput::Connected { to, .. } if *to == at_c)).await;
}

#[tokio::test]
async fn thousands_of_connections_leave_nothing() {
    let (mut a, at_a) = Side::listening();
    let mut most = 0;
    for n in 0..3_000 {
        let (stream, _) = client(at_a).await;
        drop(stream);
        if n % 64 == 0 {
            most = most.max(a.links());
            a.look();
            a.told.clear();
        }
    }
    assert!(most <= MAX_UNPROVEN, "{most}");
    let gone = async {
        while a.links() > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(LIMIT, gone).await.unwrap();
    assert_eq!(a.shared.machine.lock().tcp.unproven(), 0);
}

#[tokio::test]
async fn a_closed_agent_has_no_socket_left() {
    let (a, at_a) = Side::listening();
    let (mut peer, _) = client(at_a).await;
    let (full, _first) = full_listener();
    a.connect(full.local_addr().unwrap());
    let linked = async {
        while a.links() == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(LIMIT, linked).await.unwrap();
    drop(a.shared.shut_down());
    // At once, whatever the tasks do.
    let refused = std::net::TcpStream::connect(at_a).unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    assert_eq!(at_end(&mut peer).await.unwrap(), 0);
    // What the core asked for before has nobody to answer to.
    a.connect(at_a);
    assert!(a.shared.machine.lock().tcp.get_mut(BASE).is_none());
}

#[tokio::test]
async fn a_closed_base_takes_its_connections_along() {
    let (mut a, _, b, at_b) = connected().await;
    b.perform(SocketOp::Close { base: BASE });
    a.until(|told| *told == RecordedInput::Disconnected { base: BASE, from: at_b }).await;
    a.connect(at_b);
    a.until(|told| *told == failed(at_b, io::ErrorKind::ConnectionRefused)).await;
}

#[tokio::test]
async fn an_agent_on_shared_sockets_has_no_tcp() {
    let mut config = AgentConfig::new(Role::Controlling);
    config.watch_network = false;
    config.ice.log = true;
    let at = SocketAddr::new(V4, 0);
    config.sockets = vec![crate::driver::SharedSocket::bind(at).unwrap()];
    let shared = Shared::start(config).unwrap();
    shared.add_stream(1).unwrap();
    let mut side = Side { shared, told: Vec::new() };
    assert_eq!(side.bind(BASE, TcpType::Passive), None);
    let error = io::ErrorKind::Unsupported;
    side.until(|told| matches!(told, RecordedInput::BindFailed { error: e, .. } if *e == error))
        .await;
}
