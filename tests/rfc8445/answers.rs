//! What we answer to the peer's checks (RFC 8445 §7.3).

use std::time::Duration;

use floe::agent::{BaseId, DropReason, State};
use floe::check::Role;
use floe::stun::{
    Algorithm, AttributeType, Class, Fingerprint, Integrity, IntegrityKey, Message, TransactionId,
};

use crate::alone::{Alone, PEER, PeerCheck, STREAM, UFRAG};
use crate::bench::{address, ms};

fn our_key(alone: &Alone) -> IntegrityKey {
    IntegrityKey::short_term(&alone.core.local_credentials(STREAM).expect("a stream").pwd)
}

#[test]
fn a_check_is_answered_with_its_source_and_our_signature() {
    let mut alone = Alone::checking(Role::Controlled);
    for from in [PEER, "192.0.2.1:4000"] {
        let check = alone.peer_check();
        let answer = alone.checked(from, &check).expect("an answer");
        assert_eq!(answer.to, address(from));
        let message = answer.message();
        assert_eq!(message.class(), Class::Success);
        assert_eq!(message.xor_mapped_address(), Some(address(from)));
        assert_eq!(message.verify(&our_key(&alone)), Integrity::Valid);
        assert_eq!(message.fingerprint(), Fingerprint::Valid);
        assert_eq!(message.username(), None);
    }
}

#[test]
fn a_check_before_the_peers_parameters_is_answered_and_made_up_for() {
    let mut alone = Alone::new(Role::Controlled);
    let check = PeerCheck { use_candidate: true, ..alone.peer_check() };
    let answer = alone.checked(PEER, &check).expect("an answer at once");
    assert_eq!(answer.message().class(), Class::Success);
    assert_eq!(answer.message().xor_mapped_address(), Some(address(PEER)));
    assert_eq!(alone.checks().len(), 0, "we cannot check yet");
    alone.run(Duration::from_secs(5));
    alone.start();
    let triggered = alone.last_check();
    assert_eq!(triggered.to, address(PEER));
    alone.answer(&triggered);
    assert!(alone.was_selected(), "the nomination counts too");
}

#[test]
fn so_many_early_checks_are_kept() {
    let mut alone = Alone::new(Role::Controlled);
    for port in 1..=40 {
        let check = alone.peer_check();
        let answer = alone.checked(&format!("192.0.2.1:{port}"), &check);
        assert!(answer.is_some(), "all are answered");
    }
    assert_eq!(alone.core.drops().of(DropReason::TooManyEarly), 8);
    alone.start();
    alone.run(ms(400));
    let mut checked: Vec<_> = alone.checks().iter().map(|c| c.to).collect();
    checked.sort();
    checked.dedup();
    assert_eq!(checked.len(), 32);
}

#[test]
fn a_username_is_known_by_its_first_value() {
    let mut alone = Alone::checking(Role::Controlled);
    let ours = alone.core.local_credentials(STREAM).unwrap().ufrag.clone();
    for username in [format!("{ours}:{UFRAG}"), format!("{ours}:fork"), format!("{ours}:")] {
        let check = PeerCheck { username: username.clone(), ..alone.peer_check() };
        assert!(alone.checked(PEER, &check).is_some(), "{username}");
    }
    let wrong = [ours.to_string(), format!("x{ours}:{UFRAG}"), format!("{UFRAG}:{ours}")];
    for (n, username) in (1..).zip(wrong) {
        let check = PeerCheck { username, ..alone.peer_check() };
        assert!(alone.checked(PEER, &check).is_none());
        assert_eq!(alone.core.drops().of(DropReason::UnknownUsername), n);
    }
}

#[test]
fn a_check_without_our_password_is_dropped() {
    let mut alone = Alone::checking(Role::Controlled);
    let check = PeerCheck { password: "another".to_owned(), ..alone.peer_check() };
    assert!(alone.checked("192.0.2.1:1", &check).is_none());
    assert_eq!(alone.core.drops().of(DropReason::Integrity), 1);
    assert_eq!(alone.core.pairs(STREAM).count(), 1, "no peer-reflexive candidate");
}

