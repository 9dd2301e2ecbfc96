use parking_lot::Mutex;

use super::*;
use crate::stun::{CheckParameters, CheckTemplate, IntegrityKey};

/// An agent that notes what reaches its core.
#[derive(Default)]
struct Agent(Mutex<Vec<(BaseId, SocketAddr, Vec<u8>)>>);

impl Control for Agent {
    fn datagram(&self, base: BaseId, from: SocketAddr, bytes: &[u8]) {
        self.0.lock().push((base, from, bytes.to_vec()));
    }
}

impl Agent {
    fn taken(&self) -> Vec<(BaseId, SocketAddr, Vec<u8>)> {
        std::mem::take(&mut self.0.lock())
    }
}

const BASE: BaseId = BaseId(3);

fn peer(n: u8) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, n], 1_000))
}

fn id(n: u8) -> TransactionId {
    TransactionId([n; 12])
}

/// A check to the agent with the fragment `to`.
fn check(to: &str, transaction: u8) -> Vec<u8> {
    let key = IntegrityKey::short_term("password");
    let username = format!("{to}:them");
    let template = CheckTemplate::new(&CheckParameters {
        username: &username,
        key: &key,
        controlling: true,
        tie_breaker: 1,
        priority: 2,
    });
    let mut out = Vec::new();
    template.write(id(transaction), false, None, &key, &mut out);
    out
}

fn response(transaction: u8) -> Vec<u8> {
    let mut out = Vec::new();
    let key = IntegrityKey::short_term("password");
    stun::write_success(id(transaction), peer(9), &key, &mut out);
    out
}

/// The same message without its FINGERPRINT, as old servers send it.
fn without_fingerprint(mut message: Vec<u8>) -> Vec<u8> {
    message.truncate(message.len() - 8);
    let length = u16::try_from(message.len() - 20).unwrap();
    message[2..4].copy_from_slice(&length.to_be_bytes());
    message
}

fn pop_all(queue: &ReceiveQueue) -> Vec<Vec<u8>> {
    let mut buffer = [0; 2_048];
    std::iter::from_fn(|| queue.try_pop(&mut buffer).ok().map(|len| buffer[..len].to_vec()))
        .collect()
}

