//! The front, message by message.

use std::time::Duration;

use super::front::{Served, Verdict};
use super::job::{Job, Outcome, Task, V4, V6};
use super::table::Table;
use super::*;
use crate::server::behavior::Place;
use crate::stun::{
    Algorithm, AttributeType as A, Builder, Class, Fingerprint, Integrity, Message, Method,
    PasswordAlgorithm, TransactionId,
};

const CLIENT: &str = "192.0.2.1:5000";
const UDP: &[u8] = &[17, 0, 0, 0];

/// A front of one leg that relays IPv4, and its clock.
struct Bench {
    front: Front,
    place: Place,
    now: Instant,
    out: Vec<u8>,
    transactions: u8,
}

/// A message before its credentials.
type Attributes<'a> = &'a [(A, &'a [u8])];

#[derive(Clone)]
struct Credentials {
    user: &'static str,
    realm: &'static str,
    password: &'static str,
    nonce: String,
    algorithm: Algorithm,
}

impl Credentials {
    fn key(&self) -> IntegrityKey {
        let Credentials { user, realm, password, .. } = self;
        IntegrityKey::long_term(user, realm, password, PasswordAlgorithm::Md5)
    }
}

impl Bench {
    fn new(limits: Limits) -> Self {
        let now = Instant::now();
        let user =
            |name: &str, password: &str| User { name: name.into(), password: password.into() };
        let users = [user("ann", "secret"), user("bob", "hidden")];
        let nonces = Nonces::new(Duration::from_secs(300), now).unwrap();
        let listening = vec!["198.51.100.1:3478".parse().unwrap()];
        let guard = Arc::new(Guard::new(&PeerPolicy::default(), listening, []));
        let front = Front::new("realm", &users, nonces, limits, guard, now);
        let place = Place::new("198.51.100.1:3478".parse().unwrap(), &[], false);
        Bench { front, place, now, out: Vec::new(), transactions: 0 }
    }

    fn wait(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
    }

    fn judge(&mut self, from: &str, bytes: &[u8]) -> Verdict {
        let client = (LegId(0), from.parse().unwrap());
        let served = Served { families: &[V4], place: &self.place };
        self.front.judge(client, served, bytes, self.now, &mut self.out)
    }

    fn request(
        &mut self,
        method: Method,
        attributes: Attributes<'_>,
        credentials: Option<&Credentials>,
    ) -> Vec<u8> {
        self.transactions += 1;
        write(Class::Request, method, self.transactions, attributes, credentials)
    }

    /// The code of the answer to a request of the client, 0 if it is passed.
    fn code(
        &mut self,
        method: Method,
        attributes: Attributes<'_>,
        credentials: Option<&Credentials>,
    ) -> u16 {
        let request = self.request(method, attributes, credentials);
        match self.judge(CLIENT, &request) {
            Verdict::Answered(_) => Message::parse(&self.out).unwrap().error().unwrap().code,
            Verdict::Passed(_) => 0,
            other => panic!("{other:?}"),
        }
    }

    /// What a client has after its first refusal.
    fn credentials(&mut self, from: &str) -> Credentials {
        let request = self.request(Method::ALLOCATE, &[(A::REQUESTED_TRANSPORT, UDP)], None);
        assert!(matches!(self.judge(from, &request), Verdict::Answered(_)));
        let answer = Message::parse(&self.out).unwrap();
        assert_eq!(answer.error().map(|error| error.code), Some(401));
        assert_eq!(answer.realm(), Some("realm"));
        let nonce = String::from_utf8(answer.nonce().unwrap().to_vec()).unwrap();
        let algorithm = Algorithm::Sha1;
        Credentials { user: "ann", realm: "realm", password: "secret", nonce, algorithm }
    }

    fn pass(&mut self, from: &str, request: &[u8]) -> Job {
        match self.judge(from, request) {
            Verdict::Passed(job) => job,
            other => panic!("{other:?}"),
        }
    }

    /// A client with an allocation.
    fn allocated(&mut self) -> Credentials {
        let credentials = self.credentials(CLIENT);
        let attributes: Attributes<'_> = &[(A::REQUESTED_TRANSPORT, UDP)];
        let request = self.request(Method::ALLOCATE, attributes, Some(&credentials));
        let job = self.pass(CLIENT, &request);
        self.done(&job, Some("198.51.100.1:6000"));
        credentials
    }

    fn done(&mut self, job: &Job, relayed: Option<&str>) {
        let outcome = Outcome::Done { relayed: relayed.map(|at| at.parse().unwrap()) };
        self.front.conclude(job, outcome, self.now, &mut self.out);
    }
}

fn write(
    class: Class,
    method: Method,
    transaction: u8,
    attributes: Attributes<'_>,
    credentials: Option<&Credentials>,
) -> Vec<u8> {
    let mut out = Vec::new();
    let id = TransactionId([transaction; 12]);
    let mut message = Builder::new(class, method, id, &mut out);
    for (kind, value) in attributes {
        message = message.attribute(*kind, value);
    }
    if let Some(credentials) = credentials {
        message = message
            .attribute(A::USERNAME, credentials.user.as_bytes())
            .attribute(A::REALM, credentials.realm.as_bytes())
            .attribute(A::NONCE, credentials.nonce.as_bytes());
    }
    let key = credentials.map(|credentials| (credentials.key(), credentials.algorithm));
    message.seal(key.as_ref().map(|(key, algorithm)| (key, *algorithm)));
    out
}

/// XOR-PEER-ADDRESS of an IPv4 address and port.
fn peer(at: &str) -> Vec<u8> {
    let SocketAddr::V4(at) = at.parse().unwrap() else { panic!("{at} is not IPv4") };
    let port = (at.port() ^ 0x2112).to_be_bytes();
    let ip = (at.ip().to_bits() ^ 0x2112_a442).to_be_bytes();
    [&[0, 1][..], &port, &ip].concat()
}

const TRANSPORT: (A, &[u8]) = (A::REQUESTED_TRANSPORT, UDP);

#[test]
fn credentials_that_are_wrong_are_told_apart_as_the_rfc_does() {
    let mut bench = Bench::new(Limits::default());
    let right = bench.credentials(CLIENT);
    let mut check = |credentials: &Credentials, code: u16, what: &str| {
        let got = bench.code(Method::ALLOCATE, &[TRANSPORT], Some(credentials));
        assert_eq!(got, code, "{what}");
        bench.front.table = Table::default();
    };
    check(&right, 0, "right");
    check(&Credentials { algorithm: Algorithm::Sha256, ..right.clone() }, 0, "right, with SHA-256");
    check(&Credentials { user: "eve", ..right.clone() }, 401, "no such user");
    check(&Credentials { user: "bob", ..right.clone() }, 401, "another user's name");
    check(&Credentials { password: "hidden", ..right.clone() }, 401, "wrong password");
    check(&Credentials { realm: "other", ..right.clone() }, 401, "wrong realm");
    let foreign = "0".repeat(32);
    check(&Credentials { nonce: foreign, ..right.clone() }, 438, "a nonce that we never gave");
    check(&Credentials { nonce: String::new(), ..right.clone() }, 438, "an empty nonce");
    let others = bench.credentials("192.0.2.2:5000");
    let got = bench.code(Method::ALLOCATE, &[TRANSPORT], Some(&others));
    assert_eq!(got, 438, "another client's nonce");
    bench.wait(300);
    assert_eq!(bench.code(Method::ALLOCATE, &[TRANSPORT], Some(&right)), 438, "a stale nonce");
    let answer = Message::parse(&bench.out).unwrap();
    let nonce = String::from_utf8(answer.nonce().unwrap().to_vec()).unwrap();
    assert_eq!(answer.verify(&right.key()), Integrity::Missing);
    let renewed = Credentials { nonce, ..right };
    assert_eq!(bench.code(Method::ALLOCATE, &[TRANSPORT], Some(&renewed)), 0, "the new nonce");
}

#[test]
fn a_request_that_lacks_part_of_its_credentials_is_a_bad_one() {
    let mut bench = Bench::new(Limits::default());
    let right = bench.credentials(CLIENT);
    let parts: [(A, &[u8]); 3] =
        [(A::USERNAME, b"ann"), (A::REALM, b"realm"), (A::NONCE, right.nonce.as_bytes())];
    for missing in 0..3 {
        let mut out = Vec::new();
        let id = TransactionId([99; 12]);
        let mut request = Builder::new(Class::Request, Method::REFRESH, id, &mut out);
        for (kind, value) in parts.iter().enumerate().filter(|(n, _)| *n != missing).map(|(_, p)| p)
        {
            request = request.attribute(*kind, value);
        }
        request.sign(&right.key(), Algorithm::Sha1);
        assert!(matches!(bench.judge(CLIENT, &out), Verdict::Answered(_)));
        let answer = Message::parse(&bench.out).unwrap();
        assert_eq!(answer.error().map(|error| error.code), Some(400));
        assert_eq!(answer.fingerprint(), Fingerprint::Absent, "the request had none");
    }
}

#[test]
fn answers_are_signed_by_the_users_key_as_the_request_was() {
    for algorithm in [Algorithm::Sha1, Algorithm::Sha256] {
        let mut bench = Bench::new(Limits::default());
        let credentials = Credentials { algorithm, ..bench.credentials(CLIENT) };
        let request = bench.request(Method::ALLOCATE, &[TRANSPORT], Some(&credentials));
        let job = bench.pass(CLIENT, &request);
        bench.done(&job, Some("198.51.100.1:6000"));
        let answer = Message::parse(&bench.out).unwrap();
        assert_eq!((answer.class(), answer.method()), (Class::Success, Method::ALLOCATE));
        assert_eq!(answer.xor_relayed_address(), "198.51.100.1:6000".parse().ok());
        assert_eq!(answer.xor_mapped_address(), CLIENT.parse().ok());
        assert_eq!(answer.lifetime(), Some(Duration::from_secs(600)));
        assert_eq!(answer.integrity_algorithm(), Some(algorithm));
        assert_eq!(answer.verify(&credentials.key()), Integrity::Valid);
        assert_eq!(answer.fingerprint(), Fingerprint::Valid);
        // The same request again, and another one.
        let first = bench.out.clone();
        assert!(matches!(bench.judge(CLIENT, &request), Verdict::Answered(_)));
        assert_eq!(bench.out, first);
        assert_eq!(bench.code(Method::ALLOCATE, &[TRANSPORT], Some(&credentials)), 437);
        let answer = Message::parse(&bench.out).unwrap();
        assert_eq!(answer.integrity_algorithm(), Some(algorithm));
        assert_eq!(answer.verify(&credentials.key()), Integrity::Valid);
    }
}

#[test]
fn each_rule_of_allocate_has_its_code() {
    let cases: [(Attributes<'_>, u16); 12] = [
        (&[TRANSPORT], 0),
        (&[], 400),
        (&[(A::REQUESTED_TRANSPORT, &[6, 0, 0, 0])], 442),
        (&[TRANSPORT, (A::DONT_FRAGMENT, &[])], 420),
        (&[TRANSPORT, (A(0x7f01), &[])], 420),
        (&[TRANSPORT, (A::EVEN_PORT, &[0x80])], 508),
        (&[TRANSPORT, (A::RESERVATION_TOKEN, &[1; 8])], 508),
        (&[TRANSPORT, (A::RESERVATION_TOKEN, &[1; 8]), (A::EVEN_PORT, &[0])], 400),
        (&[TRANSPORT, (A::REQUESTED_ADDRESS_FAMILY, &[V6, 0, 0, 0])], 440),
        (&[TRANSPORT, (A::REQUESTED_ADDRESS_FAMILY, &[9, 0, 0, 0])], 440),
        (
            &[
                TRANSPORT,
                (A::REQUESTED_ADDRESS_FAMILY, &[V4, 0, 0, 0]),
                (A::ADDITIONAL_ADDRESS_FAMILY, &[V6, 0, 0, 0]),
            ],
            400,
        ),
        (&[TRANSPORT, (A::ADDITIONAL_ADDRESS_FAMILY, &[V4, 0, 0, 0])], 400),
    ];
    for (attributes, code) in cases {
        let mut bench = Bench::new(Limits::default());
        let credentials = bench.credentials(CLIENT);
        assert_eq!(bench.code(Method::ALLOCATE, attributes, Some(&credentials)), code);
        if code == 420 {
            let answer = Message::parse(&bench.out).unwrap();
            let unknown: Vec<A> = answer.unknown_attributes().collect();
            assert_eq!(unknown, [attributes[1].0]);
        }
    }
}

#[test]
fn a_second_family_is_refused_beside_the_first() {
    let mut bench = Bench::new(Limits::default());
    let credentials = bench.credentials(CLIENT);
    let additional: (A, &[u8]) = (A::ADDITIONAL_ADDRESS_FAMILY, &[V6, 0, 0, 0]);
    let request = bench.request(Method::ALLOCATE, &[TRANSPORT, additional], Some(&credentials));
    let job = bench.pass(CLIENT, &request);
    bench.done(&job, Some("198.51.100.1:6000"));
    let answer = Message::parse(&bench.out).unwrap();
    let (family, error) = answer.address_error().unwrap();
    assert_eq!((family, error.code), (crate::net::Family::V6, 440));
}

#[test]
fn lifetimes_are_held_to_the_limits() {
    let longest = Limits::default();
    let short = Limits { lifetime: Duration::from_secs(120), ..longest };
    let cases = [
        (longest, None, 600),
        (longest, Some(60), 600),
        (longest, Some(0), 600),
        (longest, Some(1_800), 1_800),
        (longest, Some(u32::MAX), 3_599),
        (short, None, 120),
        (short, Some(3_600), 120),
        (short, Some(1), 120),
    ];
    for (limits, asked, granted) in cases {
        let mut bench = Bench::new(limits);
        let credentials = bench.credentials(CLIENT);
        let asked = asked.map(u32::to_be_bytes);
        let lifetime = asked.as_ref().map(|asked| (A::LIFETIME, &asked[..]));
        let attributes: Vec<_> = [TRANSPORT].into_iter().chain(lifetime).collect();
        let request = bench.request(Method::ALLOCATE, &attributes, Some(&credentials));
        let job = bench.pass(CLIENT, &request);
        assert!(matches!(job.task, Task::Allocate { lifetime, .. }
            if lifetime == Duration::from_secs(granted)));
    }
}

#[test]
fn what_needs_an_allocation_is_refused_without_one() {
    let mut bench = Bench::new(Limits::default());
    let at = peer("192.0.2.9:1000");
    let credentials = bench.credentials(CLIENT);
    let requests: [(Method, Attributes<'_>); 3] = [
        (Method::REFRESH, &[]),
        (Method::CREATE_PERMISSION, &[(A::XOR_PEER_ADDRESS, &at)]),
        (
            Method::CHANNEL_BIND,
            &[(A::CHANNEL_NUMBER, &[0x40, 0, 0, 0]), (A::XOR_PEER_ADDRESS, &at)],
        ),
    ];
    for (method, attributes) in requests {
        assert_eq!(bench.code(method, attributes, Some(&credentials)), 437);
    }
    let credentials = bench.allocated();
    for (method, attributes) in requests {
        let other = Credentials { user: "bob", password: "hidden", ..credentials.clone() };
        assert_eq!(bench.code(method, attributes, Some(&other)), 441, "another user's");
        assert_eq!(bench.code(method, attributes, Some(&credentials)), 0);
    }
    let family: (A, &[u8]) = (A::REQUESTED_ADDRESS_FAMILY, &[V6, 0, 0, 0]);
    assert_eq!(bench.code(Method::REFRESH, &[family], Some(&credentials)), 443);
    bench.wait(299);
    assert_eq!(bench.code(Method::REFRESH, &[], Some(&credentials)), 0);
    bench.wait(301);
    let credentials = bench.credentials(CLIENT);
    assert_eq!(bench.code(Method::REFRESH, &[], Some(&credentials)), 437, "it has expired");
}

#[test]
fn every_peer_of_a_request_is_judged_and_honoured() {
    let mut bench = Bench::new(Limits::default());
    let credentials = bench.allocated();
    let (one, two, private) = (peer("192.0.2.9:1"), peer("192.0.2.10:2"), peer("10.0.0.1:3"));
    let good: Attributes<'_> = &[(A::XOR_PEER_ADDRESS, &one), (A::XOR_PEER_ADDRESS, &two)];
    let request = bench.request(Method::CREATE_PERMISSION, good, Some(&credentials));
    let job = bench.pass(CLIENT, &request);
    let peers = ["192.0.2.9:1", "192.0.2.10:2"].map(|at| at.parse().unwrap()).to_vec();
    assert_eq!(job.task, Task::Permit { peers });
    let bad: Attributes<'_> = &[(A::XOR_PEER_ADDRESS, &one), (A::XOR_PEER_ADDRESS, &private)];
    assert_eq!(bench.code(Method::CREATE_PERMISSION, bad, Some(&credentials)), 403);
    assert_eq!(bench.code(Method::CREATE_PERMISSION, &[], Some(&credentials)), 400);
    let mut v6 = vec![0, 2];
    v6.extend([0; 18]);
    let v6: Attributes<'_> = &[(A::XOR_PEER_ADDRESS, &v6)];
    assert_eq!(bench.code(Method::CREATE_PERMISSION, v6, Some(&credentials)), 443);
    let number = |high| [high, 0, 0, 0];
    let bind = |bench: &mut Bench, number: [u8; 4], at: &[u8]| {
        let attributes: Attributes<'_> = &[(A::CHANNEL_NUMBER, &number), (A::XOR_PEER_ADDRESS, at)];
        bench.code(Method::CHANNEL_BIND, attributes, Some(&credentials))
    };
    assert_eq!(bind(&mut bench, number(0x40), &one), 0);
    assert_eq!(bind(&mut bench, number(0x40), &two), 400);
    assert_eq!(bind(&mut bench, number(0x3f), &two), 400);
    assert_eq!(bind(&mut bench, number(0x50), &two), 400);
    assert_eq!(bind(&mut bench, number(0x41), &private), 403);
    assert_eq!(bind(&mut bench, number(0x42), &peer("198.51.100.1:3478")), 403, "the server");
    assert_eq!(bind(&mut bench, number(0x43), &peer("192.0.2.9:0")), 403, "port 0");
}

#[test]
fn data_passes_only_for_who_has_an_allocation() {
    let mut bench = Bench::new(Limits::default());
    let at = peer("192.0.2.9:1000");
    let data: [(A, &[u8]); 2] = [(A::XOR_PEER_ADDRESS, &at), (A::DATA, b"data")];
    let send = write(Class::Indication, Method::SEND, 1, &data, None);
    let channel = [&[0x40, 1, 0, 4][..], b"data"].concat();
    for bytes in [&send, &channel] {
        assert!(matches!(bench.judge(CLIENT, bytes), Verdict::Dropped));
    }
    let credentials = bench.allocated();
    assert!(matches!(bench.judge(CLIENT, &send), Verdict::Relayed));
    assert!(matches!(bench.judge("192.0.2.1:5001", &send), Verdict::Dropped));
    assert!(matches!(bench.judge(CLIENT, &channel), Verdict::Dropped), "it is not bound");
    let attributes: Attributes<'_> =
        &[(A::CHANNEL_NUMBER, &[0x40, 1, 0, 0]), (A::XOR_PEER_ADDRESS, &at)];
    assert_eq!(bench.code(Method::CHANNEL_BIND, attributes, Some(&credentials)), 0);
    assert!(matches!(bench.judge(CLIENT, &channel), Verdict::Relayed));
    for cut in [&channel[..7], &channel[..3], &[0x40, 2, 0, 0], &[0x40, 1, 5, 0xdc]] {
        assert!(matches!(bench.judge(CLIENT, cut), Verdict::Dropped), "{cut:x?}");
    }
    let without_data = write(Class::Indication, Method::SEND, 1, &data[..1], None);
    let fragile: Vec<_> = data.into_iter().chain([(A::DONT_FRAGMENT, &[][..])]).collect();
    let fragile = write(Class::Indication, Method::SEND, 1, &fragile, None);
    for bytes in [without_data, fragile] {
        assert!(matches!(bench.judge(CLIENT, &bytes), Verdict::Dropped));
    }
}

#[test]
fn limits_have_their_codes() {
    let limits = Limits { allocations: 3, allocations_per_user: 2, ..Limits::default() };
    let mut bench = Bench::new(limits);
    let mut allocate = |from: &str, user, password| {
        let credentials = Credentials { user, password, ..bench.credentials(from) };
        let request = bench.request(Method::ALLOCATE, &[TRANSPORT], Some(&credentials));
        match bench.judge(from, &request) {
            Verdict::Passed(_) => 0,
            _ => Message::parse(&bench.out).unwrap().error().unwrap().code,
        }
    };
    assert_eq!(allocate("192.0.2.1:1", "ann", "secret"), 0);
    assert_eq!(allocate("192.0.2.2:1", "ann", "secret"), 0);
    assert_eq!(allocate("192.0.2.3:1", "ann", "secret"), 486);
    assert_eq!(allocate("192.0.2.3:1", "bob", "hidden"), 0);
    assert_eq!(allocate("192.0.2.4:1", "bob", "hidden"), 508);
}

#[test]
fn an_allocation_that_the_server_behind_refuses_leaves_nothing() {
    for outcome in [Outcome::Refused(508), Outcome::Silent, Outcome::Done { relayed: None }] {
        let mut bench = Bench::new(Limits::default());
        let credentials = bench.credentials(CLIENT);
        let request = bench.request(Method::ALLOCATE, &[TRANSPORT], Some(&credentials));
        let job = bench.pass(CLIENT, &request);
        assert!(matches!(bench.judge(CLIENT, &request), Verdict::Dropped), "it is being made");
        assert!(bench.front.conclude(&job, outcome, bench.now, &mut bench.out));
        let answer = Message::parse(&bench.out).unwrap();
        assert_eq!(answer.class(), Class::Error);
        assert_eq!(answer.verify(&credentials.key()), Integrity::Valid);
        assert_eq!(bench.front.table.len(), 0);
        assert_eq!(bench.code(Method::ALLOCATE, &[TRANSPORT], Some(&credentials)), 0);
    }
}

/// Requests of a million sources that may all be forged, each with a nonce
/// that it made up.
#[test]
fn forged_sources_leave_nothing_behind() {
    let mut bench = Bench::new(Limits::default());
    let made_up = Credentials {
        user: "ann",
        realm: "realm",
        password: "guess",
        nonce: "0".repeat(32),
        algorithm: Algorithm::Sha1,
    };
    let plain = bench.request(Method::ALLOCATE, &[TRANSPORT], None);
    let signed = bench.request(Method::ALLOCATE, &[TRANSPORT], Some(&made_up));
    let (mut answered, mut most) = (0, 0);
    for n in 0..1_000_000_u32 {
        let ip = std::net::Ipv4Addr::from_bits(0x2000_0000 + n * 7);
        let client = (LegId(0), SocketAddr::from((ip, 1_000 + (n % 1_000) as u16)));
        let request = if n % 2 == 0 { &plain } else { &signed };
        let served = Served { families: &[V4], place: &bench.place };
        let verdict = bench.front.judge(client, served, request, bench.now, &mut bench.out);
        answered += usize::from(matches!(verdict, Verdict::Answered(_)));
        assert!(!matches!(verdict, Verdict::Passed(_) | Verdict::Relayed));
        most = most.max(bench.out.capacity());
        if n % 100_000 == 0 {
            bench.wait(1);
        }
    }
    let (sources, bytes) = bench.front.kept();
    println!("{sources} sources counted in {bytes} bytes, answers in {most}");
    assert_eq!(bench.front.table.len(), 0);
    assert!(answered >= 10 * sources && sources <= 2 * 4_096, "{answered} {sources}");
    assert!(bytes <= 1 << 20, "{bytes}");
}

#[test]
fn an_answer_to_who_shows_nothing_is_short() {
    let mut bench = Bench::new(Limits::default());
    let request = bench.request(Method::ALLOCATE, &[TRANSPORT], None);
    assert!(matches!(bench.judge(CLIENT, &request), Verdict::Answered(_)));
    assert!(bench.out.len() <= request.len() + 80, "{} {}", bench.out.len(), request.len());
    let count =
        (0..2_000).filter(|_| matches!(bench.judge(CLIENT, &request), Verdict::Answered(_)));
    assert_eq!(count.count(), 999, "with the first, a source's share of a second");
}