#[test]
fn a_check_without_fingerprint_is_dropped() {
    let mut alone = Alone::checking(Role::Controlled);
    let check = alone.peer_check();
    let mut bytes = alone.write(&check);
    bytes.truncate(bytes.len() - 8);
    let length = u16::try_from(bytes.len() - 20).unwrap();
    bytes[2..4].copy_from_slice(&length.to_be_bytes());
    let message = Message::parse(&bytes).unwrap();
    assert_eq!(message.verify(&our_key(&alone)), Integrity::Valid);
    let sent = alone.sent.len();
    alone.receive(BaseId(0), PEER, &bytes);
    assert_eq!(alone.sent.len(), sent);
    assert_eq!(alone.core.drops().of(DropReason::Fingerprint), 1);
}

#[test]
fn an_old_binding_request_is_not_understood() {
    // RFC 3489 has no magic cookie.
    let mut alone = Alone::checking(Role::Controlled);
    let check = alone.peer_check();
    let mut bytes = alone.write(&check);
    bytes[4..8].fill(1);
    let sent = alone.sent.len();
    alone.receive(BaseId(0), PEER, &bytes);
    assert_eq!(alone.sent.len(), sent);
    assert_eq!(alone.core.drops().of(DropReason::Malformed), 1);
}

/// The tie-breaker that our checks state.
fn tie_breaker(alone: &Alone) -> u64 {
    let check = alone.last_check();
    let message = check.message();
    message.ice_controlling().or(message.ice_controlled()).expect("a tie-breaker")
}

fn code(answer: &crate::alone::Sent) -> Option<u16> {
    answer.message().error().map(|error| error.code)
}

#[test]
fn both_controlling_the_larger_tie_breaker_stays() {
    for (difference, stays) in [(-1, true), (1, false)] {
        let mut alone = Alone::checking(Role::Controlling);
        let theirs = tie_breaker(&alone).checked_add_signed(difference).unwrap();
        let check = PeerCheck { controlling: true, tie_breaker: theirs, ..alone.peer_check() };
        let answer = alone.checked(PEER, &check).expect("an answer");
        let role = if stays { Role::Controlling } else { Role::Controlled };
        assert_eq!(alone.core.role(), role, "{difference}");
        assert_eq!(code(&answer), stays.then_some(487));
        assert_eq!(answer.message().verify(&our_key(&alone)), Integrity::Valid);
    }
}

#[test]
fn both_controlled_the_larger_tie_breaker_switches() {
    for (difference, stays) in [(-1, false), (1, true)] {
        let mut alone = Alone::checking(Role::Controlled);
        let theirs = tie_breaker(&alone).checked_add_signed(difference).unwrap();
        let check = PeerCheck { controlling: false, tie_breaker: theirs, ..alone.peer_check() };
        let answer = alone.checked(PEER, &check).expect("an answer");
        let role = if stays { Role::Controlled } else { Role::Controlling };
        assert_eq!(alone.core.role(), role, "{difference}");
        assert_eq!(code(&answer), stays.then_some(487));
        // A switch is followed by the rest of the procedure.
        alone.run(ms(100));
        let controlling = alone.last_check().message().ice_controlling().is_some();
        assert_eq!(controlling, !stays);
    }
}

/// Whatever role it claims: it is ours, and comes back.
#[test]
fn a_request_with_our_own_tie_breaker_is_dropped() {
    for role in [Role::Controlling, Role::Controlled] {
        for controlling in [true, false] {
            let mut alone = Alone::checking(role);
            let check = PeerCheck {
                controlling,
                tie_breaker: tie_breaker(&alone),
                use_candidate: controlling,
                ..alone.peer_check()
            };
            assert!(alone.checked(PEER, &check).is_none(), "no answer");
            assert_eq!(alone.core.role(), role);
            assert_eq!(alone.core.drops().of(DropReason::OwnRequest), 1);
            let pairs = alone.core.pairs(STREAM).count();
            let stranger = "192.0.2.77:7777";
            assert!(alone.checked(stranger, &check).is_none());
            assert_eq!(alone.core.pairs(STREAM).count(), pairs, "it shows no new address");
        }
    }
}

