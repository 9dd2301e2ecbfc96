//! A TURN client against a server that says anything: to any request of the
//! client, at any time, signed or not, and to none.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use arbitrary::Unstructured;
use floe::net::Protocol;
use floe::rng::{Rng, Seed};
use floe::stun::{
    Algorithm, AttributeType as T, Builder, Class, IntegrityKey, Message, Method,
    PasswordAlgorithm, TransactionId,
};
use floe::timer::Time;
use floe::turn::{Client, Event, Families, Secrets, Settings};

/// Things that happen in a run.
const MAX_STEPS: usize = 200;
/// Requests that may be answered late.
const MAX_ASKED: usize = 400;
const REALM: &str = "realm";

/// What a run is about.
struct Bench {
    client: Client,
    relays: Protocol,
    rng: Rng,
    now: Time,
    asked: Vec<(Method, TransactionId)>,
    is_live: bool,
    ends: usize,
}

/// Runs one client as `data` wants it.
pub fn run(data: &[u8]) {
    play(data);
}

fn play(data: &[u8]) -> Bench {
    let mut input = Unstructured::new(data);
    let choice = byte(&mut input);
    let families = [Families::V4, Families::V6, Families::Both][usize::from(choice % 3)];
    let settings = Settings {
        families,
        reliable: choice & 0x80 != 0,
        relays: if choice & 0x40 != 0 { Protocol::Tcp } else { Protocol::Udp },
        mobility: choice & 0x20 != 0,
        ..Settings::new(secrets(0))
    };
    let mut bench = Bench {
        relays: settings.relays,
        client: Client::new(settings),
        rng: Rng::new(&Seed::from_number(1)),
        now: Time::ZERO,
        asked: Vec::new(),
        is_live: false,
        ends: 0,
    };
    bench.client.start(bench.now, &mut bench.rng);
    bench.drain();
    for _ in 0..MAX_STEPS {
        if input.is_empty() {
            break;
        }
        bench.step(&mut input);
    }
    // Left alone it ends: nobody refreshes the allocation.
    bench.pass(Duration::from_secs(4_000));
    assert_eq!((bench.ends, bench.client.poll_timeout()), (1, None));
    bench
}

fn byte(input: &mut Unstructured<'_>) -> u8 {
    input.arbitrary().unwrap_or_default()
}

fn secrets(number: u8) -> Secrets {
    Secrets { username: "user".into(), password: format!("hunter2 {}", number & 3).into() }
}

fn peer(choice: u8) -> IpAddr {
    match choice & 1 {
        0 => IpAddr::from([203, 0, 113, choice]),
        _ => IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, u16::from(choice)]),
    }
}

impl Bench {
    fn step(&mut self, input: &mut Unstructured<'_>) {
        let (what, which) = (byte(input), byte(input));
        match what % 12 {
            0..=4 => self.answer(which, input),
            5 => self.client.permit(peer(which), self.now, &mut self.rng),
            6 => {
                let to = SocketAddr::new(peer(which), 1 + u16::from(which >> 6));
                self.client.bind_channel(to, self.now, &mut self.rng);
            }
            7 => self.client.forget(peer(which)),
            8 => self.client.renew(secrets(which)),
            9 => self.data(which, input),
            10 if which == 0 => self.client.release(self.now, &mut self.rng),
            10 if which < 64 => drop(self.client.moved(self.now, &mut self.rng)),
            10 => {
                let to = SocketAddr::new(peer(which), 1 + u16::from(which >> 6));
                self.client.connect_peer(to, self.now, &mut self.rng);
            }
            _ => self.pass(Duration::from_millis(u64::from(which) * u64::from(which) * 8)),
        }
        self.drain();
    }

    /// An answer to one of the last requests, or to none.
    fn answer(&mut self, which: u8, input: &mut Unstructured<'_>) {
        let back = 1 + usize::from(which & 3);
        let asked = self.asked.len().checked_sub(back).and_then(|at| self.asked.get(at));
        let Some((method, id)) = asked.copied() else { return };
        let class = if which & 4 == 0 { Class::Success } else { Class::Error };
        let mut out = Vec::new();
        let mut builder = Builder::new(class, method, id, &mut out);
        for _ in 0..(which >> 3 & 7) {
            builder = attribute(builder, input);
        }
        let key = |chosen| IntegrityKey::long_term("user", REALM, &secrets(0).password, chosen);
        match which >> 6 {
            0 => builder.finish(),
            1 => builder.sign(&key(PasswordAlgorithm::Md5), Algorithm::Sha1),
            _ => builder.sign(&key(PasswordAlgorithm::Sha256), Algorithm::Sha256),
        }
        self.hear(&out);
    }

    fn hear(&mut self, bytes: &[u8]) {
        if let Ok(message) = Message::parse(bytes) {
            self.client.handle_message(&message, self.now, &mut self.rng);
        }
    }

