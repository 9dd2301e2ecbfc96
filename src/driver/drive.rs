//! The run loop: feeds the core, drains it and sleeps until its deadline.

mod network;
mod paths;
mod relay;
mod sockets;
mod stats;
mod tcp;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use rand::TryRngCore as _;
use tokio::runtime::Handle as Runtime;
use tokio::sync::watch;
use tokio::task::AbortHandle;

use super::clock;
use super::config::{AgentConfig, SharedSocket};
use super::connection::Component;
use super::error::AgentError;
use super::events::EventQueue;
use super::interfaces::{self, Filter};
use super::names::Names;
use super::reach::Reach;
use super::resolve;
use super::router::{Control, MemberId};
use super::socket::Socket;
use super::timer::Timer;
use super::traffic::Ledger;
use super::transport::{BindOptions, opens_from_both_ends};
use crate::agent::{
    BaseId, CommandError, Config, Core, Credentials, Event, Input, LocalAddress, RemoteParameters,
    SocketOp, State, StateReason, StreamId, Transports, TurnServer,
};
use crate::candidate::{Candidate, ComponentId};
use crate::net::Family;
use crate::rng::Seed;

/// What a link carries where the system does not say: QUIC takes every path
/// to carry as much (RFC 9000 §14).
const DEFAULT_MAX_PAYLOAD: usize = 1_200;

/// An agent, as its tasks and handles share it.
pub(super) struct Shared {
    me: Weak<Shared>,
    runtime: Runtime,
    pub(super) filter: Filter,
    options: BindOptions,
    sockets: Vec<SharedSocket>,
    servers: Vec<resolve::Server>,
    turn_servers: Vec<TurnServer>,
    reach: Reach,
    resolver: resolve::Resolver,
    receive_queue: usize,
    watch_network: bool,
    machine: Mutex<Machine>,
    pub(super) timer: Timer,
    pub(super) events: EventQueue,
    state: watch::Sender<(State, StateReason)>,
}

/// The core with what it asked for.
pub(super) struct Machine {
    pub(super) core: Core,
    /// The buffer of messages to send.
    message: Vec<u8>,
    /// Events for the application, until all that they imply is done.
    events: Vec<Event>,
    /// Those for UDP.
    pub(super) bases: BTreeMap<BaseId, Base>,
    tcp: tcp::Tcp,
    relays: relay::Relays,
    pub(super) components: BTreeMap<(StreamId, ComponentId), Arc<Component>>,
    pub(super) addresses: Vec<LocalAddress>,
    network: network::Network,
    pub(super) ledger: Ledger,
    names: Names,
    /// Addresses of STUN and TURN servers.
    servers: Vec<SocketAddr>,
    tasks: Vec<AbortHandle>,
    closed: bool,
}

/// A UDP socket that the core knows.
pub(super) struct Base {
    pub(super) stream: StreamId,
    pub(super) socket: Arc<Socket>,
    pub(super) member: MemberId,
    shared: bool,
    max_payload: usize,
}

