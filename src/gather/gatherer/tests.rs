use proptest::prelude::*;

use super::*;
use crate::stun::{IntegrityKey, write_error, write_success};

const BUDGET: Duration = Duration::from_secs(5);
const TA: Duration = Duration::from_millis(5);
const V4: &str = "192.0.2.7:5000";
const V6: &str = "[2001:db8::7]:5000";
const S1: &str = "198.51.100.1:3478";
const S2: &str = "198.51.100.2:3478";
const S6: &str = "[2001:db8:5::1]:3478";
const MAPPED: &str = "203.0.113.9:61000";

fn addr(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn id(number: u8) -> TransactionId {
    TransactionId([number; 12])
}

fn success(number: u8, mapped: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    write_success(id(number), addr(mapped), &IntegrityKey::short_term("unread"), &mut bytes);
    bytes
}

fn error(number: u8, code: u16, reason: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    write_error(id(number), code, reason, &[], None, &mut bytes);
    bytes
}

/// A gatherer, its clock, and everything that came out of it.
struct Bench {
    gatherer: Gatherer,
    now: Time,
    next_id: u8,
    sent: Vec<(u64, u32, SocketAddr)>,
    outcomes: Vec<(u64, Outcome)>,
}

impl Bench {
    fn new(servers: &[&[&str]], bases: &[&str]) -> Self {
        let mut bench = Bench {
            gatherer: Gatherer::new(servers.iter().map(|_| Protocol::Udp), BUDGET, TA),
            now: Time::ZERO,
            next_id: 1,
            sent: Vec::new(),
            outcomes: Vec::new(),
        };
        for (base, local) in (0..).zip(bases) {
            bench.gatherer.add_base(base, addr(local), Protocol::Udp, Time::ZERO);
        }
        for (server, addresses) in servers.iter().enumerate() {
            let addresses: Vec<_> = addresses.iter().map(|a| addr(a)).collect();
            bench.gatherer.resolved(server, &addresses);
        }
        bench.gatherer.bases_complete();
        bench.drain();
        bench
    }

    fn millis(&self) -> u64 {
        self.now.as_nanos() / 1_000_000
    }

    fn drain(&mut self) {
        while let Some(request) = self.gatherer.poll_send() {
            self.sent.push((self.millis(), request.base, request.to));
        }
        while let Some(outcome) = self.gatherer.poll_outcome() {
            self.outcomes.push((self.millis(), outcome));
        }
    }

    /// Starts whatever wants to, 5 ms apart.
    fn start_all(&mut self) {
        while self.gatherer.wants_slot() {
            let request = self.gatherer.start_next(id(self.next_id), self.now).unwrap();
            assert_eq!(request.id, id(self.next_id));
            self.next_id += 1;
            self.sent.push((self.millis(), request.base, request.to));
            self.advance_to(self.now + TA);
        }
    }

    fn advance_to(&mut self, end: Time) {
        while let Some(deadline) = self.gatherer.poll_timeout().filter(|t| *t <= end) {
            self.now = deadline;
            self.gatherer.handle_timeout(deadline);
            let next = self.gatherer.poll_timeout();
            assert!(next.is_none_or(|next| next > deadline), "the deadline did not advance");
            self.drain();
        }
        self.now = end;
    }

    fn run(&mut self) {
        self.start_all();
        self.advance_to(Time::from_millis(60_000));
        assert_eq!(self.gatherer.poll_timeout(), None);
    }

    fn receive(&mut self, base: u32, from: &str, bytes: &[u8]) -> Handled {
        let message = Message::parse(bytes).unwrap();
        let handled = self.gatherer.handle_response(base, addr(from), &message, self.now);
        self.drain();
        handled
    }

    fn mapped(&self) -> Vec<(u32, usize, String)> {
        let mapped = |(_, outcome): &(u64, Outcome)| match outcome {
            Outcome::Mapped { base, server, mapped, .. } => {
                Some((*base, *server, mapped.to_string()))
            }
            _ => None,
        };
        self.outcomes.iter().filter_map(mapped).collect()
    }

    fn failures(&self) -> Vec<(u64, Option<u32>, usize, u16, &str)> {
        let failed = |(at, outcome): &'_ (u64, Outcome)| match outcome {
            Outcome::Failed { base, server, code, .. } => Some((*at, *base, *server, *code)),
            _ => None,
        };
        let texts = self.outcomes.iter().filter_map(|(_, outcome)| match outcome {
            Outcome::Failed { text, .. } => Some(&**text),
            _ => None,
        });
        let facts = self.outcomes.iter().filter_map(failed);
        facts.zip(texts).map(|((at, b, s, c), text)| (at, b, s, c, text)).collect()
    }

    fn done_at(&self) -> Option<u64> {
        let is_done = |(_, outcome): &&(u64, Outcome)| *outcome == Outcome::Done;
        assert!(self.outcomes.iter().filter(is_done).count() <= 1, "done comes once");
        let (at, last) = self.outcomes.last()?;
        (*last == Outcome::Done).then_some(*at)
    }
}