    /// Data of any form; what comes out of it comes from a permitted peer.
    fn data(&mut self, which: u8, input: &mut Unstructured<'_>) {
        let len = usize::from(byte(input)).min(input.len());
        let bytes = input.bytes(len).unwrap_or_default();
        let mut out = Vec::new();
        let to = SocketAddr::new(peer(which), 1);
        let is_wrapped = self.client.wrap(to, bytes, TransactionId([0; 12]), &mut out);
        let is_udp = self.relays == Protocol::Udp;
        assert_eq!(is_wrapped, is_udp && self.client.is_permitted(to.ip()));
        self.client.unwrap(bytes);
        Builder::new(Class::Indication, Method::DATA, TransactionId([1; 12]), &mut out)
            .xored(T::XOR_PEER_ADDRESS, to)
            .attribute(T::DATA, bytes)
            .finish();
        assert_eq!(self.client.unwrap(&out).is_some(), is_wrapped);
        let attempt = Method::CONNECTION_ATTEMPT;
        Builder::new(Class::Indication, attempt, TransactionId([2; 12]), &mut out)
            .xored(T::XOR_PEER_ADDRESS, to)
            .number(T::CONNECTION_ID, which.into())
            .finish();
        self.hear(&out);
    }

    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        for _ in 0..50_000 {
            let Some(at) = self.client.poll_timeout().filter(|at| *at <= end) else {
                self.now = end;
                return;
            };
            self.now = self.now.max(at);
            self.client.handle_timeout(self.now, &mut self.rng);
            self.drain();
            let next = self.client.poll_timeout();
            assert!(next.is_none_or(|next| next > self.now), "at {} {next:?}", self.now);
        }
        panic!("no end");
    }

    fn drain(&mut self) {
        let mut out = Vec::new();
        while let Some(method) = self.client.poll_request(&mut out) {
            let message = Message::parse(&out).expect("what it sends is STUN");
            assert_eq!((message.method(), message.class()), (method, Class::Request));
            self.asked.push((method, message.transaction_id()));
        }
        if self.asked.len() > MAX_ASKED {
            self.asked.drain(..MAX_ASKED / 2);
        }
        while let Some(event) = self.client.poll_event() {
            assert_eq!(self.ends, 0, "{event:?} after the end");
            let is_end = match &event {
                Event::Failed(_) | Event::Redirected { .. } => !self.is_live,
                Event::Lost(_) => self.is_live,
                Event::Released => true,
                Event::Allocated { .. } => {
                    self.is_live = true;
                    false
                }
                _ => {
                    assert!(!format!("{event:?}").contains("hunter2"), "{event:?}");
                    false
                }
            };
            self.ends += usize::from(is_end);
        }
        assert!(self.client.relayed().count() <= 2);
    }
}

/// An attribute that means something to a client, or any other.
fn attribute<'a>(builder: Builder<'a>, input: &mut Unstructured<'_>) -> Builder<'a> {
    let (kind, detail) = (byte(input), byte(input));
    let addr = match detail & 1 {
        0 => SocketAddr::new(IpAddr::from([192, 0, 2, detail]), u16::from(detail)),
        _ => SocketAddr::new(peer(detail), u16::from(detail)),
    };
    match kind % 14 {
        0 => builder.error(300 + u16::from(detail), "reason"),
        1 => builder.error([401, 438, 437, 500][usize::from(detail & 3)], "reason"),
        2 => builder.attribute(T::REALM, REALM.as_bytes()),
        3 => builder.attribute(T::NONCE, &[b"obMatJos2wAAA", &[detail][..]].concat()),
        4 => builder.attribute(T::NONCE, &[detail]),
        5 => builder.number(T::LIFETIME, u32::from(detail) * 60),
        6 => builder.xored(T::XOR_RELAYED_ADDRESS, addr),
        7 => builder.xored(T::XOR_MAPPED_ADDRESS, addr),
        8 => builder.attribute(T::PASSWORD_ALGORITHMS, &[0, detail & 3, 0, 0]),
        9 => builder.attribute(T::ADDRESS_ERROR_CODE, &[1 + (detail & 1), 0, 4, 40]),
        10 => builder.plain(T::ALTERNATE_SERVER, addr),
        11 => builder.attribute(T::MOBILITY_TICKET, &[detail; 3]),
        _ => {
            let len = usize::from(detail & 31).min(input.len());
            let kind = T(u16::from(kind) << 8 | u16::from(detail));
            builder.attribute(kind, input.bytes(len).unwrap_or_default())
        }
    }
}

/// What the corpus has been written for.
#[test]
fn an_honest_server_makes_an_allocation_and_a_permission() {
    let bench = play(include_bytes!("../corpus/turn_client/granted"));
    assert!(bench.is_live);
    let asked: Vec<Method> = bench.asked.iter().map(|(method, _)| *method).collect();
    let begin =
        [Method::ALLOCATE, Method::ALLOCATE, Method::CREATE_PERMISSION, Method::CHANNEL_BIND];
    assert_eq!(asked[..4], begin);
    assert!(play(include_bytes!("../corpus/turn_client/modern")).is_live);
}

/// Runs drawn at random, so that the test has some even without a corpus. Every
/// other one has an allocation first, of any kind.
#[test]
fn servers_of_all_kinds_come_to_an_end() {
    let granted = include_bytes!("../corpus/turn_client/granted");
    let mut live = 0;
    for seed in 0..1_000 {
        let mut rng = Rng::new(&Seed::from_number(seed));
        let [choice] = rng.bytes::<1>();
        let mut data = vec![choice];
        if seed % 2 == 0 {
            data.extend_from_slice(&granted[1..17]);
        }
        data.extend((0..80).flat_map(|_| rng.bytes::<8>()));
        live += usize::from(play(&data).is_live);
    }
    assert!(live > 250, "{live}");
}
