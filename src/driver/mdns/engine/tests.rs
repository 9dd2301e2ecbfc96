use super::*;

const NAME: &str = "1f4712db-ea17-4bcf-a596-105139dfd8bf.local";
const OTHER: &str = "2579ef4b-50ae-4bfe-95af-70b3376ecb9c.local";
const A: MemberId = MemberId(1);
const B: MemberId = MemberId(2);

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn link(ip: &str, index: u32, prefix: u8) -> Link {
    Link::of(&crate::agent::LocalAddress {
        ip: ip.parse().unwrap(),
        interface: "eth0".into(),
        index,
        prefix: Some(prefix),
        temporary: None,
        deprecated: None,
    })
}

fn v4() -> Link {
    link("192.168.1.5", 2, 24)
}

fn v6() -> Link {
    link("2001:db8::5", 2, 64)
}

fn ms(millis: u64) -> Time {
    Time::from_millis(millis)
}

fn sent(engine: &mut Engine) -> Vec<Outgoing> {
    std::iter::from_fn(|| engine.poll_outgoing()).collect()
}

fn answers(engine: &mut Engine) -> Vec<(MemberId, Box<str>, Vec<IpAddr>)> {
    std::iter::from_fn(|| engine.poll_answer()).collect()
}

/// Lets time pass until `end`: what was sent, with its time.
fn run_to(engine: &mut Engine, end: u64) -> Vec<(u64, Outgoing)> {
    let mut all = Vec::new();
    for _ in 0..10_000 {
        let Some(next) = engine.poll_timeout().filter(|next| *next <= ms(end)) else {
            return all;
        };
        engine.handle_timeout(next);
        assert!(engine.poll_timeout().is_none_or(|after| after > next), "time stands still");
        let millis = next.as_nanos() / 1_000_000;
        all.extend(sent(engine).into_iter().map(|out| (millis, out)));
    }
    panic!("no end");
}

fn asked(link: Link) -> Outgoing {
    let bytes = message::query(NAME, link.is_v6()).unwrap();
    Outgoing { link, to: None, bytes }
}

#[test]
fn a_name_is_asked_for_three_times_and_given_up() {
    let mut engine = Engine::default();
    engine.ask(A, NAME, &[v4(), v6(), link("2001:db8::6", 2, 64)], ms(0));
    assert_eq!(sent(&mut engine), [asked(v4()), asked(v6())], "once a link");
    let expected = [1_000, 3_000].map(|t| [(t, asked(v4())), (t, asked(v6()))]);
    assert_eq!(run_to(&mut engine, 4_999), expected.concat());
    assert!(answers(&mut engine).is_empty());
    assert_eq!(run_to(&mut engine, 60_000), []);
    assert_eq!(answers(&mut engine), [(A, NAME.into(), vec![])]);
    assert_eq!(engine.poll_timeout(), None);
}

#[test]
fn an_answer_ends_the_question_for_all_who_asked() {
    let mut engine = Engine::default();
    engine.ask(A, NAME, &[v4()], ms(0));
    engine.ask(B, NAME, &[v4()], ms(10));
    assert_eq!(sent(&mut engine).len(), 1, "one question, however many ask it");
    let ip: IpAddr = "192.168.1.9".parse().unwrap();
    let answer = message::answer(NAME, ip).unwrap();
    engine.received(at("192.168.1.9:5353"), &answer, ms(20));
    engine.received(at("192.168.1.9:5353"), &answer, ms(21));
    let expected = [(A, NAME.into(), vec![ip]), (B, NAME.into(), vec![ip])];
    assert_eq!(answers(&mut engine), expected);
    assert_eq!((engine.poll_timeout(), sent(&mut engine)), (None, vec![]));
}

#[test]
fn who_is_not_on_the_link_is_not_believed() {
    let answer = message::answer(NAME, "192.168.1.9".parse().unwrap()).unwrap();
    let other = message::answer(OTHER, "192.168.1.9".parse().unwrap()).unwrap();
    for (from, bytes) in [
        ("192.168.2.9:5353", &answer),
        ("192.168.1.9:5354", &answer),
        ("203.0.113.1:5353", &answer),
        ("[fe80::9]:5353", &answer),
        ("192.168.1.9:5353", &other),
    ] {
        let mut engine = Engine::default();
        engine.ask(A, NAME, &[v4()], ms(0));
        engine.received(at(from), bytes, ms(1));
        assert!(answers(&mut engine).is_empty(), "{from}");
    }
    // Link-local senders are on the link by definition.
    let mut engine = Engine::default();
    engine.ask(A, NAME, &[v6()], ms(0));
    engine.received(at("[fe80::9]:5353"), &answer, ms(1));
    assert_eq!(answers(&mut engine).len(), 1);
}

