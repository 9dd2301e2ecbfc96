//! What is gathered and given out (RFC 8445 §5, RFC 8838 §9, §13, §17).

use std::collections::BTreeSet;
use std::time::Duration;

use floe::agent::{BaseId, CommandError, Config, Event, StunServer};
use floe::candidate::{AddressRefusal, Candidate, Kind};
use floe::check::Role;
use floe::net::Protocol;
use floe::stun::{Integrity, IntegrityKey, TransactionId};
use floe::timer::Pacer;

use crate::alone::{Alone, OURS, PEER, PeerCheck, STREAM, Sent};
use crate::bench::{address, ms};

const SERVERS: [&str; 2] = ["198.51.100.1:3478", "198.51.100.2:3478"];

fn with_servers(config: &mut Config) {
    config.stun_servers = SERVERS
        .map(|text| StunServer {
            uri: format!("stun:{text}").into(),
            host: text.into(),
            port: 3478,
            address: Some(address(text)),
            protocol: Protocol::Udp,
        })
        .into();
}

/// The requests to servers so far.
fn asked(alone: &Alone) -> Vec<Sent> {
    let to_server = |s: &&Sent| SERVERS.iter().any(|server| s.to == address(server));
    alone.sent.iter().filter(to_server).cloned().collect()
}

fn server_answers(alone: &mut Alone, request: &Sent, mapped: &str) {
    // A server does not sign; any key will do.
    let key = IntegrityKey::short_term("x");
    let mut bytes = Vec::new();
    let id = request.message().transaction_id();
    floe::stun::write_success(id, address(mapped), &key, &mut bytes);
    let to = request.to.to_string();
    alone.receive(request.base, &to, &bytes);
}

fn lines(candidates: &[Candidate]) -> Vec<(Kind, u16, String)> {
    let line = |c: &Candidate| {
        (c.kind, c.component.number(), c.address().expect("an address").to_string())
    };
    candidates.iter().map(line).collect()
}

#[test]
fn every_address_gives_each_component_a_port_of_its_own() {
    let alone = Alone::with(Role::Controlling, &[2, 1], &["10.0.0.1", "2001:db8::1"], |_| ());
    let candidates = alone.candidates();
    assert_eq!(candidates.len(), 6);
    let distinct: BTreeSet<_> = candidates.iter().map(Candidate::address).collect();
    assert_eq!(distinct.len(), 6, "each has its own port");
    for (n, component) in [(2, 2), (4, 1)] {
        let count = candidates.iter().filter(|c| c.component.number() == component).count();
        assert_eq!(count, n);
    }
    assert!(candidates.iter().all(|c| c.kind == Kind::Host && c.related.is_none()));
}

#[test]
fn candidates_of_a_stream_have_priorities_of_their_own() {
    let addresses = ["10.0.0.1", "10.0.0.2", "2001:db8::1", "2001:db8::2"];
    let mut alone = Alone::with(Role::Controlling, &[2], &addresses, with_servers);
    alone.run(ms(400));
    for (n, request) in asked(&alone).iter().enumerate() {
        server_answers(&mut alone, request, &format!("192.0.2.{n}:1000"));
    }
    let candidates = alone.candidates();
    assert_eq!(candidates.len(), 8 + 8, "four hosts and two servers for both IPv4 addresses");
    let priorities: BTreeSet<u32> = candidates.iter().map(|c| c.priority).collect();
    assert_eq!(priorities.len(), candidates.len());
    assert!(priorities.iter().all(|p| (1..1 << 31).contains(p)));
    for component in 1..=2 {
        let local = |kind| -> Vec<u32> {
            let of = candidates.iter().filter(|c| c.kind == kind);
            of.filter(|c| c.component.number() == component)
                .map(|c| (c.priority >> 8) & 0xffff)
                .collect()
        };
        for kind in [Kind::Host, Kind::ServerReflexive] {
            let preferences = local(kind);
            let distinct: BTreeSet<_> = preferences.iter().collect();
            assert_eq!(distinct.len(), preferences.len(), "{kind:?}: {preferences:?}");
        }
    }
}

#[test]
fn the_lower_component_of_a_foundation_is_given_out_first() {
    let alone = Alone::with(Role::Controlling, &[3], &["10.0.0.1", "10.0.0.2"], |_| ());
    let mut last = std::collections::BTreeMap::new();
    for candidate in alone.candidates() {
        let before = last.insert(candidate.foundation, candidate.component);
        assert!(before < Some(candidate.component), "{candidate:?}");
    }
}

