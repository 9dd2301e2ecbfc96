//! webrtc-ice behind the JSON Lines of `ice-probe stdio`.
//!
//! It has one component. It lets data through from the moment at which it
//! selects a pair and has no state beyond that one, so that `connected` and
//! `completed` come together. A restart closes its sockets: no data passes
//! until it has selected again.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use floe_interop_peers::{
    Line, Options, print_candidate, print_credentials, print_end_of_candidates, print_error,
    print_received, print_selected, print_state, read_lines,
};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use webrtc_ice::agent::Agent;
use webrtc_ice::agent::agent_config::AgentConfig;
use webrtc_ice::candidate::Candidate;
use webrtc_ice::candidate::candidate_base::unmarshal_candidate;
use webrtc_ice::mdns::MulticastDnsMode;
use webrtc_ice::network_type::NetworkType;
use webrtc_ice::state::ConnectionState;
use webrtc_util::Conn;

const MAX_DATAGRAM: usize = 65_535;
/// Lines that wait for the agent.
const QUEUE: usize = 1024;
/// It pings every candidate pair once in 200 ms, without pacing.
const PACING_MS: u64 = 50;

/// How long after the state `connected` the connection may come.
const HANDED_OVER: Duration = Duration::from_secs(2);

/// webrtc-ice keeps its own to itself.
type Error = Box<dyn std::error::Error + Send + Sync>;
type Connection = Arc<dyn Conn + Send + Sync>;

/// The local side's present generation.
#[derive(Default)]
struct Generation {
    ufrag: String,
    /// Kept back by `--no-trickle`.
    candidates: Vec<String>,
}

struct Peer {
    agent: Arc<Agent>,
    controlling: bool,
    trickle: bool,
    local: Arc<Mutex<Generation>>,
    connection: watch::Receiver<Option<Connection>>,
    connected: Arc<watch::Sender<Option<Connection>>>,
    /// The checks were started, for this fragment of the peer's.
    remote_ufrag: Option<String>,
    remote: Vec<String>,
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<(), Error> {
    let options = Options::read();
    assert!(!options.only_tcp, "webrtc-ice has no TCP");
    let (sender, mut lines) = mpsc::channel(QUEUE);
    std::thread::spawn(move || read_lines(|line| sender.blocking_send(line).is_ok()));
    let mut peer = Peer::new(&options).await?;
    peer.announce().await?;
    print_state("new");
    while let Some(line) = lines.recv().await {
        if let Err(error) = peer.take(line).await {
            print_error("bad-input", &error.to_string());
        }
    }
    peer.agent.close().await?;
    print_state("closed");
    Ok(())
}

impl Peer {
    async fn new(options: &Options) -> Result<Self, Error> {
        let mut network_types = vec![NetworkType::Udp4];
        network_types.extend(options.ipv6.then_some(NetworkType::Udp6));
        let agent = Agent::new(AgentConfig {
            network_types,
            is_controlling: options.controlling,
            multicast_dns_mode: MulticastDnsMode::Disabled,
            ..AgentConfig::default()
        })
        .await?;
        let local = Arc::new(Mutex::new(Generation::default()));
        print_events(&agent, &local, options.trickle);
        let (connected, connection) = watch::channel(None);
        Ok(Peer {
            agent: Arc::new(agent),
            controlling: options.controlling,
            trickle: options.trickle,
            local,
            connection,
            connected: Arc::new(connected),
            remote_ufrag: None,
            remote: Vec::new(),
        })
    }

    /// Prints the credentials of a new generation and gathers for it.
    async fn announce(&self) -> Result<(), Error> {
        let (ufrag, pwd) = self.agent.get_local_user_credentials().await;
        let features: &[&str] = if self.trickle { &["trickle"] } else { &[] };
        print_credentials(&ufrag, &pwd, features, PACING_MS);
        *self.local.lock().expect("no holder panics") =
            Generation { ufrag, candidates: Vec::new() };
        Ok(self.agent.gather_candidates()?)
    }

