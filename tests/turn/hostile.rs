//! A server, or somebody on the way, that sends anything at any time.

use std::time::Duration;

use floe::rng::{Rng, Seed};
use floe::stun::{
    AttributeType as T, Builder, Class, IntegrityKey, Message, Method, PasswordAlgorithm,
    TransactionId,
};
use floe::timer::Time;
use floe::turn::{Client, Event, Settings};
use proptest::prelude::*;

use crate::server::{PASSWORD, Reply, Server, USER};
use crate::world::{World, settings};
use crate::{addr, ip, secs};

#[test]
fn stray_bytes_change_nothing() {
    let mut world = World::live(settings(), Server::new());
    world.act(|client, now, rng| client.permit(ip("203.0.113.1"), now, rng));
    for stray in [&b""[..], b"GET / HTTP/1.1", &[0xff; 1_500], &[0x40, 0, 0, 0], &[0; 20]] {
        assert_eq!(world.client.unwrap(stray), None);
        world.hear(stray);
    }
    world.run_for(secs(1_000));
    assert!(world.client.is_permitted(ip("203.0.113.1")));
    assert!(world.server.allocation.is_some_and(|until| until > world.now));
}

#[derive(Clone, Debug)]
enum Move {
    Answer { class: bool, body: Vec<(u16, Vec<u8>)>, signed: bool },
    Wait(u64),
    Permit(u8),
    Bind(u8),
    Forget(u8),
    Renew,
}

/// Types that mean something to the client come more often than others.
fn attribute() -> impl Strategy<Value = (u16, Vec<u8>)> {
    let known = [
        T::ERROR_CODE,
        T::REALM,
        T::NONCE,
        T::LIFETIME,
        T::XOR_RELAYED_ADDRESS,
        T::XOR_MAPPED_ADDRESS,
        T::PASSWORD_ALGORITHMS,
        T::ALTERNATE_SERVER,
        T::ADDRESS_ERROR_CODE,
        T::CHANNEL_NUMBER,
    ];
    let kind = prop_oneof![
        9 => proptest::sample::select(known.map(|kind| kind.0).to_vec()),
        1 => any::<u16>(),
    ];
    let value = prop_oneof![
        Just(vec![0, 0, 4, 1]),
        Just(vec![0, 0, 4, 38]),
        Just(vec![0, 0, 5, 0]),
        Just(vec![0, 0, 3, 0]),
        Just(b"realm".to_vec()),
        Just(b"obMatJos2wAAAnonce".to_vec()),
        Just(vec![0, 1, 0, 0, 0, 2, 0, 0]),
        Just(vec![0, 1, 1, 2, 3, 4, 5, 6]),
        Just(vec![0, 0, 0, 1]),
        proptest::collection::vec(any::<u8>(), 0..24),
    ];
    (kind, value)
}

fn a_move() -> impl Strategy<Value = Move> {
    let answer = (any::<bool>(), proptest::collection::vec(attribute(), 0..6), any::<bool>());
    prop_oneof![
        6 => answer.prop_map(|(class, body, signed)| Move::Answer { class, body, signed }),
        2 => (0..60_000u64).prop_map(Move::Wait),
        1 => any::<u8>().prop_map(Move::Permit),
        1 => any::<u8>().prop_map(Move::Bind),
        1 => any::<u8>().prop_map(Move::Forget),
        1 => Just(Move::Renew),
    ]
}

/// A client and what it was last asked from.
struct Bench {
    client: Client,
    rng: Rng,
    now: Time,
    asked: Vec<(Method, TransactionId)>,
    ends: usize,
}

impl Bench {
    fn new(settings: Settings) -> Self {
        let rng = Rng::new(&Seed::from_number(5));
        let (client, asked) = (Client::new(settings), Vec::new());
        let mut bench = Bench { client, rng, now: Time::ZERO, asked, ends: 0 };
        bench.client.start(bench.now, &mut bench.rng);
        bench.drain();
        bench
    }