#[test]
fn each_server_is_asked_from_each_address() {
    let mut alone = Alone::with(Role::Controlling, &[1], &["10.0.0.1", "10.0.0.2"], with_servers);
    alone.run(ms(100));
    let pairs: BTreeSet<_> = asked(&alone).iter().map(|s| (s.base, s.to)).collect();
    assert_eq!(pairs.len(), 4);
    for request in asked(&alone) {
        let message = request.message();
        assert_eq!(message.username(), None);
        assert_eq!(message.verify(&IntegrityKey::short_term("x")), Integrity::Missing);
    }
}

#[test]
fn a_server_reflexive_candidate_has_its_host_as_base() {
    let mut alone = Alone::with(Role::Controlling, &[1], &["10.0.0.1"], with_servers);
    alone.run(ms(100));
    let request = asked(&alone).remove(0);
    server_answers(&mut alone, &request, "192.0.2.1:4000");
    let found = alone.candidates().pop().unwrap();
    assert_eq!(found.kind, Kind::ServerReflexive);
    assert_eq!(found.address(), Some(address("192.0.2.1:4000")));
    assert_eq!(found.related, Some(address(OURS)));
    assert_ne!(found.foundation, alone.candidates()[0].foundation);
    // Its checks leave from the base: there is no second pair.
    alone.start();
    alone.add_remote("candidate:1 1 UDP 2130706431 10.0.1.1 6000 typ host");
    assert_eq!(alone.core.pairs(STREAM).count(), 1);
}

#[test]
fn what_equals_another_candidate_and_its_base_is_redundant() {
    let mut alone = Alone::with(Role::Controlling, &[1], &["10.0.0.1"], with_servers);
    alone.run(ms(100));
    let requests = asked(&alone);
    // Without a NAT the server sees the host candidate.
    server_answers(&mut alone, &requests[0], OURS);
    assert_eq!(alone.candidates().len(), 1);
    let mut alone = Alone::with(Role::Controlling, &[1], &["10.0.0.1"], with_servers);
    alone.run(ms(100));
    let requests = asked(&alone);
    for request in &requests {
        server_answers(&mut alone, request, "192.0.2.1:4000");
    }
    assert_eq!(alone.candidates().len(), 2, "both servers see the same");
}

/// RFC 8445 appendix B.2.
#[test]
fn an_equal_address_with_another_base_is_not_redundant() {
    let addresses = ["10.0.0.1", "192.168.1.100"];
    let mut alone = Alone::with(Role::Controlling, &[1], &addresses, with_servers);
    alone.run(ms(100));
    let second = alone.candidates()[1].address().unwrap();
    let request = asked(&alone).into_iter().find(|s| alone.local_of(s.base) == second).unwrap();
    server_answers(&mut alone, &request, OURS);
    let expected = [
        (Kind::Host, 1, OURS.to_owned()),
        (Kind::Host, 1, second.to_string()),
        (Kind::ServerReflexive, 1, OURS.to_owned()),
    ];
    assert_eq!(lines(&alone.candidates()), expected);
    assert_eq!(alone.candidates()[2].related, Some(second));
}

#[test]
fn gathering_transactions_are_ta_apart() {
    for pacing in [5, 20] {
        let mut alone = Alone::with(Role::Controlling, &[2], &["10.0.0.1", "10.0.0.2"], |config| {
            with_servers(config);
            config.pacing = ms(pacing);
        });
        alone.run(ms(400));
        let times: Vec<u64> = asked(&alone).iter().map(|s| s.at).collect();
        let expected: Vec<u64> = (0..8).map(|n| n * pacing).collect();
        assert_eq!(times, expected);
    }
}