#[test]
fn every_base_asks_every_server_of_its_family_and_one_server_comes_first() {
    let mut bench = Bench::new(&[&[S6, S1], &[S2]], &[V4, V6, "192.0.2.8:1"]);
    bench.start_all();
    let expected = [
        (0, 0, addr(S1)),
        (5, 1, addr(S6)),
        (10, 2, addr(S1)),
        (15, 0, addr(S2)),
        (20, 2, addr(S2)),
    ];
    assert_eq!(bench.sent, expected);
}

#[test]
fn gathering_is_done_with_the_last_answer() {
    let mut bench = Bench::new(&[&[S1], &[S2]], &[V4]);
    bench.start_all();
    assert_eq!(bench.receive(0, S2, &success(2, MAPPED)), Handled::Used);
    assert_eq!(bench.done_at(), None);
    assert_eq!(bench.receive(0, S1, &success(1, MAPPED)), Handled::Used);
    assert_eq!(bench.done_at(), Some(10));
    assert_eq!(bench.mapped(), [(0, 1, MAPPED.into()), (0, 0, MAPPED.into())]);
    bench.run();
    assert_eq!(bench.sent.len(), 2, "nothing is sent after the answers");
    assert_eq!(bench.outcomes.len(), 3);
}

#[test]
fn a_server_that_is_silent_costs_its_budget_and_four_requests() {
    let mut bench = Bench::new(&[&[S1], &[S2]], &[V4]);
    bench.start_all();
    bench.receive(0, S2, &success(2, MAPPED));
    bench.run();
    let at: Vec<_> = bench.sent.iter().filter(|(.., to)| *to == addr(S1)).map(|s| s.0).collect();
    assert_eq!(at, [0, 500, 1_500, 3_500]);
    let text = "198.51.100.1:3478 did not answer 192.0.2.7 within 5.0 s";
    assert_eq!(bench.failures(), [(5_000, Some(0), 0, 701, text)]);
    assert_eq!(bench.mapped().len(), 1);
    assert_eq!(bench.done_at(), Some(5_000));
}

#[test]
fn an_answer_after_the_budget_is_counted_and_dropped() {
    let mut bench = Bench::new(&[&[S1]], &[V4]);
    bench.run();
    assert_eq!(bench.done_at(), Some(5_000));
    let before = bench.outcomes.len();
    assert!(bench.gatherer.owns(&id(1), addr(S1), 0));
    assert_eq!(bench.receive(0, S1, &success(1, MAPPED)), Handled::Late);
    assert_eq!((bench.outcomes.len(), bench.gatherer.late_answers()), (before, 1));
}

#[test]
fn an_answer_at_the_very_end_of_the_budget_is_late_whichever_call_comes_first() {
    let mut bench = Bench::new(&[&[S1]], &[V4]);
    bench.start_all();
    bench.now = Time::ZERO + BUDGET;
    assert_eq!(bench.receive(0, S1, &success(1, MAPPED)), Handled::Late);
    bench.gatherer.handle_timeout(bench.now);
    bench.drain();
    assert_eq!((bench.done_at(), bench.failures().len()), (Some(5_000), 1));
}

#[test]
fn the_second_answer_to_a_retransmitted_request_is_late() {
    let mut bench = Bench::new(&[&[S1]], &[V4]);
    bench.start_all();
    bench.advance_to(Time::from_millis(600));
    assert_eq!(bench.sent.len(), 2);
    assert_eq!(bench.receive(0, S1, &success(1, MAPPED)), Handled::Used);
    assert_eq!(bench.receive(0, S1, &success(1, "203.0.113.9:1")), Handled::Late);
    assert_eq!(bench.mapped().len(), 1);
}