impl Shared {
    /// Makes the agent and starts its timer.
    pub(super) fn start(config: AgentConfig) -> Result<Arc<Self>, AgentError> {
        let runtime = Runtime::try_current().map_err(|_| AgentError::NoRuntime)?;
        let reach = Reach::new(&config);
        let seed = match config.seed {
            Some(seed) => seed,
            None => random_seed()?,
        };
        let mut ice = config.ice;
        ice.simultaneous_open &= opens_from_both_ends();
        if !config.sockets.is_empty() {
            // They carry UDP.
            ice.transports = Transports { udp: ice.transports.udp, ..Transports::NONE };
        }
        let servers = resolve::servers(&ice, config.proxy.is_some());
        let turn_servers = ice.turn_servers.clone();
        let pacer = config.pacer.unwrap_or_else(clock::pacer);
        let machine = Machine::new(ice, &seed, pacer, &servers);
        let sockets: Vec<SharedSocket> = config.sockets;
        let ips = sockets.iter().map(|socket| socket.local_address().ip());
        let ips = if sockets.is_empty() { config.bind } else { ips.collect() };
        let shared = Arc::new_cyclic(|me| Shared {
            me: me.clone(),
            runtime: runtime.clone(),
            filter: Filter { interfaces: config.interfaces, ips },
            options: BindOptions { ports: config.ports, class: config.traffic_class },
            sockets,
            servers,
            turn_servers,
            reach,
            resolver: resolve::Resolver {
                #[cfg(feature = "srv")]
                name_servers: config.name_servers,
                timeout: config.resolve_timeout,
            },
            receive_queue: config.receive_queue,
            watch_network: config.watch_network,
            machine: Mutex::new(machine),
            timer: Timer::default(),
            events: EventQueue::default(),
            state: watch::Sender::new((State::New, StateReason::ChecksStarted)),
        });
        let timer = runtime.spawn(super::timer::run(shared.clone())).abort_handle();
        shared.machine.lock().tasks.push(timer);
        Ok(shared)
    }

    pub(super) fn add_stream(&self, components: u16) -> Result<StreamId, AgentError> {
        self.add_stream_with(components, None)
    }

    pub(super) fn add_stream_with(
        &self,
        components: u16,
        credentials: Option<Credentials>,
    ) -> Result<StreamId, AgentError> {
        let machine = &mut *self.machine.lock();
        let stream = match credentials {
            Some(credentials) => machine.core.add_stream_with(components, credentials),
            None => machine.core.add_stream(components),
        }?;
        for component in (1..=components).filter_map(ComponentId::new) {
            let entry = Arc::new(Component::new(self.receive_queue));
            machine.components.insert((stream, component), entry);
        }
        Ok(stream)
    }

    pub(super) fn component(
        &self,
        stream: StreamId,
        component: ComponentId,
    ) -> Option<Arc<Component>> {
        self.machine.lock().components.get(&(stream, component)).cloned()
    }

    pub(super) fn credentials(&self, stream: StreamId) -> Result<Credentials, AgentError> {
        let machine = self.machine.lock();
        let credentials = machine.core.local_credentials(stream);
        Ok(credentials.ok_or(CommandError::UnknownStream(stream))?.clone())
    }

    pub(super) fn set_remote(
        &self,
        stream: StreamId,
        parameters: RemoteParameters,
    ) -> Result<(), AgentError> {
        self.command(|machine| {
            Ok(machine.core.set_remote_parameters(stream, parameters, clock::now())?)
        })
    }

    pub(super) fn add_remote_candidate(
        &self,
        stream: StreamId,
        candidate: &Candidate,
    ) -> Result<(), AgentError> {
        self.command(|machine| {
            Ok(machine.core.add_remote_candidate(stream, candidate, clock::now())?)
        })
    }

    pub(super) fn end_of_remote_candidates(&self, stream: StreamId) -> Result<(), AgentError> {
        self.command(|machine| Ok(machine.core.end_of_remote_candidates(stream, clock::now())?))
    }

    pub(super) fn watch_state(&self) -> watch::Receiver<(State, StateReason)> {
        self.state.subscribe()
    }

    pub(super) fn handle_sync(&self, stream: StreamId, message: &str) -> Result<(), AgentError> {
        self.command(|machine| Ok(machine.core.handle_sync(stream, message, clock::now())?))
    }

    /// Waits for one of the states.
    pub(super) async fn reached(&self, states: &[State]) -> Result<(), AgentError> {
        let mut state = self.state.subscribe();
        let is_over = |(state, _): &(State, StateReason)| {
            states.contains(state) || matches!(state, State::Failed | State::Closed)
        };
        let reached = state.wait_for(is_over).await.map(|state| *state);
        match reached.map_err(|_| AgentError::Closed)? {
            (State::Failed, reason) => Err(AgentError::Failed(reason)),
            (State::Closed, _) => Err(AgentError::Closed),
            _ => Ok(()),
        }
    }