    fn drain(&mut self) {
        let mut out = Vec::new();
        while let Some(method) = self.client.poll_request(&mut out) {
            let message = Message::parse(&out).expect("it is STUN");
            assert_eq!(message.method(), method);
            self.asked.push((method, message.transaction_id()));
        }
        while let Some(event) = self.client.poll_event() {
            self.ends += usize::from(matches!(
                event,
                Event::Failed(_) | Event::Lost(_) | Event::Redirected { .. } | Event::Released
            ));
        }
        assert!(self.ends <= 1, "it ends once");
    }

    fn wait(&mut self, time: Duration) {
        let end = self.now + time;
        let mut timeouts = 0;
        while let Some(at) = self.client.poll_timeout().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.client.handle_timeout(self.now, &mut self.rng);
            self.drain();
            let next = self.client.poll_timeout();
            assert!(next.is_none_or(|next| next > self.now), "{next:?} at {}", self.now);
            timeouts += 1;
            assert!(timeouts < 20_000);
        }
        self.now = end;
    }

    fn make(&mut self, choice: &Move) {
        let peer = |last: u8| ip(&format!("203.0.113.{last}"));
        match choice {
            Move::Answer { class, body, signed } => self.answer(*class, body, *signed),
            Move::Wait(millis) => self.wait(Duration::from_millis(*millis)),
            Move::Permit(last) => self.client.permit(peer(*last), self.now, &mut self.rng),
            Move::Bind(last) => {
                let to = addr(&format!("203.0.113.{last}:1"));
                self.client.bind_channel(to, self.now, &mut self.rng);
            }
            Move::Forget(last) => self.client.forget(peer(*last)),
            Move::Renew => self.client.renew(settings().secrets),
        }
        self.drain();
    }

    fn answer(&mut self, success: bool, body: &[(u16, Vec<u8>)], signed: bool) {
        let Some((method, id)) = self.asked.last().copied() else { return };
        let class = if success { Class::Success } else { Class::Error };
        let mut out = Vec::new();
        let builder = Builder::new(class, method, id, &mut out);
        let builder = body.iter().fold(builder, |b, (kind, value)| b.attribute(T(*kind), value));
        match signed {
            true => {
                let algorithm = PasswordAlgorithm::Md5;
                let key = IntegrityKey::long_term(USER, "realm", PASSWORD, algorithm);
                builder.sign(&key, floe::stun::Algorithm::Sha1);
            }
            false => builder.finish(),
        }
        if let Ok(message) = Message::parse(&out) {
            self.client.handle_message(&message, self.now, &mut self.rng);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn whatever_comes_it_neither_panics_nor_sticks(
        moves in proptest::collection::vec(a_move(), 0..60), reliable: bool,
    ) {
        let mut bench = Bench::new(Settings { reliable, ..settings() });
        for choice in &moves {
            bench.make(choice);
        }
        // Left alone, it comes to an end: the allocation expires, if there is one.
        bench.wait(secs(4_000));
        prop_assert_eq!(bench.ends, 1);
        prop_assert_eq!(bench.client.poll_timeout(), None);
    }

    /// Whatever the server does with each request, there is an outcome within
    /// the time of the transactions that it can provoke.
    #[test]
    fn an_allocate_ends_in_bounded_time(
        replies in proptest::collection::vec(0..9u8, 0..12), lose in 0..4usize,
    ) {
        let mut world = World::new(settings(), Server::new());
        world.lose_every = if lose < 2 { 0 } else { lose };
        let replies = replies.into_iter().map(|reply| match reply {
            0 => Reply::Silence,
            1 => Reply::Error(500),
            2 => Reply::Error(486),
            3 => Reply::Unsigned(508),
            4 => Reply::Forged,
            5 => Reply::StaleOf("example.org".into()),
            6 => Reply::Unauthenticated,
            7 => Reply::Lifetime(0),
            _ => Reply::Redirect(Some(addr("192.0.2.7:1")), None),
        });
        world.server.next(Method::ALLOCATE, replies);
        world.act(|client, now, rng| client.start(now, rng));
        // One without credentials, five with new nonces, four after failures.
        world.run_for(Duration::from_millis(39_500 * 11 + 15_000));
        prop_assert!(matches!(
            world.events.first(),
            Some((_, Event::Allocated { .. } | Event::Failed(_) | Event::Redirected { .. }))
        ), "{:?}", world.events);
    }
}
