//! What our checks say, and how their answers are read (RFC 8445 §7.1, §7.2).

use std::time::Duration;

use floe::agent::{DropReason, RemoteParameters, State, StreamId};
use floe::candidate::{ComponentId, priority};
use floe::check::{PairState, Role};
use floe::stun::{Algorithm, Fingerprint, Integrity, IntegrityKey};

use crate::alone::{Alone, OURS, PEER, PWD, STREAM, Sent, UFRAG};
use crate::bench::{address, ms};

#[test]
fn a_check_says_who_where_and_which_role() {
    for role in [Role::Controlling, Role::Controlled] {
        let alone = Alone::checking(role);
        let check = alone.last_check();
        assert_eq!(check.to, address(PEER));
        assert_eq!(alone.local_of(check.base), address(OURS));
        let message = check.message();
        let ours = alone.core.local_credentials(STREAM).unwrap();
        let username = format!("{UFRAG}:{}", ours.ufrag);
        assert_eq!(message.username(), Some(username.as_str()));
        assert_eq!(message.verify(&IntegrityKey::short_term(PWD)), Integrity::Valid);
        assert_eq!(message.fingerprint(), Fingerprint::Valid);
        // The priority of the host candidate with another type preference.
        let host = alone.candidates()[0].priority;
        assert_eq!(message.priority(), Some(host - ((126 - 110) << 24)));
        assert_eq!(message.ice_controlling().is_some(), role == Role::Controlling);
        assert_eq!(message.ice_controlled().is_some(), role == Role::Controlled);
        assert!(!message.use_candidate());
    }
}

/// RFC 8445 §16.1 and §20.1, byte by byte.
#[test]
fn attributes_have_their_numbers_and_lengths() {
    let has = |sent: &Sent, head: [u8; 4]| {
        let mut rest = &sent.bytes[20..];
        while let [k0, k1, l0, l1, value @ ..] = rest {
            if [*k0, *k1, *l0, *l1] == head {
                return true;
            }
            let len = usize::from(u16::from_be_bytes([*l0, *l1])).next_multiple_of(4);
            rest = &value[len..];
        }
        false
    };
    let mut alone = Alone::checking(Role::Controlling);
    let check = alone.last_check();
    assert!(has(&check, [0x00, 0x24, 0, 4]), "PRIORITY");
    assert!(has(&check, [0x80, 0x2a, 0, 8]), "ICE-CONTROLLING");
    assert!(!has(&check, [0x00, 0x25, 0, 0]));
    alone.answer(&check);
    alone.run(ms(10));
    assert!(has(&alone.last_check(), [0x00, 0x25, 0, 0]), "USE-CANDIDATE");
    let check = Alone::checking(Role::Controlled).last_check();
    assert!(has(&check, [0x80, 0x29, 0, 8]), "ICE-CONTROLLED");
}

#[test]
fn only_the_nomination_carries_use_candidate() {
    let mut alone = Alone::checking(Role::Controlling);
    let first = alone.last_check();
    alone.answer(&first);
    alone.run(ms(10));
    let nomination = alone.last_check();
    assert_ne!(nomination.message().transaction_id(), first.message().transaction_id());
    assert!(nomination.message().use_candidate());
    alone.answer(&nomination);
    assert_eq!(alone.core.state(), State::Completed);
    // Consent checks do not nominate again.
    alone.run(Duration::from_secs(10));
    assert!(!alone.last_check().message().use_candidate());
    assert!(alone.checks().len() > 2);
}

#[test]
fn the_controlled_agent_never_sends_use_candidate() {
    let mut alone = Alone::checking(Role::Controlled);
    let first = alone.last_check();
    alone.answer(&first);
    alone.run(Duration::from_secs(20));
    assert!(alone.checks().len() > 3);
    assert!(alone.checks().iter().all(|c| !c.message().use_candidate()));
}