#[test]
fn an_answer_counts_only_from_the_server_on_the_base_with_the_id() {
    let mut bench = Bench::new(&[&[S1]], &[V4, "192.0.2.8:1"]);
    bench.start_all();
    let answer = success(1, MAPPED);
    for (base, from, bytes) in [
        (0, S2, &answer),
        (0, "198.51.100.1:3479", &answer),
        (1, S1, &answer),
        (9, S1, &answer),
        (0, S1, &success(77, MAPPED)),
    ] {
        assert_eq!(bench.receive(base, from, bytes), Handled::Foreign, "{base} {from}");
    }
    let mut request = Vec::new();
    crate::stun::write_binding_request(id(1), &mut request);
    assert_eq!(bench.receive(0, S1, &request), Handled::Foreign);
    let mut damaged = answer.clone();
    *damaged.last_mut().unwrap() ^= 1;
    assert_eq!(bench.receive(0, S1, &damaged), Handled::Foreign);
    assert!(bench.outcomes.is_empty());
    assert_eq!(bench.receive(0, "[::ffff:198.51.100.1]:3478", &answer), Handled::Used);
}

#[test]
fn an_error_carries_the_code_and_the_cleaned_words_of_the_server() {
    let mut bench = Bench::new(&[&[S1], &[S2]], &[V4]);
    bench.start_all();
    bench.receive(0, S1, &error(1, 300, "Try \u{1b}[31mAlternate"));
    bench.receive(0, S2, &error(2, 500, &"x".repeat(700)));
    let [(.., first_code, first), (.., code, text)] = bench.failures()[..] else {
        panic!("two failures");
    };
    assert_eq!((first_code, code), (300, 500));
    let expected = "198.51.100.1:3478 and 192.0.2.7: the server refused with code 300: \
                    Try \u{fffd}[31mAlternate";
    assert_eq!(first, expected);
    assert!(text.len() < 220, "{text}");
    assert_eq!(bench.done_at(), Some(10));
}

#[test]
fn a_name_that_does_not_resolve_is_reported_once_and_delays_nothing() {
    let mut bench = Bench::new(&[&[], &[S1]], &[V4, "192.0.2.8:1"]);
    let text = "the server's name did not resolve";
    assert_eq!(bench.failures(), [(0, None, 0, 701, text)]);
    bench.start_all();
    bench.receive(0, S1, &success(1, MAPPED));
    bench.receive(1, S1, &success(2, MAPPED));
    assert_eq!(bench.done_at(), Some(10));
}

#[test]
fn a_resolution_that_never_ends_is_bounded_by_the_budget() {
    let mut gatherer = Gatherer::new([Protocol::Udp; 1].into_iter(), BUDGET, TA);
    gatherer.add_base(0, addr(V4), Protocol::Udp, Time::ZERO);
    gatherer.add_base(1, addr(V6), Protocol::Udp, Time::from_millis(100));
    gatherer.bases_complete();
    assert!(!gatherer.wants_slot());
    assert_eq!(gatherer.poll_timeout(), Some(Time::from_millis(5_000)));
    gatherer.handle_timeout(Time::from_millis(5_000));
    let text = "the server's name was not resolved within 5.0 s".into();
    let failed =
        Outcome::Failed { base: None, server: 0, cause: Cause::Unresolved, code: 701, text };
    assert_eq!(gatherer.poll_outcome(), Some(failed));
    assert_eq!(gatherer.poll_outcome(), None);
    gatherer.handle_timeout(Time::from_millis(5_100));
    assert_eq!(gatherer.poll_outcome(), Some(Outcome::Done));
    gatherer.resolved(0, &[addr(S1)]);
    assert!(!gatherer.wants_slot() && gatherer.poll_outcome().is_none());
}

#[test]
fn the_time_of_the_resolution_counts() {
    let mut gatherer = Gatherer::new([Protocol::Udp; 1].into_iter(), BUDGET, TA);
    gatherer.add_base(0, addr(V4), Protocol::Udp, Time::ZERO);
    gatherer.bases_complete();
    gatherer.resolved(0, &[addr(S1)]);
    let started = Time::from_millis(4_900);
    assert!(gatherer.start_next(id(1), started).is_some());
    assert_eq!(gatherer.poll_timeout(), Some(Time::from_millis(5_000)));
}