    async fn take(&mut self, line: Line) -> Result<(), Error> {
        match line {
            Line::Credentials(ufrag, pwd) => self.credentials(ufrag, pwd).await,
            Line::Candidate(text) if self.trickle => self.add(&text),
            Line::Candidate(text) => {
                self.remote.push(text);
                Ok(())
            }
            Line::EndOfCandidates => {
                std::mem::take(&mut self.remote).iter().try_for_each(|text| self.add(text))
            }
            Line::Send(payload) => {
                let connected = self.connection.wait_for(Option::is_some);
                let connection = match timeout(HANDED_OVER, connected).await {
                    Ok(Ok(connection)) => connection.clone(),
                    _ => None,
                };
                match connection {
                    Some(connection) => {
                        connection.send(&payload).await?;
                    }
                    None => print_error("not-connected", "no pair is selected"),
                }
                Ok(())
            }
            Line::Restart => self.restart().await,
        }
    }

    /// Starts the checks; later credentials of another generation restart.
    async fn credentials(&mut self, ufrag: String, pwd: String) -> Result<(), Error> {
        let Some(known) = self.remote_ufrag.replace(ufrag.clone()) else {
            tokio::spawn(connect(
                Arc::clone(&self.agent),
                self.controlling,
                [ufrag, pwd],
                Arc::clone(&self.connected),
            ));
            return Ok(());
        };
        if known == ufrag {
            return Ok(());
        }
        // Whoever has restarted itself has no remote credentials now.
        if !self.agent.get_remote_user_credentials().await.0.is_empty() {
            self.restart().await?;
        }
        Ok(self.agent.set_remote_credentials(ufrag, pwd).await?)
    }

    async fn restart(&mut self) -> Result<(), Error> {
        self.remote.clear();
        self.agent.restart(String::new(), String::new()).await?;
        self.announce().await
    }

    fn add(&self, text: &str) -> Result<(), Error> {
        let candidate: Arc<dyn Candidate + Send + Sync> =
            Arc::new(unmarshal_candidate(text.trim_start_matches("candidate:"))?);
        Ok(self.agent.add_remote_candidate(&candidate)?)
    }
}

/// Makes the agent's events lines.
fn print_events(agent: &Agent, local: &Arc<Mutex<Generation>>, trickle: bool) {
    let local = Arc::clone(local);
    agent.on_candidate(Box::new(move |candidate| {
        let mut local = local.lock().expect("no holder panics");
        if let Some(candidate) = &candidate {
            local.candidates.push(format!("candidate:{}", candidate.marshal()));
        }
        if trickle || candidate.is_none() {
            for text in std::mem::take(&mut local.candidates) {
                print_candidate(&text, &local.ufrag);
            }
        }
        if candidate.is_none() {
            print_end_of_candidates(&local.ufrag);
        }
        Box::pin(async {})
    }));
    agent.on_connection_state_change(Box::new(|state| {
        match state {
            ConnectionState::Checking => print_state("checking"),
            ConnectionState::Connected => {
                print_state("connected");
                print_state("completed");
            }
            ConnectionState::Disconnected => print_state("disconnected"),
            ConnectionState::Failed => print_state("failed"),
            _ => {}
        }
        Box::pin(async {})
    }));
    agent.on_selected_candidate_pair_change(Box::new(|local, remote| {
        let text = |candidate: &Arc<dyn Candidate + Send + Sync>| {
            format!("candidate:{}", candidate.marshal())
        };
        print_selected(&text(local), &text(remote));
        Box::pin(async {})
    }));
}

/// Waits for the first selected pair and reads from then on.
async fn connect(
    agent: Arc<Agent>,
    controlling: bool,
    [ufrag, pwd]: [String; 2],
    place: Arc<watch::Sender<Option<Connection>>>,
) {
    // Held until the end: closing it would cancel.
    let (_cancel, cancelled) = mpsc::channel(1);
    let connected = if controlling {
        agent.dial(cancelled, ufrag, pwd).await.map(shared)
    } else {
        agent.accept(cancelled, ufrag, pwd).await.map(shared)
    };
    let connection = match connected {
        Ok(connection) => connection,
        Err(error) => return print_error("internal", &error.to_string()),
    };
    place.send_replace(Some(Arc::clone(&connection)));
    let mut buffer = vec![0; MAX_DATAGRAM];
    while let Ok(length) = connection.recv(&mut buffer).await {
        print_received(&buffer[..length]);
    }
}

fn shared(connection: Arc<impl Conn + Send + Sync + 'static>) -> Connection {
    connection
}
