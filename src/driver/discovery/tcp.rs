//! How a NAT maps and filters TCP: the tests of RFC 5780 §4.3 over connections
//! from one port, and the call back of our own server.

use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::discovery::{
    Behavior, Change, Dependence, DialBack, MappingEvent, MappingState, Sign, conclude,
    write_request,
};
use crate::driver::transport::{self, BindOptions, TcpListener, TcpStream};
use crate::net;
use crate::stun::{Class, Message, Method, TransactionId};
use crate::tcp::{Deframer, Framing};

/// How long a connection and its answer may take: the system sends a SYN three
/// times in it.
const PATIENCE: Duration = Duration::from_millis(4_500);

/// How long a server may take to call back, beyond that.
const CALLING: Duration = Duration::from_secs(4);

/// How often it is asked to call back where nothing comes: each call is two
/// SYNs.
const CALLS: u32 = 4;

/// What is taken for the loss there and back: a fifth each way. The silence of
/// all calls is then less likely by chance than one in a thousand.
const LOSS: f64 = 0.36;

/// What was found over TCP from one address.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct TcpReport {
    /// The port that mappings were compared on.
    pub local: SocketAddr,
    /// Where the first server that answered sees it.
    pub mapped: Option<SocketAddr>,
    /// Each server, in the order in which they were given.
    pub servers: Vec<TcpServer>,
    /// How the NAT maps.
    pub mapping: Behavior,
    /// What the NAT or firewall lets in; unknown unless a server calls back.
    pub filtering: Behavior,
    /// How sure that is, from 0 to 1.
    pub confidence: f64,
    /// What became of a SYN that nobody had asked for, from another address.
    pub unsolicited: Option<DialBack>,
    /// How long it took.
    pub elapsed: Duration,
}

/// One server over TCP.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TcpServer {
    /// Where it was asked.
    pub address: SocketAddr,
    /// What came of it.
    pub answer: TcpAnswer,
    /// Its other address and port, if it has one.
    pub other: Option<SocketAddr>,
}

/// What came of asking a server over TCP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TcpAnswer {
    /// It sees us there.
    Mapped {
        /// There.
        mapped: SocketAddr,
        /// How long the handshake took.
        connect: Duration,
    },
    /// It connects and gives no answer, or one that is no STUN.
    Useless,
    /// There is no connection, for this reason.
    Unreached(io::ErrorKind),
}

/// Looks how a NAT maps and filters TCP from `ip`, an address of this machine,
/// with servers of its family.
///
/// # Errors
///
/// What the system says where no port can be listened on.
///
/// # Panics
///
/// Outside of a tokio runtime.
///
/// # Cancel safety
///
/// It can be dropped at any time; all its connections are closed then.
pub async fn discover_tcp(ip: IpAddr, scope: u32, servers: &[SocketAddr]) -> io::Result<TcpReport> {
    let start = Instant::now();
    let base = Base::new(ip, scope)?;
    let mut report = TcpReport {
        local: base.listener.local(),
        mapped: None,
        servers: ask_all(&base, servers).await,
        mapping: Behavior::Unknown,
        filtering: Behavior::Unknown,
        confidence: 0.0,
        unsolicited: None,
        elapsed: Duration::ZERO,
    };
    report.mapped = report.servers.iter().find_map(TcpServer::mapped);
    let main = report
        .servers
        .iter()
        .find_map(|server| Some((server.address, server.other?, server.mapped()?)));
    if let Some((address, other, mapped)) = main {
        let calls = async {
            let elsewhere = called(ip, scope, address, Change::BOTH);
            tokio::join!(elsewhere, called(ip, scope, address, Change::PORT))
        };
        let (mapping, (elsewhere, other_port)) =
            tokio::join!(map(&base, address, other, mapped), calls);
        report.mapping = mapping;
        (report.filtering, report.unsolicited) =
            (conclude(sign(elsewhere), sign(other_port)), elsewhere);
    }
    if report.mapping == Behavior::Unknown {
        report.mapping = compared(&report);
    }
    report.confidence = match report.filtering {
        Behavior::Unknown => 0.0,
        Behavior::Is(Dependence::Endpoint) => 1.0,
        Behavior::Is(_) | Behavior::Dependent if elsewhere_is_silent(&report) => {
            1.0 - LOSS.powf(f64::from(2 * CALLS))
        }
        Behavior::Is(_) | Behavior::Dependent => 1.0,
    };
    report.elapsed = start.elapsed();
    Ok(report)
}

fn elsewhere_is_silent(report: &TcpReport) -> bool {
    report.unsolicited == Some(DialBack::Silent)
}

fn sign(outcome: Option<DialBack>) -> Sign {
    match outcome {
        Some(DialBack::Connected) => Sign::Heard,
        Some(DialBack::Refused | DialBack::Silent | DialBack::Unreachable) => Sign::Filtered,
        None => Sign::Unknown,
    }
}

/// A port that is listened on and connected from.
struct Base {
    listener: TcpListener,
    scope: u32,
}

impl Base {
    fn new(ip: IpAddr, scope: u32) -> io::Result<Self> {
        let listener = transport::listen_tcp(ip, scope, &BindOptions::default())?;
        Ok(Base { listener, scope })
    }

    async fn open(&self, to: SocketAddr) -> io::Result<TcpStream> {
        open(self.listener.local(), self.scope, to).await
    }
}

async fn open(local: SocketAddr, scope: u32, to: SocketAddr) -> io::Result<TcpStream> {
    let from = (local.ip(), scope, Some(local.port()));
    let connecting = transport::connect_tcp(from, to, &BindOptions::default())?;
    let opened = timeout(PATIENCE, poll_fn(|cx| connecting.poll(cx))).await?;
    opened.unwrap_or_else(|| Err(io::ErrorKind::NotConnected.into()))
}

