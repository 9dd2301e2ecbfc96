//! rice-proto behind the JSON Lines of `ice-probe stdio`, on std's sockets:
//! a thread a socket reads, and the main one drives the agent.
//!
//! rice-proto has no state beyond a selected pair, so that `connected` and
//! `completed` come together, and no ICE restart. It has streams of several
//! components, but 0.4 reports the pair that was nominated last as the one of
//! each of them, so that there is one here. It sends USE-CANDIDATE in either
//! role; `use-candidate` is printed when such a request has been answered.
//!
//! Over TCP it accepts connections and opens none: 0.4 takes no connection
//! that was opened for it after gathering has ended. There it is not told
//! that the peer has no more candidates: with nothing to check itself it would
//! fail at once, ahead of the peer's connections (RFC 8863 is not in it).

use std::collections::{BTreeMap, BTreeSet};
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use floe_interop_peers::{
    Line, Options, print_candidate, print_credentials, print_end_of_candidates, print_error,
    print_more, print_received, print_selected, print_state, read_lines,
};
use rice_proto::agent::{Agent, AgentPoll};
use rice_proto::candidate::{Candidate, TransportType};
use rice_proto::component::ComponentConnectionState;
use rice_proto::stream::Credentials;
use stun_proto::Instant;
use stun_proto::agent::Transmit;

const COMPONENT: usize = 1;
const MAX_DATAGRAM: usize = 65_535;
/// Datagrams and lines that wait for the agent.
const QUEUE: usize = 1024;
/// The agent is asked what is due at least this often.
const MAX_WAIT: Duration = Duration::from_secs(1);

/// How Binding requests and their success responses begin (RFC 8489 §5).
const REQUEST: [u8; 2] = [0x00, 0x01];
const SUCCESS: [u8; 2] = [0x01, 0x01];
const USE_CANDIDATE: [u8; 2] = [0x00, 0x25];
const HEADER: usize = 20;

enum Incoming {
    Line(Line),
    Accepted {
        from: SocketAddr,
        to: SocketAddr,
        stream: TcpStream,
    },
    /// A datagram, or a piece of a stream.
    Bytes {
        transport: TransportType,
        from: SocketAddr,
        to: SocketAddr,
        bytes: Vec<u8>,
    },
    End,
}

struct Peer {
    agent: Agent,
    stream: usize,
    trickle: bool,
    only_tcp: bool,
    ufrag: String,
    sockets: BTreeMap<SocketAddr, Arc<UdpSocket>>,
    /// By their local and remote addresses.
    streams: BTreeMap<(SocketAddr, SocketAddr), TcpStream>,
    epoch: std::time::Instant,
    /// The transactions of requests with USE-CANDIDATE.
    nominations: BTreeSet<Vec<u8>>,
    /// Kept back by `--no-trickle`.
    local: Vec<String>,
    remote: Vec<Candidate>,
}

fn main() {
    let options = Options::read();
    let (sender, incoming) = sync_channel(QUEUE);
    let mut peer = Peer::start(&options, &sender);
    thread::spawn(move || {
        read_lines(|line| sender.send(Incoming::Line(line)).is_ok());
        // The main thread is gone where nobody takes it.
        let _ = sender.send(Incoming::End);
    });
    peer.run(&incoming);
    print_state("closed");
}

impl Peer {
    /// Gathers on every address of this machine but loopback.
    fn start(options: &Options, incoming: &SyncSender<Incoming>) -> Self {
        let trickle = options.trickle;
        let mut agent =
            Agent::builder().controlling(options.controlling).trickle_ice(trickle).build();
        let pacing = agent.timing_advance().as_millis() as u64;
        let id = agent.add_stream();
        let mut stream = agent.mut_stream(id).expect("the stream was just added");
        let (ufrag, passwd) = (rice_proto::random_string(8), rice_proto::random_string(24));
        let features: &[&str] = if trickle { &["ice2", "trickle"] } else { &["ice2"] };
        print_credentials(&ufrag, &passwd, features, pacing);
        print_state("new");
        stream.set_local_credentials(Credentials { ufrag: ufrag.clone(), passwd });
        let mut sockets = BTreeMap::new();
        let mut bound = Vec::new();
        for ip in addresses(options.ipv6) {
            let sender = incoming.clone();
            if options.only_tcp {
                let listener = TcpListener::bind((ip, 0)).expect("an address of this machine");
                let address = listener.local_addr().expect("it is bound");
                thread::spawn(move || accept(&listener, address, &sender));
                bound.push((TransportType::Tcp, address));
            } else {
                let socket = UdpSocket::bind((ip, 0)).expect("an address of this machine");
                let address = socket.local_addr().expect("it is bound");
                let socket = Arc::new(socket);
                let reader = Arc::clone(&socket);
                thread::spawn(move || read_datagrams(&reader, address, &sender));
                sockets.insert(address, socket);
                bound.push((TransportType::Udp, address));
            }
        }
        let first = stream.add_component().expect("the stream takes components");
        assert_eq!(first, COMPONENT);
        let mut component = stream.mut_component(COMPONENT).expect("it was just added");
        component.gather_candidates(&bound, &[], &[]).expect("gathering starts once");
        Peer {
            agent,
            stream: id,
            trickle,
            only_tcp: options.only_tcp,
            ufrag,
            sockets,
            streams: BTreeMap::new(),
            epoch: std::time::Instant::now(),
            nominations: BTreeSet::new(),
            local: Vec::new(),
            remote: Vec::new(),
        }
    }

