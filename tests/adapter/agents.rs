//! Two agents that signal to each other inside the test.

use std::net::Ipv4Addr;
use std::time::Duration;

use floe::agent::{Event, RemoteParameters, Sockets, State, Transports};
use floe::candidate::{Candidate, ComponentId};
use floe::check::Role;
use floe::timer::Pacer;
use floe::{Agent, AgentConfig, Connection};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// Longer than anything here takes: only a hang reaches it.
const HANG: Duration = Duration::from_secs(60);

pub(crate) async fn in_time<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(HANG, future).await.expect("the test hangs")
}

/// What one side tells the other.
pub(crate) enum Signal {
    Parameters(RemoteParameters),
    Candidate(Candidate),
    End,
}

/// One side's end of the signalling.
pub(crate) struct Signalling {
    to_peer: UnboundedSender<Signal>,
    from_peer: UnboundedReceiver<Signal>,
}

impl Signalling {
    /// Both ends.
    pub(crate) fn pair() -> [Self; 2] {
        let ((to_b, from_a), (to_a, from_b)) = (unbounded_channel(), unbounded_channel());
        [
            Signalling { to_peer: to_b, from_peer: from_b },
            Signalling { to_peer: to_a, from_peer: from_a },
        ]
    }

    /// Gathers, tells the peer all of it, and takes what the peer tells.
    pub(crate) async fn exchange(&mut self, agent: &Agent) {
        self.tell(Signal::Parameters(parameters(agent)));
        agent.gather().unwrap();
        loop {
            match next_event(agent).await {
                Event::Candidate { candidate, .. } => self.tell(Signal::Candidate(candidate)),
                Event::EndOfCandidates { .. } => break,
                _ => {}
            }
        }
        self.tell(Signal::End);
        loop {
            match in_time(self.from_peer.recv()).await.expect("the peer tells all") {
                Signal::Parameters(parameters) => agent.set_remote(parameters).unwrap(),
                Signal::Candidate(candidate) => agent.add_remote_candidate(&candidate).unwrap(),
                Signal::End => return agent.end_of_remote_candidates().unwrap(),
            }
        }
    }

    fn tell(&self, signal: Signal) {
        // Only a peer that has given up takes no more.
        let _ = self.to_peer.send(signal);
    }
}

fn parameters(agent: &Agent) -> RemoteParameters {
    let credentials = agent.credentials();
    let mut parameters = RemoteParameters::new(&credentials.ufrag, &credentials.pwd);
    parameters.pacing = agent.pacing();
    parameters
}

/// TCP connections that one side opens and the other accepts, and no UDP.
pub(crate) const OPENED_BY_ONE: Transports = Transports { tcp_so: false, ..Transports::TCP };

/// TCP connections that both sides open at once, and no UDP.
pub(crate) const OPENED_BY_BOTH: Transports =
    Transports { tcp_active: false, tcp_passive: false, ..Transports::TCP };

/// The largest datagram over TCP: the length of a frame has two bytes.
pub(crate) const FRAME: usize = 65_535;

/// An agent on loopback that has not gathered.
pub(crate) fn agent(role: Role, transports: Transports) -> Agent {
    let mut config = AgentConfig::new(role);
    config.bind = vec![Ipv4Addr::LOCALHOST.into()];
    config.ice.include_loopback = true;
    config.ice.transports = transports;
    // The tests would else wait for each other's slots.
    config.pacer = Some(Pacer::new());
    Agent::new(config).unwrap()
}

/// Two agents that know nothing of each other; the first controls.
pub(crate) fn strangers(transports: Transports) -> [Agent; 2] {
    [Role::Controlling, Role::Controlled].map(|role| agent(role, transports))
}

/// Connects two strangers.
pub(crate) async fn connect(agents: &[Agent; 2]) {
    let [mut a, mut b] = Signalling::pair();
    tokio::join!(a.exchange(&agents[0]), b.exchange(&agents[1]));
    for agent in agents {
        in_time(agent.connected()).await.unwrap();
    }
}

/// Two connected agents; the first controls.
pub(crate) async fn connected(transports: Transports) -> [Agent; 2] {
    let agents = strangers(transports);
    connect(&agents).await;
    let is_tcp = connection(&agents[0]).max_datagram_size() == Some(FRAME);
    assert_eq!(is_tcp, !transports.udp);
    agents
}

/// The connection of component 1.
pub(crate) fn connection(agent: &Agent) -> Connection {
    agent.connection(ComponentId::ONE).unwrap()
}

/// Restarts ICE; the first agent begins, on a new socket.
pub(crate) async fn restart(agents: &[Agent; 2]) {
    let [a, b] = agents;
    a.restart(Sockets::Rebind).unwrap();
    let ours = gathered_again(a).await;
    b.set_remote(parameters(a)).unwrap();
    let theirs = gathered_again(b).await;
    a.set_remote(parameters(b)).unwrap();
    for (agent, candidates) in [(a, &theirs), (b, &ours)] {
        for candidate in candidates {
            agent.add_remote_candidate(candidate).unwrap();
        }
        agent.end_of_remote_candidates().unwrap();
    }
    for agent in agents {
        let completed = |event: &_| matches!(event, Event::State { state: State::Completed, .. });
        while !completed(&next_event(agent).await) {}
    }
}

/// The candidates that follow a restart.
async fn gathered_again(agent: &Agent) -> Vec<Candidate> {
    while !matches!(next_event(agent).await, Event::Restarted { .. }) {}
    let mut candidates = Vec::new();
    loop {
        match next_event(agent).await {
            Event::Candidate { candidate, .. } => candidates.push(candidate),
            Event::EndOfCandidates { .. } => return candidates,
            _ => {}
        }
    }
}

async fn next_event(agent: &Agent) -> Event {
    in_time(agent.next_event()).await.expect("the agent is open")
}