fn route<'a>(router: &Router, datagrams: &[(SocketAddr, &'a [u8])]) {
    let single = |&(from, bytes): &(SocketAddr, &'a [u8])| Glued { from, bytes, size: bytes.len() };
    router.route(datagrams.iter().map(single), &mut LastPath::default());
}

fn one(router: &Router, from: SocketAddr, bytes: &[u8]) {
    route(router, &[(from, bytes)]);
}

fn way(queue: &Arc<ReceiveQueue>) -> Way {
    Way { queue: queue.clone(), traffic: Arc::default() }
}

#[test]
fn every_first_byte_and_length_zero_are_data_once_the_path_is_open() {
    let (router, agent) = (Router::default(), Arc::new(Agent::default()));
    let member = router.join(BASE, "us", agent.clone());
    let queue = Arc::new(ReceiveQueue::new(1 << 20));
    let mut payloads: Vec<Vec<u8>> = (0..=255).map(|first| vec![first; 28]).collect();
    payloads.push(Vec::new());
    payloads.extend((0..=255).map(|first| vec![first]));

    let datagrams: Vec<_> = payloads.iter().map(|bytes| (peer(1), &**bytes)).collect();
    route(&router, &datagrams);
    assert_eq!((router.unrouted(), pop_all(&queue)), (513, vec![]));
    router.open_path(member, peer(1), way(&queue));
    route(&router, &datagrams);
    assert_eq!((router.unrouted(), pop_all(&queue)), (513, payloads));
    router.close_path(member, peer(1));
    one(&router, peer(1), b"hello");
    assert_eq!((router.unrouted(), agent.taken()), (514, vec![]));
}

#[test]
fn stun_reaches_the_core_and_data_before_and_after_it_the_queue() {
    let (router, agent) = (Router::default(), Arc::new(Agent::default()));
    let member = router.join(BASE, "us", agent.clone());
    let queue = Arc::new(ReceiveQueue::new(1 << 20));
    router.open_path(member, peer(1), way(&queue));
    let check = check("us", 1);
    let datagrams: [&[u8]; 4] = [b"one", &check, b"two", b"three"];
    route(&router, &datagrams.map(|bytes| (peer(1), bytes)));
    assert_eq!(pop_all(&queue), [&b"one"[..], b"two", b"three"]);
    assert_eq!(agent.taken(), [(BASE, peer(1), check)]);
}

#[test]
fn glued_datagrams_with_stun_among_them_come_apart() {
    let (router, agent) = (Router::default(), Arc::new(Agent::default()));
    let member = router.join(BASE, "us", agent.clone());
    let queue = Arc::new(ReceiveQueue::new(1 << 20));
    router.open_path(member, peer(1), way(&queue));
    let check = check("us", 1);
    let data = vec![0x80; check.len()];
    let bytes = [&data[..], &check, &data, b"end"].concat();
    let glued = Glued { from: peer(1), bytes: &bytes, size: check.len() };
    router.route([glued, glued].into_iter(), &mut LastPath::default());
    let once = [data.clone(), data, b"end".to_vec()];
    assert_eq!(pop_all(&queue), [once.clone(), once].concat());
    assert_eq!(agent.taken(), vec![(BASE, peer(1), check); 2]);
}

#[test]
fn stun_without_fingerprint_is_data_but_from_a_server() {
    let (router, agent) = (Router::default(), Arc::new(Agent::default()));
    let member = router.join(BASE, "us", agent.clone());
    let queue = Arc::new(ReceiveQueue::new(1 << 20));
    router.open_path(member, peer(1), way(&queue));
    router.add_servers(member, &[peer(2)]);
    let bare = without_fingerprint(response(1));
    let mut wrong = response(1);
    *wrong.last_mut().unwrap() ^= 1;
    for bytes in [&bare, &wrong] {
        one(&router, peer(1), bytes);
        one(&router, peer(2), bytes);
        one(&router, peer(3), bytes);
    }
    assert_eq!(pop_all(&queue), [bare.clone(), wrong.clone()]);
    assert_eq!(agent.taken(), [(BASE, peer(2), bare), (BASE, peer(2), wrong)]);
    assert_eq!(router.unrouted(), 2);
}

/// Two agents on one socket.
struct Shared {
    router: Router,
    agents: [Arc<Agent>; 2],
    members: [MemberId; 2],
}

fn shared() -> Shared {
    let router = Router::default();
    let agents = [(); 2].map(|()| Arc::new(Agent::default()));
    let members = [("one", 0), ("two", 1)].map(|(fragment, n)| {
        let control: Arc<Agent> = agents[n].clone();
        router.join(BaseId(n as u32), fragment, control)
    });
    Shared { router, agents, members }
}

#[test]
fn requests_go_by_username_fragment() {
    let Shared { router, agents, members } = shared();
    let queue = Arc::new(ReceiveQueue::new(1 << 20));
    router.open_path(members[0], peer(1), way(&queue));
    for fragment in ["one", "two", "three", "on", ""] {
        one(&router, peer(1), &check(fragment, 1));
    }
    assert_eq!(agents[0].taken(), [(BaseId(0), peer(1), check("one", 1))]);
    assert_eq!(agents[1].taken(), [(BaseId(1), peer(1), check("two", 1))]);
    assert_eq!(router.unrouted(), 3);
    // What is for nobody is not data either, though it comes over a path.
    assert!(pop_all(&queue).is_empty());
}

#[test]
fn responses_go_by_transaction_and_indications_by_path() {
    let Shared { router, agents, members } = shared();
    router.sent(members[1], &check("them", 7), Time::ZERO);
    router.sent(members[1], &check("them", 7), Time::ZERO);
    router.sent(members[0], &response(8), Time::ZERO);
    one(&router, peer(1), &response(7));
    one(&router, peer(1), &response(8));
    assert_eq!(agents[1].taken(), [(BaseId(1), peer(1), response(7))]);

    let mut indication = Vec::new();
    stun::write_indication(id(9), &mut indication);
    one(&router, peer(1), &indication);
    router.open_path(members[0], peer(1), way(&Arc::new(ReceiveQueue::new(100))));
    one(&router, peer(1), &indication);
    assert_eq!(agents[0].taken(), [(BaseId(0), peer(1), indication)]);
    assert_eq!((router.unrouted(), agents[1].taken()), (2, vec![]));
}

#[test]
fn only_the_latest_transactions_are_remembered() {
    let Shared { router, members, .. } = shared();
    for n in 0..2 * TRANSACTIONS {
        let mut request = check("them", 0);
        request[8..16].copy_from_slice(&n.to_be_bytes());
        router.sent(members[0], &request, Time::ZERO);
    }
    let routes = router.routes.read();
    assert_eq!(routes.transactions.len(), TRANSACTIONS);
    assert_eq!(routes.members[&members[0]].sent.len(), TRANSACTIONS);
}

#[test]
fn transactions_are_forgotten_once_nothing_can_answer_them() {
    let Shared { router, agents, members } = shared();
    let send = |transaction, seconds| {
        let now = Time::ZERO + Duration::from_secs(seconds);
        router.sent(members[0], &check("them", transaction), now);
    };
    // Consent checks, one every five seconds; the first is sent again, which
    // makes it no younger.
    (0..100).for_each(|n| send(n, 5 * u64::from(n)));
    send(100, 500);
    send(92, 500);
    {
        let routes = router.routes.read();
        assert_eq!(routes.transactions.len(), 9);
        assert_eq!(routes.members[&members[0]].sent.len(), 9);
    }
    for n in [91, 92, 100] {
        one(&router, peer(1), &response(n));
    }
    let taken = [92, 100].map(|n| (BaseId(0), peer(1), response(n)));
    assert_eq!((agents[0].taken(), router.unrouted()), (taken.to_vec(), 1));
}

#[test]
fn who_leaves_takes_along_what_is_its_own_only() {
    let Shared { router, members, .. } = shared();
    let queues = [(); 2].map(|()| Arc::new(ReceiveQueue::new(1 << 20)));
    let open = |n: usize, from| router.open_path(members[n], from, way(&queues[n]));
    (1..=3).for_each(|n| open(0, peer(n)));
    (3..=5).for_each(|n| open(1, peer(n)));
    router.close_path(members[0], peer(2));
    router.close_path(members[0], peer(3));
    // Twice is once.
    open(1, peer(3));
    router.sent(members[1], &check("them", 7), Time::ZERO);
    {
        let routes = router.routes.read();
        assert_eq!(routes.members[&members[0]].paths, [peer(1)]);
        assert_eq!(routes.members[&members[1]].paths, [peer(3), peer(4), peer(5)]);
    }
    open(0, peer(4));
    router.leave(members[1]);
    (1..=5).for_each(|n| one(&router, peer(n), b"data"));
    assert_eq!((pop_all(&queues[0]).len(), pop_all(&queues[1]).len()), (2, 0));
    assert!(router.routes.read().transactions.is_empty());
    // A path of one who has left is none.
    open(1, peer(5));
    assert!(!router.routes.read().paths.contains_key(&peer(5)));
}

#[test]
fn who_leaves_leaves_nothing_behind() {
    let Shared { router, agents, members } = shared();
    router.open_path(members[0], peer(1), way(&Arc::new(ReceiveQueue::new(100))));
    router.sent(members[0], &check("them", 7), Time::ZERO);
    assert!(router.knows("one"));
    router.leave(members[0]);
    assert!(!router.knows("one"));
    {
        let routes = router.routes.read();
        assert!(routes.paths.is_empty() && routes.transactions.is_empty());
    }
    router.leave(members[1]);
    one(&router, peer(1), &check("two", 1));
    assert!(agents.iter().all(|agent| agent.taken().is_empty()));
    assert_eq!(agents.map(|agent| Arc::strong_count(&agent)), [1, 1]);
}

#[test]
fn what_a_reader_remembers_ends_with_the_path() {
    let (router, agent) = (Router::default(), Arc::new(Agent::default()));
    let member = router.join(BASE, "us", agent);
    let [first, second] = [(); 2].map(|()| Arc::new(ReceiveQueue::new(1 << 20)));
    let mut last = LastPath::default();
    let mut data = |from| {
        router.route(std::iter::once(Glued { from, bytes: b"data", size: 4 }), &mut last);
    };
    router.open_path(member, peer(1), way(&first));
    router.open_path(member, peer(2), way(&second));
    for from in [peer(1), peer(1), peer(2), peer(3), peer(1)] {
        data(from);
    }
    assert_eq!((pop_all(&first).len(), pop_all(&second).len()), (3, 1));
    router.open_path(member, peer(1), way(&second));
    data(peer(1));
    assert_eq!((pop_all(&first).len(), pop_all(&second).len()), (0, 1));
    router.close_path(member, peer(1));
    data(peer(1));
    router.open_path(member, peer(2), way(&first));
    data(peer(2));
    router.leave(member);
    data(peer(2));
    assert_eq!((pop_all(&first).len(), pop_all(&second).len()), (1, 0));
    assert_eq!(router.unrouted(), 3);
}