#[test]
fn without_a_slot_in_time_the_server_is_not_asked() {
    let mut bench = Bench::new(&[&[S1]], &[V4]);
    bench.advance_to(Time::from_millis(5_000));
    let text = "198.51.100.1:3478 was not asked from 192.0.2.7 within 5.0 s";
    assert_eq!(bench.failures(), [(5_000, Some(0), 0, 701, text)]);
    assert!(!bench.gatherer.wants_slot());
    assert!(bench.gatherer.start_next(id(1), bench.now).is_none());
    assert_eq!(bench.done_at(), Some(5_000));
}

#[test]
fn without_servers_or_bases_it_is_done_at_once() {
    assert_eq!(Bench::new(&[], &[V4]).outcomes, [(0, Outcome::Done)]);
    assert_eq!(Bench::new(&[&[S1]], &[]).outcomes, [(0, Outcome::Done)]);
}

#[test]
fn it_is_not_done_while_bases_may_come() {
    let mut gatherer = Gatherer::new([Protocol::Udp; 0].into_iter(), BUDGET, TA);
    gatherer.add_base(0, addr(V4), Protocol::Udp, Time::ZERO);
    gatherer.handle_timeout(Time::from_millis(60_000));
    assert_eq!(gatherer.poll_outcome(), None);
    gatherer.bases_complete();
    gatherer.bases_complete();
    assert_eq!(gatherer.poll_outcome(), Some(Outcome::Done));
    assert_eq!(gatherer.poll_outcome(), None);
    assert!(gatherer.is_done());
}

#[test]
fn a_base_asks_only_what_it_can_reach() {
    let bases = ["[fe80::7%2]:5000", "127.0.0.1:5000", V6];
    let mut bench = Bench::new(&[&[S1], &["127.0.0.1:3478"]], &bases);
    bench.start_all();
    assert_eq!(bench.sent, [(0, 1, addr("127.0.0.1:3478"))]);
    bench.receive(1, "127.0.0.1:3478", &success(1, "127.0.0.1:5000"));
    let text = "no address of the server can be reached from one of this machine";
    assert_eq!(bench.failures(), [(5, None, 0, 701, text)]);
    assert_eq!(bench.mapped(), [(1, 1, "127.0.0.1:5000".into())]);
    assert_eq!(bench.done_at(), Some(5));
}

#[test]
fn two_servers_at_one_address_are_asked_once() {
    let mut bench = Bench::new(&[&[S1], &[S1], &[S1, S2]], &[V4]);
    bench.start_all();
    assert_eq!(bench.sent, [(0, 0, addr(S1)), (5, 0, addr(S2))]);
}

#[test]
fn two_refused_sends_end_a_transaction_and_one_does_not() {
    let unreachable = io::ErrorKind::NetworkUnreachable;
    let mut bench = Bench::new(&[&[S6], &[S1]], &[V6, V4]);
    bench.start_all();
    bench.gatherer.send_error(0, addr(S6), unreachable);
    bench.gatherer.send_error(1, addr(S1), unreachable);
    bench.gatherer.send_error(1, addr(S2), unreachable);
    bench.advance_to(Time::from_millis(500));
    assert_eq!(bench.sent.len(), 3);
    bench.gatherer.send_error(0, addr(S6), unreachable);
    bench.drain();
    let text = "[2001:db8:5::1]:3478 cannot be reached from 2001:db8::7: network unreachable";
    assert_eq!(bench.failures(), [(500, Some(0), 0, 701, text)]);
    bench.run();
    let text = "198.51.100.1:3478 did not answer 192.0.2.7 within 5.0 s: network unreachable";
    assert_eq!(bench.failures()[1], (5_000, Some(1), 1, 701, text));
    assert_eq!(bench.sent.iter().filter(|(_, base, _)| *base == 1).count(), 4);
}

#[test]
fn a_retransmission_that_was_overtaken_by_the_answer_is_not_sent() {
    let mut bench = Bench::new(&[&[S1]], &[V4]);
    bench.start_all();
    bench.gatherer.handle_timeout(Time::from_millis(500));
    bench.receive(0, S1, &success(1, MAPPED));
    assert_eq!(bench.gatherer.poll_send(), None);
}