    fn run(&mut self, incoming: &Receiver<Incoming>) {
        loop {
            let wait = self.drive();
            match incoming.recv_timeout(wait.min(MAX_WAIT)) {
                Ok(Incoming::Line(line)) => self.take(line),
                Ok(Incoming::Accepted { from, to, stream }) => {
                    self.streams.insert((to, from), stream);
                }
                Ok(Incoming::Bytes { transport, from, to, bytes }) => {
                    self.receive(Transmit::new(bytes, transport, from, to));
                }
                Err(RecvTimeoutError::Timeout) => {}
                Ok(Incoming::End) | Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn now(&self) -> Instant {
        Instant::from_nanos(self.epoch.elapsed().as_nanos() as i64)
    }

    /// Does what is due; gives the time until something is again.
    fn drive(&mut self) -> Duration {
        loop {
            let now = self.now();
            let poll = self.agent.poll(now);
            while let Some(transmit) = self.agent.poll_transmit(now) {
                self.transmit(&transmit.transmit);
            }
            match poll {
                AgentPoll::WaitUntil(at) => {
                    let left = at.as_nanos() - now.as_nanos();
                    return Duration::from_nanos(u64::try_from(left).unwrap_or_default());
                }
                AgentPoll::Closed => return MAX_WAIT,
                other => self.event(other),
            }
        }
    }

    fn event(&mut self, event: AgentPoll) {
        let mut stream = self.agent.mut_stream(self.stream).expect("there is one stream");
        match event {
            AgentPoll::GatheredCandidate(gathered) => {
                let text = gathered.gathered.candidate.to_sdp_string();
                if stream.add_local_gathered_candidate(gathered.gathered) {
                    let text = text.trim_start_matches("a=").to_owned();
                    if self.trickle {
                        print_candidate(&text, &self.ufrag);
                    } else {
                        self.local.push(text);
                    }
                }
            }
            AgentPoll::GatheringComplete(_) => {
                stream.end_of_local_candidates();
                for text in self.local.drain(..) {
                    print_candidate(&text, &self.ufrag);
                }
                print_end_of_candidates(&self.ufrag);
            }
            AgentPoll::SelectedPair(selected) => {
                let pair = selected.selected.candidate_pair().clone();
                let text = |candidate: &Candidate| candidate.to_sdp_string().replacen("a=", "", 1);
                print_selected(&text(&pair.local), &text(&pair.remote));
                let mut component = stream.mut_component(COMPONENT).expect("there is one");
                if let Err(error) = component.set_selected_pair(pair) {
                    print_error("internal", &error.to_string());
                }
            }
            AgentPoll::ComponentStateChange(change) => match change.state {
                ComponentConnectionState::Connecting => print_state("checking"),
                ComponentConnectionState::Failed => print_state("failed"),
                ComponentConnectionState::Connected => {
                    print_state("connected");
                    print_state("completed");
                }
                ComponentConnectionState::New => {}
            },
            _ => {}
        }
    }

    fn take(&mut self, line: Line) {
        let now = self.now();
        let mut stream = self.agent.mut_stream(self.stream).expect("there is one stream");
        match line {
            Line::Credentials(ufrag, passwd) => {
                stream.set_remote_credentials(Credentials { ufrag, passwd });
            }
            Line::Candidate(text) => match format!("a={text}").parse::<Candidate>() {
                Ok(candidate) if self.trickle => stream.add_remote_candidate(candidate),
                Ok(candidate) => self.remote.push(candidate),
                Err(error) => print_error("bad-input", &format!("{error:?}")),
            },
            Line::EndOfCandidates => {
                for candidate in self.remote.drain(..) {
                    stream.add_remote_candidate(candidate);
                }
                if !self.only_tcp {
                    stream.end_of_remote_candidates();
                }
            }
            Line::Send(payload) => {
                let mut component = stream.mut_component(COMPONENT).expect("there is one");
                match component.send(payload, now) {
                    Ok(transmit) => self.transmit(&transmit),
                    Err(error) => print_error("not-connected", &error.to_string()),
                }
            }
            Line::Restart => print_error("not-supported", "rice-proto does not restart ICE"),
        }
    }

    fn receive(&mut self, transmit: Transmit<Vec<u8>>) {
        let now = self.now();
        let bytes = &transmit.data;
        if bytes.starts_with(&SUCCESS) && self.nominations.remove(transaction(bytes)) {
            print_more("use-candidate");
        }
        let mut stream = self.agent.mut_stream(self.stream).expect("there is one stream");
        let reply = stream.handle_incoming_data(COMPONENT, transmit, now);
        if let Some(data) = reply.data {
            print_received(data.as_ref());
        }
        while reply.have_more_data
            && let Some(data) = stream.poll_recv()
        {
            print_received(&data.data);
        }
    }

    fn transmit(&mut self, transmit: &Transmit<Box<[u8]>>) {
        if transmit.data.starts_with(&REQUEST) && has_use_candidate(&transmit.data) {
            self.nominations.insert(transaction(&transmit.data).to_owned());
        }
        // What cannot be sent is lost, as on any network.
        if let Some(socket) = self.sockets.get(&transmit.from) {
            let _ = socket.send_to(&transmit.data, transmit.to);
        } else if let Some(stream) = self.streams.get_mut(&(transmit.from, transmit.to)) {
            let _ = stream.write_all(&transmit.data);
        }
    }
}

/// Every address but loopback, link-local ones left out.
fn addresses(ipv6: bool) -> Vec<IpAddr> {
    let interfaces = if_addrs::get_if_addrs().expect("the system tells its addresses");
    let ips = interfaces.into_iter().map(|interface| interface.ip());
    ips.filter(|ip| match ip {
        IpAddr::V4(ip) => !ip.is_loopback() && !ip.is_link_local(),
        IpAddr::V6(ip) => ipv6 && !ip.is_loopback() && !ip.is_unicast_link_local(),
    })
    .collect()
}

fn read_datagrams(socket: &UdpSocket, to: SocketAddr, sender: &SyncSender<Incoming>) {
    let mut buffer = vec![0; MAX_DATAGRAM];
    loop {
        match socket.recv_from(&mut buffer) {
            Ok((length, from)) => {
                let bytes = buffer[..length].to_vec();
                let transport = TransportType::Udp;
                if sender.send(Incoming::Bytes { transport, from, to, bytes }).is_err() {
                    return;
                }
            }
            // What an earlier datagram met.
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => {}
            Err(_) => return,
        }
    }
}

fn accept(listener: &TcpListener, to: SocketAddr, sender: &SyncSender<Incoming>) {
    while let Ok((stream, from)) = listener.accept() {
        let Ok(reader) = stream.try_clone() else { return };
        if sender.send(Incoming::Accepted { from, to, stream }).is_err() {
            return;
        }
        let sender = sender.clone();
        thread::spawn(move || read_stream(reader, from, to, &sender));
    }
}

fn read_stream(
    mut stream: TcpStream,
    from: SocketAddr,
    to: SocketAddr,
    sender: &SyncSender<Incoming>,
) {
    let mut buffer = vec![0; MAX_DATAGRAM];
    while let Ok(length @ 1..) = stream.read(&mut buffer) {
        let (transport, bytes) = (TransportType::Tcp, buffer[..length].to_vec());
        if sender.send(Incoming::Bytes { transport, from, to, bytes }).is_err() {
            return;
        }
    }
}

/// Where the transaction ID of a STUN message is.
fn transaction(message: &[u8]) -> &[u8] {
    message.get(8..HEADER).unwrap_or_default()
}

/// Whether a STUN message of this agent's own has the attribute.
fn has_use_candidate(message: &[u8]) -> bool {
    let mut rest = message.get(HEADER..).unwrap_or_default();
    while let [kind_1, kind_2, length_1, length_2, value @ ..] = rest {
        if [*kind_1, *kind_2] == USE_CANDIDATE {
            return true;
        }
        let length = usize::from(u16::from_be_bytes([*length_1, *length_2]));
        rest = value.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    false
}