    pub(super) fn with_core<R>(&self, look: impl FnOnce(&mut Core) -> R) -> R {
        look(&mut self.machine.lock().core)
    }

    /// The core's deadline has come.
    pub(super) fn handle_timeout(&self) {
        self.change(|machine| machine.core.handle_timeout(clock::now()));
    }

    /// A server's name was resolved, or not if there is no address.
    pub(super) fn resolved(&self, server: usize, addresses: &[SocketAddr]) {
        self.change(|machine| {
            // Not what stands for an address that a proxy will find.
            let known = addresses.iter().filter(|address| !address.ip().is_unspecified());
            let known: Vec<SocketAddr> = known.copied().collect();
            machine.servers.extend_from_slice(&known);
            for base in machine.bases.values() {
                base.socket.router().add_servers(base.member, &known);
            }
            machine.core.handle_input(clock::now(), Input::Resolved { server, addresses });
        });
    }

    /// Ends everything. Returns the agent's own sockets, whose readers end as
    /// soon as the runtime sees to it.
    pub(super) fn shut_down(&self) -> Vec<Arc<Socket>> {
        let machine = &mut *self.machine.lock();
        if machine.closed {
            return Vec::new();
        }
        let own = machine.bases.values().filter(|base| !base.shared);
        let own = own.map(|base| base.socket.clone()).collect();
        machine.core.close(clock::now());
        self.drain(machine);
        machine.closed = true;
        machine.network.stop();
        machine.close_all();
        self.timer.set(None);
        self.state.send_if_modified(|state| {
            let closed = (State::Closed, StateReason::Closed);
            std::mem::replace(state, closed) != closed
        });
        self.events.close();
        own
    }

    /// One change, after which the core is drained.
    fn change<R>(&self, change: impl FnOnce(&mut Machine) -> R) -> R {
        let machine = &mut *self.machine.lock();
        let result = change(machine);
        if !machine.closed {
            self.drain(machine);
        }
        result
    }

    /// A change that the application asks for, from any thread.
    pub(super) fn command<R>(&self, change: impl FnOnce(&mut Machine) -> R) -> R {
        let _runtime = self.runtime.enter();
        self.change(change)
    }

    /// Does all that the core wants, and arms the timer.
    fn drain(&self, machine: &mut Machine) {
        loop {
            machine.transmit();
            if let Some(op) = machine.core.poll_socket_op() {
                self.perform(machine, op);
            } else if let Some(event) = machine.core.poll_event() {
                machine.dispatch(event);
            } else {
                break;
            }
        }
        for event in machine.events.drain(..) {
            if let Event::State { state, reason } = event {
                self.state.send_replace((state, reason));
            }
            self.events.push(event);
        }
        self.timer.set(machine.core.poll_timeout().map(|(time, _)| time));
    }