#[test]
fn a_mapped_address_that_cannot_be_ours_is_refused() {
    for mapped in ["0.0.0.0:5", "224.0.0.1:5", "255.255.255.255:5", "127.0.0.1:5", MAPPED, V6] {
        let mapped = if mapped == MAPPED { "203.0.113.9:0" } else { mapped };
        let mut bench = Bench::new(&[&[S1]], &[V4]);
        bench.start_all();
        assert_eq!(bench.receive(0, S1, &success(1, mapped)), Handled::Used);
        let text =
            "198.51.100.1:3478 and 192.0.2.7: the mapped address in the answer cannot be ours";
        assert_eq!(bench.failures(), [(5, Some(0), 0, 701, text)], "{mapped}");
    }
}

/// A message with these attributes, written by hand.
fn raw(class: u16, number: u8, attributes: &[(u16, &[u8])]) -> Vec<u8> {
    let body: Vec<u8> = attributes
        .iter()
        .flat_map(|(kind, value)| {
            let len = u16::try_from(value.len()).unwrap();
            [&kind.to_be_bytes(), &len.to_be_bytes(), *value].concat()
        })
        .collect();
    let len = u16::try_from(body.len()).unwrap();
    let cookie = crate::stun::MAGIC_COOKIE.to_be_bytes();
    [&class.to_be_bytes()[..], &len.to_be_bytes(), &cookie, &id(number).0, &body].concat()
}

const MAPPED_ADDRESS: (u16, &[u8]) = (0x0001, &[0, 1, 0xee, 0x48, 203, 0, 113, 9]);

#[test]
fn a_server_of_rfc_3489_is_understood() {
    let source: (u16, &[u8]) = (0x0004, &[0, 1, 0x0d, 0x96, 198, 51, 100, 1]);
    let changed: (u16, &[u8]) = (0x0005, &[0, 1, 0x0d, 0x97, 198, 51, 100, 2]);
    let mut bench = Bench::new(&[&[S1]], &[V4]);
    bench.start_all();
    let answer = raw(0x0101, 1, &[MAPPED_ADDRESS, source, changed]);
    assert_eq!(bench.receive(0, S1, &answer), Handled::Used);
    assert_eq!(bench.mapped(), [(0, 0, "203.0.113.9:61000".into())]);
}

#[test]
fn an_answer_of_no_use_ends_its_transaction() {
    let unknown: (u16, &[u8]) = (0x7001, &[]);
    for (answer, text) in [
        (raw(0x0101, 1, &[MAPPED_ADDRESS, unknown]), "demands an attribute that is unknown here"),
        (raw(0x0101, 1, &[]), "has no mapped address"),
        (raw(0x0111, 1, &[]), "is an error without a code"),
    ] {
        let mut bench = Bench::new(&[&[S1]], &[V4]);
        bench.start_all();
        assert_eq!(bench.receive(0, S1, &answer), Handled::Used);
        let text = format!("198.51.100.1:3478 and 192.0.2.7: the answer {text}");
        assert_eq!(bench.failures(), [(5, Some(0), 0, 701, text.as_str())]);
        assert_eq!(bench.done_at(), Some(5));
    }
}

#[test]
fn many_transactions_raise_the_rto() {
    let bases: Vec<String> = (1..=150).map(|port| format!("192.0.2.7:{port}")).collect();
    let bases: Vec<&str> = bases.iter().map(String::as_str).collect();
    let mut bench = Bench::new(&[&[S1]], &bases);
    bench.start_all();
    bench.advance_to(Time::from_millis(750));
    let second = bench.sent.iter().filter(|(_, base, _)| *base == 0).nth(1);
    assert_eq!(second, Some(&(750, 0, addr(S1))), "150 candidates at 5 ms");
}

#[test]
fn a_server_or_base_that_is_not_there_is_ignored() {
    let mut bench = Bench::new(&[&[S1]], &[V4]);
    bench.gatherer.resolved(7, &[addr(S2)]);
    bench.gatherer.resolved(0, &[addr(S2)]);
    bench.gatherer.add_base(0, addr(V6), Protocol::Udp, bench.now);
    bench.gatherer.send_error(9, addr(S1), io::ErrorKind::Other);
    bench.start_all();
    assert_eq!(bench.sent, [(0, 0, addr(S1))]);
}

