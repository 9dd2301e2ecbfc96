//! A client, a server, the network between them, and the time.

use std::collections::BTreeMap;
use std::time::Duration;

use floe::rng::{Rng, Seed};
use floe::stun::{Message, Method, TransactionId};
use floe::timer::Time;
use floe::turn::{Client, Event, Handled, Secrets, Settings};

use crate::ms;
use crate::server::{PASSWORD, Server, USER};

pub(crate) struct World {
    pub(crate) client: Client,
    pub(crate) server: Server,
    pub(crate) rng: Rng,
    pub(crate) now: Time,
    /// From one to the other.
    pub(crate) latency: Duration,
    /// Every so many answers one is lost; 0: none.
    pub(crate) lose_every: usize,
    answers: usize,
    flying: BTreeMap<(Time, usize), (Side, Vec<u8>)>,
    flown: usize,
    pub(crate) events: Vec<(Time, Event)>,
    pub(crate) sent: Vec<(Time, Method)>,
    pub(crate) handled: Vec<Handled>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Server,
    Client,
}

pub(crate) fn secrets() -> Secrets {
    Secrets { username: USER.into(), password: PASSWORD.into() }
}

pub(crate) fn settings() -> Settings {
    Settings::new(secrets())
}

impl World {
    /// 50 ms from one to the other, and a client that has not started.
    pub(crate) fn new(settings: Settings, server: Server) -> Self {
        World {
            client: Client::new(settings),
            server,
            rng: Rng::new(&Seed::from_number(1)),
            now: Time::ZERO,
            latency: Duration::from_millis(50),
            lose_every: 0,
            answers: 0,
            flying: BTreeMap::new(),
            flown: 0,
            events: Vec::new(),
            sent: Vec::new(),
            handled: Vec::new(),
        }
    }

    pub(crate) fn started(settings: Settings, server: Server) -> Self {
        let mut world = Self::new(settings, server);
        world.act(|client, now, rng| client.start(now, rng));
        world
    }

    /// With an allocation, after 200 ms. What happened until then is forgotten.
    pub(crate) fn live(settings: Settings, server: Server) -> Self {
        let mut world = Self::started(settings, server);
        world.run_until(ms(200));
        assert!(world.client.relayed().next().is_some(), "{:?}", world.events);
        world.events.clear();
        world.sent.clear();
        world
    }

    pub(crate) fn act(&mut self, act: impl FnOnce(&mut Client, Time, &mut Rng)) {
        act(&mut self.client, self.now, &mut self.rng);
        self.drain();
    }

    fn drain(&mut self) {
        let mut out = Vec::new();
        while let Some(method) = self.client.poll_request(&mut out) {
            assert_eq!(Message::parse(&out).expect("it is STUN").method(), method);
            self.sent.push((self.now, method));
            self.fly(Side::Server, out.clone());
        }
        while let Some(event) = self.client.poll_event() {
            self.events.push((self.now, event));
        }
    }

    fn fly(&mut self, to: Side, bytes: Vec<u8>) {
        self.flown += 1;
        self.flying.insert((self.now + self.latency, self.flown), (to, bytes));
    }

    /// What arrives at the client, once.
    pub(crate) fn hear(&mut self, bytes: &[u8]) -> Option<Handled> {
        let message = Message::parse(bytes).ok()?;
        let handled = self.client.handle_message(&message, self.now, &mut self.rng);
        self.handled.push(handled);
        self.drain();
        Some(handled)
    }

    pub(crate) fn run_until(&mut self, end: Time) {
        for _ in 0..200_000 {
            let arrival = self.flying.keys().next().map(|(at, _)| *at);
            let timeout = self.client.poll_timeout().map(|at| at.max(self.now));
            let Some(next) = arrival.into_iter().chain(timeout).min().filter(|at| *at <= end)
            else {
                self.now = end;
                return;
            };
            self.now = next;
            if arrival == Some(next) {
                let (_, (to, bytes)) = self.flying.pop_first().unwrap();
                self.arrive(to, &bytes);
                continue;
            }
            self.act(|client, now, rng| client.handle_timeout(now, rng));
            let again = self.client.poll_timeout();
            assert!(again.is_none_or(|at| at > self.now), "at {} it wants {again:?}", self.now);
        }
        panic!("it does not come to rest");
    }

    pub(crate) fn run_for(&mut self, time: Duration) {
        self.run_until(self.now + time);
    }

    fn arrive(&mut self, to: Side, bytes: &[u8]) {
        if to == Side::Client {
            self.hear(bytes);
        } else if let Some(answer) = self.server.handle(bytes, self.now) {
            self.answers += 1;
            if self.lose_every == 0 || !self.answers.is_multiple_of(self.lose_every) {
                self.fly(Side::Client, answer);
            }
        }
    }

    /// The methods of what was sent, with the times in milliseconds.
    pub(crate) fn timetable(&self, method: Method) -> Vec<u64> {
        let meant = self.sent.iter().filter(|(_, of)| *of == method);
        meant.map(|(at, _)| at.as_nanos() / 1_000_000).collect()
    }

    pub(crate) fn id(&mut self) -> TransactionId {
        TransactionId(self.rng.bytes())
    }

    /// The last event.
    pub(crate) fn last(&self) -> &Event {
        &self.events.last().expect("something has happened").1
    }
}