#[test]
fn all_agents_of_a_process_share_the_5_ms() {
    let pacer = Pacer::new();
    let mut agents: Vec<Alone> = (0..4)
        .map(|_| {
            Alone::sharing(pacer.clone(), Role::Controlling, &[1], &["10.0.0.1"], with_servers)
        })
        .collect();
    for agent in &mut agents {
        agent.start();
        agent.add_remote("candidate:1 1 UDP 2130706431 10.0.1.1 6000 typ host");
        agent.add_remote("candidate:2 1 UDP 2130706400 10.0.1.2 6000 typ host");
    }
    for _ in 0..100 {
        for agent in &mut agents {
            agent.run(ms(1));
        }
    }
    let mut times: Vec<u64> = Vec::new();
    for agent in &agents {
        let mut seen = BTreeSet::new();
        let new = agent.sent.iter().filter(|s| seen.insert(s.message().transaction_id()));
        times.extend(new.map(|s| s.at));
    }
    times.sort_unstable();
    assert_eq!(times.len(), 4 * (2 + 2));
    assert!(times.windows(2).all(|w| w[1] - w[0] >= 5), "{times:?}");
}

#[test]
fn gathering_can_be_switched_off() {
    let mut alone = Alone::with(Role::Controlling, &[1], &["10.0.0.1"], |config| {
        with_servers(config);
        config.gather_server_reflexive = false;
    });
    alone.run(ms(100));
    assert_eq!(asked(&alone).len(), 0);
    assert!(alone.events.contains(&Event::EndOfCandidates { stream: STREAM }));
}

#[test]
fn end_of_candidates_comes_once_and_last() {
    let mut alone = Alone::with(Role::Controlling, &[1, 1], &["10.0.0.1"], with_servers);
    alone.run(ms(100));
    let ended = |alone: &Alone| {
        alone.events.iter().filter(|e| matches!(e, Event::EndOfCandidates { .. })).count()
    };
    assert_eq!(ended(&alone), 0);
    let requests = asked(&alone);
    server_answers(&mut alone, &requests[0], "192.0.2.1:4000");
    alone.run(Duration::from_secs(10));
    assert_eq!(ended(&alone), 2, "one for each stream, by the budget of gathering");
    let given = alone.candidates().len();
    server_answers(&mut alone, &requests[1], "192.0.2.1:4001");
    alone.drain();
    alone.run(Duration::from_secs(10));
    assert_eq!(alone.candidates().len(), given);
    assert_eq!(ended(&alone), 2);
}

#[test]
fn no_candidate_is_given_out_after_the_nomination() {
    let mut alone = Alone::with(Role::Controlled, &[1], &["10.0.0.1"], with_servers);
    alone.start();
    alone.add_remote("candidate:1 1 UDP 2130706431 10.0.1.1 6000 typ host");
    alone.run(ms(100));
    let check = alone.last_check();
    alone.answer(&check);
    let nomination = PeerCheck { use_candidate: true, ..alone.peer_check() };
    alone.checked(PEER, &nomination);
    assert!(alone.was_selected());
    let request = asked(&alone).remove(0);
    server_answers(&mut alone, &request, "192.0.2.1:4000");
    assert_eq!(alone.candidates().len(), 1);
}

#[test]
fn after_the_peers_end_of_candidates_none_is_taken() {
    let mut alone = Alone::checking(Role::Controlling);
    let now = alone.now;
    alone.core.end_of_remote_candidates(STREAM, now).unwrap();
    let candidate = "candidate:9 1 UDP 9 10.0.1.9 6000 typ host".parse().unwrap();
    let result = alone.core.add_remote_candidate(STREAM, &candidate, now);
    assert_eq!(result, Err(CommandError::AfterEnd));
    assert_eq!(alone.core.pairs(STREAM).count(), 1);
}

#[test]
fn candidates_may_come_before_and_after_the_parameters() {
    let mut alone = Alone::new(Role::Controlling);
    alone.add_remote("candidate:1 1 UDP 2130706431 10.0.1.1 6000 typ host");
    assert_eq!(alone.checks().len(), 0);
    alone.start();
    assert_eq!(alone.checks().len(), 1);
    alone.add_remote("candidate:2 1 UDP 2130706430 10.0.1.2 6000 typ host raddr 0.0.0.0 rport 9");
    alone.run(ms(5));
    assert_eq!(alone.checks().len(), 2);
}