/// Something that happens to a gatherer, and how many milliseconds later.
#[derive(Clone, Debug)]
enum Step {
    Resolved(usize, Vec<usize>),
    AddBase(u32),
    Start,
    Wait(u64),
    Answer { transaction: usize, from: usize, base: u32, is_error: bool },
    SendError(u32, usize),
}

const ADDRESSES: [&str; 4] = [S1, S2, S6, "127.0.0.1:3478"];
const BASES: [&str; 4] = [V4, V6, "127.0.0.1:9", "[fe80::7%2]:5000"];

fn any_step() -> impl Strategy<Value = Step> {
    let address = 0..ADDRESSES.len();
    prop_oneof![
        (0usize..4, prop::collection::vec(address.clone(), 0..4))
            .prop_map(|(server, addresses)| Step::Resolved(server, addresses)),
        (0u32..5).prop_map(Step::AddBase),
        Just(Step::Start),
        (0u64..3_000).prop_map(Step::Wait),
        (0usize..12, address.clone(), 0u32..5, any::<bool>()).prop_map(
            |(transaction, from, base, is_error)| Step::Answer {
                transaction,
                from,
                base,
                is_error
            }
        ),
        (0u32..5, address).prop_map(|(base, to)| Step::SendError(base, to)),
    ]
}

fn apply(bench: &mut Bench, step: &Step) {
    match step {
        Step::Resolved(server, addresses) => {
            let addresses: Vec<_> = addresses.iter().map(|i| addr(ADDRESSES[*i])).collect();
            bench.gatherer.resolved(*server, &addresses);
        }
        Step::AddBase(base) => {
            let local = addr(BASES[*base as usize % BASES.len()]);
            bench.gatherer.add_base(*base, local, Protocol::Udp, bench.now);
        }
        Step::Start => {
            if let Some(request) = bench.gatherer.start_next(id(bench.next_id), bench.now) {
                bench.next_id += 1;
                bench.sent.push((bench.millis(), request.base, request.to));
            }
        }
        Step::Wait(millis) => bench.advance_to(bench.now + Duration::from_millis(*millis)),
        Step::Answer { transaction, from, base, is_error } => {
            let number = u8::try_from(*transaction).unwrap();
            let bytes = if *is_error { error(number, 400, "") } else { success(number, MAPPED) };
            bench.receive(*base, ADDRESSES[*from], &bytes);
        }
        Step::SendError(base, to) => {
            let kind = io::ErrorKind::HostUnreachable;
            bench.gatherer.send_error(*base, addr(ADDRESSES[*to]), kind);
        }
    }
    bench.drain();
}

proptest! {
    /// Whatever happens: no base asks an address twice, gathering ends by the
    /// budget of the last base, every job has one outcome at most, and
    /// nothing follows the end.
    #[test]
    fn it_always_ends_by_the_budget(steps in prop::collection::vec(any_step(), 0..40)) {
        let mut bench = Bench {
            gatherer: Gatherer::new([Protocol::Udp; 3].into_iter(), BUDGET, TA),
            now: Time::ZERO,
            next_id: 1,
            sent: Vec::new(),
            outcomes: Vec::new(),
        };
        steps.iter().for_each(|step| apply(&mut bench, step));
        bench.gatherer.bases_complete();
        bench.drain();
        let end = bench.now + BUDGET;
        bench.advance_to(end);
        prop_assert!(bench.done_at().is_some(), "{:?}", bench.outcomes);
        prop_assert!(bench.gatherer.is_done());

        let (outcomes, sent) = (bench.outcomes.len(), bench.sent.len());
        steps.iter().for_each(|step| apply(&mut bench, step));
        prop_assert_eq!((bench.outcomes.len(), bench.sent.len()), (outcomes, sent));

        let mut counts = BTreeMap::new();
        for (_, base, to) in &bench.sent {
            *counts.entry((base, to)).or_insert(0) += 1;
        }
        prop_assert!(counts.values().all(|count| *count <= 4), "{counts:?}");
        let of_job = |(_, outcome): &(u64, Outcome)| match outcome {
            Outcome::Mapped { base, server, .. } => Some((*server, *base)),
            Outcome::Failed { base, server, .. } => base.map(|base| (*server, base)),
            Outcome::Done => None,
        };
        let jobs: Vec<_> = bench.outcomes.iter().filter_map(of_job).collect();
        let distinct: BTreeSet<_> = jobs.iter().collect();
        prop_assert_eq!(distinct.len(), jobs.len());
    }
}