#[test]
fn different_roles_are_no_conflict() {
    for role in [Role::Controlling, Role::Controlled] {
        for tie_breaker in [0, u64::MAX] {
            let mut alone = Alone::checking(role);
            let check = PeerCheck { tie_breaker, ..alone.peer_check() };
            let answer = alone.checked(PEER, &check).expect("an answer");
            assert_eq!(code(&answer), None);
            assert_eq!(alone.core.role(), role);
        }
    }
}

#[test]
fn a_check_that_lost_the_conflict_triggers_nothing() {
    let mut alone = Alone::new(Role::Controlling);
    alone.start();
    let check = PeerCheck { controlling: true, tie_breaker: 0, ..alone.peer_check() };
    let answer = alone.checked(PEER, &check).expect("an answer");
    assert_eq!(code(&answer), Some(487));
    alone.run(ms(100));
    assert_eq!(alone.checks().len(), 0);
    assert_eq!(alone.core.pairs(STREAM).count(), 0);
}

#[test]
fn a_check_without_priority_is_refused() {
    let mut alone = Alone::checking(Role::Controlled);
    let check = alone.peer_check();
    let bytes = alone.write(&check);
    // The same with an attribute of no meaning in PRIORITY's place.
    let mut changed = bytes.clone();
    let priority = 0x0024u16.to_be_bytes();
    let at = bytes.windows(4).position(|w| w == [priority[0], priority[1], 0, 4]).unwrap();
    changed[at..at + 2].copy_from_slice(&0xff00u16.to_be_bytes());
    let changed = sign(&changed[..changed.len() - 32], &check.password);
    let sent = alone.sent.len();
    alone.receive(BaseId(0), PEER, &changed);
    let answer = alone.sent[sent..].first().expect("an answer");
    assert_eq!(code(answer), Some(400));
}

/// Adds MESSAGE-INTEGRITY and FINGERPRINT to a message that has neither.
fn sign(unsigned: &[u8], password: &str) -> Vec<u8> {
    sign_with(unsigned, password, Algorithm::Sha1)
}

/// [`sign`] with the integrity attribute of `algorithm`.
fn sign_with(unsigned: &[u8], password: &str, algorithm: Algorithm) -> Vec<u8> {
    let (kind, len) = match algorithm {
        Algorithm::Sha1 => (AttributeType::MESSAGE_INTEGRITY, 20),
        Algorithm::Sha256 => (AttributeType::MESSAGE_INTEGRITY_SHA256, 32),
    };
    let mut bytes = unsigned.to_vec();
    let length = |bytes: &mut Vec<u8>, more: usize| {
        let length = u16::try_from(bytes.len() - 20 + more).expect("a short message");
        bytes[2..4].copy_from_slice(&length.to_be_bytes());
    };
    length(&mut bytes, 4 + len);
    let value = match algorithm {
        Algorithm::Sha1 => hmac::<hmac::Hmac<sha1::Sha1>>(password, &bytes),
        Algorithm::Sha256 => hmac::<hmac::Hmac<sha2::Sha256>>(password, &bytes),
    };
    assert_eq!(value.len(), len);
    bytes.extend_from_slice(&kind.0.to_be_bytes());
    bytes.extend_from_slice(&u16::try_from(len).expect("short").to_be_bytes());
    bytes.extend_from_slice(&value);
    length(&mut bytes, 8);
    let crc = crc32fast::hash(&bytes) ^ 0x5354_554e;
    bytes.extend_from_slice(&[0x80, 0x28, 0, 4]);
    bytes.extend_from_slice(&crc.to_be_bytes());
    bytes
}

fn hmac<M: hmac::Mac + hmac::digest::KeyInit>(password: &str, bytes: &[u8]) -> Vec<u8> {
    let mut mac = <M as hmac::Mac>::new_from_slice(password.as_bytes()).expect("any key will do");
    mac.update(bytes);
    mac.finalize().into_bytes().to_vec()
}