    fn perform(&self, machine: &mut Machine, op: SocketOp) {
        match op {
            SocketOp::BindUdp { base, ip, scope, stream, .. } => {
                let bound = self.open_socket(machine, base, ip, scope, stream);
                let local = bound.as_ref().map(|bound| bound.socket.local());
                let input = match &local {
                    Ok(local) => Input::Bound { base, local: *local },
                    Err(error) => Input::BindFailed { base, error },
                };
                machine.core.handle_input(clock::now(), input);
                if let Ok(bound) = bound {
                    machine.bases.insert(base, bound);
                }
            }
            SocketOp::BindTcp { base, ip, scope, tcp_type, .. } => {
                self.bind_tcp(machine, base, (ip, scope), tcp_type);
            }
            SocketOp::Connect { base, to, framing } => {
                self.open_connection(machine, base, to, framing);
            }
            SocketOp::ConnectServer { base, server, to, name } => {
                self.connect_server(machine, base, (server, name), to);
            }
            SocketOp::Carry { leg, base, to } => {
                if let Some(local) = machine.tcp.carry(leg, base, to) {
                    let input = Input::Connected { base, to, local };
                    machine.core.handle_input(clock::now(), input);
                }
            }
            SocketOp::Inspect { base, to } => machine.inspect(base, to),
            SocketOp::Disconnect { base, to, abort } => machine.tcp.disconnect(base, to, abort),
            SocketOp::Resolve { server } => {
                let Some(entry) = self.servers.get(server).cloned() else { return };
                let resolver = self.resolver.clone();
                self.spawn(machine, async move |me| {
                    let addresses = resolve::addresses(&entry, &resolver).await;
                    me.resolved(server, &addresses);
                });
            }
            SocketOp::ResolveName { name } => {
                let answer = machine.names.resolve(name.clone(), &machine.addresses);
                self.spawn(machine, async move |me| {
                    let (name, addresses) = (&name, &answer.await);
                    let input = Input::NameResolved { name, addresses };
                    me.change(|machine| machine.core.handle_input(clock::now(), input));
                });
            }
            SocketOp::PublishName { name, ip } => {
                machine.names.publish(name, ip, &machine.addresses);
            }
            SocketOp::Keep { base } => machine.keep(base),
            SocketOp::ListAddresses => self.list_addresses(machine),
            SocketOp::Close { base } => {
                machine.ledger.close(base);
                machine.tcp.close(base);
                machine.close_relay(base);
                if let Some(base) = machine.bases.remove(&base) {
                    base.socket.router().leave(base.member);
                }
            }
        }
    }

    /// A task of the agent, which ends with it.
    fn spawn<F>(&self, machine: &mut Machine, task: impl FnOnce(Arc<Shared>) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let Some(me) = self.me.upgrade() else { return };
        machine.tasks.retain(|task| !task.is_finished());
        machine.tasks.push(self.runtime.spawn(task(me)).abort_handle());
    }
}

impl Control for Shared {
    fn datagram(&self, base: BaseId, from: SocketAddr, bytes: &[u8]) {
        self.change(|machine| {
            machine.core.handle_input(clock::now(), Input::Datagram { base, from, bytes });
        });
    }
}

impl Machine {
    fn new(
        config: Config,
        seed: &Seed,
        pacer: crate::timer::Pacer,
        servers: &[resolve::Server],
    ) -> Self {
        Machine {
            core: Core::new(config, seed, pacer),
            message: Vec::with_capacity(256),
            events: Vec::new(),
            bases: BTreeMap::new(),
            tcp: tcp::Tcp::default(),
            relays: relay::Relays::default(),
            components: BTreeMap::new(),
            addresses: Vec::new(),
            network: network::Network::default(),
            ledger: Ledger::default(),
            names: Names::default(),
            servers: servers.iter().filter_map(|server| server.address).collect(),
            tasks: Vec::new(),
            closed: false,
        }
    }

    fn max_payload(&self, ip: IpAddr) -> usize {
        let address = self.addresses.iter().find(|address| address.ip == ip);
        let known = address.and_then(|a| interfaces::max_payload(&a.interface, Family::of(ip)));
        known.unwrap_or(DEFAULT_MAX_PAYLOAD)
    }

    fn close_all(&mut self) {
        for base in std::mem::take(&mut self.bases).into_values() {
            base.socket.router().leave(base.member);
        }
        self.tcp.close_all();
        self.components.values().for_each(|component| component.close());
        self.tasks.drain(..).for_each(|task| task.abort());
        self.names = Names::default();
    }
}

fn random_seed() -> Result<Seed, AgentError> {
    let mut seed = [0; 32];
    let result = rand::rngs::OsRng.try_fill_bytes(&mut seed);
    result.map(|()| Seed(seed)).map_err(|_| AgentError::NoRandomness)
}