#[test]
fn the_tie_breaker_is_one_for_all_streams() {
    let mut alone = Alone::with(Role::Controlling, &[2, 1], &["10.0.0.1", "10.0.0.2"], |_| ());
    for stream in [STREAM, StreamId(1)] {
        alone.start_stream(stream);
        for component in 1..=2u16.saturating_sub(stream.0) {
            let line = format!(
                "candidate:{component} {component} UDP 1{component} 10.0.1.1 600{component} typ host"
            );
            let candidate = line.parse().unwrap();
            let now = alone.now;
            alone.core.add_remote_candidate(stream, &candidate, now).unwrap();
        }
    }
    alone.drain();
    alone.run(Duration::from_secs(3));
    let mut said: Vec<_> = alone.checks().iter().map(|c| c.message().ice_controlling()).collect();
    assert!(said.len() > 6);
    said.dedup();
    assert_eq!(said.len(), 1);
    assert!(said[0].is_some_and(|tie_breaker| tie_breaker != 0));
}

#[test]
fn a_487_changes_role_and_tie_breaker() {
    for role in [Role::Controlling, Role::Controlled] {
        let mut alone = Alone::checking(role);
        let first = alone.last_check();
        let said =
            |sent: &Sent| (sent.message().ice_controlling(), sent.message().ice_controlled());
        alone.refuse(&first, 487, Some(PWD));
        assert_eq!(alone.core.role(), role.other());
        alone.run(ms(10));
        let second = alone.last_check();
        assert_ne!(second.message().transaction_id(), first.message().transaction_id());
        let (before, after) = (said(&first), said(&second));
        assert_eq!(after.0.is_some(), role == Role::Controlled);
        assert_eq!(after.1.is_some(), role == Role::Controlling);
        assert_ne!(before.0.or(before.1), after.0.or(after.1), "the tie-breaker changes");
    }
}

#[test]
fn an_answer_without_the_peers_signature_is_ignored() {
    let mut alone = Alone::checking(Role::Controlled);
    let check = alone.last_check();
    alone.answer_signed(&check, address(OURS), "another password");
    assert_eq!(alone.core.drops().of(DropReason::Integrity), 1);
    for (code, password) in [(400, None), (400, Some("another password")), (487, None)] {
        alone.refuse(&check, code, password);
    }
    assert_eq!(alone.core.drops().of(DropReason::Integrity), 4);
    assert_eq!(alone.core.role(), Role::Controlled);
    let pair = alone.core.pairs(STREAM).next().unwrap();
    assert_eq!(pair.state, PairState::InProgress);
    // The transaction goes on and the true answer counts.
    alone.run(ms(600));
    assert_eq!(alone.checks().len(), 2);
    alone.answer(&check);
    assert_eq!(alone.core.pairs(STREAM).next().unwrap().state, PairState::Succeeded);
}

/// RFC 8489 §9.1.4: our checks have MESSAGE-INTEGRITY.
#[test]
fn an_answer_with_another_integrity_attribute_is_ignored() {
    let mut alone = Alone::checking(Role::Controlled);
    let check = alone.last_check();
    assert_eq!(check.message().integrity_algorithm(), Some(Algorithm::Sha1));
    let (id, key) = (check.message().transaction_id(), IntegrityKey::short_term(PWD));
    let (mut success, mut error) = (Vec::new(), Vec::new());
    let sha256 = Algorithm::Sha256;
    floe::stun::write_success_with(id, address(OURS), &key, sha256, &mut success);
    floe::stun::write_error_with(id, 400, "", &[], Some((&key, sha256)), &mut error);
    for (n, bytes) in (1..).zip([success, error]) {
        alone.receive(check.base, PEER, &bytes);
        assert_eq!(alone.core.drops().of(DropReason::Integrity), n);
        assert_eq!(alone.core.pairs(STREAM).next().unwrap().state, PairState::InProgress);
    }
    alone.answer(&check);
    assert_eq!(alone.core.pairs(STREAM).next().unwrap().state, PairState::Succeeded);
}