/// What a server said over a connection.
struct Said {
    mapped: SocketAddr,
    other: Option<SocketAddr>,
    dial_back: Option<DialBack>,
}

async fn ask(stream: &TcpStream, change: Change, patience: Duration) -> io::Result<Said> {
    let id = TransactionId(super::rng()?.bytes());
    let mut request = Vec::new();
    write_request(id, change, &mut request);
    let answer = async {
        stream.write_all(&request).await?;
        let mut deframer = Deframer::new(Framing::Stun);
        loop {
            while let Some(frame) = deframer.next_frame().map_err(io::Error::other)? {
                if let Some(said) = said(frame, id) {
                    return said.ok_or_else(|| io::ErrorKind::InvalidData.into());
                }
            }
            let read = stream.read(deframer.space()).await?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            deframer.filled(read);
        }
    };
    timeout(patience, answer).await?
}

/// What a message says, if it is the answer: nothing, if it is an error.
fn said(frame: &[u8], id: TransactionId) -> Option<Option<Said>> {
    let message = Message::parse(frame).ok()?;
    if message.method() != Method::BINDING || message.transaction_id() != id {
        return None;
    }
    let mapped = message.xor_mapped_address().or_else(|| message.mapped_address());
    let (other, dial_back) = (message.other_address(), DialBack::of(&message));
    match (message.class(), mapped) {
        (Class::Success, Some(mapped)) => {
            Some(Some(Said { mapped: net::canonical(mapped), other, dial_back }))
        }
        (Class::Success | Class::Error, _) => Some(None),
        _ => None,
    }
}

impl TcpServer {
    fn mapped(&self) -> Option<SocketAddr> {
        match self.answer {
            TcpAnswer::Mapped { mapped, .. } => Some(mapped),
            TcpAnswer::Useless | TcpAnswer::Unreached(_) => None,
        }
    }
}

/// Test I of all servers, side by side.
async fn ask_all(base: &Base, servers: &[SocketAddr]) -> Vec<TcpServer> {
    let (local, scope) = (base.listener.local(), base.scope);
    let mut asking = JoinSet::new();
    for (number, &address) in servers.iter().enumerate() {
        if address.is_ipv4() == local.is_ipv4() {
            asking.spawn(async move { (number, ask_one(local, scope, address).await) });
        }
    }
    let mut answers = asking.join_all().await;
    answers.sort_by_key(|(number, _)| *number);
    answers.into_iter().map(|(_, server)| server).collect()
}

async fn ask_one(local: SocketAddr, scope: u32, address: SocketAddr) -> TcpServer {
    let start = Instant::now();
    let (answer, other) = match open(local, scope, address).await {
        Err(error) => (TcpAnswer::Unreached(error.kind()), None),
        Ok(stream) => {
            let connect = start.elapsed();
            match ask(&stream, Change::NONE, PATIENCE).await {
                Ok(Said { mapped, other, .. }) => (TcpAnswer::Mapped { mapped, connect }, other),
                Err(_) => (TcpAnswer::Useless, None),
            }
        }
    };
    let is_other = |other: &SocketAddr| {
        other.is_ipv4() == address.is_ipv4()
            && other.ip() != address.ip()
            && other.port() != 0
            && !other.ip().is_unspecified()
            && !other.ip().is_multicast()
            && (!other.ip().is_loopback() || address.ip().is_loopback())
    };
    TcpServer { address, answer, other: other.filter(is_other) }
}

/// Tests II and III of §4.3, from the port of the first.
async fn map(base: &Base, address: SocketAddr, other: SocketAddr, first: SocketAddr) -> Behavior {
    let mut state = MappingState::First.after(MappingEvent::Learnt);
    let mut last = first;
    loop {
        let to = match state {
            MappingState::OtherAddress => SocketAddr::new(other.ip(), address.port()),
            MappingState::OtherPort => other,
            MappingState::First | MappingState::Done(_) => break,
        };
        let seen = match base.open(to).await {
            Ok(stream) => ask(&stream, Change::NONE, PATIENCE).await.ok(),
            Err(_) => None,
        };
        let event = match &seen {
            None => MappingEvent::Silent,
            Some(said) if said.mapped == last => MappingEvent::Same,
            Some(_) => MappingEvent::Different,
        };
        last = seen.map_or(last, |said| said.mapped);
        state = state.after(event);
    }
    state.behavior().unwrap_or_default()
}

/// Has the server call back to a port from which nothing else was sent.
async fn called(ip: IpAddr, scope: u32, server: SocketAddr, change: Change) -> Option<DialBack> {
    let mut last = None;
    for _ in 0..CALLS {
        let base = Base::new(ip, scope).ok()?;
        let stream = base.open(server).await.ok()?;
        let said = ask(&stream, change, PATIENCE + CALLING).await.ok()?;
        last = Some(said.dial_back?);
        if last != Some(DialBack::Silent) {
            break;
        }
    }
    last
}

/// What servers on several addresses see.
fn compared(report: &TcpReport) -> Behavior {
    let seen = || report.servers.iter().filter_map(|s| Some((s.address, s.mapped()?)));
    let Some((address, mapped)) = seen().next() else { return Behavior::Unknown };
    if mapped == report.local {
        return Behavior::Is(Dependence::Endpoint);
    }
    if seen().any(|(_, other)| other != mapped) {
        return Behavior::Dependent;
    }
    match seen().any(|(other, _)| other.ip() != address.ip()) {
        true => Behavior::Is(Dependence::Endpoint),
        false => Behavior::Unknown,
    }
}