/// A check as [`Alone::write`] writes it, without integrity and FINGERPRINT.
fn unsigned(alone: &mut Alone, check: &PeerCheck) -> Vec<u8> {
    let bytes = alone.write(check);
    bytes[..bytes.len() - 32].to_vec()
}

/// RFC 8489 §9.1.3, for success and error responses.
#[test]
fn an_answer_has_the_integrity_attribute_of_its_check() {
    for algorithm in [Algorithm::Sha256, Algorithm::Sha1] {
        for (controlling, expected) in [(true, None), (false, Some(487))] {
            let mut alone = Alone::checking(Role::Controlled);
            let check = PeerCheck { controlling, tie_breaker: u64::MAX, ..alone.peer_check() };
            let bytes = sign_with(&unsigned(&mut alone, &check), &check.password, algorithm);
            let sent = alone.sent.len();
            alone.receive(BaseId(0), PEER, &bytes);
            let answer = alone.sent[sent..].first().expect("an answer");
            assert_eq!(code(answer), expected);
            assert_eq!(answer.message().integrity_algorithm(), Some(algorithm));
            assert_eq!(answer.message().verify(&our_key(&alone)), Integrity::Valid);
        }
    }
}

/// RFC 8489 §6.3.1.
#[test]
fn a_retransmitted_check_leads_to_the_same_state_and_answer() {
    let mut alone = Alone::checking(Role::Controlled);
    let check = alone.peer_check();
    let bytes = alone.write(&check);
    let id = Message::parse(&bytes).unwrap().transaction_id();
    let mut answers = Vec::new();
    let mut states = Vec::new();
    for _ in 0..3 {
        let sent = alone.sent.len();
        alone.receive(BaseId(0), "192.0.2.1:4000", &bytes);
        alone.run(ms(100));
        let new = &alone.sent[sent..];
        answers.extend(new.iter().find(|s| s.message().transaction_id() == id).cloned());
        let pairs: Vec<_> =
            alone.core.pairs(STREAM).map(|p| (p.remote.address(), p.state)).collect();
        states.push(pairs);
    }
    assert_eq!(answers.len(), 3);
    assert!(answers.iter().all(|a| a.bytes == answers[0].bytes), "{answers:?}");
    assert_eq!(states[0].len(), 2, "the first makes a peer-reflexive candidate");
    assert!(states.iter().all(|s| *s == states[0]), "{states:?}");
    // What it triggered is one transaction, sent again on its own schedule.
    let triggered = alone.checks().into_iter().filter(|c| c.to == address("192.0.2.1:4000"));
    let mut ids: Vec<_> = triggered.map(|c| c.message().transaction_id()).collect();
    ids.dedup();
    assert_eq!(ids.len(), 1);
}

#[test]
fn a_nomination_that_cannot_be_taken_is_refused() {
    // Before the parameters, beyond the checks that are kept.
    let mut alone = Alone::new(Role::Controlled);
    for port in 1..=32 {
        let check = alone.peer_check();
        alone.checked(&format!("192.0.2.1:{port}"), &check);
    }
    let check = PeerCheck { use_candidate: true, ..alone.peer_check() };
    let answer = alone.checked(PEER, &check).expect("an answer");
    assert_eq!(code(&answer), Some(400));
    // After them, beyond the peer-reflexive candidates that are kept.
    let mut alone = Alone::new(Role::Controlled);
    alone.start();
    for port in 1..=128 {
        let check = alone.peer_check();
        alone.checked(&format!("192.0.2.1:{port}"), &check);
    }
    let check = PeerCheck { use_candidate: true, ..alone.peer_check() };
    let answer = alone.checked(PEER, &check).expect("an answer");
    assert_eq!(code(&answer), Some(400));
}