#[test]
fn an_answer_from_elsewhere_fails_the_pair() {
    let mut alone = Alone::checking(Role::Controlled);
    let check = alone.last_check();
    let elsewhere = Sent { to: address("10.0.1.9:6000"), ..check };
    alone.answer(&elsewhere);
    assert_eq!(alone.core.pairs(STREAM).next().unwrap().state, PairState::Failed);
}

#[test]
fn an_answer_counts_once() {
    let mut alone = Alone::checking(Role::Controlled);
    let check = alone.last_check();
    alone.answer(&check);
    let events = alone.events.len();
    alone.answer(&check);
    assert_eq!(alone.events.len(), events);
    assert_eq!(alone.core.drops().of(DropReason::UnknownTransaction), 1);
}

#[test]
fn transaction_ids_do_not_repeat() {
    let mut alone = Alone::checking(Role::Controlling);
    let first = alone.last_check();
    alone.answer(&first);
    // The same pair once more: the nomination.
    alone.run(ms(5));
    let nomination = alone.last_check();
    assert!(nomination.message().use_candidate());
    alone.answer(&nomination);
    for _ in 0..100 {
        alone.run(Duration::from_secs(6));
        let last = alone.last_check();
        alone.answer(&last);
    }
    let mut ids: Vec<_> = alone.checks().iter().map(|c| c.message().transaction_id()).collect();
    let count = ids.len();
    assert!(count > 101);
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), count);
    // Every one of the 96 bits takes both values.
    for byte in 0..12 {
        let seen =
            ids.iter().fold((0u8, 0xffu8), |(or, and), id| (or | id.0[byte], and & id.0[byte]));
        assert_eq!(seen, (0xff, 0));
    }
}

#[test]
fn the_full_agent_controls_a_lite_peer() {
    for role in [Role::Controlling, Role::Controlled] {
        let mut alone = Alone::new(role);
        let mut parameters = RemoteParameters::new(UFRAG, PWD);
        parameters.lite = true;
        let now = alone.now;
        alone.core.set_remote_parameters(STREAM, parameters, now).unwrap();
        assert_eq!(alone.core.role(), Role::Controlling);
        alone.add_remote("candidate:1 1 UDP 2130706431 10.0.1.1 6000 typ host");
        let first = alone.last_check();
        alone.answer(&first);
        // Without a pacing of its own the peer counts with 50 ms.
        alone.run(ms(50));
        let nomination = alone.last_check();
        assert!(nomination.message().use_candidate());
        alone.answer(&nomination);
        assert_eq!(alone.core.state(), State::Completed);
    }
}

/// A link-local address has a scope on our side and none in signalling.
#[test]
fn scopes_do_not_keep_link_local_addresses_apart() {
    let mut alone = Alone::with(Role::Controlled, &[1], &["fe80::1%7"], |_| ());
    alone.start();
    alone.add_remote("candidate:1 1 UDP 2130706431 fe80::2 6000 typ host");
    let check = alone.last_check();
    assert_eq!(check.to, address("[fe80::2%7]:6000"));
    alone.answer_signed(&check, address("[fe80::1]:5000"), PWD);
    let pair = alone.core.pairs(STREAM).next().unwrap();
    assert_eq!(pair.state, PairState::Succeeded);
    assert_eq!(pair.local.kind, floe::candidate::Kind::Host, "no peer-reflexive candidate");
    let peer_check = alone.peer_check();
    alone.checked("[fe80::2%7]:6000", &peer_check);
    assert_eq!(alone.core.pairs(STREAM).count(), 1);
}

#[test]
fn type_preferences_are_those_of_the_rfc() {
    use floe::candidate::{Kind, type_preference};
    use floe::net::Protocol::Udp;
    assert_eq!(type_preference(Kind::Host, Udp), 126);
    assert_eq!(type_preference(Kind::PeerReflexive, Udp), 110);
    assert_eq!(type_preference(Kind::ServerReflexive, Udp), 100);
    assert_eq!(type_preference(Kind::Relayed, Udp), 0);
    assert_eq!(priority(126, u16::MAX, ComponentId::ONE), (126 << 24) + (65535 << 8) + 255);
}