#[test]
fn a_name_of_ours_is_answered_for_where_it_belongs() {
    let mut engine = Engine::default();
    engine.publish(A, NAME.into(), v4());
    engine.publish(A, OTHER.into(), v6());
    assert_eq!(sent(&mut engine), [], "nothing is announced");
    let query = |name, v6, unicast| {
        let mut bytes = message::query(name, v6).unwrap();
        let class = bytes.len() - 2;
        bytes[class] |= u8::from(unicast) << 7;
        bytes
    };
    let multicast = message::answer(NAME, v4().ip).unwrap();
    let (peer, legacy) = (at("192.168.1.9:5353"), at("192.168.1.9:4000"));
    let mut ask = |from: SocketAddr, bytes: &[u8], now| {
        engine.received(from, bytes, ms(now));
        sent(&mut engine)
    };
    let by = |to, bytes: &[u8]| vec![Outgoing { link: v4(), to, bytes: bytes.to_vec() }];
    assert_eq!(ask(peer, &query(NAME, false, false), 0), by(None, &multicast));
    assert_eq!(ask(peer, &query(NAME, false, false), 999), [], "not twice within a second");
    assert_eq!(ask(peer, &query(NAME, false, true), 999), by(Some(peer), &multicast));
    let reply = message::legacy_answer(0, NAME, v4().ip).unwrap();
    assert_eq!(ask(legacy, &query(NAME, false, false), 999), by(Some(legacy), &reply));
    // On one machine all share the port, so unicast may reach somebody else.
    let same = SocketAddr::new(v4().ip, PORT);
    assert_eq!(ask(same, &query(NAME, false, true), 5_000), by(None, &multicast));
    for (from, name, v6) in [
        (peer, NAME, true),
        (peer, OTHER, false),
        (peer, "printer.local", false),
        (at("10.0.0.1:5353"), NAME, false),
    ] {
        assert_eq!(ask(from, &query(name, v6, false), 9_000), [], "{from} {name} {v6}");
    }
    let answered = ask(at("[fe80::9]:5353"), &query(OTHER, true, false), 9_000);
    assert_eq!(answered[0].link, v6());
}

#[test]
fn who_leaves_takes_its_names_and_questions_along() {
    let mut engine = Engine::default();
    engine.publish(A, NAME.into(), v4());
    engine.publish(B, OTHER.into(), v4());
    engine.ask(A, "0f4712db-ea17-4bcf-a596-105139dfd8bf.local", &[v4()], ms(0));
    let query = message::query(NAME, false).unwrap();
    engine.received(at("192.168.1.9:5353"), &query, ms(0));
    sent(&mut engine);
    engine.leave(A, ms(1));
    let goodbye = message::goodbye(NAME, v4().ip).unwrap();
    assert_eq!(sent(&mut engine), [Outgoing { link: v4(), to: None, bytes: goodbye }]);
    assert_eq!(engine.poll_timeout(), None);
    engine.received(at("192.168.1.9:5353"), &query, ms(5_000));
    assert_eq!(sent(&mut engine), []);
    engine.leave(B, ms(2));
    assert_eq!(sent(&mut engine), [], "nobody was told of it");
}

#[test]
fn a_name_of_this_process_needs_no_question() {
    let mut engine = Engine::default();
    engine.publish(A, NAME.into(), v4());
    engine.ask(B, NAME, &[v4()], ms(0));
    assert_eq!(answers(&mut engine), [(B, NAME.into(), vec![v4().ip])]);
    assert_eq!(sent(&mut engine), []);
}

#[test]
fn without_a_link_nothing_is_found() {
    let mut engine = Engine::default();
    engine.ask(A, NAME, &[], ms(0));
    assert_eq!(answers(&mut engine), [(A, NAME.into(), vec![])]);
}

/// Thousands of names, and the link still hears no more than the budget.
#[test]
fn no_flood_leaves_this_process() {
    let mut engine = Engine::default();
    let mut refused = 0;
    for n in 0..1_000_u32 {
        let name = format!("{n:08x}-ea17-4bcf-a596-105139dfd8bf.local");
        engine.ask(A, &name, &[v4()], ms(0));
        refused += answers(&mut engine).len();
    }
    assert_eq!(refused, 1_000 - MAX_QUERIES);
    let first = sent(&mut engine).len();
    assert_eq!(first, Budget::BURST);
    let later = run_to(&mut engine, 60_000);
    assert!(later.iter().all(|(at, _)| *at < 5_000));
    assert!(later.len() <= 100, "twenty a second for five seconds, not {}", later.len());
    assert_eq!(answers(&mut engine).len(), MAX_QUERIES);
    // A flood of questions is answered no faster.
    engine.publish(A, NAME.into(), v4());
    let query = message::query(NAME, false).unwrap();
    let before = engine.out.len();
    for n in 0..1_000 {
        engine.received(at(&format!("192.168.1.9:{}", 10_000 + n)), &query, ms(60_000));
    }
    assert_eq!(engine.out.len() - before, Budget::BURST);
}