#[test]
fn after_completion_checks_are_answered_and_change_nothing() {
    let mut alone = Alone::checking(Role::Controlled);
    alone.add_remote("candidate:2 1 UDP 2130706000 10.0.1.2 6000 typ host");
    let first = alone.last_check();
    alone.answer(&first);
    let check = PeerCheck { use_candidate: true, ..alone.peer_check() };
    alone.checked(PEER, &check);
    assert_eq!(alone.core.state(), State::Completed);
    alone.run(ms(500));
    let (sent, events) = (alone.sent.len(), alone.events.len());
    for from in [PEER, "10.0.1.2:6000"] {
        let check = alone.peer_check();
        let answer = alone.checked(from, &check).expect("an answer");
        assert_eq!(answer.message().class(), Class::Success);
    }
    alone.run(Duration::from_secs(2));
    assert_eq!(alone.sent.len(), sent + 2, "answers and nothing else");
    assert_eq!(alone.core.state(), State::Completed);
    let selected = alone.core.pairs(STREAM).find(|p| p.selected).expect("a selected pair");
    assert_eq!(selected.remote.address(), Some(address(PEER)));
    assert!(
        alone.events[events..].iter().all(|e| matches!(e, floe::agent::Event::PathOpened { .. }))
    );
}

#[test]
fn an_indication_is_a_keepalive_and_changes_nothing() {
    let mut alone = Alone::checking(Role::Controlled);
    let (sent, events) = (alone.sent.len(), alone.events.len());
    let mut bytes = Vec::new();
    floe::stun::write_indication(TransactionId([1; 12]), &mut bytes);
    alone.receive(BaseId(0), PEER, &bytes);
    assert_eq!((alone.sent.len(), alone.events.len()), (sent, events));
    assert_eq!(alone.core.drops().iter().count(), 0);
}

/// RFC 8489 §9.1.3 discards them; an ICE keepalive has no credentials at all,
/// so that none of what an indication says is acted on.
#[test]
fn an_indication_is_discarded_whatever_credentials_it_has() {
    let mut alone = Alone::checking(Role::Controlled);
    let pwd = alone.peer_check().password;
    let wrong = "another password";
    let unknown = Some("nobody:knows");
    for (username, password) in
        [(None, None), (None, Some(&*pwd)), (unknown, Some(&*pwd)), (None, Some(wrong))]
    {
        let check = PeerCheck { use_candidate: true, ..alone.peer_check() };
        let username = username.map_or(check.username.clone(), str::to_owned);
        let mut bytes = unsigned(&mut alone, &PeerCheck { username, ..check });
        // The type of a Binding indication.
        bytes[1] = 0x11;
        let bytes = match password {
            Some(password) => sign(&bytes, password),
            None => {
                let length = u16::try_from(bytes.len() - 20).unwrap();
                bytes[2..4].copy_from_slice(&length.to_be_bytes());
                bytes
            }
        };
        assert_eq!(Message::parse(&bytes).unwrap().class(), Class::Indication);
        let (sent, events) = (alone.sent.len(), alone.events.len());
        alone.receive(BaseId(0), "192.0.2.1:4000", &bytes);
        assert_eq!((alone.sent.len(), alone.events.len()), (sent, events));
        assert_eq!(alone.core.pairs(STREAM).count(), 1);
    }
}

/// Type, cookie, id and FINGERPRINT: 28 bytes, no credentials.
#[test]
fn a_keepalive_carries_fingerprint_and_nothing_else() {
    let mut bytes = Vec::new();
    floe::stun::write_indication(TransactionId([1; 12]), &mut bytes);
    assert_eq!(bytes.len(), 28);
    assert_eq!(bytes[..4], [0x00, 0x11, 0, 8]);
    assert_eq!(bytes[20..24], [0x80, 0x28, 0, 4]);
}

#[test]
fn after_close_nothing_is_answered() {
    let mut alone = Alone::checking(Role::Controlled);
    let now = alone.now;
    alone.core.close(now);
    let check = alone.peer_check();
    assert!(alone.checked(PEER, &check).is_none());
    assert_eq!(alone.core.poll_timeout(), None);
}