#[test]
fn a_loopback_address_of_the_peer_needs_one_of_ours() {
    let line = "candidate:1 1 UDP 2130706431 127.0.0.1 6000 typ host";
    let mut alone = Alone::new(Role::Controlling);
    alone.start();
    let candidate = line.parse().expect("a candidate");
    let result = alone.core.add_remote_candidate(STREAM, &candidate, alone.now);
    assert_eq!(result, Err(CommandError::RemoteAddress(AddressRefusal::Loopback)));
    assert_eq!(alone.core.pairs(STREAM).count(), 0);
    let addresses = ["127.0.0.1", "10.0.0.1"];
    let mut alone =
        Alone::with(Role::Controlling, &[1], &addresses, |config| config.include_loopback = true);
    alone.start();
    alone.add_remote(line);
    assert_eq!(alone.core.pairs(STREAM).count(), 1);
}

#[test]
fn credentials_have_enough_randomness() {
    let alone = Alone::with(Role::Controlling, &[1, 1], &["10.0.0.1"], |_| ());
    let all: Vec<_> =
        alone.core.streams().map(|s| alone.core.local_credentials(s).unwrap().clone()).collect();
    for credentials in &all {
        // An ice-char is 6 bits: 24 bits are 4 characters, 128 are 22.
        assert!((4..=256).contains(&credentials.ufrag.len()));
        assert!((22..=256).contains(&credentials.pwd.len()));
        let is_ice = |b: u8| b.is_ascii_alphanumeric() || b == b'+' || b == b'/';
        assert!(credentials.ufrag.bytes().chain(credentials.pwd.bytes()).all(is_ice));
    }
    assert_ne!(all[0].ufrag, all[1].ufrag);
    assert_ne!(all[0].pwd, all[1].pwd);
    assert!(!format!("{:?}", alone.core).contains(&*all[0].pwd), "nor do they leak");
}

#[test]
fn a_socket_bound_too_late_is_given_back() {
    let mut alone = Alone::new(Role::Controlling);
    let now = alone.now;
    alone.core.close(now);
    let base = BaseId(0);
    alone.core.handle_input(now, floe::agent::Input::Bound { base, local: address(OURS) });
    assert_eq!(alone.core.poll_timeout(), None);
    let mut bytes = Vec::new();
    floe::stun::write_binding_request(TransactionId([0; 12]), &mut bytes);
    alone.receive(base, PEER, &bytes);
    assert_eq!(alone.sent.len(), 0);
}

#[test]
fn server_reflexive_bindings_are_kept_alive_until_the_nomination() {
    let mut alone = Alone::with(Role::Controlled, &[1], &["10.0.0.1"], with_servers);
    alone.run(ms(100));
    for request in asked(&alone) {
        server_answers(&mut alone, &request, "192.0.2.1:4000");
    }
    let mut known = asked(&alone).len();
    alone.run(Duration::from_secs(1));
    for minute in 1..=5 {
        alone.run(Duration::from_secs(60));
        let again = asked(&alone).split_off(known);
        assert_eq!(again.len(), 8, "two servers, every 15 s, minute {minute}");
        assert!(again.windows(2).all(|w| w[1].at - w[0].at >= 5));
        known += again.len();
        for request in again {
            server_answers(&mut alone, &request, "192.0.2.1:4000");
        }
    }
    assert_eq!(alone.candidates().len(), 2);
    // The last one to each server is known; older ones are not asked about.
    assert!(alone.core.drops().of(floe::agent::DropReason::UnknownTransaction) <= 5 * 6);
    alone.start();
    alone.add_remote("candidate:1 1 UDP 2130706431 10.0.1.1 6000 typ host");
    let check = alone.last_check();
    alone.answer(&check);
    let nomination = PeerCheck { use_candidate: true, ..alone.peer_check() };
    alone.checked(PEER, &nomination);
    alone.run(Duration::from_secs(60));
    assert_eq!(asked(&alone).len(), known);
}

#[test]
fn candidates_of_another_session_are_ignored() {
    let mut alone = Alone::new(Role::Controlling);
    alone.start();
    let now = alone.now;
    let mut add = |line: &str| {
        let candidate = line.parse().unwrap();
        alone.core.add_remote_candidate(STREAM, &candidate, now).is_ok()
    };
    assert!(!add("candidate:1 1 UDP 9 10.0.1.1 6000 typ host ufrag older"));
    assert!(add("candidate:1 1 UDP 9 10.0.1.2 6000 typ host ufrag peer"));
    assert!(add("candidate:1 1 UDP 9 10.0.1.3 6000 typ host"));
    assert_eq!(alone.core.pairs(STREAM).count(), 2);
}
