//! Names of candidates by multicast DNS (RFC 6762,
//! draft-ietf-rtcweb-mdns-ice-candidates).
//!
//! One thread with two sockets serves all agents of a process, from the first
//! that has to do with names until the last of those is closed. What it sends
//! is bounded for the process as a whole, whatever agents and peers do.

mod engine;
mod link;
mod message;

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};

use self::engine::{Engine, MemberId, Outgoing, PORT};
use self::link::Link;
use self::message::MAX_MESSAGE;
use super::clock;
use super::transport::MulticastSocket;
use crate::agent::LocalAddress;

/// The groups of RFC 6762 §3.
const GROUP_V4: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 251);
const GROUP_V6: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0xfb);

/// How long a socket rests that gives errors.
const REST: Duration = Duration::from_millis(100);

/// An agent's part in the process's multicast DNS. Dropping it takes back its
/// names and questions.
#[derive(Debug)]
pub(super) struct Member {
    id: MemberId,
    service: Arc<Service>,
}

/// The thread's end of the line; it ends with the last member.
#[derive(Debug)]
struct Service {
    commands: mpsc::UnboundedSender<Command>,
    next: AtomicU64,
}

#[derive(Debug)]
enum Command {
    Ask(MemberId, Box<str>, Vec<Link>, oneshot::Sender<Vec<IpAddr>>),
    Publish(MemberId, Box<str>, Link),
    Leave(MemberId),
}

impl Member {
    /// Joins what runs, or starts it.
    ///
    /// # Errors
    ///
    /// The system gives no thread.
    pub(super) fn join() -> io::Result<Self> {
        static SERVICE: Mutex<Weak<Service>> = Mutex::new(Weak::new());
        let mut current = SERVICE.lock();
        let service = match current.upgrade().filter(|service| !service.commands.is_closed()) {
            Some(service) => service,
            None => {
                let (commands, receiver) = mpsc::unbounded_channel();
                std::thread::Builder::new()
                    .name("floe-mdns".into())
                    .spawn(move || serve(receiver))?;
                let service = Arc::new(Service { commands, next: AtomicU64::new(0) });
                *current = Arc::downgrade(&service);
                service
            }
        };
        let id = MemberId(service.next.fetch_add(1, Ordering::Relaxed));
        Ok(Member { id, service })
    }

    /// Asks for a name on the links of these addresses of ours. The answer
    /// comes within seconds; none at all means that the name was not found.
    pub(super) fn ask(
        &self,
        name: Box<str>,
        addresses: &[LocalAddress],
    ) -> oneshot::Receiver<Vec<IpAddr>> {
        let (answer, receiver) = oneshot::channel();
        let links = addresses.iter().map(Link::of).collect();
        self.send(Command::Ask(self.id, name, links, answer));
        receiver
    }

    /// Answers for a name of the address from now on.
    pub(super) fn publish(&self, name: Box<str>, address: &LocalAddress) {
        self.send(Command::Publish(self.id, name, Link::of(address)));
    }

    /// A thread that has ended hears nothing, and its sender's end is told by
    /// the answer that does not come.
    fn send(&self, command: Command) {
        let _ = self.service.commands.send(command);
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.send(Command::Leave(self.id));
    }
}

/// The thread.
fn serve(commands: mpsc::UnboundedReceiver<Command>) {
    match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(run(commands)),
        Err(error) => tracing::warn!(%error, "no names of candidates: no runtime for them"),
    }
}

async fn run(mut commands: mpsc::UnboundedReceiver<Command>) {
    let mut engine = Engine::default();
    let mut sockets = Sockets::default();
    let mut waiting: BTreeMap<(MemberId, Box<str>), Vec<oneshot::Sender<_>>> = BTreeMap::new();
    let (mut v4, mut v6) = (vec![0; MAX_MESSAGE], vec![0; MAX_MESSAGE]);
    loop {
        while let Some(outgoing) = engine.poll_outgoing() {
            sockets.send(&outgoing);
        }
        while let Some((member, name, addresses)) = engine.poll_answer() {
            for answer in waiting.remove(&(member, name)).unwrap_or_default() {
                // Who does not wait any more is closed.
                let _ = answer.send(addresses.clone());
            }
        }
        let timeout = engine.poll_timeout();
        let (from, bytes) = tokio::select! {
            command = commands.recv() => {
                let now = clock::now();
                match command {
                    Some(Command::Ask(member, name, links, answer)) => {
                        sockets.join(&links);
                        waiting.entry((member, name.clone())).or_default().push(answer);
                        engine.ask(member, &name, &links, now);
                    }
                    Some(Command::Publish(member, name, link)) => {
                        sockets.join(&[link]);
                        engine.publish(member, name, link);
                    }
                    Some(Command::Leave(member)) => {
                        engine.leave(member, now);
                        waiting.retain(|(asker, _), _| *asker != member);
                    }
                    None => return,
                }
                continue;
            }
            from = receive(&sockets.v4, &mut v4) => (from.1, &v4[..from.0]),
            from = receive(&sockets.v6, &mut v6) => (from.1, &v6[..from.0]),
            () = sleep(timeout) => {
                engine.handle_timeout(clock::now());
                continue;
            }
        };
        engine.received(from, bytes, clock::now());
    }
}

async fn sleep(until: Option<crate::timer::Time>) {
    match until {
        Some(until) => tokio::time::sleep_until(clock::instant(until)).await,
        None => std::future::pending().await,
    }
}

async fn receive(socket: &Option<MulticastSocket>, buffer: &mut [u8]) -> (usize, SocketAddr) {
    let Some(socket) = socket else { return std::future::pending().await };
    loop {
        match socket.receive(buffer).await {
            Ok(received) => return received,
            Err(error) => {
                tracing::debug!(%error, "multicast DNS gives an error");
                tokio::time::sleep(REST).await;
            }
        }
    }
}

/// One socket a family, opened when there is a link of it.
#[derive(Default)]
struct Sockets {
    v4: Option<MulticastSocket>,
    v6: Option<MulticastSocket>,
    /// No socket of this family can be had.
    failed: [bool; 2],
}

impl Sockets {
    fn join(&mut self, links: &[Link]) {
        for link in links {
            let family = usize::from(link.is_v6());
            let (socket, group) = match link.is_v6() {
                true => (&mut self.v6, IpAddr::V6(GROUP_V6)),
                false => (&mut self.v4, IpAddr::V4(GROUP_V4)),
            };
            if socket.is_none() && !self.failed[family] {
                match MulticastSocket::bind(SocketAddr::new(group, PORT)) {
                    Ok(bound) => *socket = Some(bound),
                    Err(error) => {
                        tracing::warn!(%error, "names of candidates can not be resolved");
                        self.failed[family] = true;
                    }
                }
            }
            if let Some(Err(error)) = socket.as_mut().map(|s| s.join(link.ip, link.index)) {
                tracing::debug!(ip = %link.ip, %error, "a link without multicast");
            }
        }
    }

    fn send(&self, outgoing: &Outgoing) {
        let Outgoing { link, to, bytes } = outgoing;
        let socket = if link.is_v6() { &self.v6 } else { &self.v4 };
        let result = socket.as_ref().map(|socket| socket.send(link.ip, link.index, *to, bytes));
        if let Some(Err(error)) = result {
            tracing::debug!(ip = %link.ip, %error, "a multicast DNS message was not sent");
        }
    }
}
